/**
 * A ledger as rows, and back. Saving is incremental: records are saved a slice at a time while folding goes on, and a
 * record that is about to change is saved first, as it was (copy on write). So a checkpoint shows the ledger exactly at
 * the position where saving began, and no fold ever waits for more than one slice.
 */
import type { FoldRules } from '../../protocol/entries.ts'
import type { NodeProfile, TaskProfile } from '../../protocol/options.ts'
import type { SetAside } from './change.ts'
import { Member } from './member.ts'
import { LedgerState, type Saving, type Totals } from './state.ts'
import { type Rare, type RecordStatus, TaskRecord } from './task-record.ts'

export const checkpointFormat = 1

interface MemberRow {
  readonly subject: string
  readonly incarnation: string
  readonly profile: NodeProfile
  readonly joinedAtMs: number
  readonly lastSequence: number
  readonly lastBlock: number
  readonly live: boolean
}

/** Everything of a ledger but its tasks, and what identifies the log that it belongs to. */
export interface Manifest {
  readonly format: number
  readonly partition: number
  readonly position: number
  readonly timeMs: number
  readonly epoch: number
  readonly leader: string
  readonly rules: FoldRules
  readonly totals: Totals
  readonly members: readonly MemberRow[]
  readonly dead: readonly string[]
  readonly neverToJoin: readonly string[]
  readonly setAsides: readonly SetAside[]
  readonly profiles: readonly TaskProfile[]
  readonly tasks: number
  /** Oldest sequence that a live task or a dead letter needs, and that anything kept needs. */
  readonly neededFrom: number
  readonly readableFrom: number
  /** Identity of the log: its creation time, and a hash of the message at `position`. */
  readonly createdAtMs: number
  readonly hash: number
}

type PlaceRow = readonly [sequence: number, index: number] | null
export type TaskRow = readonly unknown[]

/** Saves one ledger as it is now. Begin by constructing it; take `rows` until done; then `manifest`. */
export class LedgerSaving implements Saving {
  readonly number: number
  private readonly state: LedgerState
  private readonly iterator: Iterator<TaskRecord>
  private readonly begun: Omit<Manifest, 'profiles' | 'tasks' | 'neededFrom' | 'readableFrom' | 'createdAtMs' | 'hash'>
  private readonly profiles = new Map<TaskProfile, number>()
  private pending: TaskRow[] = []
  private tasks = 0
  private neededFrom: number
  private readableFrom: number

  constructor(state: LedgerState, number: number) {
    this.state = state
    this.number = number
    this.begun = {
      format: checkpointFormat,
      partition: state.partition,
      position: state.position,
      timeMs: state.timeMs,
      epoch: state.epoch,
      leader: state.leader,
      rules: state.rules,
      totals: { ...state.totals },
      members: [...state.membersBySubject.values()].map((member) => ({
        subject: member.subject,
        incarnation: member.incarnation,
        profile: member.profile,
        joinedAtMs: member.joinedAtMs,
        lastSequence: member.lastSequence,
        lastBlock: member.lastBlock,
        live: member.live,
      })),
      dead: [...state.deadIncarnations],
      neverToJoin: [...state.neverToJoin],
      setAsides: [...state.setAsides],
    }
    this.neededFrom = state.position
    this.readableFrom = state.position
    for (const member of state.membersBySubject.values())
      this.neededFrom = Math.min(this.neededFrom, member.lastSequence)
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
    if (next.done && rows.length === 0) {
      this.state.saving = undefined
      return undefined
    }
    return rows
  }

  /** Gives up; the ledger saves nothing any more. */
  abandon(): void {
    this.state.saving = undefined
  }

  manifest(createdAtMs: number, hash: number): Manifest {
    return {
      ...this.begun,
      profiles: [...this.profiles.keys()],
      tasks: this.tasks,
      neededFrom: this.neededFrom,
      readableFrom: Math.min(this.neededFrom, this.readableFrom),
      createdAtMs,
      hash,
    }
  }

  private noteNeeds(task: TaskRecord): void {
    const needs = Math.min(task.input.sequence, task.snapshot?.sequence ?? task.input.sequence)
    const signal = task.rare?.signals?.[0]?.sequence ?? needs
    if (!task.ended || task.status === 'failed') this.neededFrom = Math.min(this.neededFrom, needs, signal)
    else if (task.outcome !== undefined) this.readableFrom = Math.min(this.readableFrom, task.outcome.sequence)
  }

  private row(task: TaskRecord): TaskRow {
    return [
      task.id,
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
      task.rare === undefined ? null : rareRow(task.rare),
    ]
  }

  private profileNumber(profile: TaskProfile): number {
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

/** Sets travel as arrays. */
function rareRow(rare: Rare): Record<string, unknown> {
  const row: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(rare)) row[name] = value instanceof Set ? [...value] : value
  return row
}

const setFields: ReadonlySet<string> = new Set(['after', 'children', 'awaited', 'signalIds'])

function rareFrom(row: Record<string, unknown>): Rare {
  const rare: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(row)) {
    rare[name] = setFields.has(name) && Array.isArray(value) ? new Set(value) : value
  }
  return rare as Rare
}

/** The ledger's state as it was saved. The rows come from our own checkpoint, whose hash has been checked. */
export function restoreState(manifest: Manifest, parts: Iterable<readonly TaskRow[]>): LedgerState {
  const state = new LedgerState(manifest.partition)
  Object.assign(state.totals, manifest.totals)
  state.position = manifest.position
  state.timeMs = manifest.timeMs
  state.epoch = manifest.epoch
  state.leader = manifest.leader
  state.rules = manifest.rules
  for (const row of manifest.members) {
    const member = new Member(row.subject, row.incarnation, row.profile, row.joinedAtMs, row.lastSequence)
    member.lastBlock = row.lastBlock
    state.members.set(row.incarnation, member)
    state.membersBySubject.set(row.subject, member)
  }
  for (const incarnation of manifest.dead) {
    state.deadIncarnations.push(incarnation)
    state.neverToJoin.add(incarnation)
  }
  for (const item of manifest.setAsides) state.setAsides.push(item)
  const ended: TaskRecord[] = []
  for (const rows of parts) {
    for (const row of rows) {
      const task = restoreTask(state, manifest, row)
      if (task.ended) ended.push(task)
    }
  }
  restoreRetention(state, ended)
  return state
}

function restoreTask(state: LedgerState, manifest: Manifest, row: TaskRow): TaskRecord {
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
  const [startedAtMs, turnAtMs, turnSequence, finishedAtMs, hash, client, owner, profile, snapshot, outcome, rare] =
    rest as [
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
    ]
  const born = {
    id,
    type,
    priority,
    key: key ?? undefined,
    sequence,
    index,
    submittedAtMs,
    hash,
    client: client ?? undefined,
  }
  const task = new TaskRecord(born)
  Object.assign(task, { status, turn, attempt, dueAtMs, startedAtMs, turnAtMs, turnSequence, finishedAtMs })
  if (profile >= 0) task.profile = manifest.profiles[profile]
  if (snapshot !== null) task.snapshot = { sequence: snapshot[0], index: snapshot[1] }
  if (outcome !== null) task.outcome = { sequence: outcome[0], index: outcome[1] }
  if (rare !== null) task.rare = rareFrom(rare)
  if (owner !== null) {
    task.owner = state.members.get(owner)
    task.owner?.running.add(task)
  }
  state.add(task)
  for (const other of task.rare?.after ?? []) {
    let dependents = state.dependents.get(other)
    if (dependents === undefined) state.dependents.set(other, (dependents = new Set()))
    dependents.add(task)
  }
  return task
}

/** The queues for forgetting, in the order in which the tasks entered them. */
function restoreRetention(state: LedgerState, ended: TaskRecord[]): void {
  const enteredAt = (task: TaskRecord) => task.rare?.retainedAt ?? task.outcome ?? { sequence: 0, index: 0 }
  ended.sort((a, b) => {
    const [at, bt] = [enteredAt(a), enteredAt(b)]
    return at.sequence - bt.sequence || at.index - bt.index || a.order - b.order
  })
  for (const task of ended) {
    const parent = task.rare?.parent
    if (parent !== undefined && state.tasks.get(parent)?.ended === false) continue
    if (task.status === 'failed') state.dead.push(task)
    else state.results.push(task)
  }
}
