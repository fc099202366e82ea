/** What a ledger knows beside its records, and finds out from them when they are restored from a checkpoint. */
import { isNeededByParent } from './families.ts'
import type { LedgerState } from './state.ts'
import type { TaskRecord } from './task-record.ts'

/** Who waits for whom, and whose children they are: indexes over what the records say. */
export function restoreFamilies(state: LedgerState, tasks: readonly TaskRecord[]): void {
  const children = tasks.filter((task) => isNeededByParent(task)).sort((a, b) => a.order - b.order)
  for (const task of children) {
    const parent = state.tasks.get(task.rare?.parent ?? '')
    parent?.rare?.children?.add(task.id)
  }
  for (const task of tasks) {
    const { rare } = task
    if (rare?.after !== undefined && task.status === 'blocked') state.block(task, rare.after)
    if (rare?.awaited !== undefined) state.awaitAll(task, rare.awaited)
  }
}

/** The queues for forgetting, in the order in which the tasks entered them. */
export function restoreRetention(state: LedgerState, tasks: readonly TaskRecord[]): void {
  const queued = tasks.filter((task) => task.retained > 0).sort((a, b) => a.retained - b.retained)
  for (const task of queued) state.queueOf(task).push(task)
}
