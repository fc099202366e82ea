/**
 * When to call for bids: a ready task is of a type that no standing bid covers. Whoever can run it bids at once instead of
 * with its next report (contract net: Smith 1980; here the exception, standing bids being the rule). The award that
 * follows spends a credit of the bid like any other, which reserves the place.
 */
import type { TaskRecord } from '../ledger/task-record.ts'
import type { SchedulerEffect } from './effects.ts'

/** What is asked of the queue and of the offers. */
interface Ready {
  uncoveredTypes(): string[]
  peek(): TaskRecord | undefined
}
interface StandingBids {
  isBidFor(type: string, nowMs: number): boolean
}

const callEveryMs = 1_000
const callTypesMax = 100

export class BidCall {
  private calledAtMs = Number.NEGATIVE_INFINITY

  /** The call to make now: at most one a second, for at most a hundred types; undefined when none is needed. */
  due(ready: Ready, offers: StandingBids, nowMs: number): SchedulerEffect | undefined {
    if (nowMs - this.calledAtMs < callEveryMs) return undefined
    const types = ready.uncoveredTypes().slice(0, callTypesMax)
    const next = ready.peek()?.type
    if (next !== undefined && !types.includes(next) && !offers.isBidFor(next, nowMs)) types.push(next)
    if (types.length === 0) return undefined
    this.calledAtMs = nowMs
    return { do: 'call', types }
  }
}
