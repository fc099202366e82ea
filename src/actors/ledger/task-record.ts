/**
 * One task as the ledger knows it. The common fields are few, because a million of these may be held: what only some
 * tasks have is in `rare`, and what comes with the first turn or the end is in `course`. Values (input, snapshot, result) are not here: they stay in the log, at the places noted.
 */
import type { Payload } from '../../protocol/entries.ts'
import type { ErrorRecord } from '../../protocol/errors.ts'
import type { GroupLevel } from '../../protocol/groups.ts'
import { systemTaskId } from '../../protocol/names.ts'
import type { GangOption, TaskProfile } from '../../protocol/options.ts'
import type { Hedge } from './hedges.ts'
import type { Member } from './member.ts'

/**
 * - `blocked`: waits for the tasks in `rare.after` to complete.
 * - `waiting`: may be accepted from `dueAtMs` on (0: at once). People see `delayed` or `ready`.
 * - `held`: `owner` has accepted turn `turn` and begins nothing until its whole gang has been accepted.
 * - `running`: `owner` holds turn `turn`.
 * - `parked`: no owner; goes on at `rare.wakeAtMs`, on a signal, or when `rare.awaited` children have ended.
 * - the other four are terminal and never change, but by an operator's `retried`.
 */
export type RecordStatus = 'blocked' | 'waiting' | 'held' | 'running' | 'parked' | TerminalStatus
export type TerminalStatus = 'completed' | 'failed' | 'cancelled' | 'expired'

/** Where a value stands: message sequence and index of the entry within it. */
export interface Place {
  readonly sequence: number
  readonly index: number
}

export interface SignalPlace extends Place {
  /** Sequence of the signal before it of the same task, 0 for the first. */
  readonly previous: number
  readonly id: string
  /** Where its value stands since it was copied forward. */
  readonly copy?: Place
}

export interface Rare {
  /** Before it the task does not start; 0 or none: at once. */
  dueAtMs?: number
  deadlineAtMs?: number
  /** The time that it has for its first start, and until when that is, once it may start. */
  startWithinMs?: number
  startByMs?: number
  /** When its turn last stored a state or told of its progress, if its type has a heartbeat; log time. */
  beatAtMs?: number
  replyTo?: string
  /** Ids still waited for before the first start; kept when it ends blocked, for a retry. */
  after?: Set<string>
  /** It waits for their end, however they end. */
  afterEnd?: boolean
  /** The groups that it is supervised in, from the root down. */
  group?: readonly GroupLevel[]
  /** It is never restarted. */
  temporary?: boolean
  parent?: string
  /** Kept when it has failed, for a retry. */
  children?: Set<string>
  /** Tasks, mostly children, that a parked turn waits for. */
  awaited?: Set<string>
  /** It goes on when one of them has ended, not all. */
  awaitsAny?: boolean
  wakeAtMs?: number
  onSignal?: boolean
  /** Signals accepted and not consumed, in log order. */
  signals?: SignalPlace[]
  /** Ids of recent signals, consumed or not, oldest first; for exact deduplication. */
  signalIds?: Set<string>
  consumed?: number
  lastSignal?: number
  /** Log times of the turns that died with their node, within the restart period. */
  restarts?: number[]
  /** Deaths of its nodes in a row while its snapshot stood at this sequence (0: it has none). */
  deaths?: { standsAt: number; count: number }
  /** The gang that it belongs to, and whether it has started with it once. */
  gang?: GangOption
  gangBegun?: boolean
  /** The place (event or state) at which it failed last, how often in a row, and the sequence of the event. */
  failing?: { readonly at: string; readonly times: number; readonly event: number }
  progress?: { fraction: number; note: string }
  lastError?: ErrorRecord
  /** The last time that a second turn was allowed beside its own. */
  hedge?: Hedge
  /** How long its submitter expects it to take, ms; a hint for the order. */
  expectedMs?: number
  /** How long earlier turns, which ended without an outcome, have run; log time, ms. */
  attainedMs?: number
  /** Where the input stands since it was copied forward. */
  inputPlace?: Place
  /** An operator lets it run again, and its snapshot is from before. */
  retried?: boolean
  /** For a child: its parent has ended, and nobody needs it but those who read. */
  detached?: boolean
  /** For a child: it was cancelled because its parent failed, and runs again if that does. */
  cancelledWithParent?: boolean
  /** It could not be read as a submission, so it can never run. */
  unreadable?: boolean
}

/** What the tasks of one message of the log have in common; one object for all of them. */
export interface Arrival {
  readonly partition: number
  /** Of the message. */
  readonly sequence: number
  readonly submittedAtMs: number
  /** Which SDK client is told the outcomes. */
  readonly client: string | undefined
}

/**
 * From the first turn or the end on; a task that waits for its first turn has none. Times count from the submission and the place
 * of the outcome is two numbers: small integers are kept in the record itself, where times and places would be objects
 * that the garbage collector copies, for each of 100,000 results that are kept.
 */
class Course {
  turn = 0
  attempt = 1
  startedAfterMs: number | undefined = undefined
  turnAfterMs: number | undefined = undefined
  turnSequence = 0
  finishedAfterMs: number | undefined = undefined
  owner: Member | undefined = undefined
  profile: TaskProfile | undefined = undefined
  snapshot: Place | undefined = undefined
  /** 0: it has none. */
  outcomeSequence = 0
  outcomeIndex = 0
  retained = 0
}

/** More than the entries in a block, since a message of its own has a place as well. */
export const placesPerMessage = 2 ** 13

export class TaskRecord {
  readonly type: string
  status: RecordStatus = 'waiting'
  readonly priority: number
  readonly key: string | undefined
  /** Place of the submission; gives the order of arrival. */
  readonly arrival: Arrival
  /** −1 when the submission was a message of its own. */
  readonly index: number
  /** Hash of type and input when the submitter chose the id, else 0. */
  readonly hash: number
  rare: Rare | undefined = undefined
  private course: Course | undefined = undefined
  /** Its input while a leading scheduler holds it to award it; no part of the ledger's state. */
  atHand: Payload | undefined = undefined
  /** Number of the checkpoint in which this record, as it is, has been saved. */
  savedIn = 0
  /** The id that it was given; or the one by its place, once somebody has asked for it. */
  private name: string | undefined

  /** `name` is undefined when the place of the submission is its name. */
  constructor(born: {
    name: string | undefined
    type: string
    priority: number
    key: string | undefined
    arrival: Arrival
    index: number
    hash: number
  }) {
    this.name = born.name
    this.type = born.type
    this.priority = born.priority
    this.key = born.key
    this.arrival = born.arrival
    this.index = born.index
    this.hash = born.hash
  }

  get id(): string {
    this.name ??= this.reference
    return this.name
  }

  /** The id, not kept: for whoever goes through all tasks, most of which have had no use for a string yet. */
  get passingId(): string {
    return this.name ?? this.reference
  }

  /** It has no other name than its place, as far as anybody knows yet. */
  get isUnnamed(): boolean {
    return this.name === undefined
  }

  /** The place of the submission as a system id; a client knows its own submissions by it. */
  get reference(): string {
    const { partition, sequence } = this.arrival
    return systemTaskId(partition, sequence, this.index < 0 ? undefined : this.index)
  }

  get sequence(): number {
    return this.arrival.sequence
  }

  get submittedAtMs(): number {
    return this.arrival.submittedAtMs
  }

  get client(): string | undefined {
    return this.arrival.client
  }

  /** Arrival order as one number: earlier submissions are smaller. */
  get order(): number {
    return this.arrival.sequence * placesPerMessage + this.index + 1
  }

  /** How often it has been given to an owner. */
  get turn(): number {
    return this.course?.turn ?? 0
  }

  set turn(value: number) {
    if (value !== 0 || this.course !== undefined) this.begun.turn = value
  }

  /** Tries of its logic, the present one included. */
  get attempt(): number {
    return this.course?.attempt ?? 1
  }

  set attempt(value: number) {
    if (value !== 1 || this.course !== undefined) this.begun.attempt = value
  }

  get input(): Place {
    return this.rare?.inputPlace ?? this
  }

  get ended(): boolean {
    return isTerminal(this.status)
  }

  /** It lives, or an operator may let it or its parent run again: its input, its snapshot and its signals are needed. */
  get mayRun(): boolean {
    if (!this.ended) return true
    return (this.status === 'failed' || this.rare?.cancelledWithParent === true) && !this.rare?.unreadable
  }

  /** The rare part, made when first needed. */
  get more(): Rare {
    this.rare ??= {}
    return this.rare
  }

  /** The task may not start before; 0: at once. */
  get dueAtMs(): number {
    return this.rare?.dueAtMs ?? 0
  }

  set dueAtMs(value: number) {
    if (value !== 0 || this.rare?.dueAtMs !== undefined) this.more.dueAtMs = value
  }

  /** When its first turn was accepted. */
  get startedAtMs(): number {
    return this.atMs(this.course?.startedAfterMs)
  }

  set startedAtMs(value: number) {
    if (value !== 0 || this.course !== undefined) this.begun.startedAfterMs = this.afterMs(value)
  }

  /** When, and by which message, the present turn was accepted. */
  get turnAtMs(): number {
    return this.atMs(this.course?.turnAfterMs)
  }

  set turnAtMs(value: number) {
    if (value !== 0 || this.course !== undefined) this.begun.turnAfterMs = this.afterMs(value)
  }

  get turnSequence(): number {
    return this.course?.turnSequence ?? 0
  }

  set turnSequence(value: number) {
    if (value !== 0 || this.course !== undefined) this.begun.turnSequence = value
  }

  get finishedAtMs(): number {
    return this.atMs(this.course?.finishedAfterMs)
  }

  set finishedAtMs(value: number) {
    if (value !== 0 || this.course !== undefined) this.begun.finishedAfterMs = this.afterMs(value)
  }

  get owner(): Member | undefined {
    return this.course?.owner
  }

  set owner(value: Member | undefined) {
    if (value !== undefined || this.course !== undefined) this.begun.owner = value
  }

  get profile(): TaskProfile | undefined {
    return this.course?.profile
  }

  set profile(value: TaskProfile | undefined) {
    if (value !== undefined || this.course !== undefined) this.begun.profile = value
  }

  get snapshot(): Place | undefined {
    return this.course?.snapshot
  }

  set snapshot(value: Place | undefined) {
    if (value !== undefined || this.course !== undefined) this.begun.snapshot = value
  }

  /** Place of the entry that ended the task, or of its submission when that was refused. */
  get outcome(): Place | undefined {
    const { course } = this
    if (course === undefined || course.outcomeSequence === 0) return undefined
    return { sequence: course.outcomeSequence, index: course.outcomeIndex }
  }

  set outcome(value: Place | undefined) {
    if (value === undefined && this.course === undefined) return
    const { begun } = this
    begun.outcomeSequence = value?.sequence ?? 0
    begun.outcomeIndex = value?.index ?? 0
  }

  /** Place in the queue for forgetting ended tasks, 0 when not queued. */
  get retained(): number {
    return this.course?.retained ?? 0
  }

  set retained(value: number) {
    if (value !== 0 || this.course !== undefined) this.begun.retained = value
  }

  private get begun(): Course {
    this.course ??= new Course()
    return this.course
  }

  /** A time that is 0 when it is none, and the same from the submission on. */
  private atMs(afterMs: number | undefined): number {
    return afterMs === undefined ? 0 : this.arrival.submittedAtMs + afterMs
  }

  private afterMs(atMs: number): number | undefined {
    return atMs === 0 ? undefined : atMs - this.arrival.submittedAtMs
  }
}

/** The oldest message with a signal that it has not consumed; infinite when there is none. */
export function oldestSignal({ rare }: TaskRecord): number {
  let oldest = Number.POSITIVE_INFINITY
  for (const signal of rare?.signals ?? []) oldest = Math.min(oldest, eventPlace(signal).sequence)
  return oldest
}

/** Where the event of a signal stands now. */
export function eventPlace(signal: SignalPlace): Place {
  return signal.copy ?? signal
}

export function isTerminal(status: RecordStatus): status is TerminalStatus {
  return status === 'completed' || status === 'failed' || status === 'cancelled' || status === 'expired'
}
