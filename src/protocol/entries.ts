/**
 * What is written in the log: facts, each a short tuple whose first item is its kind. A JetStream message of a journal,
 * control or block subject holds one block of entries; a message of a `submit` or `signal` subject is itself one entry.
 * Tuples rather than objects, because 200,000 of them a second are packed, unpacked and folded.
 *
 * A place in the log is (sequence of the message, index within its block); payloads stay there, the ledger keeps places.
 */
import type { ErrorRecord } from './errors.ts'
import type { NodeProfile, SubmissionOptions, TypeLimits } from './options.ts'
import type { Schedule } from './schedule.ts'

/** Version of everything in this file; the first item of every block. */
export const formatVersion = 1

/**
 * A user's value as it travels: msgpack bytes, JSON text, `null` for "no value" (undefined), or a reference to an object
 * in the object store when it is larger than `limits.inlineBytesMax`.
 */
export type Payload = Uint8Array | string | null | ObjectReference

/** A large value, stored as an object under its hash: [name, size in bytes, 1 = msgpack | 0 = JSON]. */
export type ObjectReference = readonly [name: string, bytes: number, packed: 0 | 1]

export const kind = {
  // journal: about the node
  joined: 1,
  alive: 2,
  left: 3,
  fenced: 4,
  // journal: about a turn
  accepted: 10,
  checkpointed: 11,
  progressed: 12,
  parked: 13,
  yielded: 14,
  completed: 15,
  failed: 16,
  // journal: what a task asks for, in the same block as the state that asked
  submitted: 20,
  signalled: 21,
  dismissed: 22,
  // control: what a leading scheduler decides
  led: 40,
  revoked: 41,
  cancelled: 42,
  expired: 43,
  timedOut: 44,
  retried: 45,
  removed: 46,
  kept: 47,
  limited: 48,
  carried: 49,
  scheduled: 52,
  fired: 53,
  missed: 54,
  ungathered: 55,
  lost: 59,
  hedged: 60,
  // control: between partitions
  forwarded: 65,
  astray: 66,
  settled: 67,
  // forward: what a leader brings from its partition to another
  brought: 68,
  broughtSignal: 69,
} as const

// --- journal ----------------------------------------------------------------------------------------------------

/** A life of a node begins. Fences older incarnations of the same node. */
export type Joined = readonly [kind: 1, profile: NodeProfile]
/** An idle writer shows that it lives, so that trimming keeps its last block. */
export type Alive = readonly [kind: 2]
/** The node leaves by itself, having yielded its tasks; what it still held is ready again at once. */
export type Left = readonly [kind: 3]
/** Written by a supervisor on the journal of the node that it declares dead. */
export type Fenced = readonly [kind: 4, reason: string]

/** The node owns the task's turn from here on, if the fold agrees. `timeoutMs` 0: none. */
export type Accepted = readonly [kind: 10, task: string, turn: number]
/**
 * The state of a task: its snapshot, and the log sequence of the last signal it has consumed (0: none). The snapshot is
 * opaque to the ledger.
 */
export type Checkpointed = readonly [kind: 11, task: string, turn: number, snapshot: Payload, consumed: number]
export type Progressed = readonly [kind: 12, task: string, turn: number, fraction: number, note: string]
/**
 * The turn ends, to go on when something happens: `wakeAtMs` (log time; 0: no timer), a signal beyond `consumed` when
 * `onSignal`, or the end of all of `children`; of any of them if `anyChild`.
 */
export type Parked = readonly [
  kind: 13,
  task: string,
  turn: number,
  snapshot: Payload,
  consumed: number,
  wakeAtMs: number,
  onSignal: boolean,
  children: readonly string[],
  anyChild?: boolean,
]
/** The turn ends, to go on at once elsewhere. `snapshot` null: as last checkpointed. */
export type Yielded = readonly [kind: 14, task: string, turn: number, snapshot: Payload, consumed: number]
export type Completed = readonly [kind: 15, task: string, turn: number, result: Payload]
/**
 * The attempt failed; `retryable` false sends the task to the dead letters whatever its retry policy says. `event` is the
 * sequence of the signal that it had taken last, if no stored state has consumed that yet.
 */
export type Failed = readonly [
  kind: 16,
  task: string,
  turn: number,
  error: ErrorRecord,
  retryable: boolean,
  event?: number,
]

/** A child is submitted by a running turn; void unless that turn is owned. */
export type Submitted = readonly [
  kind: 20,
  parent: string,
  turn: number,
  type: string,
  input: Payload,
  options: SubmissionOptions,
]
/** A signal from a running turn to another task; `signalId` makes it exact. */
export type Signalled = readonly [kind: 21, from: string, turn: number, to: string, signalId: string, event: Payload]

/** A running turn has no use for a child of its task any more: it is cancelled. */
export type Dismissed = readonly [kind: 22, parent: string, turn: number, child: string]

export type TurnEntry = Accepted | Checkpointed | Progressed | Parked | Yielded | Completed | Failed
export type JournalEntry = Joined | Alive | Left | Fenced | TurnEntry | Submitted | Signalled | Dismissed

/** `number` counts a journal's blocks from 1 and names a block when a publish has to be resolved; a fence has 0. */
export type JournalBlock = readonly [version: number, number: number, entries: readonly JournalEntry[]]

// --- control ----------------------------------------------------------------------------------------------------

/** Rules that every fold of this log must share; they change only by a `led` entry. */
export interface FoldRules {
  /** Meaning of the entries. A process that does not know it stops leading and folding. */
  readonly foldVersion: number
  /** How long, and how many, finished tasks stay readable. */
  readonly resultsKeepMs: number
  readonly resultsKeepCount: number
  /** How many dead letters (failed tasks) are kept, and how long. */
  readonly deadKeepMs: number
  readonly deadKeepCount: number
}

/** A scheduler leads from here on; the sequence of this entry is its epoch. */
export type Led = readonly [kind: 40, rules: FoldRules]
/** The turn is taken from its owner and the task is ready again: the owner does not know of it. */
export type Revoked = readonly [kind: 41, task: string, turn: number, reason: string]
export type Cancelled = readonly [kind: 42, task: string, reason: string]
/** The task's deadline has passed in log time. */
export type Expired = readonly [kind: 43, task: string]
/** The turn ran longer than its timeout in log time; counts as a failed attempt. */
export type TimedOut = readonly [kind: 44, task: string, turn: number]
/** A dead letter is ready again, with its attempts reset; with `skipEvent` without the event on which it failed. */
export type Retried = readonly [kind: 45, task: string, skipEvent?: boolean]
/** A dead letter is forgotten. */
export type Removed = readonly [kind: 46, task: string]
/**
 * Compaction: the values of an old live task, copied forward so that the log behind can be trimmed. Void unless the
 * task's values still stand where they were copied from.
 */
export type Kept = readonly [
  kind: 47,
  task: string,
  inputSequence: number,
  input: Payload,
  snapshotSequence: number,
  snapshot: Payload,
]

/**
 * Compaction: another value that is still needed, copied forward from message `sequence`: a signal that its task has not
 * consumed, or the result of a child that its parent may still ask for. Void unless it is needed still.
 */
export type Carried = readonly [kind: 49, task: string, what: 'signal' | 'result', sequence: number, value: Payload]

/** The limits of a task type from here on, instead of those before; null: none. */
export type Limited = readonly [kind: 48, type: string, limits: TypeLimits | null]

/**
 * Values that the task needs are not in the log any more: somebody purged or deleted them. It can never run; void if the task
 * has gone on since.
 */
export type Lost = readonly [kind: 59, task: string, turn: number, reason: string]

/**
 * A schedule from here on, instead of one of that name before it; null: none. `nextAtMs` is when it is due, as its writer's
 * calendar says: calendars differ in what they know of time zones, so the fold never asks one. 0: never.
 */
export type Scheduled = readonly [kind: 52, name: string, schedule: Schedule | null, input: Payload, nextAtMs: number]
/**
 * The schedule's firing that is due makes its task, whose input stands here; after it, `nextAtMs` is due. `setSequence` is the
 * message that set the schedule as the writer knew it: void if it has been set anew since.
 */
export type Fired = readonly [
  kind: 53,
  name: string,
  dueAtMs: number,
  nextAtMs: number,
  input: Payload,
  setSequence?: number,
]
/** The firing that is due, and those up to `nextAtMs`, were missed and make no task. */
export type Missed = readonly [kind: 54, name: string, dueAtMs: number, nextAtMs: number, setSequence?: number]

/**
 * Members of a gang have been held too long without the others: they are handed back. `heldSince` is the sequence of the
 * first accept that is held; void once the gang has started.
 */
export type Ungathered = readonly [kind: 55, gang: string, heldSince: number, reason: string]

/**
 * The turn takes longer than its type's tasks do: a second one, `turn` + 1, may be accepted by another node and run beside it.
 * The first of the two that commits anything is the task's only turn from there on. Void for a type that does not hedge.
 */
export type Hedged = readonly [kind: 60, task: string, turn: number, reason: string]
/** Submissions in this log that belong to partition `to` are in its log, up to this sequence of this one. */
export type Forwarded = readonly [kind: 65, to: number, sequence: number]
/** The signal at this place, for no task of this partition, was brought to the log of its task; or there is no such task. */
export type Astray = readonly [kind: 66, sequence: number, index: number, isFound: boolean]
/** A task of another partition, which tasks of this one wait for, has ended so. */
export type Settled = readonly [kind: 67, task: string, status: 'completed' | 'failed' | 'cancelled' | 'expired']

export type ControlEntry =
  | Led
  | Revoked
  | Cancelled
  | Expired
  | TimedOut
  | Retried
  | Removed
  | Kept
  | Limited
  | Carried
  | Lost
  | Scheduled
  | Fired
  | Missed
  | Ungathered
  | Hedged
  | Forwarded
  | Astray
  | Settled

/** `epoch` is the sequence of the writer's `led` entry; 0 in the block that carries `led` itself. */
export type ControlBlock = readonly [version: number, epoch: number, entries: readonly ControlEntry[]]

// --- forward ----------------------------------------------------------------------------------------------------

/** A submission from the log of another partition, at this sequence of it; they come in its order. */
export type Brought = readonly [kind: 68, sequence: number, type: string, input: Payload, options: SubmissionOptions]
/** A signal from the log of another partition. Its id is never empty: it is what makes it count once. */
export type BroughtSignal = readonly [kind: 69, task: string, signalId: string, event: Payload]

export type ForwardEntry = Brought | BroughtSignal
export type ForwardBlock = readonly [version: number, entries: readonly ForwardEntry[]]

// --- submissions ------------------------------------------------------------------------------------------------

/** One task in a client's block. */
export type Submission = readonly [type: string, input: Payload, options?: SubmissionOptions]
export type SubmissionBlock = readonly [version: number, submissions: readonly Submission[]]

// --- a message of the log as a fold sees it ---------------------------------------------------------------------

/** One JetStream message of the log. Headers are lower-cased, first value only. */
export interface LogMessage {
  readonly subject: string
  readonly sequence: number
  /** The server's timestamp, whole milliseconds since 1970 (rounded down). */
  readonly timestampMs: number
  readonly data: Uint8Array
  readonly headers: ReadonlyMap<string, string> | undefined
}
