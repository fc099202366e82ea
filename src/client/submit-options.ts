/** What a program may say about one submission, and its translation into what the log holds. */
import { errorFromRecord } from '../protocol/error-record.ts'
import { TroupeError } from '../protocol/errors.ts'
import { type GroupOptions, groupLevels } from '../protocol/groups.ts'
import { checkTaskId } from '../protocol/names.ts'
import { checkOptionNames } from '../protocol/option-names.ts'
import {
  type Duration,
  durationMs,
  type GangOption,
  type RestartType,
  type SubmissionOptions,
  type UniqueWindow,
} from '../protocol/options.ts'
import { checkSubmissionOptions } from '../protocol/submission.ts'
import type { AnyTaskDefinition } from './task.ts'

export interface SubmitOptions {
  /** The task's id; submitting the same again is safe. Default: given by the system. */
  readonly id?: string | undefined
  /** 0 to 9, higher first; default 4. */
  readonly priority?: number | undefined
  /** Not to start before this time has passed. */
  readonly delay?: Duration | undefined
  /** When the task must have ended, or it expires: a Date, ms since 1970, or ISO 8601 text. */
  readonly deadline?: Date | number | string | undefined
  /** Longest time from when it may start to its first start; then it expires with TROUPE_START_TIMEOUT. */
  readonly startWithin?: Duration | undefined
  /** Groups tasks for fairness, limits and affinity. */
  readonly key?: string | undefined
  /**
   * The group that it is supervised in: its options, or a path of names such as 'shop/payments'. How a group works is said
   * by the first task submitted into it, for as long as tasks live in it.
   */
  readonly group?: string | GroupOptions | undefined
  /** OTP's restart type: 'transient' (default) is restarted when it fails, 'temporary' never. */
  readonly restart?: RestartType | undefined
  /** Tasks that must complete first: ids or handles. */
  readonly after?: readonly (string | { readonly id: string })[] | undefined
  /** How long it is expected to take; a hint for orders by duration. Default: as learned for its type. */
  readonly expected?: Duration | undefined
  /**
   * Runs only if no task of its type and `key` (default: of the same input) was submitted `within` the time before it;
   * otherwise it is cancelled at once, with TROUPE_NOT_UNIQUE as the cause, which names the first in `details.task`.
   */
  readonly unique?: { readonly key?: string | undefined; readonly within: Duration } | undefined
  /** Starts only together with the other members of this gang, which say the same; see `submitGang`. */
  readonly gang?: GangOption | undefined
  /** A subject that gets the outcome as JSON. */
  readonly replyTo?: string | undefined
}

/** As for one task; the id is made from the input and its place, counted from 0. */
export interface ManyOptions<Input> extends Omit<SubmitOptions, 'id'> {
  readonly id?: (input: Input, index: number) => string
}

/** One member of a gang: a definition or the name of a type, its input, and its options. */
export interface GangTask extends Omit<SubmitOptions, 'gang'> {
  readonly task: AnyTaskDefinition | string
  readonly input?: unknown
}

/** One task of a flow: a definition or the name of a type, its input, and its options. */
export interface FlowTask extends SubmitOptions {
  readonly id: string
  readonly task: AnyTaskDefinition | string
  readonly input?: unknown
}

const known = [
  'id',
  'priority',
  'delay',
  'deadline',
  'startWithin',
  'key',
  'group',
  'gang',
  'restart',
  'after',
  'replyTo',
  'expected',
  'unique',
]

/**
 * Returns checked options, or undefined when nothing is said. Throws TROUPE_UNKNOWN_OPTION, TROUPE_INVALID_… naming the
 * option, TROUPE_RESERVED_ID or TROUPE_WAITS_FOR_ITSELF.
 */
export function resolveOptions(options: SubmitOptions | undefined): SubmissionOptions | undefined {
  if (options === undefined) return undefined
  if (typeof options !== 'object' || options === null) {
    throw new TroupeError('TROUPE_INVALID_OPTION', `the options of a submission are an object, not ${typeof options}`)
  }
  checkOptionNames('a submission', options, known)
  const resolved: Record<string, unknown> = {}
  for (const name of Object.keys(options)) {
    const value = options[name as keyof SubmitOptions]
    if (value === undefined) continue
    if (name === 'delay') resolved.delayMs = durationMs('delay', value)
    else if (name === 'group') resolved.group = groupLevels(value)
    else if (name === 'startWithin') resolved.startWithinMs = durationMs('startWithin', value)
    else if (name === 'unique') resolved.unique = uniqueWindow(options.unique!)
    else if (name === 'expected') resolved.expectedMs = durationMs('expected', value)
    else if (name === 'deadline') resolved.deadlineAtMs = instantMs(options.deadline!)
    else if (name === 'after')
      resolved.after = options.after!.map((task) => (typeof task === 'string' ? task : task.id))
    else resolved[name] = value
  }
  if (Object.keys(resolved).length === 0) return undefined
  if (resolved.id !== undefined) checkTaskId(resolved.id)
  if (resolved.id !== undefined && (resolved.after as string[] | undefined)?.includes(resolved.id as string)) {
    throw new TroupeError('TROUPE_WAITS_FOR_ITSELF', `task "${resolved.id}" names itself in \`after\``)
  }
  const checked = checkSubmissionOptions(resolved)
  if ('code' in checked) throw errorFromRecord(checked)
  return checked
}

function uniqueWindow(unique: NonNullable<SubmitOptions['unique']>): UniqueWindow {
  checkOptionNames('`unique`', unique, ['key', 'within'])
  const withinMs = durationMs('within of unique', unique.within)
  return unique.key === undefined ? { withinMs } : { key: unique.key, withinMs }
}

function instantMs(deadline: Date | number | string): number {
  const atMs = typeof deadline === 'string' ? Date.parse(deadline) : Number(deadline)
  if (Number.isFinite(atMs) && atMs > 0) return Math.round(atMs)
  throw new TroupeError(
    'TROUPE_INVALID_INSTANT',
    `deadline ${JSON.stringify(deadline)} is not an instant: a Date, ms since 1970, or ISO 8601 text`,
  )
}
