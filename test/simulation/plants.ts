/** What a planted bug is, and how one is put into the product from outside. */
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
  /** Features under which it shows; default: none. */
  readonly features?: readonly string[]
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
