/**
 * Errors of users' code on their way into the log and back. What a call of `ctx` failed with is given to the function as it
 * can be stored, in the first turn already: code that looks at an error must not go another way after a restart.
 */
import { failureOf, TaskCancelled, TaskExpired, TaskFailed } from '../../client/failures.ts'
import { type ErrorRecord, TroupeError } from '../../protocol/errors.ts'
import { errorFromRecord, errorRecord, packValue, unpackValue } from '../../protocol/payload.ts'
import { causeDepthMax } from '../../protocol/shapes.ts'
import type { Packed } from './logic.ts'

/** The record of an error, and what of it a record has no place for. */
interface StoredFailure extends Omit<ErrorRecord, 'cause'> {
  readonly cause?: StoredFailure
  /** What was thrown, if it was no error. */
  readonly thrown?: readonly [value: unknown]
  /** Of an error that is not ours: its name and its own fields. */
  readonly foreign?: readonly [name: string, fields: Readonly<Record<string, unknown>>]
  /** The child that ended so. */
  readonly child?: string
}

/** Bytes kept of one field of an error, or of a value that was thrown. */
const fieldBytesMax = 16_384
const fieldsMax = 50

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
  return packValue(stored(error, causeDepthMax))
}

/** Returns the error of a call that failed in an earlier turn. */
export function revive(packed: Packed): unknown {
  const failure = unpackValue(packed) as StoredFailure | undefined
  if (failure === undefined) return new TroupeError('TROUPE_INTERNAL', 'a call failed without an error')
  return revived(failure)
}

/** Keeps the code of the errors that stand for other tasks (TaskCancelled and such). */
function recordOf(error: unknown): ErrorRecord {
  const record = errorRecord(error, 'TROUPE_TASK_FAILED')
  if (!(error instanceof TroupeError) || record.code === error.code) return record
  const { details, ...rest } = record
  return { ...rest, code: error.code, ...(error.details === undefined ? {} : { details: error.details }) }
}

function stored(error: unknown, causes: number): StoredFailure {
  const { cause, ...record } = recordOf(error)
  if (!(error instanceof Error)) return { ...record, ...(fits(error) && { thrown: [error] as const }) }
  const below = cause === undefined || causes === 0 ? undefined : { cause: stored(error.cause, causes - 1) }
  if (error instanceof TaskFailed || error instanceof TaskCancelled || error instanceof TaskExpired)
    return { ...record, ...below, child: error.task }
  if (error instanceof TroupeError) return { ...record, ...below }
  return { ...record, ...below, foreign: [String(error.name), fieldsOf(error)] }
}

function fieldsOf(error: Error): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  for (const key of Object.keys(error).slice(0, fieldsMax)) {
    const value: unknown = error[key as keyof Error]
    if (!['name', 'message', 'stack', 'cause'].includes(key) && fits(value)) fields[key] = value
  }
  return fields
}

function fits(value: unknown): boolean {
  try {
    return (packValue(value)?.length ?? 0) <= fieldBytesMax
  } catch {
    return false
  }
}

const builtIn = new Map(
  [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [type.name, type]),
)

const statuses: Readonly<Record<string, string>> = {
  TROUPE_TASK_FAILED: 'failed',
  TROUPE_TASK_CANCELLED: 'cancelled',
  TROUPE_TASK_EXPIRED: 'expired',
}

function revived(failure: StoredFailure): unknown {
  if (failure.thrown !== undefined) return failure.thrown[0]
  const { child, foreign, cause, stack } = failure
  if (child !== undefined && cause !== undefined) return failureOf(child, statuses[failure.code] ?? '', cause)
  if (foreign === undefined) return errorFromRecord(failure as ErrorRecord)
  const [name, fields] = foreign
  const Type = builtIn.get(name) ?? Error
  const error = new Type(failure.message, cause === undefined ? undefined : { cause: revived(cause) })
  if (error.name !== name) Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true })
  return Object.assign(error, stack === undefined ? {} : { stack }, fields)
}
