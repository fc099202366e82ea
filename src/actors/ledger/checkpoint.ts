/**
 * A ledger as rows, and back. Saving is incremental: records are saved a slice at a time while folding goes on, and a
 * record that is about to change is saved first, as it was (copy on write). So a checkpoint shows the ledger exactly at
 * the position where saving began, and no fold ever waits for more than one slice.
 */
import type { FoldRules } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import type { NodeProfile, TaskProfile, TypeLimits } from '../../protocol/options.ts'
import { type BreakerRow, breakerRows, restoreBreaker } from './breakers.ts'
import type { SetAside } from './change.ts'
import { isNeededByParent } from './families.ts'
import { type GangRow, gangRow, restoreGang } from './gangs.ts'
import { secondOf } from './hedges.ts'
import { Member } from './member.ts'
import { ObjectReferences, type ObjectRow } from './object-references.ts'
import { rareFrom, rareRow } from './rare-rows.ts'
import { restoreFamilies, restoreRetention } from './restored-indexes.ts'
import type { ScheduleRecord } from './schedules.ts'
import { LedgerState, type Saving, type Totals } from './state.ts'
import { type StrayRow, Strays } from './strays.ts'
import { type GroupRow, groupRows, restoreGroups } from './supervision.ts'
import { oldestSignal, type RecordStatus, TaskRecord } from './task-record.ts'
import { type UniqueRow, UniqueWindows } from './unique-windows.ts'

export const checkpointFormat = 2

/** What identifies a checkpoint and the log that it belongs to, and what trimming needs to know. Small. */
export interface Manifest {
  readonly format: number
  readonly partition: number
  /** Of the namespace; left out: 1. */
  readonly partitions?: number
  readonly position: number
  readonly timeMs: number
  readonly epoch: number
  readonly leader: string
  readonly rules: FoldRules
  readonly totals: Totals
  readonly retained: number
  readonly tasks: number
  /** Rows in all parts, by which a part that is missing is noticed. */
  readonly rows: number
  /** Oldest sequence that a live task or a dead letter needs, and that anything kept needs. */
  readonly neededFrom: number
  readonly readableFrom: number
  /** From where on the objects saved are all to which the log refers; left out by those who knew nothing of them. */
  readonly objectsFrom?: number
  /** Which log it is of, and a hash of the message at `position`; in older checkpoints its creation time alone. */
  readonly log?: string
  readonly createdAtMs: number
  readonly hash: number
  /** When that message was stored; left out in older checkpoints. */
  readonly storedAtMs?: number
}

/** A task type's profile is saved once, however many nodes and tasks have it; they name it by its number. */
type ProfileNumber = number

interface MemberRow {
  readonly subject: string
  readonly incarnation: string
  readonly profile: NodeProfile
  readonly types: readonly ProfileNumber[]
  readonly joinedAtMs: number
  readonly lastSequence: number
  readonly lastBlock: number
}

type PlaceRow = readonly [sequence: number, index: number] | null
export type TaskRow = readonly unknown[]

/** Rows of one kind; any number of them, of any length, make up a checkpoint. */
export type CheckpointPart =
  | readonly [of: 'tasks', rows: readonly TaskRow[]]
  | readonly [of: 'profiles', rows: readonly TaskProfile[]]
  | readonly [of: 'members', rows: readonly MemberRow[]]
  | readonly [of: 'dead', rows: readonly string[]]
  | readonly [of: 'set-asides', rows: readonly SetAside[]]
  | readonly [of: 'uniques', rows: readonly UniqueRow[]]
  | readonly [of: 'schedules', rows: readonly ScheduleRecord[]]
  | readonly [of: 'breakers', rows: readonly BreakerRow[]]
  | readonly [of: 'gangs', rows: readonly GangRow[]]
  | readonly [of: 'groups', rows: readonly GroupRow[]]
  | readonly [of: 'strays', rows: readonly StrayRow[]]
  | readonly [of: 'objects', rows: readonly ObjectRow[]]
  | readonly [of: 'limits', rows: readonly (readonly [type: string, limits: TypeLimits])[]]

/** Saves one ledger as it is now. Begin by constructing it; take `rows` until done; then `others` and `manifest`. */
export class LedgerSaving implements Saving {
  readonly number: number
  private readonly state: LedgerState
  private readonly iterator: Iterator<TaskRecord>
  private readonly begun: Omit<Manifest, 'tasks' | 'rows' | 'neededFrom' | 'readableFrom' | 'createdAtMs' | 'hash'>
  private readonly members: readonly MemberRow[]
  private readonly dead: readonly string[]
  private readonly setAsides: readonly SetAside[]
  private readonly limits: readonly (readonly [type: string, limits: TypeLimits])[]
  private readonly uniques: readonly UniqueRow[]
  private readonly schedules: readonly ScheduleRecord[]
  private readonly breakers: readonly BreakerRow[]
  private readonly gangs: readonly GangRow[]
  private readonly groups: readonly GroupRow[]
  private readonly strays: readonly StrayRow[]
  private readonly objects: readonly (readonly ObjectRow[])[]
  private readonly profiles = new Map<TaskProfile, ProfileNumber>()
  private pending: TaskRow[] = []
  private tasks = 0
  private readonly tasksAtFirst: number
  private neededFrom: number
  private readableFrom: number

  constructor(state: LedgerState, number: number) {
    this.state = state
    this.number = number
    this.begun = {
      format: checkpointFormat,
      partition: state.partition,
      ...(state.partitions > 1 && { partitions: state.partitions }),
      position: state.position,
      timeMs: state.timeMs,
      epoch: state.epoch,
      leader: state.leader,
      rules: state.rules,
      totals: { ...state.totals },
      retained: state.retained,
      objectsFrom: state.objects.completeFrom,
    }
    this.members = [...state.members.values()].map((member) => this.memberRow(member))
    this.dead = [...state.deadIncarnations]
    this.setAsides = [...state.setAsides]
    this.limits = [...state.limits]
    this.uniques = [...state.uniques]
    this.schedules = [...state.schedules.values()].map((record) => ({ ...record }))
    this.breakers = breakerRows(state)
    this.gangs = [...state.gangs.values()].map(gangRow)
    this.groups = groupRows(state)
    this.strays = state.strays.rows()
    this.objects = state.objects.pages()
    this.neededFrom = Math.min(state.position, state.strays.neededFrom)
    this.readableFrom = state.position
    for (const { lastSequence } of this.members) this.neededFrom = Math.min(this.neededFrom, lastSequence)
    this.tasksAtFirst = state.tasks.size
    this.iterator = state.tasks.values()
    state.saving = this
  }

  /** Called before a record changes, and for each record in turn. */
  save(task: TaskRecord): void {
    task.savedIn = this.number
    this.tasks++
    this.pending.push(this.row(task))
    this.noteNeeds(task)
  }

  /** The rows of the next `count` records, undefined when all have been taken. */
  rows(count: number): TaskRow[] | undefined {
    let next = this.iterator.next()
    for (let taken = 0; !next.done; next = this.iterator.next()) {
      if (next.value.savedIn !== this.number) this.save(next.value)
      if (++taken >= count) break
    }
    const rows = this.pending
    this.pending = []
    if (!next.done || rows.length > 0) return rows
    this.abandon()
    return undefined
  }

  /** Gives up, or is done; the ledger saves nothing any more. */
  abandon(): void {
    if (this.state.saving === this) this.state.saving = undefined
  }

  /** Everything but the tasks; complete once all rows have been taken. */
  others(): CheckpointPart[] {
    return [
      ['profiles', [...this.profiles.keys()]],
      ['members', this.members],
      ['dead', this.dead],
      ['set-asides', this.setAsides],
      ['limits', this.limits],
      ['schedules', this.schedules],
      ['uniques', this.uniques],
      ['gangs', this.gangs],
      ['breakers', this.breakers],
      ['groups', this.groups],
      ...(this.strays.length > 0 ? [['strays', this.strays] as const] : []),
      ...this.objects.map((rows) => ['objects', rows] as const),
    ]
  }

  /** Throws TROUPE_INTERNAL rather than let a checkpoint pass for whole that lacks a task. */
  manifest(createdAtMs: number, hash: number): Manifest {
    if (this.tasks !== this.tasksAtFirst) {
      throw new TroupeError('TROUPE_INTERNAL', `a checkpoint has ${this.tasks} of ${this.tasksAtFirst} tasks`)
    }
    return {
      ...this.begun,
      tasks: this.tasks,
      rows: this.others().reduce((rows, part) => rows + part[1].length, this.tasks),
      neededFrom: this.neededFrom,
      readableFrom: Math.min(this.neededFrom, this.readableFrom),
      createdAtMs,
      hash,
    }
  }

  /** What cannot run any more needs its place in the log only for people to read; it must never hold a full log. */
  private noteNeeds(task: TaskRecord): void {
    if (task.mayRun) {
      const input = task.input.sequence
      this.neededFrom = Math.min(this.neededFrom, input, task.snapshot?.sequence ?? input, oldestSignal(task))
    } else if (task.outcome !== undefined) {
      if (isNeededByParent(task)) this.neededFrom = Math.min(this.neededFrom, task.outcome.sequence)
      else this.readableFrom = Math.min(this.readableFrom, task.outcome.sequence)
    }
  }

  private memberRow(member: Member): MemberRow {
    const { subject, incarnation, profile, joinedAtMs, lastSequence, lastBlock } = member
    const types = profile.types.map((type) => this.profileNumber(type))
    return { subject, incarnation, profile: { ...profile, types: [] }, types, joinedAtMs, lastSequence, lastBlock }
  }

  private row(task: TaskRecord): TaskRow {
    return [
      task.passingId,
      task.type,
      task.status,
      task.turn,
      task.attempt,
      task.priority,
      task.key ?? null,
      task.sequence,
      task.index,
      task.submittedAtMs,
      task.dueAtMs,
      task.startedAtMs,
      task.turnAtMs,
      task.turnSequence,
      task.finishedAtMs,
      task.hash,
      task.client ?? null,
      task.owner?.incarnation ?? null,
      task.profile === undefined ? -1 : this.profileNumber(task.profile),
      placeRow(task.snapshot),
      placeRow(task.outcome),
      task.rare === undefined ? null : rareRow(task.rare, task.ended),
      task.retained,
    ]
  }

  private profileNumber(profile: TaskProfile): ProfileNumber {
    let number = this.profiles.get(profile)
    if (number === undefined) {
      number = this.profiles.size
      this.profiles.set(profile, number)
    }
    return number
  }
}

function placeRow(place: { sequence: number; index: number } | undefined): PlaceRow {
  return place === undefined ? null : [place.sequence, place.index]
}

function rowsOf<Of extends CheckpointPart[0]>(parts: readonly CheckpointPart[], of: Of) {
  return parts.flatMap((part) => (part[0] === of ? part[1] : [])) as Extract<
    CheckpointPart,
    readonly [Of, unknown]
  >[1][number][]
}

/** The ledger's state as it was saved. Throws when the rows are not those of a checkpoint. */
export function restoreState(manifest: Manifest, parts: readonly CheckpointPart[]): LedgerState {
  const state = new LedgerState(manifest.partition, manifest.partitions)
  Object.assign(state.totals, manifest.totals)
  state.position = manifest.position
  state.timeMs = manifest.timeMs
  state.epoch = manifest.epoch
  state.leader = manifest.leader
  state.rules = manifest.rules
  state.retained = manifest.retained
  const profiles = rowsOf(parts, 'profiles')
  for (const row of rowsOf(parts, 'members')) {
    const profile: NodeProfile = { ...row.profile, types: row.types.map((number) => profiles[number]!) }
    const member = new Member(row.subject, row.incarnation, profile, row.joinedAtMs, row.lastSequence)
    member.lastBlock = row.lastBlock
    state.members.set(row.incarnation, member)
    state.membersBySubject.set(row.subject, member)
  }
  for (const incarnation of rowsOf(parts, 'dead')) state.deadIncarnations.add(incarnation)
  for (const item of rowsOf(parts, 'set-asides')) state.setAsides.push(item)
  for (const [type, limits] of rowsOf(parts, 'limits')) state.limits.set(type, limits)
  state.uniques = new UniqueWindows(rowsOf(parts, 'uniques'))
  state.strays = new Strays(rowsOf(parts, 'strays'))
  state.objects = new ObjectReferences(rowsOf(parts, 'objects'), manifest.objectsFrom ?? manifest.position + 1)
  for (const record of rowsOf(parts, 'schedules'))
    state.schedules.set(record.name, { ...record, setSequence: record.setSequence ?? 0 })
  const tasks = rowsOf(parts, 'tasks').map((row) => restoreTask(state, profiles, row))
  restoreFamilies(state, tasks)
  restoreGroups(state, rowsOf(parts, 'groups'))
  restoreRetention(state, tasks)
  for (const row of rowsOf(parts, 'breakers')) restoreBreaker(state, row)
  for (const row of rowsOf(parts, 'gangs')) restoreGang(state, row)
  return state
}

function restoreTask(state: LedgerState, profiles: readonly TaskProfile[], row: TaskRow): TaskRecord {
  const [id, type, status, turn, attempt, priority, key, sequence, index, submittedAtMs, dueAtMs, ...rest] = row as [
    string,
    string,
    RecordStatus,
    number,
    number,
    number,
    string | null,
    number,
    number,
    number,
    number,
    ...unknown[],
  ]
  const [
    startedAtMs,
    turnAtMs,
    turnSequence,
    finishedAtMs,
    hash,
    client,
    owner,
    profile,
    snapshot,
    outcome,
    rare,
    retained,
  ] = rest as [
    number,
    number,
    number,
    number,
    number,
    string | null,
    string | null,
    number,
    PlaceRow,
    PlaceRow,
    Record<string, unknown> | null,
    number,
  ]
  const arrival = state.tasks.arrival(sequence, submittedAtMs, client ?? undefined)
  const name = state.tasks.isPlace(id, sequence, index) ? undefined : id
  const task = new TaskRecord({ name, type, priority, key: key ?? undefined, arrival, index, hash })
  // One by one: a million of them are restored, and a list of names costs more than all else.
  task.status = status
  task.turn = turn
  task.attempt = attempt
  task.dueAtMs = dueAtMs
  task.startedAtMs = startedAtMs
  task.turnAtMs = turnAtMs
  task.turnSequence = turnSequence
  task.finishedAtMs = finishedAtMs
  task.retained = retained
  if (profile >= 0) task.profile = profiles[profile]
  if (snapshot !== null) task.snapshot = { sequence: snapshot[0], index: snapshot[1] }
  if (outcome !== null) task.outcome = { sequence: outcome[0], index: outcome[1] }
  if (rare !== null) task.rare = rareFrom(rare)
  if (owner !== null) {
    task.owner = state.members.get(owner)
    task.owner?.running.add(task)
    secondOf(state, task)?.running.add(task)
  }
  state.add(task)
  return task
}
