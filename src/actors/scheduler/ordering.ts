/**
 * Ordering policies: pure functions that rank a ready task; the smallest rank runs first. A rank must not depend on the
 * time at which it is asked, so that a heap stays sorted; aging is expressed by the task's arrival.
 */
import type { TaskRecord } from '../ledger/task-record.ts'

export interface OrderingPolicy {
  readonly name: string
  rank(task: TaskRecord): number
}

/** Arrival orders stay below 2^49: 2^36 messages of 2^13 places. */
const arrivals = 2 ** 49

/** First in, first out: by the place of the submission in the log. */
export const fifo: OrderingPolicy = { name: 'fifo', rank: (task) => task.order }

/** Strict priority (9 first), first in first out within one priority. The default. */
export const priority: OrderingPolicy = {
  name: 'priority',
  rank: (task) => (9 - task.priority) * arrivals + task.order,
}
