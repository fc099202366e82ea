/**
 * Poison: a task that fails again and again at the same place. The same event that no state could be stored behind, or a crash
 * of its thread or process in the same state, will not come out better by trying on: it is set aside with the evidence,
 * whatever its retry policy says.
 */
import type { ErrorRecord } from '../../protocol/errors.ts'
import type { TaskRecord } from './task-record.ts'

/** So often it may fail at one place. */
const failuresMax = 3

/**
 * Notes a failed attempt; returns the error of a poisoned task, or undefined. `event` is the sequence of the signal that the
 * task had taken last, 0 for none.
 */
export function notePoison(task: TaskRecord, error: ErrorRecord, event: number): ErrorRecord | undefined {
  const { snapshot, rare } = task
  const signal = event === 0 ? undefined : rare?.signals?.find(({ sequence }) => sequence === event)
  if (signal === undefined && error.code !== 'TROUPE_TASK_CRASHED') {
    delete rare?.failing
    return undefined
  }
  const at = signal === undefined ? `${snapshot?.sequence ?? 0}.${snapshot?.index ?? 0}` : `event ${signal.sequence}`
  const times = rare?.failing?.at === at ? rare.failing.times + 1 : 1
  task.more.failing = { at, times, event: signal?.sequence ?? 0 }
  if (times < failuresMax) return undefined
  const what = signal === undefined ? 'crashed' : 'failed'
  const where = snapshot === undefined ? 'in its initial state' : `in the state that entry ${snapshot.sequence} stored`
  const on = signal === undefined ? '' : ` on the event of entry ${signal.sequence}`
  return {
    code: 'TROUPE_POISONED',
    message: `it ${what} ${times} times ${where}${on}: ${error.message}`,
    details: {
      times,
      ...(snapshot && { snapshot: { sequence: snapshot.sequence, index: snapshot.index } }),
      ...(signal && { event: { sequence: signal.sequence, id: signal.id } }),
    },
    cause: error,
  }
}

/** The task moves on without the event on which it failed, or without the oldest that waits. Returns false if there is none. */
export function skipEvent(task: TaskRecord): boolean {
  const { signals = [], failing, lastSignal } = task.rare ?? {}
  const at = Math.max(
    0,
    signals.findIndex(({ sequence }) => sequence === failing?.event),
  )
  const skipped = signals[at]
  if (skipped === undefined) return false
  // The chain of signals, by which a node notices gaps, leads around it.
  const next = signals[at + 1]
  const after = next === undefined ? [] : [{ ...next, previous: skipped.previous }, ...signals.slice(at + 2)]
  task.more.signals = [...signals.slice(0, at), ...after]
  task.more.lastSignal = next === undefined ? skipped.previous : lastSignal!
  return true
}
