/**
 * Options of a task type: what a user may write, the defaults, and the checks. Every message names the task and the path
 * of the option. What the log needs goes into the profile; the rest stays with the definition on its node.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { TroupeError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import { isName } from '../protocol/names.ts'
import { checkOptionNames } from '../protocol/option-names.ts'
import {
  type Duration,
  defaultHedge,
  defaultRestart,
  defaultRetry,
  durationMs,
  type HedgePolicy,
  hedgePercentiles,
  integerBetween,
  type LabelWishes,
  type RestartPolicy,
  type RetryPolicy,
  type TaskProfile,
} from '../protocol/options.ts'
import type { BidHook } from './bid-hook.ts'

export type Isolation = 'inline' | 'thread' | 'process'

export interface CommonTaskOptions {
  /** What happens after a failed attempt; see RetryPolicy for defaults. `jitter` is a share of the delay, 0 to 1, default 0.2. */
  readonly retry?: {
    readonly attempts?: number
    readonly backoff?: Duration
    readonly factor?: number
    readonly max?: Duration
    readonly jitter?: number
  }
  /** Start to close of one turn; then it is aborted and the attempt fails with TROUPE_TIMEOUT. Default: none. */
  readonly timeout?: Duration
  /**
   * Longest time of one turn without a stored state or a call of `ctx.progress`, 1 s or more; then it is aborted and the
   * attempt fails with TROUPE_HEARTBEAT_TIMEOUT. Default: none.
   */
  readonly heartbeat?: Duration
  /** How often nodes may die under the task: more than `intensity` (default 5) in `period` ('30s') makes it a dead letter. */
  readonly restart?: { readonly intensity?: number; readonly period?: Duration }
  /**
   * For tasks that may run twice at the same time: a turn that takes longer than `after` gets a second one beside it, on another
   * node with room to spare, and the first of the two that stores anything goes on alone. `after` is a time, or a share of the
   * type's tasks as learned: 'p50', 'p75', 'p90', 'p95' (default) or 'p99'. `budget` is how many second turns there may be for
   * each first one, above 0 to 1; default 0.05. `true` means the defaults. Default: never.
   */
  readonly hedge?: boolean | { readonly after?: Duration; readonly budget?: number }
  /** Named quantities that one running task takes from its node, such as { cpu: 1, gpu: 1 }. */
  readonly resources?: Readonly<Record<string, number>>
  /** What it wishes of the labels of its node: must have, rather, rather not; like { required: { zone: 'a' } }. */
  readonly labels?: LabelWishes
  /**
   * What a task costs on the node that is asked, beyond its load: the delay until it has the data, say, or a refusal. Nodes
   * that hold what the task needs get it so. Costs an exchange with the nodes for each task. Default: none, by load alone.
   */
  readonly bid?: BidHook
  /** A Standard Schema (zod, valibot, arktype, …) that inputs are checked against. */
  readonly input?: StandardSchemaV1
  /** Where the logic runs: on the node's main thread (default), or alone in a thread or process that can be stopped. */
  readonly isolate?: Isolation
  /** MiB of heap that a thread or process may use before its attempt fails. Default: Node's own limit. */
  readonly memory?: number
  /** The version of this definition; stored with every snapshot, and what `migrate` decides by. */
  readonly version?: string
  /** A wait at least this long frees the slot. Default '1s'. */
  readonly parkAfter?: Duration
  /** How long a machine with nothing to do but wait stays on its node, in case an event comes at once. Default 50 ms. */
  readonly linger?: Duration
}

export type FunctionTaskOptions = CommonTaskOptions & {
  /** Turns the last checkpoint of an older version into one that this version reads. */
  readonly migrate?: Migrate
}
export type LogicTaskOptions = CommonTaskOptions & {
  /** Turns a persisted XState snapshot of another version into one that this version reads. */
  readonly migrate?: Migrate
}

/** Where a snapshot comes from. */
export interface SnapshotOrigin {
  readonly version: string | undefined
  /** Machines only: the machine's id and XState's version. */
  readonly machine?: string
  readonly xstate?: string
}

/** Called when the stored version differs from the definition's; returns the state to go on from. */
// biome-ignore lint/suspicious/noExplicitAny: the shape of an older version is known to the user alone
export type Migrate = (from: SnapshotOrigin, snapshot: any) => unknown

export interface ParkPolicy {
  readonly afterMs: number
  readonly lingerMs: number
}

export interface ResolvedTaskOptions {
  readonly profile: TaskProfile
  readonly isolate: Isolation
  readonly memoryMb: number
  readonly park: ParkPolicy
  readonly schema: StandardSchemaV1 | undefined
  readonly migrate: Migrate | undefined
  readonly bid: BidHook | undefined
}

/** Progress is told a few times a second at most. */
const heartbeatMinMs = 1_000

const known = {
  '': 'retry timeout heartbeat restart hedge resources labels bid input isolate memory version migrate parkAfter linger'.split(
    ' ',
  ),
  'retry.': ['attempts', 'backoff', 'factor', 'max', 'jitter'],
  'restart.': ['intensity', 'period'],
  'hedge.': ['after', 'budget'],
  'labels.': ['required', 'preferred', 'avoided'],
} as const

/** Returns the options with defaults, checked and frozen; throws TROUPE_UNKNOWN_OPTION or TROUPE_INVALID_… naming the path. */
export function resolveTaskOptions(
  type: string,
  logic: 'function' | 'machine',
  options: FunctionTaskOptions,
): ResolvedTaskOptions {
  const where = `task "${type}": `
  checkKeys(where, '', options)
  const isolate = options.isolate ?? 'inline'
  if (!['inline', 'thread', 'process'].includes(isolate)) {
    refuse(where, 'isolate', isolate, 'must be "inline", "thread" or "process"')
  }
  if (options.input !== undefined && typeof options.input['~standard']?.validate !== 'function') {
    refuse(where, 'input', options.input, 'must be a Standard Schema, such as z.object({ … })')
  }
  if (options.migrate !== undefined && typeof options.migrate !== 'function') {
    refuse(where, 'migrate', options.migrate, 'must be a function (from, snapshot) => snapshot')
  }
  if (options.bid !== undefined && typeof options.bid !== 'function') {
    refuse(where, 'bid', options.bid, 'must be a function (asked) => ms or { refuse }')
  }
  if (options.version !== undefined && !isName(String(options.version).replaceAll('.', '-'))) {
    refuse(where, 'version', options.version, 'must be 1 to 128 letters, digits, ".", "_" or "-"')
  }
  if (options.hedge && options.bid !== undefined) {
    refuse(where, 'hedge', options.hedge, 'cannot be combined with `bid`: nobody would be asked about the second turn')
  }
  return Object.freeze({
    profile: Object.freeze({
      type,
      logic,
      retry: resolveRetry(where, options.retry ?? {}),
      restart: resolveRestart(where, options.restart ?? {}),
      timeoutMs: options.timeout === undefined ? 0 : durationMs(`${where}timeout`, options.timeout),
      ...(options.heartbeat === undefined ? {} : { heartbeatMs: resolveHeartbeat(where, options.heartbeat) }),
      ...(isolate === 'inline' ? {} : { isolated: true }),
      ...(options.bid === undefined ? {} : { quotes: true }),
      ...(options.hedge === undefined || options.hedge === false ? {} : { hedge: resolveHedge(where, options.hedge) }),
      resources: resolveResources(where, options.resources ?? {}),
      ...(options.labels === undefined ? {} : { labels: resolveLabels(where, options.labels) }),
      schema: options.input !== undefined,
      ...(options.version === undefined ? {} : { version: String(options.version) }),
    }),
    isolate,
    memoryMb: options.memory === undefined ? 0 : integerBetween(`${where}memory`, options.memory, 8, 1_048_576),
    park: Object.freeze({
      afterMs: durationMs(`${where}parkAfter`, options.parkAfter ?? 1_000),
      lingerMs: durationMs(`${where}linger`, options.linger ?? 50),
    }),
    schema: options.input,
    migrate: options.migrate,
    bid: options.bid,
  })
}

function resolveRetry(where: string, retry: NonNullable<CommonTaskOptions['retry']>): RetryPolicy {
  checkKeys(where, 'retry.', retry)
  const { attempts, backoff, factor, max, jitter } = retry
  const path = `${where}retry.`
  const between = (name: string, value: number, min: number, max: number) => {
    if (typeof value === 'number' && value >= min && value <= max) return value
    throw new TroupeError('TROUPE_INVALID_RETRY', `${path}${name} ${shown(value)} is not between ${min} and ${max}`)
  }
  return Object.freeze({
    attempts:
      attempts === undefined
        ? defaultRetry.attempts
        : integerBetween(`${path}attempts`, attempts, 1, limits.attemptsMax, 'TROUPE_INVALID_RETRY'),
    backoffMs: backoff === undefined ? defaultRetry.backoffMs : durationMs(`${path}backoff`, backoff),
    factor: factor === undefined ? defaultRetry.factor : between('factor', factor, 1, 10),
    maxMs: max === undefined ? defaultRetry.maxMs : durationMs(`${path}max`, max),
    jitterPercent:
      jitter === undefined ? defaultRetry.jitterPercent : Math.round(between('jitter', jitter, 0, 1) * 100),
  })
}

function resolveRestart(where: string, restart: NonNullable<CommonTaskOptions['restart']>): RestartPolicy {
  checkKeys(where, 'restart.', restart)
  const { intensity, period } = restart
  return Object.freeze({
    intensity:
      intensity === undefined
        ? defaultRestart.intensity
        : integerBetween(`${where}restart.intensity`, intensity, 0, limits.attemptsMax),
    periodMs: period === undefined ? defaultRestart.periodMs : durationMs(`${where}restart.period`, period),
  })
}

function resolveHeartbeat(where: string, heartbeat: Duration): number {
  const ms = durationMs(`${where}heartbeat`, heartbeat)
  return ms >= heartbeatMinMs ? ms : refuse(where, 'heartbeat', heartbeat, 'must be at least 1 s')
}

function resolveHedge(
  where: string,
  hedge: true | NonNullable<Exclude<CommonTaskOptions['hedge'], boolean>>,
): HedgePolicy {
  if (hedge === true) return defaultHedge
  checkKeys(where, 'hedge.', hedge)
  const { after, budget = defaultHedge.budget } = hedge
  if (budget === 0) refuse(where, 'hedge.budget', budget, 'must be above 0')
  numberBetween(where, 'hedge.budget', budget, 0, 1)
  const share = typeof after === 'string' && after.trim().startsWith('p') ? after.trim() : undefined
  if (after !== undefined && share === undefined)
    return Object.freeze({ afterMs: durationMs(`${where}hedge.after`, after), budget })
  const percentile = hedgePercentiles.find((known) => (share ?? `p${defaultHedge.percentile}`) === `p${known}`)
  const names = hedgePercentiles.map((known) => `"p${known}"`).join(', ')
  if (percentile === undefined) return refuse(where, 'hedge.after', after, `must be a duration or one of ${names}`)
  return Object.freeze({ percentile, budget })
}

function resolveResources(
  where: string,
  resources: Readonly<Record<string, number>>,
): Readonly<Record<string, number>> {
  if (typeof resources !== 'object' || resources === null) refuse(where, 'resources', resources, 'must be an object')
  for (const [name, quantity] of Object.entries(resources)) {
    if (!isName(name)) refuse(where, `resources.${name}`, name, 'has a name that is not valid')
    numberBetween(where, `resources.${name}`, quantity, 0, 1_000_000_000)
  }
  return Object.freeze({ ...resources })
}

function resolveLabels(where: string, labels: LabelWishes): LabelWishes {
  checkKeys(where, 'labels.', labels)
  for (const [part, wishes] of Object.entries(labels)) {
    if (typeof wishes !== 'object' || wishes === null) refuse(where, `labels.${part}`, wishes, 'must be an object')
    for (const [name, value] of Object.entries(wishes)) {
      if (typeof value !== 'string') refuse(where, `labels.${part}.${name}`, value, 'must be a text')
    }
  }
  return Object.freeze({ ...labels })
}

function checkKeys(where: string, path: keyof typeof known, options: unknown): void {
  if (typeof options !== 'object' || options === null) {
    refuse(where, path.slice(0, -1) || 'options', options, 'must be an object')
  }
  checkOptionNames(where.slice(0, -2), options as object, known[path], path)
}

function numberBetween(where: string, path: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max) return value
  return refuse(where, path, value, `must be a number between ${min} and ${max}`)
}

function refuse(where: string, path: string, value: unknown, must: string): never {
  throw new TroupeError('TROUPE_INVALID_OPTION', `${where}${path} ${must}, not ${shown(value)}`, { details: { path } })
}

function shown(value: unknown): string {
  return typeof value === 'object' && value !== null ? 'an object' : (JSON.stringify(value) ?? typeof value)
}
