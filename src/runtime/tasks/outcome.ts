/** Errors of users' code on their way into the log and back. */
import { type ErrorRecord, TroupeError } from '../../protocol/errors.ts'
import { errorFromRecord, errorRecord, packValue, unpackValue } from '../../protocol/payload.ts'
import type { Packed } from './logic.ts'

/**
 * Returns what a `failed` entry says of something thrown. It is retryable unless the error says otherwise: its own
 * `retryable` is false, or it is a TroupeError by which trying again cannot help.
 */
export function failureRecord(error: unknown): { record: ErrorRecord; retryable: boolean } {
  const retryable = !(
    typeof error === 'object' &&
    error !== null &&
    (error as { retryable?: unknown }).retryable === false
  )
  return { record: recordOf(error), retryable }
}

/** Returns the error as bytes, as a call that failed keeps it. */
export function packFailure(error: unknown): Uint8Array | null {
  return packValue(recordOf(error))
}

/** Keeps the code of the errors that stand for other tasks (TaskCancelled and such). */
function recordOf(error: unknown): ErrorRecord {
  const record = errorRecord(error, 'TROUPE_TASK_FAILED')
  if (!(error instanceof TroupeError) || record.code === error.code) return record
  const { details, ...rest } = record
  return { ...rest, code: error.code, ...(error.details === undefined ? {} : { details: error.details }) }
}

/** Returns the error of a call that failed in an earlier turn. */
export function revive(packed: Packed): Error {
  const record = unpackValue(packed) as ErrorRecord | undefined
  if (record === undefined) return new TroupeError('TROUPE_INTERNAL', 'a call failed without an error')
  return errorFromRecord(record)
}
