/**
 * The errors that tell a waiting program what became of its task. Each keeps the task's own error as its cause; nothing
 * here asks or waits.
 */

import { errorFromRecord } from '../protocol/error-record.ts'
import { type ErrorRecord, TroupeError } from '../protocol/errors.ts'
import type { Keyring } from './encryption.ts'

/** The task ran out of attempts, or failed for good. `cause` is the error of its last attempt. */
export class TaskFailed extends TroupeError {
  readonly task: string

  constructor(task: string, record: ErrorRecord) {
    super('TROUPE_TASK_FAILED', `task "${task}" failed: ${record.message}`, aboutOf(record))
    this.name = 'TaskFailed'
    this.task = task
  }
}

/** Somebody cancelled the task before it ended. `cause` holds the reason. */
export class TaskCancelled extends TroupeError {
  readonly task: string

  constructor(task: string, record: ErrorRecord) {
    super('TROUPE_TASK_CANCELLED', `task "${task}" was cancelled: ${record.message}`, aboutOf(record))
    this.name = 'TaskCancelled'
    this.task = task
  }
}

/** The task's deadline passed before it ended. */
export class TaskExpired extends TroupeError {
  readonly task: string

  constructor(task: string, record: ErrorRecord) {
    super('TROUPE_TASK_EXPIRED', `task "${task}" expired: ${record.message}`, aboutOf(record))
    this.name = 'TaskExpired'
    this.task = task
  }
}

function aboutOf(record: ErrorRecord): { details?: unknown; cause: TroupeError } {
  return record.details === undefined
    ? { cause: errorFromRecord(record) }
    : { details: record.details, cause: errorFromRecord(record) }
}

/** Returns the error by which `result()` rejects for this terminal status. */
export function failureOf(task: string, status: string, stored: ErrorRecord, keyring?: Keyring): TroupeError {
  const record = keyring === undefined ? stored : keyring.openError(stored, task)
  if (status === 'failed') return new TaskFailed(task, record)
  if (status === 'cancelled') return new TaskCancelled(task, record)
  if (status === 'expired') return new TaskExpired(task, record)
  return errorFromRecord(record)
}
