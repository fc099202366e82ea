/**
 * The limits on time that a task has, as instants of log time. Time alone ends nothing: a leading scheduler says in an entry
 * that a limit has passed, and the fold counts that entry if this file agrees.
 */
import type { ErrorRecord } from '../../protocol/errors.ts'
import type { TaskRecord } from './task-record.ts'

export interface TimeLimit {
  readonly atMs: number
  readonly error: ErrorRecord
}

/** The task may start from now on, or from its due time: its time to start begins, once. */
export function beginStartLimit(task: TaskRecord, nowMs: number): void {
  const { rare } = task
  if (rare?.startWithinMs === undefined || rare.startByMs !== undefined || task.startedAtMs > 0) return
  rare.startByMs = Math.max(nowMs, task.dueAtMs) + rare.startWithinMs
}

/** When the task expires, whatever it does: at its deadline, or when it has not started in time. Undefined for never. */
export function expiryOf(task: TaskRecord): TimeLimit | undefined {
  const { deadlineAtMs, startByMs, startWithinMs } = task.rare ?? {}
  if (startByMs !== undefined && task.startedAtMs === 0 && startByMs < (deadlineAtMs ?? Infinity)) {
    const message = `it did not start within ${startWithinMs} ms`
    return { atMs: startByMs, error: { code: 'TROUPE_START_TIMEOUT', message } }
  }
  if (deadlineAtMs === undefined) return undefined
  const message = `its deadline ${new Date(deadlineAtMs).toISOString()} passed while it was ${task.status}`
  return { atMs: deadlineAtMs, error: { code: 'TROUPE_TASK_EXPIRED', message } }
}

/** When the present turn has run for too long, or too long without a sign of progress. Undefined for never. */
export function turnLimitOf(task: TaskRecord): TimeLimit | undefined {
  const { timeoutMs = 0, heartbeatMs = 0 } = task.profile ?? {}
  if (task.status !== 'running' || (timeoutMs === 0 && heartbeatMs === 0)) return undefined
  const closeAtMs = timeoutMs === 0 ? Infinity : task.turnAtMs + timeoutMs
  const beatAtMs = heartbeatMs === 0 ? Infinity : Math.max(task.turnAtMs, task.rare?.beatAtMs ?? 0) + heartbeatMs
  if (closeAtMs <= beatAtMs) {
    const message = `it ran longer than its timeout of ${timeoutMs} ms`
    return { atMs: closeAtMs, error: { code: 'TROUPE_TIMEOUT', message } }
  }
  const message = `it gave no sign of progress for ${heartbeatMs} ms`
  return { atMs: beatAtMs, error: { code: 'TROUPE_HEARTBEAT_TIMEOUT', message } }
}

/** The turn has stored a state or told of its progress. */
export function noteBeat(task: TaskRecord, nowMs: number): void {
  if ((task.profile?.heartbeatMs ?? 0) > 0) task.more.beatAtMs = nowMs
}
