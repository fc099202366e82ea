/**
 * Tasks that wait for a faster node although a slower one has room: one of each type, since when, and until when. For a type with
 * a `bid` hook the quotes decide whether that is worth it, for any other how soon the other nodes have done what waits.
 */
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Experience } from './experience.ts'
import type { Offers } from './offers.ts'
import type { Candidate } from './placement.ts'
import { Arrivals } from './policies/arrivals.ts'
import { worthWaiting } from './policies/patience.ts'
import type { Quotes } from './quotes.ts'
import { fewNodes } from './room.ts'

export class Patience {
  /** When one of them goes to the slower node after all. */
  nextMs = Number.POSITIVE_INFINITY
  private readonly state: LedgerState
  private readonly offers: Offers
  private readonly experience: Experience
  private readonly quotes: Quotes
  private readonly arrivals = new Arrivals()
  private readonly waiting = new Map<string, { readonly task: TaskRecord; readonly sinceMs: number }>()

  constructor(state: LedgerState, offers: Offers, experience: Experience, quotes: Quotes) {
    this.state = state
    this.offers = offers
    this.experience = experience
    this.quotes = quotes
  }

  /** A round of placing begins. */
  begin(nowMs: number): void {
    this.nextMs = Number.POSITIVE_INFINITY
    this.arrivals.perMs(this.state.totals.submitted, nowMs)
  }

  /** The task does better to wait for a faster node, which has no credit left now, than to start on the chosen one. */
  awaitsFaster(task: TaskRecord, chosen: Candidate, nowMs: number): boolean {
    const { experience, quotes, waiting } = this
    const { type } = task
    const here = experience.seen(chosen, type, nowMs)
    const expectedMs = experience.paces.bestMs(type) ?? 0
    const ms = quotes.isFor(type)
      ? quotes.worthWaitingMs(task, here, experience.all(type, nowMs), expectedMs)
      : this.worthWaitingMs(type, here, expectedMs, nowMs)
    if (ms === undefined || ms <= 0) {
      waiting.delete(type)
      return false
    }
    const known = waiting.get(type)
    const sinceMs = known?.task === task ? known.sinceMs : nowMs
    waiting.set(type, { task, sinceMs })
    if (nowMs - sinceMs >= ms) return false
    this.nextMs = Math.min(this.nextMs, sinceMs + ms)
    return true
  }

  private worthWaitingMs(type: string, here: Candidate, expectedMs: number, nowMs: number): number | undefined {
    const { state, offers, arrivals, experience } = this
    // Of very many nodes some are asked, for their share of what waits.
    const share = Math.min(1, fewNodes / offers.count)
    const outlook = {
      waiting: (state.queuedOf(type) - offers.awardedCount) * share,
      expectedMs,
      arrivalsPerMs: arrivals.perMs(state.totals.submitted, nowMs) * share,
      running: state.counts.running * share,
    }
    return worthWaiting(here, outlook, () => experience.some(type, nowMs, fewNodes))
  }
}
