/**
 * Gangs: tasks that start together or not at all. What an accepted member waits for, and when all of them begin, follows from
 * the log alone: a member is held by its node from its `accepted` until those of all the others stand in the log as well.
 *
 * Before its first start a gang is whole or nothing: when a member ends, so do the others. After a start its members are
 * tasks like any, but that, unless `restart` is 'alone', those that run when one of them loses its node start again with it.
 */
import type { Ungathered } from '../../protocol/entries.ts'
import type { ErrorRecord } from '../../protocol/errors.ts'
import type { GangOption } from '../../protocol/options.ts'
import { inOrder } from './indexes.ts'
import type { LedgerState } from './state.ts'
import type { Place, TaskRecord } from './task-record.ts'

export class Gang {
  readonly id: string
  readonly size: number
  readonly restart: 'together' | 'alone'
  /** Those that have not ended. */
  readonly members = new Set<TaskRecord>()
  /** Those that must all be held before any of them begins. */
  readonly starting = new Set<TaskRecord>()
  /** It has started once. */
  begun = false
  /** Where the first of the members held now was accepted; says which gathering an `ungathered` means. */
  heldSince = 0

  constructor({ id, size, restart = 'together' }: GangOption) {
    this.id = id
    this.size = size
    this.restart = restart
  }

  /** All its members are known. */
  get whole(): boolean {
    return this.begun || this.members.size === this.size
  }

  get held(): TaskRecord[] {
    return [...this.starting].filter((task) => task.status === 'held').sort((a, b) => a.order - b.order)
  }
}

/** The gang with which the task has to start; undefined for a task that starts by itself. */
export function gangToStartWith(state: LedgerState, task: TaskRecord): Gang | undefined {
  const gang = task.rare?.gang === undefined ? undefined : state.gangs.get(task.rare.gang.id)
  return gang?.starting.has(task) ? gang : undefined
}

/** A new task becomes a member; returns why it cannot. */
export function joinGang(state: LedgerState, task: TaskRecord, option: GangOption): ErrorRecord | undefined {
  // Of the same message as one that was refused: no gang of this name will ever be whole with it.
  if (state.brokenGang?.id === option.id && state.brokenGang.position === state.position) {
    task.more.gang = option
    return { code: 'TROUPE_GANG_BROKEN', message: `the gang "${option.id}" lost another member before this one came` }
  }
  const gang = state.gangs.get(option.id) ?? new Gang(option)
  if (gang.whole || gang.size !== option.size || gang.restart !== (option.restart ?? 'together')) {
    const why = gang.whole ? 'has all its members' : 'was begun with another size or restart'
    return { code: 'TROUPE_GANG_CONFLICT', message: `the gang "${option.id}" of ${gang.size} ${why}` }
  }
  state.gangs.set(option.id, gang)
  task.more.gang = option
  gang.members.add(task)
  gang.starting.add(task)
  return undefined
}

/** The turn of a member was accepted: it is held, until all are. */
export function holdMember(state: LedgerState, gang: Gang, task: TaskRecord): void {
  if (gang.held.length === 0) gang.heldSince = state.position
  state.become(task, 'held')
  state.change('held', task)
  startGang(state, gang)
}

function startGang(state: LedgerState, gang: Gang): void {
  if (!gang.whole || gang.starting.size === 0) return
  for (const task of gang.starting) if (task.status !== 'held') return
  const members = inOrder(gang.starting)
  gang.starting.clear()
  gang.begun = true
  for (const task of members) {
    state.touch(task)
    task.turnAtMs = state.timeMs
    if (task.startedAtMs === 0) task.startedAtMs = state.timeMs
    task.more.gangBegun = true
    state.become(task, 'running')
    state.change('running', task)
  }
}

/** A member has ended. */
export function leaveGang(state: LedgerState, task: TaskRecord, place: Place): void {
  const gang = state.gangs.get(task.rare?.gang?.id ?? '')
  if (gang === undefined || !gang.members.delete(task)) return
  gang.starting.delete(task)
  if (!gang.begun) state.brokenGang = { id: gang.id, position: state.position }
  if (gang.members.size === 0 || !gang.begun) state.gangs.delete(gang.id)
  if (gang.begun) {
    startGang(state, gang)
    return
  }
  const message = `its gang "${gang.id}" cannot be whole any more: "${task.id}" was ${task.status} before it started`
  for (const other of inOrder(gang.members)) {
    noteRecall(state, other, message)
    state.end(other, 'failed', { code: 'TROUPE_GANG_BROKEN', message, details: { task: task.id } }, place)
  }
}

/** The member has lost its node; those that run start again with it. */
export function gatherAgain(state: LedgerState, task: TaskRecord): void {
  const gang = state.gangs.get(task.rare?.gang?.id ?? '')
  if (!gang?.members.has(task) || gang.restart === 'alone') return
  gang.starting.add(task)
  for (const other of inOrder(gang.members)) {
    if (other.status !== 'running') continue
    state.touch(other)
    noteRecall(state, other, `its gang "${gang.id}" starts again together, for "${task.id}" lost its node`)
    state.makeReady(other, 'restarted')
    gang.starting.add(other)
  }
}

/** Folds the end of a gathering that took too long. Returns whether it counted. */
export function ungathered(state: LedgerState, [, id, heldSince, reason]: Ungathered): boolean {
  const gang = state.gangs.get(id)
  const held = gang?.held ?? []
  if (gang?.heldSince !== heldSince || held.length === 0) return false
  for (const task of held) {
    state.touch(task)
    noteRecall(state, task, reason)
    state.makeReady(task, 'yielded')
  }
  return true
}

/** A dead letter is to run again: with its gang if that has never started, which then has to be whole once more. */
export function rejoinGang(state: LedgerState, task: TaskRecord): void {
  const { gang: option, gangBegun } = task.rare ?? {}
  if (option === undefined || gangBegun || joinGang(state, task, option) === undefined) return
  delete task.more.gang
}

/** The node that runs or holds the task is told to drop its turn. */
export function noteRecall(state: LedgerState, task: TaskRecord, reason: string): void {
  const { owner, id, turn } = task
  if (owner !== undefined) state.changes.push({ what: 'recalled', member: owner, id, turn, reason })
}

export interface GangRow extends GangOption {
  readonly begun: boolean
  readonly heldSince: number
  readonly members: readonly string[]
  readonly starting: readonly string[]
}

export function gangRow({ id, size, restart, begun, heldSince, members, starting }: Gang): GangRow {
  const ids = (tasks: ReadonlySet<TaskRecord>) => [...tasks].map((task) => task.id)
  return { id, size, restart, begun, heldSince, members: ids(members), starting: ids(starting) }
}

export function restoreGang(state: LedgerState, row: GangRow): void {
  const gang = new Gang(row)
  gang.begun = row.begun
  gang.heldSince = row.heldSince
  for (const id of row.members) gang.members.add(state.tasks.get(id)!)
  for (const id of row.starting) gang.starting.add(state.tasks.get(id)!)
  state.gangs.set(gang.id, gang)
}
