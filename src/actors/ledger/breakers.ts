/**
 * Circuit breakers of task types (Nygard 2007; a count-based window like that of Resilience4j): closed while attempts succeed;
 * open, so that nothing of the type starts, once too many of the last ones have failed; half-open after a time, when a few may
 * try. Folded from the log, so that a new leader finds them as they were.
 */
import type { BreakerLimit } from '../../protocol/options.ts'
import type { LedgerState } from './state.ts'
import type { TaskRecord } from './task-record.ts'

export interface Breaker {
  /** Of the last attempts, or while it is open of the trials: 1 for one that failed. */
  outcomes: (0 | 1)[]
  /** When it opened last, 0 while it is closed; log time. */
  openedAtMs: number
}

export type BreakerRow = readonly [type: string, outcomes: readonly (0 | 1)[], openedAtMs: number]

export const defaultBreaker = { attempts: 20, openMs: 30_000, trials: 3 }

export type BreakerState = 'closed' | 'open' | 'half-open'

/** When an open breaker lets some try; 0 for one that is closed. */
export function halfOpenAtMs({ openedAtMs }: Breaker, { openMs = defaultBreaker.openMs }: BreakerLimit): number {
  return openedAtMs === 0 ? 0 : openedAtMs + openMs
}

export function breakerState(breaker: Breaker | undefined, limit: BreakerLimit, nowMs: number): BreakerState {
  if (breaker === undefined || breaker.openedAtMs === 0) return 'closed'
  return nowMs < halfOpenAtMs(breaker, limit) ? 'open' : 'half-open'
}

/** An attempt of the task succeeded or failed. Other ends (a node that died, a cancellation) say nothing about its type. */
export function noteAttempt(state: LedgerState, task: TaskRecord, failed: boolean): void {
  const limit = state.limits.size === 0 ? undefined : state.limits.get(task.type)?.breaker
  if (limit === undefined) return
  let breaker = state.breakers.get(task.type)
  if (breaker === undefined) state.breakers.set(task.type, (breaker = { outcomes: [], openedAtMs: 0 }))
  if (breaker.openedAtMs === 0) noteClosed(breaker, limit, failed, state.timeMs)
  else if (task.turnAtMs >= halfOpenAtMs(breaker, limit)) noteTrial(breaker, limit, failed, state.timeMs)
}

function noteClosed(breaker: Breaker, limit: BreakerLimit, failed: boolean, nowMs: number): void {
  const { attempts = defaultBreaker.attempts } = limit
  breaker.outcomes.push(failed ? 1 : 0)
  if (breaker.outcomes.length > attempts) breaker.outcomes.shift()
  if (breaker.outcomes.length < attempts) return
  const failures = breaker.outcomes.reduce<number>((sum, outcome) => sum + outcome, 0)
  if (failures * 100 >= limit.failurePercent * attempts) open(breaker, nowMs)
}

/** One failure opens it again; enough successes close it. */
function noteTrial(breaker: Breaker, limit: BreakerLimit, failed: boolean, nowMs: number): void {
  if (failed) return open(breaker, nowMs)
  breaker.outcomes.push(0)
  if (breaker.outcomes.length < (limit.trials ?? defaultBreaker.trials)) return
  breaker.outcomes = []
  breaker.openedAtMs = 0
}

function open(breaker: Breaker, nowMs: number): void {
  breaker.outcomes = []
  breaker.openedAtMs = nowMs
}

export function breakerRows(state: LedgerState): BreakerRow[] {
  return [...state.breakers].map(([type, { outcomes, openedAtMs }]) => [type, [...outcomes], openedAtMs])
}

export function restoreBreaker(state: LedgerState, [type, outcomes, openedAtMs]: BreakerRow): void {
  state.breakers.set(type, { outcomes: [...outcomes], openedAtMs })
}
