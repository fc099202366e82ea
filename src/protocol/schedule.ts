/**
 * Cron schedules as they are asked for and as the log holds them: which task, when, in which time zone, and what becomes of
 * firings that were missed or that overlap. Whether a pattern can be read, and when it is due next, is for a calendar.
 */
import { TroupeError } from './errors.ts'
import { limits } from './limits.ts'
import { checkName } from './names.ts'
import { checkOptionNames } from './option-names.ts'
import { durationMs, type SubmissionOptions } from './options.ts'
import { checkSubmissionOptions } from './submission.ts'

/** What becomes of firings that came due while nobody was there to make them: none runs, the latest, or all of them. */
export type MissedRule = 'skip' | 'latest' | 'all'

/**
 * What becomes of a firing while a task of an earlier one has not ended: both run; it is left out; it waits for the end of
 * the earlier one; the earlier one is cancelled.
 */
export type OverlapRule = 'allow' | 'skip' | 'queue' | 'replace'

/** Options that every task of a schedule gets. */
export type FiringOptions = Pick<SubmissionOptions, 'priority' | 'key' | 'replyTo' | 'startWithinMs' | 'expectedMs'>

export interface Schedule {
  /** Five fields, or six with seconds first, or a nickname such as `@daily`. */
  readonly schedule: string
  /** An IANA name such as `Europe/Vienna`. Default `UTC`. */
  readonly timeZone: string
  readonly type: string
  readonly missed: MissedRule
  readonly overlap: OverlapRule
  readonly options?: FiringOptions
}

const missedRules: readonly unknown[] = ['skip', 'latest', 'all'] satisfies MissedRule[]
const overlapRules: readonly unknown[] = ['allow', 'skip', 'queue', 'replace'] satisfies OverlapRule[]
const patternCharsMax = 256
const zone = /^[A-Za-z0-9_+/-]{1,64}$/

/** Year 9999 ends: the latest due time whose text has four digits for its year. */
const dueMsMax = 253_402_300_799_000

/** Whether this can be the due time of a firing: a whole second since 1970. */
export function isDueTime(atMs: unknown): atMs is number {
  return (
    Number.isSafeInteger(atMs) && (atMs as number) > 0 && (atMs as number) <= dueMsMax && (atMs as number) % 1_000 === 0
  )
}

/** The id of the task of a firing: the same whoever makes it, so that there is one. */
export function firingId(schedule: string, dueAtMs: number): string {
  return `${schedule}@${new Date(dueAtMs).toISOString().slice(0, 19)}Z`
}

/** Returns the name; throws TROUPE_INVALID_NAME when it cannot name a schedule, for the ids of its tasks would be too long. */
export function checkScheduleName(name: unknown): string {
  const checked = checkName('schedule name', name)
  if (checked.length <= limits.scheduleNameCharsMax) return checked
  throw new TroupeError(
    'TROUPE_INVALID_NAME',
    `a schedule's name has at most ${limits.scheduleNameCharsMax} characters`,
  )
}

/** The complaint about a schedule of the log. */
export function scheduleComplaint(given: unknown): string | undefined {
  if (typeof given !== 'object' || given === null) return 'the schedule is not an object'
  const { schedule, timeZone, type, missed, overlap, options } = given as Record<string, unknown>
  if (typeof schedule !== 'string' || schedule.length === 0 || schedule.length > patternCharsMax) {
    return `the schedule is not a text of 1 to ${patternCharsMax} characters, like "0 3 * * *"`
  }
  if (typeof timeZone !== 'string' || !zone.test(timeZone)) return 'the timeZone is not a name like "Europe/Vienna"'
  if (!missedRules.includes(missed)) return `missed is not one of ${missedRules.join(', ')}`
  if (!overlapRules.includes(overlap)) return `overlap is not one of ${overlapRules.join(', ')}`
  try {
    checkName('task type', type)
  } catch (error) {
    return (error as Error).message
  }
  const checked = checkSubmissionOptions(options)
  return 'code' in checked ? checked.message : undefined
}

const fields = ['name', 'schedule', 'timeZone', 'type', 'input', 'options', 'missed', 'overlap']
const optionFields = ['priority', 'key', 'replyTo', 'startWithin', 'expected']

/**
 * Returns the schedule that a request asks for, with defaults filled in: `UTC`, missed `latest`, overlap `allow`. Throws
 * TROUPE_INVALID_OPTION.
 */
export function scheduleFrom(request: Readonly<Record<string, unknown>>): Schedule {
  checkOptionNames('a schedule', request, fields)
  const { schedule, type, timeZone = 'UTC', missed = 'latest', overlap = 'allow', options } = request
  const resolved = firingOptions(options)
  const asked = { schedule, timeZone, type, missed, overlap, ...(resolved !== undefined && { options: resolved }) }
  const complaint = scheduleComplaint(asked)
  if (complaint !== undefined) throw new TroupeError('TROUPE_INVALID_OPTION', complaint)
  return asked as Schedule
}

function firingOptions(given: unknown): FiringOptions | undefined {
  if (given === undefined || given === null) return undefined
  if (typeof given !== 'object') throw new TroupeError('TROUPE_INVALID_OPTION', 'the options are not an object')
  const asked = given as Readonly<Record<string, unknown>>
  checkOptionNames('a schedule', asked, optionFields, 'options.')
  const { startWithin, expected, ...others } = asked
  const checked = checkSubmissionOptions({
    ...others,
    ...(startWithin !== undefined && { startWithinMs: durationMs('startWithin', startWithin) }),
    ...(expected !== undefined && { expectedMs: durationMs('expected', expected) }),
  })
  if ('code' in checked) throw new TroupeError('TROUPE_INVALID_OPTION', checked.message)
  return checked
}
