/**
 * Entries about a turn. `accepted` counts if and only if the task is ready and due, its turn is the last one plus one, the
 * incarnation is live and has the task's type. Every later entry needs the owner, the turn and a running task (rule 1); of two
 * turns that run side by side, see `hedges.ts`, the first to commit something stays.
 * An entry that does not count changes nothing.
 */
import {
  type Accepted,
  type Checkpointed,
  type Completed,
  type Failed,
  kind,
  type Parked,
  type Progressed,
  type TurnEntry,
  type Yielded,
} from '../../protocol/entries.ts'
import { defaultRetry } from '../../protocol/options.ts'
import { noteAttempt } from './breakers.ts'
import { retryDelayMs } from './delays.ts'
import { boundedError } from './errors.ts'
import { gangToStartWith, holdMember } from './gangs.ts'
import { acceptBeside, commitsTurn, holdsTurn, leavesToOther } from './hedges.ts'
import type { Member } from './member.ts'
import { notePoison } from './poison.ts'
import type { LedgerState } from './state.ts'
import { restartAfterFailure } from './supervision.ts'
import type { Place, TaskRecord } from './task-record.ts'
import { noteBeat } from './time-limits.ts'

/** Folds one entry of the journal of `member`, which lives. Returns whether it counted. */
export function foldTurnEntry(state: LedgerState, member: Member, entry: TurnEntry, index: number): boolean {
  const task = state.tasks.get(entry[1])
  if (task === undefined) return false
  if (entry[0] === kind.accepted) return accepted(state, member, task, entry)
  if (!holdsTurn(task, member, entry[2])) return false
  if (task.rare?.hedge !== undefined && settlesHedge(state, task, member, entry)) return true
  state.touch(task)
  const place: Place = { sequence: state.position, index }
  switch (entry[0]) {
    case kind.checkpointed:
      checkpointed(state, task, entry, place)
      return true
    case kind.progressed:
      progressed(state, task, entry)
      return true
    case kind.parked:
      parked(state, task, entry, place)
      return true
    case kind.yielded:
      yielded(state, task, entry, place)
      return true
    case kind.completed:
      completed(state, task, entry, place)
      return true
    case kind.failed:
      failed(state, task, entry, place)
      return true
  }
}

/** A turn that may have another beside it says something; true if it leaves the task to the other. */
function settlesHedge(
  state: LedgerState,
  task: TaskRecord,
  member: Member,
  entry: Exclude<TurnEntry, Accepted>,
): boolean {
  const turn = entry[2]
  if (entry[0] === kind.progressed) return false
  if (entry[0] === kind.failed) return leavesToOther(state, task, turn, `failed: ${entry[3].message}`)
  if (entry[0] === kind.yielded && entry[3] === null) return leavesToOther(state, task, turn, 'was given back')
  commitsTurn(state, task, member, turn)
  return false
}

/** When the task may be accepted: 0 at once, undefined when not without something else happening first. */
export function dueAtMs(task: TaskRecord): number | undefined {
  if (task.status === 'waiting') return task.dueAtMs
  if (task.status === 'parked' && task.rare?.wakeAtMs !== undefined) return task.rare.wakeAtMs
  return undefined
}

function accepted(state: LedgerState, member: Member, task: TaskRecord, entry: Accepted): boolean {
  const due = dueAtMs(task)
  if (due === undefined) return acceptBeside(state, member, task, entry)
  if (due > state.timeMs || entry[2] !== task.turn + 1) return false
  const profile = member.types.get(task.type)
  if (profile === undefined) return false
  state.touch(task)
  state.wake(task)
  task.turn = entry[2]
  task.owner = member
  task.profile = profile
  task.turnAtMs = state.timeMs
  task.turnSequence = state.position
  member.running.add(task)
  const gang = gangToStartWith(state, task)
  if (gang !== undefined) {
    holdMember(state, gang, task)
    return true
  }
  if (task.startedAtMs === 0) task.startedAtMs = state.timeMs
  state.become(task, 'running')
  state.change('running', task)
  return true
}

function checkpointed(state: LedgerState, task: TaskRecord, entry: Checkpointed, place: Place): void {
  if (entry[3] !== null) keepSnapshot(task, place)
  consume(task, entry[4])
  noteBeat(task, state.timeMs)
  state.change('checkpointed', task)
}

function keepSnapshot(task: TaskRecord, place: Place): void {
  task.snapshot = place
  if (task.rare?.retried) delete task.rare.retried
}

function progressed(state: LedgerState, task: TaskRecord, entry: Progressed): void {
  task.more.progress = { fraction: entry[3], note: entry[4] }
  noteBeat(task, state.timeMs)
  state.change('progress', task)
}

function parked(state: LedgerState, task: TaskRecord, entry: Parked, place: Place): void {
  const [, , , snapshot, consumed, wakeAtMs, onSignal, children, anyChild = false] = entry
  attain(state, task)
  if (snapshot !== null) keepSnapshot(task, place)
  consume(task, consumed)
  const rare = task.more
  // Rule 5: what the task waits for may already be there.
  const awaited = new Set(children.filter((id) => !state.isEnded(id)))
  const signalled = onSignal && (rare.signals?.length ?? 0) > 0
  const childrenDone = children.length > 0 && (anyChild ? awaited.size < new Set(children).size : awaited.size === 0)
  const waitsForNothing = wakeAtMs === 0 && !onSignal && awaited.size === 0
  if (signalled || childrenDone || waitsForNothing) {
    state.makeReady(task, 'yielded')
    return
  }
  state.release(task)
  if (wakeAtMs > 0) rare.wakeAtMs = wakeAtMs
  if (onSignal) rare.onSignal = true
  if (awaited.size > 0) state.awaitAll(task, awaited)
  if (anyChild) rare.awaitsAny = true
  state.become(task, 'parked')
  state.change('parked', task)
}

function yielded(state: LedgerState, task: TaskRecord, entry: Yielded, place: Place): void {
  attain(state, task)
  if (entry[3] !== null) {
    keepSnapshot(task, place)
    consume(task, entry[4])
  }
  state.makeReady(task, 'yielded')
}

function completed(state: LedgerState, task: TaskRecord, entry: Completed, place: Place): void {
  noteAttempt(state, task, false)
  state.end(task, 'completed', entry[3], place)
}

function failed(state: LedgerState, task: TaskRecord, entry: Failed, place: Place): void {
  const poison = entry[4] ? notePoison(task, entry[3], entry[5] ?? 0) : undefined
  failAttempt(state, task, boundedError(poison ?? entry[3]), entry[4] && poison === undefined, place)
}

/** The attempt failed: tried again later by the task's retry policy and that of its group, or a dead letter. */
export function failAttempt(
  state: LedgerState,
  task: TaskRecord,
  error: Failed[3],
  retryable: boolean,
  place: Place,
): void {
  noteAttempt(state, task, true)
  if (!retryable || task.rare?.temporary) {
    state.end(task, 'failed', error, place)
    return
  }
  const policy = task.profile?.retry ?? defaultRetry
  const hasMore = task.attempt < policy.attempts
  const delayMs = hasMore ? retryDelayMs(policy, task.attempt, task.id, task.turn) : undefined
  if (hasMore) task.attempt++
  task.more.lastError = error
  restartAfterFailure(state, { task, error, why: 'retrying', delayMs, place })
}

/** The turn ends without an outcome; how long it ran is for the order of what is to run next. */
function attain(state: LedgerState, task: TaskRecord): void {
  const ranMs = state.timeMs - task.turnAtMs
  if (ranMs > 0) task.more.attainedMs = (task.rare?.attainedMs ?? 0) + ranMs
}

/** Signals up to `consumed` are part of the snapshot now. */
function consume(task: TaskRecord, consumed: number): void {
  const rare = task.rare
  if (rare?.lastSignal === undefined || consumed <= (rare.consumed ?? 0)) return
  rare.consumed = Math.min(consumed, rare.lastSignal)
  if (rare.signals !== undefined) rare.signals = rare.signals.filter((signal) => signal.sequence > consumed)
}
