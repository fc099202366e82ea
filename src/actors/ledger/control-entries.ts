/**
 * Decisions of a leading scheduler. `led` always counts, and its sequence is the epoch; every other entry counts only in a
 * block of the present epoch, written by the present leader. Even then the fold checks what can be checked: time alone ends
 * nothing, but nothing ends before its time either (rule 7).
 */
import {
  type Astray,
  type Carried,
  type ControlEntry,
  type Fired,
  type Forwarded,
  type Kept,
  kind,
  type Led,
  type Limited,
  type Missed,
  type Scheduled,
  type Settled,
  type Ungathered,
} from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import { gatherAgain, ungathered } from './gangs.ts'
import { foldHedged, leavesToOther } from './hedges.ts'
import { foldRetried } from './retrying.ts'
import { foldFired, foldMissed, foldScheduled } from './schedules.ts'
import type { LedgerState } from './state.ts'
import { foldAstray, foldForwarded, foldSettled } from './stray-entries.ts'
import type { Place, TaskRecord } from './task-record.ts'
import { expiryOf, turnLimitOf } from './time-limits.ts'
import { failAttempt } from './turn-entries.ts'

export function foldLed(state: LedgerState, scheduler: string, entry: Led): void {
  state.leader = scheduler
  state.epoch = state.position
  state.rules = entry[1]
  state.changes.push({ what: 'led', leader: scheduler, epoch: state.epoch })
}

type TaskDecision = Exclude<
  ControlEntry,
  Led | Limited | Scheduled | Fired | Missed | Ungathered | Forwarded | Astray | Settled
>

/** Folds one entry of the present leader. Returns whether it counted. */
export function foldControlEntry(state: LedgerState, entry: Exclude<ControlEntry, Led>, index: number): boolean {
  switch (entry[0]) {
    case kind.limited:
      return limited(state, entry)
    case kind.ungathered:
      return ungathered(state, entry)
    case kind.scheduled:
      return foldScheduled(state, entry)
    case kind.fired:
      return foldFired(state, entry, index)
    case kind.missed:
      return foldMissed(state, entry)
    case kind.forwarded:
      return foldForwarded(state, entry)
    case kind.astray:
      return foldAstray(state, entry)
    case kind.settled:
      return foldSettled(state, entry, index)
    default:
      return foldTaskDecision(state, entry, index)
  }
}

function foldTaskDecision(state: LedgerState, entry: TaskDecision, index: number): boolean {
  const task = state.tasks.get(entry[1])
  if (task === undefined) return false
  const place: Place = { sequence: state.position, index }
  switch (entry[0]) {
    case kind.revoked:
      return revoked(state, task, entry[2])
    case kind.hedged:
      return foldHedged(state, task, entry)
    case kind.cancelled:
      if (task.ended) return false
      state.end(task, 'cancelled', { code: 'TROUPE_TASK_CANCELLED', message: entry[2] || 'it was cancelled' }, place)
      return true
    case kind.expired:
      return expired(state, task, place)
    case kind.timedOut:
      return timedOut(state, task, entry[2], place)
    case kind.retried:
      return foldRetried(state, task, entry[2] === true)
    case kind.removed:
      if (!task.ended) return false
      state.touch(task)
      state.unqueue(task)
      state.forget(task)
      state.change('removed', task)
      return true
    case kind.kept:
      return kept(state, task, entry, place)
    case kind.carried:
      return carried(state, task, entry, place)
    case kind.lost:
      return lost(state, task, entry[2], entry[3], place)
  }
}

/** Limits say when a leader awards, never what counts: a turn that was accepted counts whatever they are. */
function limited(state: LedgerState, [, type, given]: Limited): boolean {
  if (given === null) {
    if (!state.limits.delete(type)) return false
  } else if (state.limits.size < limits.typesPerNodeMax || state.limits.has(type)) state.limits.set(type, given)
  else return false
  if (given?.breaker === undefined) state.breakers.delete(type)
  state.changes.push({ what: 'limited', type })
  return true
}

/** Rule 6: the owner does not know of this turn, so it goes to another. */
function revoked(state: LedgerState, task: TaskRecord, turn: number): boolean {
  if (leavesToOther(state, task, turn, 'was revoked')) return true
  const isHeld = task.status === 'held'
  if ((task.status !== 'running' && !isHeld) || task.turn !== turn) return false
  state.touch(task)
  state.makeReady(task, 'restarted')
  if (task.rare?.gang !== undefined && !isHeld) gatherAgain(state, task)
  return true
}

function expired(state: LedgerState, task: TaskRecord, place: Place): boolean {
  const limit = task.ended ? undefined : expiryOf(task)
  if (limit === undefined || limit.atMs > state.timeMs) return false
  state.end(task, 'expired', limit.error, place)
  return true
}

function timedOut(state: LedgerState, task: TaskRecord, turn: number, place: Place): boolean {
  const limit = turnLimitOf(task)
  if (limit === undefined || task.turn !== turn || limit.atMs > state.timeMs) return false
  if (leavesToOther(state, task, turn, 'took too long')) return true
  state.touch(task)
  failAttempt(state, task, limit.error, true, place)
  return true
}

/** Compaction copied the values forward; void unless they still stand where they were copied from (rule 2). */
function kept(state: LedgerState, task: TaskRecord, entry: Kept, place: Place): boolean {
  const [, , inputSequence, , snapshotSequence] = entry
  if (task.input.sequence !== inputSequence || (task.snapshot?.sequence ?? 0) !== snapshotSequence) return false
  if (task.status === 'completed') return false
  state.touch(task)
  task.more.inputPlace = place
  if (task.snapshot !== undefined) task.snapshot = place
  return true
}

/** Compaction copied a signal or a result forward. What it is does not change, so that only whether it is needed matters. */
function carried(state: LedgerState, task: TaskRecord, [, , what, sequence]: Carried, place: Place): boolean {
  if (what === 'result') {
    if (task.status !== 'completed' || task.outcome?.sequence !== sequence) return false
    state.touch(task)
    task.outcome = place
    return true
  }
  const signals = task.rare?.signals ?? []
  const at = signals.findIndex((signal) => signal.sequence === sequence)
  if (at < 0) return false
  state.touch(task)
  task.more.signals = signals.with(at, { ...signals[at]!, copy: place })
  return true
}

/** A task that runs has its values with it; any other can never run again, and there is nothing that a retry could use. */
function lost(state: LedgerState, task: TaskRecord, turn: number, reason: string, place: Place): boolean {
  if (task.ended || task.status === 'running' || task.turn !== turn) return false
  state.touch(task)
  task.more.unreadable = true
  state.end(task, 'failed', { code: 'TROUPE_VALUES_LOST', message: reason }, place)
  return true
}
