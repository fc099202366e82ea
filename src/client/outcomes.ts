/**
 * What became of this client's tasks. Outcomes are told by the leading scheduler as they are decided; a tell can be lost,
 * so every waiting handle is also asked about (rule 15): every few seconds, after each reconnect, and when a new
 * scheduler leads. One timer serves all handles, and the requests of one sweep are bounded.
 *
 * It knows nothing of values: an outcome's payload is unpacked by whoever waits.
 */
import { hasCode, TroupeError } from '../protocol/errors.ts'
import type { Outcome } from '../protocol/messages.ts'
import { type Ending, toldEnding } from './ending.ts'
import { KeptEndings } from './kept-endings.ts'

export interface OutcomesOptions {
  /**
   * Asks once how the task ended; undefined while it has not. `reference` is the place of the client's own submission, if it
   * has one. Throws as `ask` does, and TROUPE_ID_CONFLICT if the task is of another submission.
   */
  readonly askEnding: (id: string, reference: string | undefined) => Promise<Ending | undefined>
  /** Outcomes kept that nobody has asked for yet: number and bytes. The oldest are dropped and asked for when wanted. */
  readonly keepCount: number
  readonly keepBytes: number
  /** How often a waiting handle is asked about, ms. */
  readonly askEveryMs: number
}

interface Waiting {
  readonly key: string
  readonly id: string
  readonly reference: string | undefined
  /** Log sequence of the submission; 0 when only the id is known. */
  readonly sequence: number
  askedAtMs: number
  unknowns: number
  waiter: Waiter
}

/** Exactly one of the two is called, once. They must not throw. */
export interface Waiter {
  readonly onEnding: (ending: Ending) => void
  readonly onError: (error: unknown) => void
}

function both(first: Waiter, second: Waiter): Waiter {
  return {
    onEnding: (ending) => {
      first.onEnding(ending)
      second.onEnding(ending)
    },
    onError: (error) => {
      first.onError(error)
      second.onError(error)
    },
  }
}

/** At once, and per sweep at first; a sweep that finds lost tells goes on further. */
const inFlightMax = 64
const sweepStart = 100
const sweepMs = 500
/** An id that should exist may be unknown for a while to a scheduler that still reads the log. */
const unknownsMax = 10

export class Outcomes {
  private readonly options: OutcomesOptions
  private readonly told: KeptEndings
  /** In order of `askedAtMs`: asking moves a row to the end. */
  private readonly waiting = new Map<string, Waiting>()
  private timer: ReturnType<typeof setInterval> | undefined
  private budget = 0
  private inFlight = 0
  private dueBeforeMs = 0
  private closed: TroupeError | undefined

  constructor(options: OutcomesOptions) {
    this.options = options
    this.told = new KeptEndings(options.keepCount, options.keepBytes)
  }

  /** Number of waiting handles; of outcomes kept for nobody yet. */
  get sizes(): { waiting: number; kept: number; keptBytes: number } {
    return { waiting: this.waiting.size, kept: this.told.size, keptBytes: this.told.bytes }
  }

  /** Takes a tell: settles who waits, keeps the rest for a while. */
  onTell(outcomes: readonly Outcome[]): void {
    for (const outcome of outcomes) {
      const reference = outcome[0]
      const ending = toldEnding(outcome)
      const waiting = this.waiting.get(reference)
      if (waiting !== undefined) this.settle(waiting, ending)
      else if (this.closed === undefined) this.told.add(reference, ending)
    }
  }

  /**
   * Calls back once, as soon as it is known how the task ended; at once if it is known. `reference` is the place of this
   * client's own submission, undefined for a handle made from an id, which is asked about at once.
   */
  wait(id: string, reference: string | undefined, sequence: number, waiter: Waiter): void {
    if (this.closed !== undefined) {
      waiter.onError(this.closed)
      return
    }
    const key = reference ?? `=${id}`
    const kept = this.told.take(key)
    if (kept !== undefined) {
      waiter.onEnding(kept)
      return
    }
    const same = this.waiting.get(key)
    if (same !== undefined) {
      same.waiter = both(same.waiter, waiter)
      return
    }
    const askedAtMs = reference === undefined ? 0 : performance.now()
    const waiting = { key, id, reference, sequence, askedAtMs, unknowns: 0, waiter }
    this.waiting.set(key, waiting)
    this.startTimer()
    if (reference === undefined) this.askOne(waiting)
  }

  /** Asks about every waiting handle soon: a tell may have been missed. */
  askAgain(): void {
    this.dueBeforeMs = performance.now()
    this.sweep()
  }

  /** Asks about this id now, if somebody waits for it. */
  askAbout(id: string): void {
    const waiting = this.waiting.get(`=${id}`)
    if (waiting !== undefined) this.askOne(waiting)
  }

  close(): void {
    this.closed = new TroupeError(
      'TROUPE_CLOSED',
      'the connection was closed while waiting for an outcome; the task goes on',
    )
    clearInterval(this.timer)
    this.timer = undefined
    const all = [...this.waiting.values()]
    this.waiting.clear()
    for (const { waiter } of all) waiter.onError(this.closed)
    this.told.clear()
  }

  private settle(waiting: Waiting, ending: Ending): void {
    this.waiting.delete(waiting.key)
    if (this.waiting.size === 0) this.stopTimer()
    waiting.waiter.onEnding(ending)
  }

  private startTimer(): void {
    if (this.timer !== undefined) return
    this.timer = setInterval(() => this.sweep(), sweepMs)
    this.timer.unref()
  }

  private stopTimer(): void {
    clearInterval(this.timer)
    this.timer = undefined
  }

  private sweep(): void {
    this.budget = sweepStart
    this.askDue()
  }

  /** Asks the longest unasked first; a finished answer means that tells were lost, so it buys two more requests. */
  private askDue(): void {
    const nowMs = performance.now()
    for (const waiting of this.waiting.values()) {
      if (this.budget <= 0 || this.inFlight >= inFlightMax) return
      if (waiting.askedAtMs + this.options.askEveryMs > nowMs && waiting.askedAtMs >= this.dueBeforeMs) return
      this.budget -= 1
      this.askOne(waiting)
    }
  }

  private askOne(waiting: Waiting): void {
    waiting.askedAtMs = performance.now()
    this.waiting.delete(waiting.key)
    this.waiting.set(waiting.key, waiting)
    this.inFlight += 1
    this.options.askEnding(waiting.id, waiting.reference).then(
      (ending) => this.onAnswer(waiting.key, ending),
      (error: unknown) => this.onNoAnswer(waiting.key, error),
    )
  }

  private onAnswer(key: string, ending: Ending | undefined): void {
    this.inFlight -= 1
    const waiting = this.waiting.get(key)
    if (waiting !== undefined && ending !== undefined) {
      this.budget += 2
      this.settle(waiting, ending)
    }
    if (this.budget > 0 && this.timer !== undefined) this.askDue()
  }

  private onNoAnswer(key: string, error: unknown): void {
    this.inFlight -= 1
    const waiting = this.waiting.get(key)
    if (waiting !== undefined && hasCode(error, 'TROUPE_ID_CONFLICT')) {
      const { code, message, details } = error
      this.settle(waiting, { id: waiting.id, status: 'refused', error: { code, message, details } })
      return
    }
    // No answer is not an outcome: nobody leads just now, and the next sweep asks again.
    if (waiting === undefined || !hasCode(error, 'TROUPE_UNKNOWN_TASK')) return
    const position = positionOf(error.details, waiting.reference)
    const lagging = waiting.sequence > 0 && (typeof position === 'number' ? position < waiting.sequence : true)
    waiting.unknowns += 1
    if (lagging && (typeof position === 'number' || waiting.unknowns < unknownsMax)) return
    this.waiting.delete(key)
    if (this.waiting.size === 0) this.stopTimer()
    waiting.waiter.onError(error)
  }
}

/** Up to where the log of the task's partition has been read, if it is that of which the answer speaks. */
function positionOf(details: unknown, reference: string | undefined): unknown {
  const { position, partition } = (details ?? {}) as { position?: unknown; partition?: unknown }
  return partition === undefined || String(partition) === reference?.split('-', 1)[0] ? position : undefined
}
