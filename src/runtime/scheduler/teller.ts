/**
 * Tells outcomes to those who wait: SDK clients on their subject, many in one message; `Troupe-Reply-To` subjects; and
 * requests that are open here. A lost message is harmless, for clients ask (rule 15).
 */
import type { Change, Submitter } from '../../actors/ledger/change.ts'
import type { TaskRecord, TerminalStatus } from '../../actors/ledger/task-record.ts'
import type { Bus } from '../../nats/bus.ts'
import { packBlock } from '../../protocol/blocks.ts'
import type { Payload } from '../../protocol/entries.ts'
import type { ErrorRecord } from '../../protocol/errors.ts'
import { jsonable } from '../../protocol/jsonable.ts'
import { limits } from '../../protocol/limits.ts'
import type { Outcome, RunAnswer } from '../../protocol/messages.ts'
import { unpackValue } from '../../protocol/payload.ts'
import type { Subjects } from '../../protocol/subjects.ts'

export type Listener = (
  task: TaskRecord | undefined,
  answer: RunAnswer | { id: string; status: 'refused'; error: ErrorRecord },
) => void

const text = new TextEncoder()
const waitersMax = 100_000

export class Teller {
  private readonly bus: Bus
  private readonly subjects: Subjects
  /** Rows for each client, sent at the end of a batch. */
  private rows = new Map<string, Outcome[]>()
  private rowBytes = 0
  /** Who else waits for a task: submitters of the same id again, and open requests. */
  private readonly waiters = new Map<string, (Submitter | Listener)[]>()

  constructor(bus: Bus, subjects: Subjects) {
    this.bus = bus
    this.subjects = subjects
  }

  /** Takes note of what was folded and tells it. */
  tell(changes: readonly Change[]): void {
    for (const change of changes) {
      switch (change.what) {
        case 'completed':
          this.outcome(change.task, 'completed', change.result)
          break
        case 'failed':
        case 'cancelled':
        case 'expired':
          this.outcome(change.task, change.what, change.error)
          break
        case 'refused':
          this.refused(change.submitter, change.id, change.error)
          break
        case 'duplicate':
          if (!change.task.ended) this.wait(change.task.id, change.submitter)
          break
        default:
      }
    }
    this.flush()
  }

  /** Calls `listener` once, when the task ends. */
  wait(id: string, listener: Submitter | Listener): void {
    const waiting = this.waiters.get(id)
    if (waiting !== undefined) waiting.push(listener)
    else if (this.waiters.size < waitersMax) this.waiters.set(id, [listener])
  }

  /** Somebody waits who can be told by this teller alone. */
  get awaited(): boolean {
    return this.waiters.size > 0
  }

  clear(): void {
    this.rows.clear()
    this.waiters.clear()
  }

  /** Tells one submitter an outcome that was reached before. */
  tellOne(submitter: Submitter, id: string, status: TerminalStatus, value: Payload | ErrorRecord): void {
    this.toSubmitter(submitter, id, status, value)
    this.flush()
  }

  private outcome(task: TaskRecord, status: TerminalStatus, value: Payload | ErrorRecord): void {
    if (task.client !== undefined) this.row(task.client, [task.reference, task.id, status, value] as Outcome)
    const replyTo = task.rare?.replyTo
    if (replyTo !== undefined) this.reply(replyTo, answerOf(task.id, status, value))
    if (this.waiters.size === 0) return
    const waiting = this.waiters.get(task.id)
    if (waiting === undefined) return
    this.waiters.delete(task.id)
    for (const waiter of waiting) {
      if (typeof waiter === 'function') waiter(task, answerOf(task.id, status, value))
      else this.toSubmitter(waiter, task.id, status, value)
    }
  }

  private toSubmitter(submitter: Submitter, id: string, status: TerminalStatus, value: Payload | ErrorRecord): void {
    if (submitter.client !== undefined) this.row(submitter.client, [submitter.reference, id, status, value] as Outcome)
    if (submitter.replyTo !== undefined) this.reply(submitter.replyTo, answerOf(id, status, value))
  }

  private refused(submitter: Submitter, id: string, error: ErrorRecord): void {
    if (submitter.client !== undefined) this.row(submitter.client, [submitter.reference, id, 'refused', error])
    const answer = { id, status: 'refused' as const, error }
    if (submitter.replyTo !== undefined) this.reply(submitter.replyTo, answer)
    const waiting = this.waiters.get(submitter.reference)
    this.waiters.delete(submitter.reference)
    for (const waiter of waiting ?? []) if (typeof waiter === 'function') waiter(undefined, answer)
  }

  private row(client: string, outcome: Outcome): void {
    const rows = this.rows.get(client)
    if (rows === undefined) this.rows.set(client, [outcome])
    else rows.push(outcome)
    const value = outcome[3]
    this.rowBytes +=
      96 + (value instanceof Uint8Array ? value.length : typeof value === 'string' ? value.length * 3 : 512)
    if (this.rowBytes > limits.blockBytesMax / 2) this.flush()
  }

  private flush(): void {
    if (this.rows.size === 0) return
    for (const [client, rows] of this.rows) {
      for (let at = 0; at < rows.length; at += limits.blockEntriesMax) {
        this.bus.publish(this.subjects.tell(client), packBlock(rows.slice(at, at + limits.blockEntriesMax)))
      }
    }
    this.rows = new Map()
    this.rowBytes = 0
  }

  private reply(subject: string, answer: unknown): void {
    this.bus.publish(subject, text.encode(JSON.stringify(answer)))
  }
}

/** The outcome as JSON; a result that cannot be shown as such says so. */
export function answerOf(id: string, status: TerminalStatus, value: Payload | ErrorRecord): RunAnswer {
  if (status !== 'completed') return { id, status, error: value as ErrorRecord }
  const result = shownValue(value as Payload)
  return result === undefined ? { id, status } : { id, status, result }
}

/** What is said of a task that completed, once the log holds its result no more: a nearly full log makes room. */
export function resultGone(id: string): ErrorRecord {
  return { code: 'TROUPE_RESULT_GONE', message: `task "${id}" completed, and its result is not kept any more` }
}

/** A payload as JSON can show it; a large value stored as an object is shown as a reference. */
export function shownValue(payload: Payload): unknown {
  if (Array.isArray(payload)) return { object: payload[0], bytes: payload[1] }
  try {
    return jsonable(unpackValue(payload as Uint8Array | string | null))
  } catch (error) {
    return { unreadable: error instanceof Error ? error.message : String(error) }
  }
}
