/** Options of submissions and of task types as they travel and as the fold uses them: resolved, checked, plain data. */
import { type ErrorCode, TroupeError } from './errors.ts'
import type { GroupLevel } from './groups.ts'
import { limits } from './limits.ts'

/** What a submitter may say about one task. Absent means default. */
export interface SubmissionOptions {
  readonly id?: string
  /** 0 to 9, default 4, higher first. */
  readonly priority?: number
  /** Not to start before this many milliseconds after the submission's log time. */
  readonly delayMs?: number
  /** Instant (ms since 1970) by which the task must have ended; after it, it expires. */
  readonly deadlineAtMs?: number
  /** Groups tasks for fairness, limits and affinity. */
  readonly key?: string
  /** Ids of tasks that must complete first. */
  readonly after?: readonly string[]
  /** A subject that gets the outcome as JSON. */
  readonly replyTo?: string
  /** Longest time from when it may start to its first start, ms; after it, it expires. */
  readonly startWithinMs?: number
  /** The groups that it is supervised in, from the root down. */
  readonly group?: readonly GroupLevel[]
  /** OTP's restart type: a 'transient' task (default) is restarted when it fails, a 'temporary' one never. */
  readonly restart?: RestartType
  /** How long it is expected to take, ms; a hint for orders by duration. Default: as learned for its type. */
  readonly expectedMs?: number
  /** Runs only if no task of its type and this key was submitted within the time before it. */
  readonly unique?: UniqueWindow
  /** Starts only together with the other members of this gang. */
  readonly gang?: GangOption
}

/** Tasks that start together or not at all. All members say the same. */
export interface GangOption {
  /** Names the gang; free again when all its members have ended. */
  readonly id: string
  /** How many members it has, 1 to 1,000; none starts before all have been submitted. */
  readonly size: number
  /**
   * When a member loses its node after the start: 'together' (default), those that run start again with it, from their
   * snapshots; 'alone', the others go on.
   */
  readonly restart?: 'together' | 'alone'
}

/** Default of `key`: the input, so that the same input is the same key. */
export interface UniqueWindow {
  readonly key?: string
  readonly withinMs: number
}

export type RestartType = 'transient' | 'temporary'

export const defaultPriority = 4

/** How failed attempts are retried: delay = min(maxMs, backoffMs × factor^(attempt−1)), spread by ± jitter. */
export interface RetryPolicy {
  /** Tries in all, 1 to 1,000,000. Default 3. */
  readonly attempts: number
  /** Delay before the second attempt, ms. Default 1,000. */
  readonly backoffMs: number
  /** Growth per attempt, 1 to 10. Default 2. */
  readonly factor: number
  /** Longest delay, ms. Default 60,000. */
  readonly maxMs: number
  /** Spread in per cent of the delay, 0 to 100. Default 20. */
  readonly jitterPercent: number
}

/** How often its node may die under a task: more than `intensity` times in `periodMs` makes it a dead letter (OTP). */
export interface RestartPolicy {
  readonly intensity: number
  readonly periodMs: number
}

/** What a task's definition says that the fold and the scheduler need; sent in `joined`, one row per type. */
export interface TaskProfile {
  readonly type: string
  readonly logic: 'function' | 'machine'
  readonly retry: RetryPolicy
  readonly restart: RestartPolicy
  /** Start to close of one turn, ms; 0: none. */
  readonly timeoutMs: number
  /** Longest time of a turn without a stored state or a word of progress, ms; 0 or absent: none. */
  readonly heartbeatMs?: number
  /** It runs in threads or processes: its node may let a turn wait for one, and its time counts from then on. */
  readonly isolated?: boolean
  /** Nodes say for each task what it costs there: the type has a `bid` hook. */
  readonly quotes?: boolean
  /** A turn that takes unusually long gets a second one beside it, on another node; absent: never. */
  readonly hedge?: HedgePolicy
  /** Named quantities that one running task takes. */
  readonly resources: Readonly<Record<string, number>>
  /** What it wishes of the labels of its node. */
  readonly labels?: LabelWishes
  /** True when inputs are checked against a schema. */
  readonly schema: boolean
  /** The user's version of this definition, if any. */
  readonly version?: string
}

/** From when on a turn is a straggler, and how many of these get a second turn. */
export interface HedgePolicy {
  /** So long after the turn began, ms; absent: by `percentile`. */
  readonly afterMs?: number
  /** Once the turn takes longer than this percentage of its type's tasks do, as learned. Default 95. */
  readonly percentile?: HedgePercentile
  /** Second turns at most, as a share of the first ones, above 0 to 1. Default 0.05. */
  readonly budget: number
}

export const hedgePercentiles = [50, 75, 90, 95, 99] as const
export type HedgePercentile = (typeof hedgePercentiles)[number]
export const defaultHedge = { percentile: 95, budget: 0.05 } as const

/**
 * Labels by name and value: a node without a required one never gets the task; among those that could, nodes with more
 * preferred and fewer avoided ones come first.
 */
export interface LabelWishes {
  readonly required?: Readonly<Record<string, string>>
  readonly preferred?: Readonly<Record<string, string>>
  readonly avoided?: Readonly<Record<string, string>>
}

/** Limits of one task type, in force for every scheduler because they stand in the log. What is left out is not limited. */
export interface TypeLimits {
  /** Nothing of the type starts; what runs goes on. */
  readonly paused?: boolean
  /** Running at once, in all and for each key. */
  readonly runningMax?: number
  readonly runningPerKeyMax?: number
  /** Starts in `startsPeriodMs` (default 1,000 ms), in all and for each key; also the greatest burst. */
  readonly startsMax?: number
  readonly startsPerKeyMax?: number
  readonly startsPeriodMs?: number
  /** Tasks that wait, at most; further submissions are refused with TROUPE_QUEUE_FULL. The type `_all` means all together. */
  readonly queuedMax?: number
  /** Stops the type for a time when too many of its attempts fail. */
  readonly breaker?: BreakerLimit
}

/** The name under which all types together have limits; only `queuedMax` has a meaning there. */
export const allTypes = '_all'

/** A circuit breaker: opens when so many of the last attempts have failed, and lets a few try after a time. */
export interface BreakerLimit {
  /** Share of the last `attempts` that opens it, 1 to 100. */
  readonly failurePercent: number
  /** How many of the last attempts count; none opens it before there have been as many. 1 to 1,000, default 20. */
  readonly attempts?: number
  /** From when it opens until some may try, ms; default 30,000. */
  readonly openMs?: number
  /** How many may try at once then; as many successes close it, one failure opens it again. Default 3. */
  readonly trials?: number
}

/** What a node says of itself when it joins. */
export interface NodeProfile {
  readonly node: string
  readonly host: string
  readonly pid: number
  /** Troupe's version. */
  readonly version: string
  readonly slots: number
  readonly resources: Readonly<Record<string, number>>
  readonly labels: Readonly<Record<string, string>>
  readonly types: readonly TaskProfile[]
}

export const defaultRetry: RetryPolicy = { attempts: 3, backoffMs: 1_000, factor: 2, maxMs: 60_000, jitterPercent: 20 }
export const defaultRestart: RestartPolicy = { intensity: 5, periodMs: 30_000 }

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A duration: a number of milliseconds, or a text such as '250ms', '1.5s', '30s', '10m', '12h', '7d'. */
export type Duration = number | string

/**
 * Returns whole milliseconds, 0 to ten years. Throws TROUPE_INVALID_DURATION naming `what`.
 * A bare number, also as text, is milliseconds.
 */
export function durationMs(what: string, duration: unknown): number {
  const match =
    typeof duration === 'string' ? /^(\d{1,15}(?:\.\d{1,9})?)\s*(ms|s|m|h|d)?$/.exec(duration.trim()) : undefined
  const value =
    typeof duration === 'number' ? duration : match ? Number(match[1]) * units[match[2] ?? 'ms']! : Number.NaN
  if (Number.isFinite(value) && value >= 0 && value <= limits.delayMsMax) return Math.ceil(value)
  throw new TroupeError(
    'TROUPE_INVALID_DURATION',
    `${what} ${JSON.stringify(duration) ?? String(duration)} is not a duration between 0 and 10 years, like 500, "500ms", "30s", "10m", "12h" or "7d"`,
  )
}

/** Returns the integer; throws TROUPE_INVALID_OPTION, or the code given, naming `what` and the range. */
export function integerBetween(
  what: string,
  value: unknown,
  min: number,
  max: number,
  code: ErrorCode = 'TROUPE_INVALID_OPTION',
): number {
  const number = typeof value === 'string' && /^-?\d+$/.test(value.trim()) ? Number(value) : value
  if (typeof number === 'number' && Number.isInteger(number) && number >= min && number <= max) return number
  throw new TroupeError(
    code,
    `${what} ${JSON.stringify(value) ?? String(value)} is not a whole number between ${min} and ${max}`,
  )
}
