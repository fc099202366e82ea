/**
 * Whether the ledger has all that the log holds. A scheduler may lag, or lead no more without knowing it yet: before it says
 * that it does not know something, it finds out where the log ends, and folds up to there. A server alone knows the end. Of
 * several, one that was cut off from the others, or whose disk is full, may answer and lag; but a block that is stored after
 * the question stands behind everything that was stored before it.
 */
import type { Log } from '../../nats/bus.ts'
import type { LedgerReader } from '../ledger/ledger-reader.ts'

export class LogEnd {
  private readonly log: Log
  private readonly reader: LedgerReader
  private readonly mark: () => Promise<void>
  private current: Promise<void> = Promise.resolve()
  private next: Promise<void> | undefined

  /** `mark` stores a block without meaning, and resolves when it is folded. */
  constructor(log: Log, reader: LedgerReader, mark: () => Promise<void>) {
    this.log = log
    this.reader = reader
    this.mark = mark
  }

  /**
   * Resolves when everything is folded that stood in the log when this was called. Who asks while an answer is under way
   * shares the next one, so that the server is asked once at a time, and at most one block is stored for all. Rejects with
   * TROUPE_NO_ANSWER.
   */
  folded(): Promise<void> {
    this.next ??= this.current.then(
      () => this.look(),
      () => this.look(),
    )
    return this.next
  }

  private look(): Promise<void> {
    this.next = undefined
    this.current = this.log
      .info()
      .then(({ replicas, lastSequence }) => (replicas > 1 ? this.mark() : this.reader.reached(lastSequence)))
    return this.current
  }
}
