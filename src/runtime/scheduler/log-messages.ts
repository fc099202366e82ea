/**
 * Messages read back from the log: near neighbours in one request, several requests at a time. What was read is kept,
 * unpacked and within a bound on memory, because tasks that were parked together wake in any order, and a block that was
 * unpacked for one of them serves the others. A message never changes, so one that is kept is as good as one that is read.
 */
import { type Unpacked, unpackMessage } from '../../actors/ledger/values.ts'
import type { Log } from '../../nats/bus.ts'
import { kind, type LogMessage } from '../../protocol/entries.ts'
import type { Subjects } from '../../protocol/subjects.ts'

/** Memory for what is kept, and what an entry takes of it besides its bytes in the log. */
const keptBytesMax = 64 * 1024 * 1024
const entryBytes = 256
/** Further apart than this, two messages are read by themselves. */
const gapMax = 16
/** One request takes in so many at most. */
const runMessagesMax = 512
const runBytesMax = 2 * 1024 * 1024
const requestsAtOnce = 8

interface Kept {
  readonly unpacked: Unpacked
  readonly bytes: number
}

interface Run {
  readonly first: number
  readonly last: number
}

export class LogMessages {
  readonly #log: Log
  readonly #subjects: Subjects
  /** The one used longest ago comes first. */
  readonly #kept = new Map<number, Kept>()
  #bytes = 0

  constructor(log: Log, subjects: Subjects) {
    this.#log = log
    this.#subjects = subjects
  }

  /** Resolves with those of the messages that are in the log. Rejects with TROUPE_NO_ANSWER. */
  async at(sequences: Iterable<number>): Promise<ReadonlyMap<number, Unpacked>> {
    const messages = new Map<number, Unpacked>()
    const missing = new Set<number>()
    for (const sequence of sequences) {
      const known = this.#use(sequence)
      if (known === undefined) missing.add(sequence)
      else messages.set(sequence, known)
    }
    const runs = runsOf([...missing].sort((a, b) => a - b))
    await each(runs, (run) => this.#read(run, missing, messages))
    await each(
      [...missing].filter((sequence) => !messages.has(sequence)),
      async (sequence) => {
        // A replica that lags does not have the newest yet; the stream's leader is asked then.
        const message = await this.#log.get(sequence)
        if (message !== undefined) messages.set(sequence, this.#keep(message))
      },
    )
    return messages
  }

  clear(): void {
    this.#kept.clear()
    this.#bytes = 0
  }

  /** Reads a run in as many requests as the bound on bytes makes of it; what stands between is kept too. */
  async #read({ first, last }: Run, wanted: ReadonlySet<number>, messages: Map<number, Unpacked>): Promise<void> {
    for (let from = first; from <= last; ) {
      const page = await this.#log.getRange(from, last - from + 1, runBytesMax)
      for (const message of page) {
        const unpacked = this.#keep(message)
        if (wanted.has(message.sequence)) messages.set(message.sequence, unpacked)
      }
      const end = page.at(-1)?.sequence
      if (end === undefined) return
      from = end + 1
    }
  }

  #use(sequence: number): Unpacked | undefined {
    const known = this.#kept.get(sequence)
    if (known === undefined) return undefined
    this.#kept.delete(sequence)
    this.#kept.set(sequence, known)
    return known.unpacked
  }

  #keep(message: LogMessage): Unpacked {
    const known = this.#kept.get(message.sequence)
    if (known !== undefined) return known.unpacked
    // The copy lets go of the buffer in which the message arrived together with others.
    const unpacked = withValues(unpackMessage(this.#subjects, { ...message, data: new Uint8Array(message.data) }))
    const bytes = message.data.length + entryBytes * (1 + entriesOf(unpacked))
    this.#kept.set(message.sequence, { unpacked, bytes })
    this.#bytes += bytes
    for (const [sequence, oldest] of this.#kept) {
      if (this.#bytes <= keptBytesMax) break
      this.#kept.delete(sequence)
      this.#bytes -= oldest.bytes
    }
    return unpacked
  }
}

/** Without the entries of a journal that carry no value. */
function withValues(unpacked: Unpacked): Unpacked {
  if (unpacked.of !== 'journal') return unpacked
  return { of: 'journal', entries: unpacked.entries.map((entry) => (without.has(entry?.[0]) ? undefined : entry)) }
}

const without = new Set<unknown>([kind.accepted, kind.progressed, kind.failed, kind.dismissed])

function entriesOf(unpacked: Unpacked): number {
  return 'entries' in unpacked ? unpacked.entries.reduce((count, entry) => count + (entry === undefined ? 0 : 1), 0) : 1
}

function runsOf(sorted: readonly number[]): Run[] {
  const runs: { first: number; last: number }[] = []
  for (const sequence of sorted) {
    const run = runs.at(-1)
    if (run !== undefined && sequence - run.last <= gapMax && sequence - run.first < runMessagesMax) run.last = sequence
    else runs.push({ first: sequence, last: sequence })
  }
  return runs
}

/** Does it for all, a few at a time; rejects with the first failure once those under way have ended. */
async function each<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = items.values()
  const lane = async () => {
    for (const item of left) await work(item)
  }
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(requestsAtOnce, items.length) }, lane))
  for (const lane of lanes) if (lane.status === 'rejected') throw lane.reason
}
