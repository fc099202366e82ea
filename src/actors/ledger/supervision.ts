/**
 * Supervision of tasks in named groups, by the rules of OTP's supervisors: what becomes of the others when one member fails.
 * Groups form trees. A group whose members fail too often fails itself, which the group above treats as the failure of a
 * child; where there is none, what lives in it becomes dead letters. Pure: all of it follows from the log.
 *
 * What OTP calls starting a child is here making its task ready. What has ended has ended and is not started again.
 */
import type { ErrorRecord } from '../../protocol/errors.ts'
import type { GroupLevel } from '../../protocol/groups.ts'
import { defaultRestart } from '../../protocol/options.ts'
import { noteRecall } from './gangs.ts'
import type { LedgerState } from './state.ts'
import type { Place, TaskRecord } from './task-record.ts'

export interface Group {
  /** Names from the root down, joined by "/". */
  readonly path: string
  /** How it works, as the first to name it said. */
  readonly level: GroupLevel
  /** Arrival of its first member: its place among its siblings. */
  readonly order: number
  /** Log times of the failures within the period. */
  failures: number[]
  /** Its own tasks, as long as they live. */
  readonly members: Set<TaskRecord>
  readonly groups: Set<Group>
}

/** A task failed, and may run again. */
export interface Failure {
  readonly task: TaskRecord
  readonly error: ErrorRecord
  readonly why: 'retrying' | 'restarted'
  /** Delay before it may run again, by the task's own policy; undefined when that allows no more. */
  readonly delayMs: number | undefined
  readonly place: Place
}

type Child = TaskRecord | Group

const backoffMaxMs = 30_000

/** The task is supervised in these groups, from the root down, for as long as it lives. */
export function joinGroup(state: LedgerState, task: TaskRecord, levels: readonly GroupLevel[]): void {
  let group: Group | undefined
  for (const [at, level] of levels.entries()) group = openGroup(state, pathOf(levels, at + 1), level, task.order)
  group?.members.add(task)
}

function openGroup(state: LedgerState, path: string, level: GroupLevel, order: number): Group {
  const known = state.groups.get(path)
  if (known !== undefined) return known
  const group: Group = { path, level, order, failures: [], members: new Set(), groups: new Set() }
  state.groups.set(path, group)
  parentOf(state, group)?.groups.add(group)
  return group
}

/** The task has ended. Groups that hold nothing any more are forgotten. */
export function leaveGroup(state: LedgerState, task: TaskRecord): void {
  let group = groupOf(state, task)
  group?.members.delete(task)
  while (group !== undefined && group.members.size + group.groups.size === 0) {
    state.groups.delete(group.path)
    const parent = parentOf(state, group)
    parent?.groups.delete(group)
    group = parent
  }
}

/** A task failed: it runs again, with those of its group whom the strategy names; or it, or its group, has had its chances. */
export function restartAfterFailure(state: LedgerState, failure: Failure): void {
  const group = groupOf(state, failure.task)
  if (group !== undefined) restartChild(state, group, failure.task, failure)
  else if (failure.delayMs === undefined) state.end(failure.task, 'failed', failure.error, failure.place)
  else state.makeReady(failure.task, failure.why, dueAfter(state, failure.delayMs))
}

/** True if the group of the task takes the death of a node for a failure. */
export function mindsNodes(state: LedgerState, task: TaskRecord): boolean {
  return groupOf(state, task)?.level.nodeLoss === 'failure'
}

/**
 * A member is lost for good: it failed and is not to run again, or ran out of time. With one-for-one the others do not need
 * it. The other strategies say that they do: the group ends, and so does each above it that is of that kind.
 */
export function loseMember(state: LedgerState, task: TaskRecord, error: ErrorRecord, place: Place): void {
  // What was refused at its submission was never a member.
  if (task.rare?.temporary || error.code === 'TROUPE_GROUP_FAILED' || !groupOf(state, task)?.members.has(task)) return
  let lost: Group | undefined
  for (let group = groupOf(state, task); group !== undefined && needsAll(group); group = parentOf(state, group)) {
    lost = group
  }
  if (lost !== undefined) endGroup(state, lost, `it cannot go on without "${task.id}"`, { task, error, place })
}

/** An operator lets a dead letter run again: it is back in its groups, and they count anew. */
export function rejoinGroup(state: LedgerState, task: TaskRecord): void {
  const levels = task.rare?.group
  if (levels === undefined) return
  joinGroup(state, task, levels)
  for (let group = groupOf(state, task); group !== undefined; group = parentOf(state, group)) group.failures = []
}

// --- strategies -------------------------------------------------------------------------------------------------------

function restartChild(state: LedgerState, group: Group, child: Child, failure: Failure): void {
  const {
    intensity = defaultRestart.intensity,
    periodMs = defaultRestart.periodMs,
    backoffMs = 0,
    restartFrom,
  } = group.level
  group.failures = group.failures.filter((time) => time > state.timeMs - periodMs)
  group.failures.push(state.timeMs)
  const times = group.failures.length
  if (times > intensity) {
    failUpward(state, group, `more than ${intensity} failures within ${periodMs} ms`, failure)
    return
  }
  if (child === failure.task && failure.delayMs === undefined) {
    state.end(failure.task, 'failed', failure.error, failure.place)
    return
  }
  const backoff = Math.min(backoffMaxMs, backoffMs * 2 ** Math.min(times - 1, 30))
  const dueAtMs = dueAfter(state, Math.max(failure.delayMs ?? 0, backoff))
  const anew = restartFrom === undefined ? isGroup(child) || needsAll(group) : restartFrom === 'beginning'
  const below = liveTasks(affected(group, child))
  if (isGroup(child)) for (const task of below) beginAttempts(state, task)
  const tasks = below.filter((task) => task === failure.task || isToRestart(task, anew))
  const reason = `its group "${group.path}" was restarted because of "${failure.task.id}"`
  const cancelled = { code: 'TROUPE_TASK_CANCELLED', message: `${reason}, and it is temporary` }
  // As OTP has it: terminated from the last to the first, started from the first to the last.
  for (const task of tasks.toReversed()) if (task !== failure.task) noteRecall(state, task, reason)
  for (const task of tasks) {
    if (task === failure.task) start(state, task, failure.why, dueAtMs, anew)
    else if (task.rare?.temporary) state.end(task, 'cancelled', cancelled, failure.place)
    else startSibling(state, task, dueAtMs, anew)
  }
}

/** Whom the strategy restarts with this child, in the order of their start. */
function affected(group: Group, child: Child): Child[] {
  if (!needsAll(group)) return [child]
  const children = childrenOf(group)
  return group.level.strategy === 'one-for-all' ? children : children.slice(children.indexOf(child))
}

function needsAll({ level: { strategy = 'one-for-one' } }: Group): boolean {
  return strategy !== 'one-for-one'
}

/** The group terminates its children and itself; the one above decides what becomes of it. */
function failUpward(state: LedgerState, group: Group, why: string, failure: Failure): void {
  const parent = parentOf(state, group)
  if (parent === undefined) {
    endGroup(state, group, why, failure)
    return
  }
  forgetFailures(group)
  restartChild(state, parent, group, failure)
}

function endGroup(
  state: LedgerState,
  group: Group,
  why: string,
  { task: by, error: cause, place }: Pick<Failure, 'task' | 'error' | 'place'>,
): void {
  const message = `its group "${group.path}" failed: ${why}`
  const error = { code: 'TROUPE_GROUP_FAILED', message, details: { group: group.path, task: by.id }, cause }
  for (const task of liveTasks([group]).toReversed()) {
    if (task !== by) noteRecall(state, task, message)
    state.end(task, 'failed', error, place)
  }
}

/** A supervisor that is started anew has seen no failures yet. */
function forgetFailures(group: Group): void {
  group.failures = []
  for (const below of group.groups) forgetFailures(below)
}

function beginAttempts(state: LedgerState, task: TaskRecord): void {
  state.touch(task)
  task.attempt = 1
  delete task.rare?.restarts
  delete task.rare?.deaths
}

/** What has not begun has nothing to begin again; what rests at its snapshot rests there still. */
function isToRestart(task: TaskRecord, anew: boolean): boolean {
  return task.status === 'running' || (anew && task.startedAtMs > 0 && task.status !== 'blocked')
}

function startSibling(state: LedgerState, task: TaskRecord, dueAtMs: number, anew: boolean): void {
  // Another that was cancelled may have taken it along.
  if (task.ended) return
  state.touch(task)
  // An award that is on its way carries what the task was before: this voids it.
  if (task.owner === undefined) task.turn++
  start(state, task, 'restarted', Math.max(dueAtMs, task.status === 'waiting' ? task.dueAtMs : 0), anew)
}

function start(state: LedgerState, task: TaskRecord, why: Failure['why'], dueAtMs: number, anew: boolean): void {
  state.touch(task)
  if (anew) beginAnew(task)
  state.makeReady(task, why, dueAtMs)
}

/** The initial state, with the signals that no state has consumed; what was consumed does not come again. */
function beginAnew(task: TaskRecord): void {
  task.snapshot = undefined
  const { rare } = task
  if (rare === undefined) return
  delete rare.progress
  if (rare.lastSignal === undefined) return
  // To one that has no state yet, the first signal is the first that there ever was.
  const [first, ...others] = rare.signals ?? []
  if (first === undefined) rare.lastSignal = 0
  else rare.signals = [{ ...first, previous: 0 }, ...others]
}

function dueAfter(state: LedgerState, delayMs: number): number {
  return delayMs === 0 ? 0 : state.timeMs + delayMs
}

// --- the tree ---------------------------------------------------------------------------------------------------------

/** The group of a live task, if it has one. */
export function groupOf(state: LedgerState, task: TaskRecord): Group | undefined {
  const levels = task.rare?.group
  return levels === undefined ? undefined : state.groups.get(pathOf(levels))
}

/** The path of the innermost of these groups. */
export function pathOf(levels: readonly GroupLevel[], count = levels.length): string {
  let path = levels[0]?.name ?? ''
  for (let at = 1; at < count; at++) path += `/${levels[at]!.name}`
  return path
}

function parentOf(state: LedgerState, { path }: Group): Group | undefined {
  return state.groups.get(path.slice(0, Math.max(0, path.lastIndexOf('/'))))
}

function childrenOf(group: Group): Child[] {
  return [...group.members, ...group.groups].sort((a, b) => a.order - b.order)
}

function liveTasks(children: readonly Child[]): TaskRecord[] {
  return children.flatMap((child) => (isGroup(child) ? liveTasks(childrenOf(child)) : [child]))
}

function isGroup(child: Child): child is Group {
  return 'members' in child
}

// --- in a checkpoint --------------------------------------------------------------------------------------------------

export type GroupRow = readonly [path: string, level: GroupLevel, order: number, failures: readonly number[]]

/** All groups; those above stand before those below. */
export function groupRows(state: LedgerState): GroupRow[] {
  const rows = [...state.groups.values()].map((group): GroupRow => {
    const { path, level, order, failures } = group
    return [path, level, order, [...failures]]
  })
  return rows.sort(([a], [b]) => a.split('/').length - b.split('/').length)
}

/** Fills the groups of a state that has its tasks already. */
export function restoreGroups(state: LedgerState, rows: readonly GroupRow[]): void {
  for (const [path, level, order, failures] of rows) openGroup(state, path, level, order).failures = [...failures]
  for (const task of state.tasks.values()) if (!task.ended) groupOf(state, task)?.members.add(task)
}
