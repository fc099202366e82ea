/**
 * Submissions as anybody may send them: a plain message with headers, and the options inside an SDK's block. Reads no clock:
 * a relative deadline counts from the message's own log time. What it refuses it refuses with a reason for the submitter.
 */
import type { LogMessage, ObjectReference, Payload, Submission } from './entries.ts'
import { type ErrorCode, type ErrorRecord, TroupeError } from './errors.ts'
import { checkGroup, groupLevels } from './groups.ts'
import { decodeUtf8, parseJson } from './json.ts'
import { limits } from './limits.ts'
import { checkName, checkTaskId } from './names.ts'
import {
  durationMs,
  type GangOption,
  integerBetween,
  type RestartType,
  type SubmissionOptions,
  type UniqueWindow,
} from './options.ts'
import { checkPacked } from './payload.ts'
import { isReplySubject } from './reply-subject.ts'

export type ReadSubmission =
  | { readonly ok: true; readonly submission: Submission }
  /** `id` and `replyTo` as far as they could be read, so that whoever waits can be told. */
  | { readonly ok: false; readonly reason: ErrorRecord; readonly id?: string; readonly replyTo?: string }

type Options = { -readonly [Name in keyof SubmissionOptions]: SubmissionOptions[Name] }

/** The task that a message on `submit.<type>` asks for. Never throws. */
export function readSubmission(message: LogMessage, type: string): ReadSubmission {
  const options: Options = {}
  try {
    if (message.headers !== undefined) readHeaders(message.headers, message.timestampMs, options)
    checkName('task type', type)
    const input = readBody(message.data, message.headers?.get('content-type'))
    return { ok: true, submission: Object.keys(options).length === 0 ? [type, input] : [type, input, options] }
  } catch (error) {
    return {
      ok: false,
      reason: reasonOf(error),
      ...(options.id === undefined ? undefined : { id: options.id }),
      ...(options.replyTo === undefined ? undefined : { replyTo: options.replyTo }),
    }
  }
}

function reasonOf(error: unknown): ErrorRecord {
  if (!(error instanceof TroupeError)) return { code: 'TROUPE_UNREADABLE', message: String(error) }
  const { code, message, details } = error
  return details === undefined ? { code, message } : { code, message, details }
}

/** Fills `options` in an order that keeps what is needed to tell the submitter. */
function readHeaders(headers: ReadonlyMap<string, string>, nowMs: number, options: Options): void {
  const given = (name: string) => {
    const text = headers.get(name)?.trim()
    return text === '' ? undefined : text
  }
  const replyTo = given('troupe-reply-to')
  if (replyTo !== undefined) options.replyTo = checkReplyTo('Troupe-Reply-To', replyTo)
  const id = given('troupe-id')
  if (id !== undefined) options.id = checkTaskId(id)
  const priority = given('troupe-priority')
  if (priority !== undefined)
    options.priority = checkPriority('Troupe-Priority', /^\d+$/.test(priority) ? Number(priority) : priority)
  const delay = given('troupe-delay')
  if (delay !== undefined) options.delayMs = durationMs('Troupe-Delay', delay)
  const deadline = given('troupe-deadline')
  if (deadline !== undefined) options.deadlineAtMs = readDeadline(deadline, nowMs)
  const key = given('troupe-key')
  if (key !== undefined) options.key = checkKey('Troupe-Key', key)
  const expected = given('troupe-expected')
  if (expected !== undefined) options.expectedMs = durationMs('Troupe-Expected', expected)
  const startWithin = given('troupe-start-within')
  if (startWithin !== undefined) options.startWithinMs = durationMs('Troupe-Start-Within', startWithin)
  const unique = given('troupe-unique')
  const uniqueKey = given('troupe-unique-key')
  if (unique !== undefined) {
    const withinMs = durationMs('Troupe-Unique', unique)
    options.unique = checkUnique({ withinMs, ...(uniqueKey !== undefined && { key: uniqueKey }) })
  }
  const gang = given('troupe-gang')
  if (gang !== undefined) options.gang = readGang('Troupe-Gang', gang)
  const group = given('troupe-group')
  if (group !== undefined) options.group = groupLevels(group)
  const restart = given('troupe-restart')
  if (restart !== undefined) options.restart = checkRestart('Troupe-Restart', restart)
  const after = given('troupe-after')
  if (after !== undefined)
    options.after = checkAfter(
      'Troupe-After',
      after.split(',').map((part) => part.trim()),
    )
}

/** Returns the gang that `<id>/<size>`, or `<id>/<size>/alone`, means. Throws TROUPE_INVALID_OPTION, TROUPE_INVALID_NAME. */
export function readGang(what: string, text: string): GangOption {
  const [id, size, restart] = text.split('/').map((part) => part.trim())
  return checkGang(what, { id, size: Number(size), restart })
}

function checkUnique(unique: unknown): UniqueWindow {
  if (typeof unique !== 'object' || unique === null) throw invalid('unique', unique, 'an object with a time')
  const { key, withinMs: given } = unique as Record<string, unknown>
  const withinMs = checkWhole('the time of unique', given, 1, limits.delayMsMax)
  return key === undefined ? { withinMs } : { key: checkKey('the key of unique', key), withinMs }
}

function checkGang(what: string, gang: unknown): GangOption {
  if (typeof gang !== 'object' || gang === null) throw invalid(what, gang, 'an object with the id and size of a gang')
  const { id, size, restart } = gang as Record<string, unknown>
  const name = checkName(`the id of ${what}`, id)
  const members = checkWhole(`the size of ${what}`, size, 1, limits.gangSizeMax)
  if (restart === undefined) return { id: name, size: members }
  if (restart === 'together' || restart === 'alone') return { id: name, size: members, restart }
  throw invalid(`the restart of ${what}`, restart, "'together' or 'alone'")
}

const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/i
/** A bare number from here on is an instant (after March 1973), below it a duration. */
const instantFromMs = 100_000_000_000

function readDeadline(text: string, nowMs: number): number {
  const atMs = instant.test(text) ? Date.parse(text) : /^\d{12,16}$/.test(text) ? Number(text) : Number.NaN
  if (Number.isFinite(atMs) && (atMs >= instantFromMs || instant.test(text)))
    return checkDeadline('Troupe-Deadline', atMs)
  return nowMs + durationMs('Troupe-Deadline (an ISO 8601 instant with a time zone, or)', text)
}

/** The latest instant that JavaScript knows. */
const instantMaxMs = 8_640_000_000_000_000

function checkDeadline(what: string, atMs: unknown): number {
  if (typeof atMs === 'number' && Number.isSafeInteger(atMs) && atMs >= 0 && atMs <= instantMaxMs) return atMs
  throw invalid(what, atMs, 'an instant in milliseconds since 1970', 'TROUPE_INVALID_INSTANT')
}

function invalid(
  what: string,
  value: unknown,
  expected: string,
  code: ErrorCode = 'TROUPE_INVALID_OPTION',
): TroupeError {
  const shown =
    typeof value === 'string'
      ? JSON.stringify(value.slice(0, 80))
      : typeof value === 'number'
        ? String(value)
        : `a value of type ${typeof value}`
  return new TroupeError(code, `${what} ${shown} is not ${expected}`, { details: { what } })
}

/**
 * Returns `subject` if an outcome may be sent there: a concrete subject outside the server's (`$…`, `_…` but for inboxes)
 * and outside every namespace of Troupe. Throws TROUPE_INVALID_OPTION.
 */
export function checkReplyTo(what: string, subject: unknown): string {
  if (typeof subject === 'string' && isReplySubject(subject)) return subject
  throw invalid(what, subject, 'a subject that an outcome may be sent to')
}

const keyText = /^[^\p{Cc}\p{Cs}]+$/u

function checkKey(what: string, key: unknown): string {
  if (typeof key === 'string' && key.length <= limits.nameCharsMax && keyText.test(key)) return key
  throw invalid(what, key, 'a text of 1 to 128 characters without control characters')
}

function checkAfter(what: string, ids: readonly unknown[]): readonly string[] {
  if (ids.length > limits.afterMax) {
    throw new TroupeError(
      'TROUPE_TOO_LARGE',
      `${what} names ${ids.length} tasks; a task may wait for at most ${limits.afterMax}`,
    )
  }
  return [...new Set(ids.map((id) => checkName(what, id)))]
}

const jsonType = /^(application|text)\/([\w.-]+\+)?json$/
const packedType = /^application\/(x-|vnd\.)?msgpack$/

/** The payload that a message's body is, checked but not unpacked. Throws TROUPE_UNREADABLE, TROUPE_TOO_LARGE. */
export function readBody(data: Uint8Array, contentType: string | undefined): Exclude<Payload, ObjectReference> {
  if (data.length === 0) return null
  if (data.length > limits.blockBytesMax) {
    throw new TroupeError(
      'TROUPE_TOO_LARGE',
      `the input of ${data.length} bytes is more than ${limits.blockBytesMax} in one message`,
    )
  }
  const type = (contentType ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (packedType.test(type)) {
    checkPacked(data)
    return data
  }
  if (type !== '' && !jsonType.test(type)) {
    throw new TroupeError('TROUPE_UNREADABLE', `the content type ${JSON.stringify(type.slice(0, 80))} is not read here`)
  }
  const text = decodeUtf8(data)
  parseJson(text)
  return text
}

/**
 * Returns the options that an SDK sent, checked, and nothing else of what was there; or the reason why not. Tell them apart
 * by `'code' in …`. Whether an id is reserved to the system depends on who submits and is for the caller. Never throws.
 */
export function checkSubmissionOptions(given: unknown): SubmissionOptions | ErrorRecord {
  if (given === undefined || given === null) return {}
  if (typeof given !== 'object' || Array.isArray(given)) {
    return { code: 'TROUPE_INVALID_OPTION', message: 'the options of a submission are not an object' }
  }
  try {
    return checkedOptions(given)
  } catch (error) {
    return reasonOf(error)
  }
}

function checkedOptions(given: object): SubmissionOptions {
  const options: Options = {}
  const own = (name: keyof SubmissionOptions): unknown =>
    Object.hasOwn(given, name) ? (given as Record<string, unknown>)[name] : undefined
  const id = own('id')
  if (id !== undefined) options.id = checkName('task id', id)
  const priority = own('priority')
  if (priority !== undefined) options.priority = checkPriority('priority', priority)
  const delayMs = own('delayMs')
  if (delayMs !== undefined) options.delayMs = checkWhole('delayMs', delayMs, 0, limits.delayMsMax)
  const deadlineAtMs = own('deadlineAtMs')
  if (deadlineAtMs !== undefined) options.deadlineAtMs = checkDeadline('deadlineAtMs', deadlineAtMs)
  const key = own('key')
  if (key !== undefined) options.key = checkKey('key', key)
  const after = own('after')
  if (after !== undefined) {
    if (!Array.isArray(after)) throw invalid('after', after, 'a list of task ids')
    options.after = checkAfter('after', after)
  }
  const replyTo = own('replyTo')
  if (replyTo !== undefined) options.replyTo = checkReplyTo('replyTo', replyTo)
  const startWithinMs = own('startWithinMs')
  if (startWithinMs !== undefined) {
    options.startWithinMs = checkWhole('startWithinMs', startWithinMs, 1, limits.delayMsMax)
  }
  const group = own('group')
  if (group !== undefined) options.group = checkGroup(group)
  const restart = own('restart')
  if (restart !== undefined) options.restart = checkRestart('restart', restart)
  const expectedMs = own('expectedMs')
  if (expectedMs !== undefined) options.expectedMs = checkWhole('expectedMs', expectedMs, 0, limits.delayMsMax)
  const unique = own('unique')
  if (unique !== undefined) options.unique = checkUnique(unique)
  const gang = own('gang')
  if (gang !== undefined) options.gang = checkGang('gang', gang)
  return options
}

function checkRestart(what: string, given: unknown): RestartType {
  if (given === 'transient' || given === 'temporary') return given
  throw invalid(what, given, '"transient" or "temporary"')
}

function checkPriority(what: string, value: unknown): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 9) return value
  throw invalid(what, value, 'a whole number between 0 and 9', 'TROUPE_INVALID_PRIORITY')
}

function checkWhole(what: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number') return integerBetween(what, value, min, max)
  throw invalid(what, value, `a whole number between ${min} and ${max}`)
}
