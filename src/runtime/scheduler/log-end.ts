/**
 * Whether the ledger has all that the log holds. A scheduler may lag, or lead no more without knowing it yet: before it says
 * that it does not know something, it asks the log's server where the log ends, and folds up to there.
 */
import type { Log } from '../../nats/bus.ts'
import type { LedgerReader } from '../ledger/ledger-reader.ts'

export class LogEnd {
  private readonly log: Log
  private readonly reader: LedgerReader
  private current: Promise<void> = Promise.resolve()
  private next: Promise<void> | undefined

  constructor(log: Log, reader: LedgerReader) {
    this.log = log
    this.reader = reader
  }

  /**
   * Resolves when everything is folded that stood in the log when this was called. Who asks while an answer is under way
   * shares the next one, so that the server is asked once at a time. Rejects with TROUPE_NO_ANSWER.
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
    this.current = this.log.info().then(({ lastSequence }) => this.reader.reached(lastSequence))
    return this.current
  }
}
