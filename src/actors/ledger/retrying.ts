/** An operator lets a dead letter run again, and with it the children that were cancelled because it failed. */
import { rejoinGang } from './gangs.ts'
import { skipEvent } from './poison.ts'
import type { LedgerState } from './state.ts'
import { rejoinGroup } from './supervision.ts'
import type { TaskRecord } from './task-record.ts'

/** Returns whether it counted. What was cancelled by itself or expired keeps no input and cannot come back. */
export function foldRetried(state: LedgerState, task: TaskRecord, skips: boolean): boolean {
  if (task.status !== 'failed' || task.rare?.unreadable) return false
  state.touch(task)
  if (skips) skipEvent(task)
  runAgain(state, task)
  return true
}

/**
 * From its last snapshot, with all its attempts and its time to start; one that never began because of what it waited for
 * waits for that again.
 */
function runAgain(state: LedgerState, task: TaskRecord): void {
  state.touch(task)
  state.unqueue(task)
  task.attempt = 1
  task.finishedAtMs = 0
  task.outcome = undefined
  const { rare } = task
  // Who failed is tried at once; who was cancelled is still delayed until its time.
  const dueAtMs = rare?.cancelledWithParent ? task.dueAtMs : 0
  if (rare !== undefined) {
    delete rare.cancelledWithParent
    delete rare.restarts
    delete rare.deaths
    delete rare.failing
    delete rare.deadlineAtMs
    delete rare.startByMs
  }
  if (task.snapshot !== undefined) task.more.retried = true
  rejoinGang(state, task)
  rejoinGroup(state, task)
  const unmet = [...(rare?.after ?? [])].filter((id) => state.tasks.get(id)?.status !== 'completed')
  if (unmet.length === 0) {
    delete rare?.after
    state.makeReady(task, 'retried', dueAtMs)
  } else {
    state.become(task, 'blocked')
    state.block(task, new Set(unmet))
    state.change('blocked', task)
  }
  rejoinChildren(state, task)
}

/** What its children did is needed again for as long as it lives. */
function rejoinChildren(state: LedgerState, parent: TaskRecord): void {
  for (const id of parent.rare?.children ?? []) {
    const child = state.tasks.get(id)
    if (child?.rare?.parent !== parent.id) continue
    state.touch(child)
    delete child.rare.detached
    if (child.rare.cancelledWithParent) runAgain(state, child)
    else state.unqueue(child)
  }
}
