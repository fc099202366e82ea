/** What the log still holds about one task, in log order: every entry that names it, whether it counted or not. */
import type { LedgerState } from '../../actors/ledger/state.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import { type Unpacked, unpackMessage } from '../../actors/ledger/values.ts'
import { kind, type LogMessage } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import type { HistoryAnswer, HistoryEntry } from '../../protocol/messages.ts'
import type { AnswersOptions } from './answers.ts'
import { Page } from './page.ts'

const names = new Map<number, string>(Object.entries(kind).map(([name, number]) => [number, name]))
const pageMessages = 1_000
const pageBytes = 16 * 1024 * 1024
/** Messages read at most for one history; beyond it, the answer ends there. */
const readMax = 200_000

/** Reads from the task's submission to where it ended, or to the end of the log. */
export async function historyOf(task: TaskRecord, state: LedgerState, options: AnswersOptions): Promise<HistoryAnswer> {
  const until = task.outcome?.sequence ?? state.position
  const shown = new Page<HistoryEntry>(limits.rowsMax, Math.floor(options.bus.maxPayloadBytes * 0.9))
  let from = task.sequence
  let read = 0
  while (from <= until && read < readMax) {
    const page = await options.log.getRange(from, pageMessages, pageBytes)
    const last = page.at(-1)
    if (last === undefined) break
    for (const message of page) {
      if (message.sequence > until) break
      const entries: HistoryEntry[] = []
      addEntries(entries, task, message, unpackMessage(options.subjects, message))
      if (!entries.every((entry) => shown.add(entry))) return { id: task.id, entries: shown.rows, more: true }
    }
    read += page.length
    from = last.sequence + 1
  }
  return { id: task.id, entries: shown.rows, more: from <= until && read >= readMax }
}

function addEntries(entries: HistoryEntry[], task: TaskRecord, message: LogMessage, unpacked: Unpacked): void {
  const at = new Date(message.timestampMs).toISOString()
  const { sequence } = message
  if (sequence === task.sequence) entries.push({ sequence, at, what: 'submitted' })
  if (unpacked.of === 'signal' && message.subject.endsWith(`.signal.${task.id}`)) {
    entries.push({ sequence, at, what: 'signal' })
  }
  if (unpacked.of !== 'journal' && unpacked.of !== 'control') return
  const node = unpacked.of === 'journal' ? message.subject.split('.').at(-2) : undefined
  for (const entry of unpacked.entries) {
    if (entry === undefined || entry[1] !== task.id) continue
    const turn = typeof entry[2] === 'number' && entry[0] < kind.led ? entry[2] : undefined
    const details = detailsOf(entry)
    entries.push({
      sequence,
      at,
      what: names.get(entry[0]) ?? String(entry[0]),
      ...(turn !== undefined && { turn }),
      ...(node !== undefined && { node }),
      ...(details !== undefined && { details }),
    })
  }
}

function detailsOf(entry: readonly unknown[]): unknown {
  switch (entry[0]) {
    case kind.failed:
      return entry[3]
    case kind.dismissed:
      return { child: entry[3] }
    case kind.progressed:
      return { fraction: entry[3], note: entry[4] }
    case kind.parked:
      return { wakeAtMs: entry[5], onSignal: entry[6], children: (entry[7] as unknown[]).length }
    case kind.revoked:
    case kind.hedged:
      return { reason: entry[3] }
    case kind.cancelled:
      return { reason: entry[2] }
    default:
      return undefined
  }
}
