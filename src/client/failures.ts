/**
 * The errors that tell a waiting program what became of its task, and the translation of error records from the wire.
 * Each keeps the task's own error as its cause; nothing here asks or waits.
 */
import { type ErrorCode, type ErrorRecord, errorCodes, TroupeError } from '../protocol/errors.ts'

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

function aboutOf(record: ErrorRecord): { details?: unknown; cause: Error } {
  return record.details === undefined
    ? { cause: errorOf(record) }
    : { details: record.details, cause: errorOf(record) }
}

/** An error that a task's own code threw, as it travelled: its message, stack, code (when it had one) and cause. */
export class RemoteError extends Error {
  readonly code: string
  readonly details: unknown

  constructor(record: ErrorRecord) {
    super(record.message, record.cause === undefined ? undefined : { cause: errorOf(record.cause) })
    this.name = 'RemoteError'
    this.code = record.code
    this.details = record.details
    if (record.stack !== undefined) this.stack = record.stack
  }
}

/** Returns the record as an error: a TroupeError when its code is one of ours, otherwise a RemoteError. Never throws. */
export function errorOf(record: ErrorRecord): TroupeError | RemoteError {
  if (!isErrorCode(record.code)) return new RemoteError(record)
  const about: { details?: unknown; cause?: unknown } = {}
  if (record.details !== undefined) about.details = record.details
  if (record.cause !== undefined) about.cause = errorOf(record.cause)
  const error = new TroupeError(record.code, record.message, about)
  if (record.stack !== undefined) error.stack = record.stack
  return error
}

/** Returns the record as a TroupeError; a code of a newer version becomes TROUPE_INTERNAL with the code in `details`. */
export function troupeErrorOf(record: ErrorRecord): TroupeError {
  const error = errorOf(record)
  if (error instanceof TroupeError) return error
  return new TroupeError('TROUPE_INTERNAL', `${record.code}: ${record.message}`, { details: { code: record.code }, cause: error })
}

/** Returns the error by which `result()` rejects for this terminal status. */
export function failureOf(task: string, status: string, record: ErrorRecord): TroupeError {
  if (status === 'failed') return new TaskFailed(task, record)
  if (status === 'cancelled') return new TaskCancelled(task, record)
  if (status === 'expired') return new TaskExpired(task, record)
  return troupeErrorOf(record)
}

const known = new Set<string>(errorCodes)

function isErrorCode(code: string): code is ErrorCode {
  return known.has(code)
}
