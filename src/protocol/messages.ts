/** What the actors say to each other and to clients over core NATS. Nothing here is truth: losing any of it is harmless. */
import type { Payload } from './entries.ts'
import type { ErrorRecord } from './errors.ts'
import type { BreakerAnswer } from './limit-messages.ts'
import type { GangOption } from './options.ts'
import type { HedgeAnswer, MoveAnswer, NegotiationAnswer, PlacementAnswer } from './placement-answers.ts'
import type { AskedTask, Quote } from './quotes.ts'
import type { MissedRule, OverlapRule, Schedule } from './schedule.ts'

export type { HedgeAnswer, NegotiationAnswer, PlacementAnswer } from './placement-answers.ts'

// --- scheduler or supervisor → node (msgpack) --------------------------------------------------------------------

/** A task as awarded: everything a node needs to run this turn. Tuple, because many travel in one message. */
export type AwardedTask = readonly [
  id: string,
  type: string,
  turn: number,
  attempt: number,
  input: Payload,
  /** The last committed snapshot, null at the first start. */
  snapshot: Payload,
  /** Signals accepted but not yet consumed, in order; null for none. */
  signals: readonly SignalItem[] | null,
  /** Only what the task has: key, priority, deadline, parent. */
  about: AwardAbout | null,
]

export interface AwardAbout {
  readonly key?: string
  readonly priority?: number
  readonly deadlineAtMs?: number
  readonly parent?: string
  readonly submittedAtMs?: number
  /** An award of this turn has lapsed: the node has `accepted` stored before it runs anything of the task. */
  readonly careful?: boolean
  /** It starts with its gang: the node has `accepted` stored, and waits for `begin`. */
  readonly gang?: boolean
  /** An operator lets it run again, and the snapshot is from before: what failed last in it is tried again. */
  readonly retried?: boolean
  /** It takes a place that the node has reserved under this call for bids. */
  readonly tender?: string
}

/** A signal with its place in the log; `previous` is the sequence of the task's signal before it (0: none). */
export type SignalItem = readonly [sequence: number, previous: number, event: Payload]

export type NodeMessage =
  /** Invitations, valid for `ttlMs` after receipt. `epoch` orders leaders. */
  | readonly ['award', epoch: number, ttlMs: number, tasks: readonly AwardedTask[]]
  | readonly ['signal', task: string, turn: number, signal: SignalItem]
  /** The node does not own this turn (any more): stop it and commit nothing. */
  | readonly ['drop', turns: readonly (readonly [task: string, turn: number, reason: string])[]]
  /** Others need the slots: give these turns up at their next boundary. */
  | readonly ['yield', turns: readonly (readonly [task: string, turn: number, reason: string])[]]
  /** Their gang has been accepted as a whole: these turns begin. */
  | readonly ['begin', turns: readonly (readonly [task: string, turn: number])[]]
  /** The call for bids is over: of what was reserved under it, only this is still wanted. */
  | readonly ['release', tender: string, keep: readonly TypeCount[]]
  /** What does each of these tasks cost here? Their types have a hook for it. */
  | readonly ['quote', tasks: readonly AskedTask[]]
  | readonly ['drain']
  | readonly ['fenced', reason: string]

/** So many places for tasks of this type. */
export type TypeCount = readonly [type: string, count: number]

/**
 * A call for bids (JSON): whoever has one of these types bids at once. With a tender, a node also reserves as many of the
 * wanted places as it has room for, for `ttlMs`, and says so in `reserved`; called again, it tops up and goes on keeping them.
 */
export interface CallForBids {
  readonly types: readonly string[]
  readonly tender?: { readonly id: string; readonly wants: readonly TypeCount[]; readonly ttlMs: number }
}

// --- node → scheduler (msgpack) ----------------------------------------------------------------------------------

/**
 * A standing bid: the node takes up to `credits` tasks at once (running and awarded together) of any of its types, until
 * `ttlMs` after receipt. `priceMs` is the delay that it expects before a task's first step, `slowdown` (≥ 1) by how much longer
 * tasks take than without others on the machine; what its own tasks do to each other is in neither.
 */
export interface Bid {
  readonly credits: number
  readonly priceMs: number
  readonly slowdown: number
  /** How many of its tasks get on at full speed at the same time: all slots if they wait, one per processor if they compute. */
  readonly parallel?: number
  readonly ttlMs: number
}

/** What was measured when the bid was priced; for people and dashboards. */
export interface NodeLoad {
  /** Event-loop utilisation of the main thread, 0 to 1. */
  readonly loop: number
  /** Latest event-loop delay, ms. */
  readonly loopDelayMs: number
  /** Share of the machine's processors that was busy, 0 to 1, whoever used them. */
  readonly cpu: number
  /** How long its threads waited for a processor per ms that they ran; left out by older nodes. */
  readonly wait?: number
  /** Share of memory in use, 0 to 1. */
  readonly memory: number
  readonly rssBytes: number
}

/** So many tasks of this type completed, in this time: the geometric mean, as the node's clock measured it. */
export type TypeTook = readonly [type: string, count: number, meanMs: number]

/** `held`: it waits for `begin`. */
export type RunningTurn = readonly [task: string, turn: number, held?: boolean]

export type NodeReport =
  | readonly [
      'bid',
      bid: Bid,
      load: NodeLoad,
      /** Running and held turns. */
      running: number,
      held: number,
      status: 'ready' | 'draining',
      resources: Readonly<Record<string, number>>,
      /** How long tasks took that completed since the bid before. */
      took?: readonly TypeTook[],
    ]
  | readonly ['declined', turns: readonly (readonly [task: string, turn: number, reason: string])[]]
  /** All turns the node runs, and the log sequence of its last stored block: a ledger past it can be compared. */
  | readonly ['running', lastBlockSequence: number, turns: readonly RunningTurn[]]
  /** What the node keeps for a call for bids, for how long, and why not more. */
  | readonly ['reserved', tender: string, places: readonly TypeCount[], ttlMs: number, reason: string]
  | readonly ['quoted', quotes: readonly Quote[]]
  /** The node lacks signals after `sequence` for this turn. */
  | readonly ['gap', task: string, turn: number, sequence: number]

/** From the heartbeat thread: `tick` counts turns of the main loop, `tickAgeMs` since the last one. */
export type Heartbeat = readonly [beat: number, tick: number, tickAgeMs: number]

// --- scheduler → SDK client (msgpack) ----------------------------------------------------------------------------

/**
 * One outcome. `reference` is the place of the client's own submission as a system id, by which the client knows it;
 * `id` the task's id. `refused` says that the submission made no task.
 */
export type Outcome =
  | readonly [reference: string, id: string, status: 'completed', result: Payload]
  | readonly [reference: string, id: string, status: 'failed' | 'cancelled' | 'expired' | 'refused', error: ErrorRecord]

export type Tell = readonly Outcome[]

// --- JSON answers ------------------------------------------------------------------------------------------------

export type TaskStatus =
  | 'delayed'
  | 'blocked'
  | 'ready'
  | 'awarded'
  | 'running'
  | 'parked'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'expired'

/** The answer of `task.<id>`; what does not apply is left out. Times are ISO 8601. */
export interface TaskAnswer {
  readonly id: string
  readonly type: string
  readonly status: TaskStatus
  readonly attempt: number
  readonly turn: number
  readonly node?: string
  readonly priority: number
  readonly key?: string
  readonly gang?: GangOption
  /** Path of the group that it is supervised in. */
  readonly group?: string
  readonly submittedAt: string
  readonly dueAt?: string
  readonly deadlineAt?: string
  readonly startedAt?: string
  readonly finishedAt?: string
  readonly progress?: { readonly fraction: number; readonly note?: string }
  /** Why the task is not running, in a sentence. */
  readonly waiting?: string
  /** How it was placed last, if the leading scheduler still remembers. */
  readonly placement?: PlacementAnswer
  /** The last call for bids in which places were reserved for it, or for its gang. */
  readonly negotiation?: NegotiationAnswer
  /** The last time that it was moved from one node to a better one while it ran. */
  readonly move?: MoveAnswer
  /** The last time that a second turn was allowed beside its own. */
  readonly hedge?: HedgeAnswer
  /** The one that it lives in, where there are several. */
  readonly partition?: number
  readonly result?: unknown
  readonly error?: ErrorRecord
}

/** The body of `cron`: none to list; else a schedule that holds from now on, or the name of one that is no more. */
export type CronRequest =
  | { readonly name: string; readonly schedule: null }
  | {
      readonly name: string
      readonly schedule: string
      readonly timeZone?: string
      readonly type: string
      readonly input?: unknown
      readonly options?: Readonly<Record<string, unknown>>
      readonly missed?: MissedRule
      readonly overlap?: OverlapRule
    }

export interface ScheduleAnswer extends Schedule {
  readonly name: string
  readonly input?: unknown
  readonly setAt: string
  /** Left out when it is never due again. */
  readonly nextAt?: string
  /** The due time of the latest firing, and its task. */
  readonly lastAt?: string
  readonly lastTask?: string
  /** Firings that made a task, and those that did not because of the rule of overlap. */
  readonly fired: number
  readonly skipped: number
  /** The due time of the first of those that were missed last. */
  readonly missedAt?: string
}

/** The answer of `cron`: a page of the schedules, by name; of the one that was set alone, and of none after a removal. */
export interface CronAnswer {
  readonly schedules: readonly ScheduleAnswer[]
  readonly more: boolean
}

/** The answer of `run.<type>`. */
export type RunAnswer =
  /** With an error (TROUPE_RESULT_GONE) instead of a result that is not kept any more. */
  | { readonly id: string; readonly status: 'completed'; readonly result?: unknown; readonly error?: ErrorRecord }
  | { readonly id: string; readonly status: 'failed' | 'cancelled' | 'expired'; readonly error: ErrorRecord }

export interface NodeAnswer {
  readonly id: string
  readonly incarnation: string
  readonly pid: number
  readonly host: string
  /** `slow` and `stuck`: it beats, but its main loop has not turned for 1 s, 10 s. `suspect`: it is silent. */
  readonly status: 'ready' | 'slow' | 'stuck' | 'suspect' | 'draining' | 'gone'
  readonly slots: number
  readonly running: number
  readonly load?: NodeLoad
  readonly bid?: Bid
  /** What its tasks fail, against others: 1 to 0; left out: 1. Below 0.5 it is on probation: one task a second. */
  readonly health?: number
  readonly resources: Readonly<Record<string, number>>
  readonly labels: Readonly<Record<string, string>>
  readonly types: readonly string[]
  readonly joinedAt: string
  readonly lastSeenAt?: string
}

export type TypeCountsAnswer = { readonly type: string } & Readonly<
  Record<'waiting' | Exclude<TaskStatus, 'delayed' | 'ready' | 'awarded'>, number>
>

export interface StatsAnswer {
  /** Live and kept tasks by status. */
  readonly tasks: Readonly<Record<TaskStatus, number>>
  /** The same of the 100 types with the most live tasks; `waiting` are those that are delayed, ready or awarded. */
  readonly types?: readonly TypeCountsAnswer[]
  /** The circuit breakers of task types, closed or not. */
  readonly breakers?: readonly BreakerAnswer[]
  /** Since the log began: tasks that reached each terminal status, submissions, and messages set aside. */
  readonly totals: Readonly<Record<'submitted' | 'completed' | 'failed' | 'cancelled' | 'expired' | 'setAside', number>>
  readonly nodes: number
  readonly partition: number
  readonly leader: string
  readonly epoch: number
  readonly position: number
  readonly logTime: string
  /** Where there are several: who leads each. What stands above it is then of the first, and the counts are those of all. */
  readonly partitions?: readonly PartitionAnswer[]
}

/** `leader` is left out when none answers. */
export interface PartitionAnswer {
  readonly partition: number
  readonly leader?: string
  readonly epoch?: number
  /** Up to where it has read its log. */
  readonly position?: number
  /** Its tasks that have failed and are kept. */
  readonly dead?: number
}

/** The body of `tasks`: a page of the tasks with this status and type, oldest first; `after` is the last id seen. */
export interface TasksRequest {
  readonly status?: TaskStatus
  readonly type?: string
  /** Default 100, at most `limits.rowsMax`. */
  readonly limit?: number
  readonly after?: string
}

export interface TasksAnswer {
  readonly tasks: readonly TaskAnswer[]
  readonly more: boolean
}

/** The body of `snapshots`: a page of the tasks that have not ended; `after` is the last id seen. */
export interface SnapshotsRequest {
  readonly limit?: number
  readonly after?: string
}

/** A user's value in JSON: msgpack in base64, JSON text, or the object that holds it. */
export type ValueAnswer =
  | { readonly packed: string }
  | { readonly json: string }
  | { readonly object: string; readonly packed: boolean }

/** A task that has not ended, and what its next turn would start from: its snapshot, or its input while it has none. */
export interface SnapshotAnswer {
  readonly id: string
  readonly type: string
  readonly status: TaskStatus
  readonly attempt: number
  readonly snapshot?: ValueAnswer
  readonly input?: ValueAnswer
}

export interface SnapshotsAnswer {
  readonly tasks: readonly SnapshotAnswer[]
  readonly more: boolean
}

/** A message of the log that could not be read or was not allowed, kept with its reason. */
export interface SetAsideAnswer {
  readonly sequence: number
  /** Whose log it stands in; left out: the only one. */
  readonly partition?: number
  readonly subject: string
  readonly reason: ErrorRecord
  readonly at: string
}

/** The answer of `dead`: failed tasks and set-aside messages. */
export interface DeadAnswer {
  readonly dead: readonly TaskAnswer[]
  readonly setAside: readonly SetAsideAnswer[]
  readonly more: boolean
}

/** One fact that the log holds about a task. */
export interface HistoryEntry {
  readonly sequence: number
  readonly at: string
  readonly what: string
  readonly turn?: number
  readonly node?: string
  readonly details?: unknown
}

/** The answer of `history.<id>`. */
export interface HistoryAnswer {
  readonly id: string
  readonly entries: readonly HistoryEntry[]
  /** True when the answer ends before the task's history does. */
  readonly more: boolean
}

/** The answer of `drain.<node>`. */
export interface DrainAnswer {
  readonly node: string
  readonly status: string
}

/** Header of `task.<id>`: the place of the asker's own submission, so that the answer is not about another's. */
export const submissionHeader = 'Troupe-Submission'

/**
 * The body of `event.<type>.<id>.<what>`. `what` is the subject's last token; for the end of a task it is the terminal
 * status itself: `completed`, `failed`, `cancelled` or `expired`. `status` is the task's status after the event.
 */
export interface LifecycleEvent {
  readonly id: string
  readonly type: string
  readonly what: string
  readonly status: TaskStatus
  readonly at: string
  readonly attempt: number
  readonly turn: number
  readonly node?: string
  readonly progress?: { readonly fraction: number; readonly note?: string }
  readonly error?: ErrorRecord
}
