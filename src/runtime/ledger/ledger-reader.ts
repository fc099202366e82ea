/**
 * Keeps one ledger of a partition up to date in this process: loads the newest checkpoint that fits the log, folds what
 * came after, and goes on as messages arrive. Scheduler, supervisor and dashboards of a process share it. On a gap it
 * discards the ledger and starts again from a checkpoint (rule 12).
 */
import type { Logger } from 'pino'
import type { Change } from '../../actors/ledger/change.ts'
import { Ledger } from '../../actors/ledger/ledger.ts'
import type { CheckpointStore, Log, LogReading } from '../../nats/bus.ts'
import type { LogMessage } from '../../protocol/entries.ts'
import { hasCode, TroupeError } from '../../protocol/errors.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { loadCheckpoint } from './load-checkpoint.ts'
import { LogClock } from './log-clock.ts'

export interface LedgerReaderOptions {
  readonly log: Log
  readonly checkpoints: CheckpointStore
  /** Of the partition. */
  readonly subjects: Subjects
  readonly logger: Logger
}

export interface FoldListener {
  /** Called after each run of messages, with what came of them. `live` false while catching up. */
  folded(changes: readonly Change[], messages: readonly LogMessage[], live: boolean): void
  /** The ledger was discarded and replaced: forget everything derived from it. */
  replaced(ledger: Ledger): void
}

export class LedgerReader {
  ledger: Ledger
  readonly clock = new LogClock()
  /** True once everything that was in the log at the start has been folded. */
  live = false
  /** The position from which the present ledger was loaded. */
  loadedFrom = 0
  /** The message that was folded last; undefined until one was folded on top of the checkpoint. */
  latest: LogMessage | undefined
  private readonly options: LedgerReaderOptions
  private readonly listeners = new Set<FoldListener>()
  private reading: LogReading | undefined
  private stopped = false
  private caughtUp: PromiseWithResolvers<void> = Promise.withResolvers()

  constructor(options: LedgerReaderOptions) {
    this.options = options
    this.ledger = new Ledger(options.subjects)
    this.caughtUp.promise.catch(() => undefined)
  }

  listen(listener: FoldListener): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Resolves once the ledger has caught up with the log as it was at the start. Throws TROUPE_LOG_MISMATCH. */
  async start(): Promise<void> {
    await this.load()
    await this.caughtUp.promise
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.caughtUp.reject(new TroupeError('TROUPE_CLOSED', 'the ledger reader was stopped'))
    await this.reading?.stop()
  }

  /** Resolves when the message at `sequence` is folded; rejects with TROUPE_NO_ANSWER after `deadlineMs`. */
  reached(sequence: number, deadlineMs = 5_000): Promise<void> {
    if (this.ledger.state.position >= sequence) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        stop()
        reject(new TroupeError('TROUPE_NO_ANSWER', `the log was not folded up to ${sequence} within ${deadlineMs} ms`))
      }, deadlineMs)
      const check = () => {
        if (this.ledger.state.position < sequence) return
        clearTimeout(timer)
        stop()
        resolve()
      }
      const stop = this.listen({ folded: check, replaced: check })
    })
  }

  /** `again`: whoever listens has derived things from another ledger, and hears of the new one before it is folded on. */
  private async load(again = false): Promise<void> {
    const { log } = this.options
    const ledger = await loadCheckpoint(this.options)
    if (this.stopped) return
    this.ledger = ledger
    this.loadedFrom = ledger.state.position
    this.latest = undefined
    if (again) this.tell((listener) => listener.replaced(ledger))
    // A reading that has ended with a gap may still speak; only the ledger's own counts.
    const isCurrent = () => this.ledger === ledger && !this.stopped
    const reading = await log.read({
      from: ledger.state.position + 1,
      onMessages: (messages) => isCurrent() && this.fold(messages),
      onCaughtUp: () => {
        if (!isCurrent()) return
        this.live = true
        this.caughtUp.resolve()
      },
      onGap: (expected, first) => {
        if (isCurrent()) void this.startAgain(expected, first)
      },
    })
    if (isCurrent()) this.reading = reading
    else await reading.stop()
  }

  private fold(messages: readonly LogMessage[]): void {
    const { ledger } = this
    for (const message of messages) ledger.fold(message)
    const last = messages.at(-1)
    if (last !== undefined) {
      this.latest = last
      this.clock.observe(last.timestampMs, this.live)
    }
    const changes = ledger.takeChanges()
    this.tell((listener) => listener.folded(changes, messages, this.live))
  }

  /** One listener that throws harms neither the others nor the reading. */
  private tell(say: (listener: FoldListener) => void): void {
    for (const listener of this.listeners) {
      try {
        say(listener)
      } catch (error) {
        this.options.logger.error({ err: error }, 'a listener to the ledger has thrown')
      }
    }
  }

  private async startAgain(expected: number, first: number): Promise<void> {
    const { logger } = this.options
    logger.warn({ expected, first }, 'the log has a gap here: the ledger is loaded again from a checkpoint')
    this.live = false
    for (let attempt = 0; !this.stopped; attempt++) {
      try {
        await this.reading?.stop().catch(() => undefined)
        this.reading = undefined
        await this.load(true)
        return
      } catch (error) {
        logger.error({ err: error, attempt }, 'the ledger cannot be loaded')
        // Whoever waits for the start is told; a reader that has started goes on trying.
        if (hasCode(error, 'TROUPE_LOG_MISMATCH')) this.caughtUp.reject(error)
        await new Promise((resolve) => setTimeout(resolve, Math.min(5_000, 100 * 2 ** Math.min(attempt, 6))))
      }
    }
  }
}
