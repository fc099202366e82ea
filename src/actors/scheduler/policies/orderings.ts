/**
 * Ordering policies beyond the default, each with its formula, source and parameters. All are pure: what they learn they are
 * told. Aging is linear, so that it need not be computed again: with every task's advantage growing by the same amount per
 * millisecond, order depends on when each arrived, and `−a × (now − arrival)` becomes `+a × arrival`.
 */
import type { TaskRecord } from '../../ledger/task-record.ts'
import { type OrderingPolicy, priority } from '../ordering.ts'
import { Estimates } from './estimates.ts'
import { DeficitShares, type Shares, type SharesOptions, StrideShares } from './shares.ts'

/**
 * Priority with aging: every `agingMs` of waiting counts as one level of priority, so a task waits for later ones of
 * higher priority at most 9 × agingMs longer. Rank = (9 − priority) × agingMs + arrival. Default 60,000 ms; a smaller
 * value comes closer to first in first out. Source: decay scheduling, as in every time-sharing system since CTSS.
 */
export function agedPriority({ agingMs = 60_000 }: { readonly agingMs?: number } = {}): OrderingPolicy {
  return { name: 'aged-priority', rank: (task) => (9 - task.priority) * agingMs + task.submittedAtMs }
}

/**
 * Strict priority that also takes from the running: a task makes room at its next boundary for one that is `levels` levels
 * higher (default 2; a smaller number makes for more exchanges). Source: preemption bands, as in Nomad and Kubernetes.
 */
export function preemptivePriority({ levels = 2 }: { readonly levels?: number } = {}): OrderingPolicy {
  return {
    ...priority,
    name: 'preemptive-priority',
    outranks: (waiting, running) => waiting.priority >= running.priority + levels,
    // The lowest, and of these the latest, which has done the least.
    runningRank: (running) => -running.priority * priorityStep + running.turnAtMs,
  }
}

/** More than any instant in ms. */
const priorityStep = 2 ** 48

/**
 * Earliest deadline first (Liu and Layland 1973): if any order meets all deadlines on one slot, this one does. Tasks
 * without a deadline come after those with one, first in first out. Give all of them deadlines, or none will be sure.
 */
export const earliestDeadline: OrderingPolicy = {
  name: 'earliest-deadline',
  rank: (task) => task.rare?.deadlineAtMs ?? Number.POSITIVE_INFINITY,
}

export interface ShortestOptions {
  /** Milliseconds of estimate that one millisecond of waiting is worth. 0: none, long tasks may starve. Default 0.25. */
  readonly aging?: number
}

/**
 * Shortest job first: rank = expected duration − aging × age. The expectation is the submitter's, else learned per type (see
 * `Estimates`). Least mean wait of all orders that let a task finish what it began (Smith 1956).
 */
export function shortestFirst({ aging = 0.25 }: ShortestOptions = {}): OrderingPolicy {
  const estimates = new Estimates()
  return {
    name: 'shortest-first',
    rank: (task) => aging * task.submittedAtMs + (isLearned(task) ? 0 : estimates.leftMs(task)),
    offset: (type) => estimates.typicalMs(type) ?? 0,
    isOffset: isLearned,
    turnEnded: (task, lastedMs) => learn(estimates, task, lastedMs),
  }
}

/**
 * Shortest remaining time first: as above with what is left instead of the whole, and a running task makes room at its next
 * boundary when one that waits has less left, by at least `marginMs` (default 50, what moving a task costs). Least mean wait
 * of all orders (Schrage 1968), if the expectations are right.
 */
export function shortestRemaining({
  aging = 0.25,
  marginMs = 50,
}: ShortestOptions & { readonly marginMs?: number } = {}): OrderingPolicy {
  const estimates = new Estimates()
  const rankNow = (task: TaskRecord, moreMs: number) => aging * task.submittedAtMs + estimates.leftMs(task, moreMs)
  return {
    name: 'shortest-remaining',
    rank: (task) => aging * task.submittedAtMs + (isLearned(task) ? 0 : estimates.leftMs(task)),
    offset: (type) => estimates.typicalMs(type) ?? 0,
    isOffset: isLearned,
    turnEnded: (task, lastedMs) => learn(estimates, task, lastedMs),
    // A turn that has only just begun is let be, or two estimates that drift could exchange places without end.
    outranks: (waiting, running, nowMs) =>
      nowMs > running.turnAtMs && rankNow(waiting, 0) + marginMs < rankNow(running, nowMs - running.turnAtMs),
    runningRank: (running, nowMs) => rankNow(running, nowMs - running.turnAtMs),
  }
}

/**
 * Round robin with time slices: first in first out by when a task became ready, and a running one that has had `quantumMs`
 * (default 1,000) makes room at its next boundary when others wait. A short task waits for at most one slice of each other.
 */
export function roundRobinSlices({ quantumMs = 1_000 }: { readonly quantumMs?: number } = {}): OrderingPolicy {
  let arrivals = 0
  return {
    name: 'round-robin',
    total: true,
    rank: () => ++arrivals,
    quantumMs,
    outranks: (_waiting, running, nowMs) => nowMs - running.turnAtMs >= quantumMs,
    runningRank: (running) => -running.turnAtMs,
  }
}

/** Weighted fair shares by key with stride scheduling; within a key by priority. See `StrideShares`. */
export function fairShares(options: SharesOptions = {}): OrderingPolicy {
  return shared('fair-shares', new StrideShares(options))
}

/** Weighted fair shares by key with deficit round robin; within a key by priority. See `DeficitShares`. */
export function deficitRoundRobin(options: SharesOptions & { readonly quantumMs?: number } = {}): OrderingPolicy {
  return shared('deficit-round-robin', new DeficitShares(options))
}

/** A type of which nothing is known yet counts as taking this long. */
const unknownCostMs = 1

function shared(name: string, shares: Shares): OrderingPolicy {
  const estimates = new Estimates()
  return {
    name,
    rank: priority.rank,
    shares,
    costMs: (task) => task.rare?.expectedMs ?? estimates.typicalMs(task.type) ?? unknownCostMs,
    turnEnded: (task, lastedMs) => learn(estimates, task, lastedMs),
  }
}

/** What a user-defined order sees of a task; what does not apply is undefined. */
export interface TaskView {
  readonly id: string
  readonly type: string
  readonly key: string | undefined
  readonly priority: number
  readonly attempt: number
  readonly turn: number
  readonly submittedAtMs: number
  readonly deadlineAtMs: number | undefined
  readonly expectedMs: number | undefined
  readonly attainedMs: number
}

/**
 * An order of the user's own: a pure function from a task to its rank, smallest first, called when the task becomes ready.
 * One that throws, or returns what is no number, ranks the task last.
 */
export function ordered(name: string, rank: (task: TaskView) => number): OrderingPolicy {
  return {
    name,
    rank(task) {
      try {
        const given = rank(viewOf(task))
        return typeof given === 'number' && !Number.isNaN(given) ? given : Number.POSITIVE_INFINITY
      } catch {
        return Number.POSITIVE_INFINITY
      }
    },
  }
}

function viewOf({ id, type, key, priority, attempt, turn, submittedAtMs, rare }: TaskRecord): TaskView {
  const { deadlineAtMs, expectedMs, attainedMs = 0 } = rare ?? {}
  return { id, type, key, priority, attempt, turn, submittedAtMs, deadlineAtMs, expectedMs, attainedMs }
}

/** Nothing is known of it but what is known of its type. */
function isLearned({ rare }: TaskRecord): boolean {
  return rare?.expectedMs === undefined && (rare?.attainedMs ?? 0) === 0
}

function learn(estimates: Estimates, task: TaskRecord, lastedMs: number): void {
  if (task.status === 'completed') estimates.ended(task.type, lastedMs + (task.rare?.attainedMs ?? 0))
}
