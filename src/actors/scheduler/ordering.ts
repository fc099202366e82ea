/**
 * Ordering policies: pure functions that rank a ready task; the smallest rank runs first. A rank must not depend on the
 * time at which it is asked, so that a heap stays sorted; aging is expressed by the task's arrival. The two here need
 * nothing but the rank; the others are in `policies/orderings.ts`.
 */
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Shares } from './policies/shares.ts'

export interface OrderingPolicy {
  readonly name: string
  rank(task: TaskRecord): number
  /** No two tasks rank equal. Where they may, the earlier submission goes first. */
  readonly total?: true
  /** What all tasks of a type for which `isOffset` holds have on top of their rank now, and how much may be off. */
  offset?(type: string): number
  isOffset?(task: TaskRecord): boolean
  /** Keys get their shares first; the rank orders tasks of one key. */
  readonly shares?: Shares
  /** What the task will cost its key, ms. */
  costMs?(task: TaskRecord): number
  /** A turn of the task has ended, done or not, after so many ms of log time. */
  turnEnded?(task: TaskRecord, lastedMs: number): void
  /** A turn that has lasted this long makes room for others that wait. */
  readonly quantumMs?: number
  /** True if the running task should make room for the waiting one, now. */
  outranks?(waiting: TaskRecord, running: TaskRecord, nowMs: number): boolean
  /** Of running tasks that are outranked, the one with the greatest makes room. */
  runningRank?(running: TaskRecord, nowMs: number): number
}

/** Arrival orders stay below 2^49: 2^36 messages of 2^13 places. */
const arrivals = 2 ** 49

/** First in, first out: by the place of the submission in the log. */
export const fifo: OrderingPolicy = { name: 'fifo', total: true, rank: (task) => task.order }

/** Strict priority (9 first), first in first out within one priority. The default. */
export const priority: OrderingPolicy = {
  name: 'priority',
  total: true,
  rank: (task) => (9 - task.priority) * arrivals + task.order,
}
