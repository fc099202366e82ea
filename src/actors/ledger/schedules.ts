/**
 * Cron schedules in the ledger. When one is due next stands in the log, written by the leader that was asked for it or that
 * made the firing before; so every fold agrees, whatever its machine knows of time zones. A firing counts once: it names the
 * due time that the schedule stands at, and moves it on.
 */
import type { Fired, Missed, Payload, Scheduled } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import { firingId, type Schedule } from '../../protocol/schedule.ts'
import type { LedgerState } from './state.ts'
import { foldFiring } from './submission-entries.ts'
import type { Place } from './task-record.ts'

export interface ScheduleRecord {
  readonly name: string
  readonly schedule: Schedule
  readonly input: Payload
  readonly setAtMs: number
  /** Of the message that set it; 0: set before schedules knew it. */
  readonly setSequence: number
  /** When it is due next; 0: never. */
  nextAtMs: number
  /** Due time of the latest firing that made a task, and that task; 0 and empty: none. */
  lastAtMs: number
  lastTask: string
  fired: number
  skipped: number
  /** Due time of the first of the firings that were missed last; 0: none. */
  missedAtMs: number
  /** Tasks of earlier firings that may not have ended, oldest first; not kept when firings may overlap. */
  open: readonly string[]
}

/** The firing that is due next stays so when only what it runs has changed: setting a schedule anew never loses one. */
export function foldScheduled(state: LedgerState, [, name, schedule, input, nextAtMs]: Scheduled): boolean {
  const before = state.schedules.get(name)
  if (schedule === null) {
    if (!state.schedules.delete(name)) return false
  } else {
    if (before === undefined && state.schedules.size >= limits.schedulesMax) return false
    const isDueAsBefore =
      before?.schedule.schedule === schedule.schedule && before.schedule.timeZone === schedule.timeZone
    const { lastAtMs = 0, lastTask = '', fired = 0, skipped = 0, missedAtMs = 0, open = [] } = before ?? {}
    const counts = { lastAtMs, lastTask, fired, skipped, missedAtMs, open }
    const dueAtMs = isDueAsBefore ? before.nextAtMs : nextAtMs
    const set = { setAtMs: state.timeMs, setSequence: state.position }
    state.schedules.set(name, { name, schedule, input, ...set, nextAtMs: dueAtMs, ...counts })
  }
  state.changes.push({ what: 'scheduled', name })
  return true
}

export function foldFired(state: LedgerState, entry: Fired, index: number): boolean {
  const [, name, dueAtMs, nextAtMs, input, setSequence] = entry
  const record = standsAt(state, name, dueAtMs, setSequence)
  if (record === undefined) return false
  record.nextAtMs = nextAtMs
  state.changes.push({ what: 'scheduled', name })
  const { schedule } = record
  const open = record.open.filter((id) => !state.isEnded(id))
  const isFull = schedule.overlap === 'queue' && open.length >= limits.firingsQueuedMax
  if (isFull || (schedule.overlap === 'skip' && open.length > 0)) {
    record.skipped++
    return true
  }
  const id = firingId(name, dueAtMs)
  if (schedule.overlap === 'replace') for (const earlier of open) replace(state, earlier, id, index)
  const follows = schedule.overlap === 'queue' ? open.at(-1) : undefined
  foldFiring(state, { id, type: schedule.type, options: { ...schedule.options, id }, input, index, follows })
  record.open = schedule.overlap === 'allow' ? [] : schedule.overlap === 'queue' ? [...open, id] : [id]
  record.lastAtMs = dueAtMs
  record.lastTask = id
  record.fired++
  return true
}

export function foldMissed(state: LedgerState, [, name, dueAtMs, nextAtMs, setSequence]: Missed): boolean {
  const record = standsAt(state, name, dueAtMs, setSequence)
  if (record === undefined) return false
  record.nextAtMs = nextAtMs
  record.missedAtMs = dueAtMs
  state.changes.push({ what: 'scheduled', name })
  return true
}

/**
 * The schedule, if this is the firing that is due next, and its time has come. What was decided on by another pattern that was
 * due at the same time would move it on to a time of that one.
 */
function standsAt(
  state: LedgerState,
  name: string,
  dueAtMs: number,
  setSequence: number | undefined,
): ScheduleRecord | undefined {
  const record = state.schedules.get(name)
  if (record?.nextAtMs !== dueAtMs || dueAtMs > state.timeMs) return undefined
  return setSequence === undefined || setSequence === record.setSequence ? record : undefined
}

function replace(state: LedgerState, id: string, by: string, index: number): void {
  const task = state.tasks.get(id)
  if (task === undefined) return
  const place: Place = { sequence: state.position, index }
  state.end(task, 'cancelled', { code: 'TROUPE_TASK_CANCELLED', message: `"${by}" took its place` }, place)
}
