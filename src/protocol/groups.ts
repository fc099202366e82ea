/**
 * Groups of supervised tasks, by OTP's terms: how a user names one, and how the levels of its tree travel. What happens in a
 * group is the fold's business (src/actors/ledger/supervision.ts).
 */
import { TroupeError } from './errors.ts'
import { parseJson } from './json.ts'
import { limits } from './limits.ts'
import { checkName } from './names.ts'
import { type Duration, durationMs, integerBetween } from './options.ts'

/** Who is restarted when a member fails: it alone, all, or it and those submitted after it. */
export type GroupStrategy = 'one-for-one' | 'one-for-all' | 'rest-for-one'

/** One level of the tree that a task is supervised in, as it travels. The first that names a group says how it works. */
export interface GroupLevel {
  readonly name: string
  readonly strategy?: GroupStrategy
  readonly intensity?: number
  readonly periodMs?: number
  readonly backoffMs?: number
  readonly restartFrom?: 'beginning' | 'snapshot'
  readonly nodeLoss?: 'resume' | 'failure'
}

/** How a group of tasks is supervised. */
export interface GroupOptions {
  readonly name: string
  /** Default 'one-for-one'. */
  readonly strategy?: GroupStrategy
  readonly restart?: {
    /** The group fails after more than so many failures of its members (default 5) ... */
    readonly intensity?: number
    /** ... within this time. Default '30s'. */
    readonly period?: Duration
    /** Least delay before a restart; doubles with each further one in the period, up to 30 s. Default 0. */
    readonly backoff?: Duration
    /** Where restarted tasks start: 'snapshot' (default for one-for-one) or 'beginning' (default for the others). */
    readonly from?: 'beginning' | 'snapshot'
    /** What the death of a member's node is: nothing to the group (default), or a failure like any other. */
    readonly nodeLoss?: 'resume' | 'failure'
  }
  /** The group above it, which sees it fail when it has restarted too often. */
  readonly parent?: string | GroupOptions
}

const restartOptions = 'intensity period backoff from nodeLoss'.split(' ')
const strategies: readonly unknown[] = ['one-for-one', 'one-for-all', 'rest-for-one']
const starts: readonly unknown[] = ['beginning', 'snapshot']
const losses: readonly unknown[] = ['resume', 'failure']

/**
 * Returns the levels from the root down: of options, also as JSON text, or of a path such as 'shop/payments'. Throws
 * TROUPE_INVALID_OPTION, TROUPE_INVALID_NAME.
 */
export function groupLevels(group: unknown): readonly GroupLevel[] {
  const levels: GroupLevel[] = []
  for (let at = typeof group === 'string' && group.startsWith('{') ? parsed(group) : group; at !== undefined; ) {
    if (levels.length > limits.groupLevelsMax) break
    if (typeof at === 'string') {
      levels.unshift(...at.split('/').map((name) => ({ name })))
      break
    }
    const options = record('group', at, ['name', 'strategy', 'restart', 'parent'])
    levels.unshift(level(options))
    at = options.parent
  }
  return checkGroup(levels)
}

function parsed(json: string): unknown {
  try {
    return parseJson(json)
  } catch {
    throw invalid('group', 'starts like JSON and is none')
  }
}

function level({ name, strategy, restart }: Record<string, unknown>): GroupLevel {
  const { intensity, period, backoff, from, nodeLoss } =
    restart === undefined ? {} : record('group.restart', restart, restartOptions)
  const given = {
    name,
    strategy,
    intensity,
    periodMs: period === undefined ? undefined : durationMs('group.restart.period', period),
    backoffMs: backoff === undefined ? undefined : durationMs('group.restart.backoff', backoff),
    restartFrom: from,
    nodeLoss,
  }
  return given as GroupLevel
}

/** Returns the levels, checked, and nothing else of what was there. Throws TROUPE_INVALID_OPTION, TROUPE_INVALID_NAME. */
export function checkGroup(given: unknown): readonly GroupLevel[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > limits.groupLevelsMax) {
    throw invalid('group', `is not 1 to ${limits.groupLevelsMax} groups, one in the other`)
  }
  return given.map(checkLevel)
}

function checkLevel(given: unknown): GroupLevel {
  if (typeof given !== 'object' || given === null) throw invalid('group', 'is not a group with a name')
  const { name, strategy, intensity, periodMs, backoffMs, restartFrom, nodeLoss } = given as Record<string, unknown>
  const checked: Record<string, unknown> = { name: checkName('group name', name) }
  const keep = (what: string, value: unknown, allowed: readonly unknown[]) => {
    if (value === undefined) return
    if (!allowed.includes(value)) throw invalid(`group.${what}`, `is not one of ${allowed.join(', ')}`)
    checked[what] = value
  }
  const count = (what: string, value: unknown, max: number) => {
    if (value !== undefined) checked[what] = integerBetween(`group.${what}`, value, 0, max)
  }
  keep('strategy', strategy, strategies)
  count('intensity', intensity, limits.groupIntensityMax)
  count('periodMs', periodMs, limits.delayMsMax)
  count('backoffMs', backoffMs, limits.delayMsMax)
  keep('restartFrom', restartFrom, starts)
  keep('nodeLoss', nodeLoss, losses)
  return checked as unknown as GroupLevel
}

function record(what: string, value: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(what, 'is not an object')
  const stranger = Object.keys(value).find((key) => !known.includes(key))
  if (stranger !== undefined) throw invalid(`${what}.${stranger}`, `is not known; known are ${known.join(', ')}`)
  return value as Record<string, unknown>
}

function invalid(what: string, why: string): TroupeError {
  return new TroupeError('TROUPE_INVALID_OPTION', `${what} ${why}`, { details: { what } })
}
