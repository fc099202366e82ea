/**
 * What partitions say to each other through their logs: what a leader has brought over, what came from another's log, and how
 * a task ended that is not here.
 */
import { type Astray, type ForwardEntry, type Forwarded, kind, type Settled } from '../../protocol/entries.ts'
import { systemTaskId } from '../../protocol/names.ts'
import { foldSignal } from './signal-entries.ts'
import type { LedgerState } from './state.ts'
import { foldSubmission } from './submission-entries.ts'

/** Submissions that belong to partition `to` were brought there, up to this sequence. */
export function foldForwarded(state: LedgerState, [, to, sequence]: Forwarded): boolean {
  return state.strays.forwarded(to, sequence)
}

/** A stray signal was brought to its task, or no partition has such a task. */
export function foldAstray(state: LedgerState, [, sequence, index, isFound]: Astray): boolean {
  const signal = state.strays.takeSignal(sequence, index)
  if (signal === undefined) return false
  if (!isFound) {
    const message = `a signal for "${signal.task.slice(0, 128)}", which no partition knows`
    state.setAside(`signal.${signal.task}`, { code: 'TROUPE_UNKNOWN_TASK', message })
  }
  return true
}

/** A task of another partition that tasks here wait for has ended. Void while one of that id is here. */
export function foldSettled(state: LedgerState, [, id, status]: Settled, index: number): boolean {
  if (state.tasks.has(id) || !state.dependents.has(id)) return false
  state.settleDependents(id, status, { sequence: state.position, index })
  return true
}

/** Something that the scheduler of partition `from` has brought. Returns whether it counted. */
export function foldBrought(
  state: LedgerState,
  from: number,
  entry: ForwardEntry,
  index: number,
  subject: string,
): boolean {
  if (entry[0] === kind.broughtSignal) {
    foldSignal(state, entry[1], entry[2], index, subject, true)
    return true
  }
  const [, sequence, type, input, options] = entry
  if (!state.strays.isNew(from, sequence)) return false
  // Without an id of its own it keeps the one that its place in the other log gave it.
  foldSubmission(state, [type, input, options], index, undefined, systemTaskId(from, sequence))
  return true
}
