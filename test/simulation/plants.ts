/** What a planted bug is, and the two ways in which one is put into the product from outside. */
import type { Log } from '../../src/nats/bus.ts'
import type { WrapLog } from './cluster.ts'
import type { Random } from './random.ts'

/** A bug put into the product for as long as one simulation runs. */
export interface Plant {
  readonly name: string
  /** What is wrong, in a sentence. */
  readonly bug: string
  /** Puts something between the product and the log. */
  readonly wrapLog?: (random: Random) => WrapLog
  /** Changes exported objects of the product; returns how to change them back. */
  readonly patch?: () => () => void
  /** Faults under which it shows; default: drawn. */
  readonly kinds?: readonly string[]
}

/** The log with some of its operations replaced. */
export function changedLog(log: Log, changes: Partial<Log>): Log {
  return {
    append: (subject, data, options) => log.append(subject, data, options),
    read: (options) => log.read(options),
    get: (sequence) => log.get(sequence),
    getRange: (sequence, messagesMax, bytesMax) => log.getRange(sequence, messagesMax, bytesMax),
    lastOf: (subject) => log.lastOf(subject),
    info: () => log.info(),
    trim: (sequence) => log.trim(sequence),
    setDoor: (open) => log.setDoor(open),
    takeReserve: () => log.takeReserve(),
    ...changes,
  }
}

type Method<This, Args extends readonly unknown[], Result> = (this: This, ...args: Args) => Result

/**
 * Replaces a method of a prototype, private ones too. `make` gets the original. Throws when there is none of that name:
 * the product has changed, and the plant has to follow.
 */
export function replaceMethod<This, Args extends readonly unknown[], Result>(
  prototype: object,
  name: string,
  make: (original: Method<This, Args, Result>) => Method<This, Args, Result>,
): () => void {
  const methods = prototype as Record<string, unknown>
  const original = methods[name]
  if (typeof original !== 'function') throw new Error(`there is no method ${name} to plant a bug in`)
  methods[name] = make(original as Method<This, Args, Result>)
  return () => {
    methods[name] = original
  }
}
