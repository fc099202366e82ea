/** What is to happen to tasks at a time: they become due, wake up, pass their deadline, run longer than they may. */
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import { expiryOf, turnLimitOf } from '../ledger/time-limits.ts'
import { Heap } from './heap.ts'

export interface Timer {
  readonly task: TaskRecord
  readonly what: 'due' | 'wake' | 'deadline' | 'timeout'
  readonly turn: number
}

/** Fewer timers than this are never swept. */
const timersMin = 10_000

export class Timers {
  private readonly heap = new Heap<Timer>()
  private max = timersMin

  /** Timers of tasks that ended long before are swept out now and then, or they would hold them for years. */
  set(timer: Timer, atMs: number): void {
    this.heap.push(timer, atMs)
    if (this.heap.length <= this.max) return
    this.heap.sweep(isWanted)
    this.max = Math.max(timersMin, this.heap.length * 2)
  }

  /** Takes the next one that is due by `nowMs`, if something may still come of it or not. */
  next(nowMs: number): Timer | undefined {
    return this.heap.peekRank() <= nowMs ? this.heap.pop() : undefined
  }

  get length(): number {
    return this.heap.length
  }

  get nextMs(): number {
    return this.heap.peekRank()
  }
}

/** Grace for the node to report a timeout itself before the leader does. */
const timeoutGraceMs = 2_000
/** The same for tasks in threads and processes, which cannot keep their node from reporting, and may wait for one there. */
const isolatedGraceMs = 60_000
/** A decision that was appended and is not folded after this long is made again: it, or the message, was lost. */
const decideAgainMs = 5_000

/**
 * The limit that a timer stands for, as the task has it now: a start, a sign of progress or an operator may have moved it or
 * taken it away (undefined). If it has passed, the entry that says so, to be said again if that is not folded.
 */
export function limitOf(
  { task, what, turn }: Timer,
  nowMs: number,
): { readonly entry?: ControlEntry; readonly nextMs: number } | undefined {
  const isDeadline = what === 'deadline'
  const limit = isDeadline ? expiryOf(task) : turnLimitOf(task)
  if (limit === undefined) return undefined
  const graceMs = task.profile?.isolated === true ? isolatedGraceMs : timeoutGraceMs
  const atMs = isDeadline ? limit.atMs : limit.atMs + graceMs
  if (atMs > nowMs) return { nextMs: atMs }
  return { entry: isDeadline ? [kind.expired, task.id] : [kind.timedOut, task.id, turn], nextMs: nowMs + decideAgainMs }
}

/** Whether something may still come of the timer. */
export function isWanted({ task, what, turn }: Timer): boolean {
  return !task.ended && (what === 'deadline' || task.turn === turn)
}
