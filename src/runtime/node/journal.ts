/**
 * The journal of one incarnation: entries go out in numbered blocks, one in flight, each fenced by the expected last
 * sequence of the journal's subject. Group commit: alone when idle, many at once under load. What becomes of a published
 * block is resolved by rule 4; when it cannot be stored any more, the incarnation is over and says so once.
 */
import type { AppendResult, Log } from '../../nats/bus.ts'
import { entryBytes, packBlock, unpackJournalBlock } from '../../protocol/blocks.ts'
import { formatVersion, type JournalEntry, kind } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'

interface Written {
  readonly entries: readonly JournalEntry[]
  readonly onStored: (() => void) | undefined
}

export interface JournalOptions {
  readonly log: Log
  readonly subject: string
  /** The incarnation is over: nothing of it will be stored any more. Called at most once. */
  readonly onFenced: (error: TroupeError) => void
  /** How long one publish may take before the same bytes are sent again, ms. Default 2,000. */
  readonly timeoutMs?: number
}

/** Longest pause between two attempts at storing the same block. */
const pauseMsMax = 500

export class Journal {
  /** Log sequence of the last stored block, 0 before the first. */
  lastSequence = 0
  /** How many writes are stored: the first so many, in order. */
  stored = 0
  private written = 0
  private readonly options: JournalOptions
  private waiting: Written[] = []
  /** The block that is being stored. */
  private sending: readonly Written[] = []
  private number = 0
  private inFlight = false
  private scheduled = false
  private over: TroupeError | undefined
  private drained: (() => void)[] = []

  constructor(options: JournalOptions) {
    this.options = options
  }

  /**
   * All of `entries` go into one block, in order. Returns the number of the write, from 1: it is stored when `stored` is as
   * large. `onStored` runs then, never if they are refused, nor after `end`. Throws TROUPE_TOO_LARGE when there are more than a
   * block may hold.
   */
  write(entries: readonly JournalEntry[], onStored?: () => void): number {
    if (entries.length > limits.blockEntriesMax) {
      const message = `${entries.length} entries are more than ${limits.blockEntriesMax} in one block`
      throw new TroupeError('TROUPE_TOO_LARGE', message)
    }
    const number = ++this.written
    if (this.over === undefined) {
      this.waiting.push({ entries, onStored })
      this.schedule()
    }
    return number
  }

  /** What was written and is not known to be stored, in order. */
  *unstored(): Iterable<JournalEntry> {
    for (const { entries } of this.sending) yield* entries
    for (const { entries } of this.waiting) yield* entries
  }

  /** Resolves when everything written so far is stored; rejects with TROUPE_FENCED when it never will be. */
  async settled(): Promise<void> {
    while (this.over === undefined && (this.inFlight || this.waiting.length > 0)) {
      await new Promise<void>((resolve) => this.drained.push(resolve))
    }
    if (this.over !== undefined) throw this.over
  }

  /** Nothing more is sent; what was not stored is given up. */
  end(error: TroupeError): void {
    if (this.over !== undefined) return
    this.over = error
    this.waiting = []
    this.wake()
  }

  /** One flush per turn of the event loop, so that what happens together is stored together. */
  private schedule(): void {
    if (this.scheduled || this.inFlight) return
    this.scheduled = true
    setImmediate(() => {
      this.scheduled = false
      void this.flush()
    })
  }

  private async flush(): Promise<void> {
    if (this.inFlight || this.over !== undefined) return
    this.inFlight = true
    try {
      while (this.waiting.length > 0 && this.over === undefined) await this.send(this.take())
    } catch (error) {
      // A block that cannot be packed, a connection that was closed: nothing that comes after may be stored without it.
      this.giveUp(error instanceof TroupeError ? error : internalError(error))
    } finally {
      this.inFlight = false
      this.wake()
    }
  }

  /**
   * As many writes as fit in a block, at least one. A second signal for one task waits for the next block, since a task knows
   * its signals by their blocks.
   */
  private take(): Written[] {
    let bytes = 0
    let entries = 0
    let count = 0
    const signalled = new Set<string>()
    for (const written of this.waiting) {
      for (const entry of written.entries) bytes += entryBytes(entry)
      entries += written.entries.length
      if (count > 0 && (bytes > limits.blockBytesMax || entries > limits.blockEntriesMax)) break
      if (!signalsFit(written.entries, signalled) && count > 0) break
      count++
    }
    if (count === this.waiting.length) {
      const all = this.waiting
      this.waiting = []
      return all
    }
    return this.waiting.splice(0, count)
  }

  private async send(block: Written[]): Promise<void> {
    const entries: JournalEntry[] = []
    for (const written of block) for (const entry of written.entries) entries.push(entry)
    this.number++
    this.sending = block
    const sequence = await this.store(packBlock([formatVersion, this.number, entries]), this.number)
    this.sending = []
    if (sequence === undefined || this.over !== undefined) return
    this.lastSequence = sequence
    for (const { onStored } of block) {
      this.stored++
      onStored?.()
      // What was just told may have ended the incarnation.
      if (this.over !== undefined) return
    }
  }

  /** The sequence at which the bytes are stored; undefined when the incarnation is over. */
  private async store(bytes: Uint8Array, number: number): Promise<number | undefined> {
    const { log, subject, timeoutMs = 2_000 } = this.options
    for (let attempt = 0; this.over === undefined; attempt++) {
      const result = await log.append(subject, bytes, { expectedLastSubjectSequence: this.lastSequence, timeoutMs })
      if (result.outcome === 'stored') return result.sequence
      const sequence = await this.resolve(result, number)
      if (sequence !== undefined) return sequence
      if (this.over === undefined) await pause(attempt)
    }
    return undefined
  }

  /**
   * Rule 4. An unknown outcome, or a stream without a leader, means: the same bytes again with the same expectation. A
   * wrong sequence means that this very block is stored already, or that the journal was fenced; its last message tells.
   * A sequence that was read is never adopted for another number: that would defeat the fence.
   */
  private async resolve(result: AppendResult, number: number): Promise<number | undefined> {
    if (result.outcome !== 'refused') return undefined
    if (result.reason === 'no-responders' || result.reason === 'full') return undefined
    if (result.reason === 'wrong-sequence') {
      const last = await this.options.log.lastOf(this.options.subject).catch(() => 'unanswered' as const)
      if (last === 'unanswered') return undefined
      const stored = last === undefined ? undefined : unpackJournalBlock(last.data)
      if (last !== undefined && stored?.ok && stored.number === number) return last.sequence
    }
    const message = `the journal ${this.options.subject} refused block ${number}: ${result.message}`
    this.giveUp(new TroupeError('TROUPE_FENCED', message, { details: { code: result.code, reason: result.reason } }))
    return undefined
  }

  /** The incarnation is over, by what happened here and not by whoever owns the journal. */
  private giveUp(error: TroupeError): void {
    if (this.over !== undefined) return
    this.end(error)
    this.options.onFenced(error)
  }

  private wake(): void {
    const { drained } = this
    this.drained = []
    for (const resolve of drained) resolve()
  }
}

/** Notes the tasks that the entries signal; false if one of them was noted before. */
function signalsFit(entries: readonly JournalEntry[], signalled: Set<string>): boolean {
  let fit = true
  for (const entry of entries) {
    if (entry[0] !== kind.signalled) continue
    if (signalled.has(entry[3])) fit = false
    signalled.add(entry[3])
  }
  return fit
}

function pause(attempt: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.min(pauseMsMax, 10 * 2 ** Math.min(attempt, 6))))
}

function internalError(cause: unknown): TroupeError {
  return new TroupeError('TROUPE_INTERNAL', `a block of a journal could not be written: ${String(cause)}`, { cause })
}
