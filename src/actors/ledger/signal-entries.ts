/**
 * Signals: durable, in log order, once per id, capped per task (rule 14). A signal that no live task can take is set aside
 * where people can see it. A parked task that waits for signals becomes ready.
 */
import type { Signalled } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import { isName } from '../../protocol/names.ts'
import { commitsTurn } from './hedges.ts'
import type { Member } from './member.ts'
import type { LedgerState } from './state.ts'
import type { SignalPlace } from './task-record.ts'

/**
 * Folds a signal for task `to` that stands at `index` of the present message (−1: it is the message). One for a task that is
 * not here may be for another partition, unless it `wasBrought` from there.
 */
export function foldSignal(
  state: LedgerState,
  to: string,
  signalId: string,
  index: number,
  subject: string,
  wasBrought = false,
): void {
  const task = isName(to) ? state.tasks.get(to) : undefined
  if (task === undefined && state.partitions > 1 && !wasBrought && isName(to)) {
    state.strays.addSignal({ sequence: state.position, index, task: to, signalId })
    state.changes.push({ what: 'stray' })
    return
  }
  if (task === undefined) {
    state.setAside(subject, {
      code: 'TROUPE_UNKNOWN_TASK',
      message: `a signal for "${to.slice(0, 128)}", which is not known`,
    })
    return
  }
  if (task.ended) {
    const message = `a signal for "${task.id}", which was ${task.status} already`
    state.setAside(subject, { code: 'TROUPE_TASK_FINISHED', message })
    return
  }
  if (signalId !== '' && task.rare?.signalIds?.has(signalId)) return
  if (task.rare?.lastSignal === state.position) {
    // A consumed position is a sequence, so two signals of one message could not be told apart.
    const message = `a second signal for "${task.id}" in one block`
    state.setAside(subject, { code: 'TROUPE_REFUSED', message })
    return
  }
  if ((task.rare?.signals?.length ?? 0) >= limits.signalsPerTaskMax) {
    const message = `task "${task.id}" already has ${limits.signalsPerTaskMax} signals that it has not consumed`
    state.setAside(subject, { code: 'TROUPE_REFUSED', message })
    return
  }
  state.touch(task)
  const rare = task.more
  if (signalId !== '') remember(rare, signalId)
  const place: SignalPlace = { sequence: state.position, index, previous: rare.lastSignal ?? 0, id: signalId }
  rare.signals ??= []
  rare.signals.push(place)
  rare.lastSignal = state.position
  state.change('signalled', task)
  if (task.status === 'parked' && rare.onSignal) state.makeReady(task, 'ready')
}

function remember(rare: { signalIds?: Set<string> }, signalId: string): void {
  rare.signalIds ??= new Set()
  rare.signalIds.add(signalId)
  if (rare.signalIds.size > limits.signalsPerTaskMax) {
    const oldest = rare.signalIds.values().next().value
    if (oldest !== undefined) rare.signalIds.delete(oldest)
  }
}

/** Folds a signal from a running turn to another task. Void unless `member` owns the turn. */
export function foldTurnSignal(state: LedgerState, member: Member, entry: Signalled, index: number): boolean {
  const [, from, turn, to, signalId] = entry
  const sender = state.tasks.get(from)
  if (sender === undefined || !commitsTurn(state, sender, member, turn)) return false
  foldSignal(state, to, signalId, index, member.subject)
  return true
}
