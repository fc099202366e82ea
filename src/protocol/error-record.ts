/**
 * Errors as records and back. Whatever a user's code throws becomes a bounded record: this is on the way of every failed
 * task, so it never throws itself, whatever getters and proxies the thrown value has.
 */
import { type ErrorCode, type ErrorRecord, errorCodes, TroupeError } from './errors.ts'
import { jsonable } from './jsonable.ts'
import { limits } from './limits.ts'
import { causeDepthMax } from './shapes.ts'

const codes: ReadonlySet<string> = new Set(errorCodes)

/** Values kept of an error's details. */
const detailItemsMax = 200
const detailCharsMax = 16_384

/**
 * Returns the record of anything thrown: its own code if it is a TroupeError, else `fallbackCode`; name and code of a foreign
 * error go to `details`. At most five causes are kept. Never throws.
 */
export function errorRecord(error: unknown, fallbackCode: ErrorCode = 'TROUPE_TASK_FAILED'): ErrorRecord {
  return record(error, fallbackCode, causeDepthMax, [])
}

function record(error: unknown, fallbackCode: ErrorCode, causes: number, above: unknown[]): ErrorRecord {
  const own = read(error, 'code')
  const isOurs = read(error, 'name') === 'TroupeError' && typeof own === 'string' && codes.has(own)
  const details = isOurs ? bounded(read(error, 'details')) : foreignDetails(error, own)
  const stack = read(error, 'stack')
  const cause = read(error, 'cause')
  const hasCause = cause !== undefined && cause !== null && causes > 0 && !above.includes(cause) && cause !== error
  return {
    code: isOurs ? (own as string) : fallbackCode,
    message: cut(messageOf(error), limits.errorMessageCharsMax),
    ...(details === undefined ? undefined : { details }),
    ...(typeof stack === 'string' && stack !== '' ? { stack: cut(stack, limits.errorStackCharsMax) } : undefined),
    ...(hasCause ? { cause: record(cause, fallbackCode, causes - 1, [...above, error]) } : undefined),
  }
}

function foreignDetails(error: unknown, code: unknown): unknown {
  const name = read(error, 'name')
  const told = bounded(read(error, 'details'))
  const kept = {
    ...(typeof name === 'string' && name !== '' && name !== 'Error' ? { name: cut(name, 200) } : undefined),
    ...(typeof code === 'string' || typeof code === 'number'
      ? { code: typeof code === 'string' ? cut(code, 200) : code }
      : undefined),
    ...(told === undefined ? undefined : { details: told }),
  }
  return Object.keys(kept).length === 0 ? undefined : kept
}

function messageOf(error: unknown): string {
  if (typeof error === 'string') return error
  const message = read(error, 'message')
  if (typeof message === 'string') return message
  if (typeof error === 'object' && error !== null)
    return text(bounded(error)) ?? 'an object was thrown that cannot be read'
  return typeof error === 'function' ? 'a function was thrown' : String(error)
}

/** A property of whatever was thrown; undefined if there is none or reading it throws. */
function read(value: unknown, key: string): unknown {
  if (typeof value !== 'object' || value === null) return undefined
  try {
    return (value as Record<string, unknown>)[key]
  } catch {
    return undefined
  }
}

function bounded(value: unknown): unknown {
  if (value === undefined) return undefined
  const shown = jsonable(value, detailItemsMax)
  const length = text(shown)?.length ?? 0
  return length <= detailCharsMax ? shown : `[cut: ${length} characters]`
}

function text(value: unknown): string | undefined {
  try {
    return JSON.stringify(value)
  } catch {
    return undefined
  }
}

function cut(text: string, charsMax: number): string {
  return text.length <= charsMax ? text : `${text.slice(0, charsMax - 1)}…`
}

/** Returns the error of a record, with its causes below it; a code of a newer version is kept as it is. */
export function errorFromRecord(record: ErrorRecord): TroupeError {
  return revive(record, causeDepthMax)
}

function revive(record: ErrorRecord, causes: number): TroupeError {
  const cause = record.cause === undefined || causes === 0 ? undefined : revive(record.cause, causes - 1)
  const error = new TroupeError(record.code as ErrorCode, record.message, { details: record.details, cause })
  if (record.stack !== undefined) error.stack = record.stack
  return error
}
