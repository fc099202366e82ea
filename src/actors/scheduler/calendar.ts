/**
 * What is to happen to tasks at a time: they come due, wake up, pass a limit on time. What passes becomes an entry, to be said
 * again if it is not folded.
 */
import type { ControlEntry } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import { dueAtMs } from '../ledger/turn-entries.ts'
import { isWanted, limitOf, type Timer, Timers } from './timers.ts'

export class Calendar {
  private readonly timers = new Timers()
  private readonly onDue: (task: TaskRecord) => void
  private delayed = 0

  /** `onDue` takes a task that may start. */
  constructor(onDue: (task: TaskRecord) => void) {
    this.onDue = onDue
  }

  get nextMs(): number {
    return this.timers.nextMs
  }

  /** Tasks with a timer before which they cannot start; an upper bound, for people. */
  get delayedCount(): number {
    return this.delayed
  }

  /** Hands on a task that may run, or sets a timer for when it may. What runs already has been, or will be, noted as such. */
  enter(task: TaskRecord, nowMs: number): void {
    const due = dueAtMs(task)
    if (due === undefined) return
    if (task.startedAtMs === 0 && task.rare?.startByMs !== undefined) this.watchDeadline(task)
    if (due > nowMs) {
      this.timers.set({ task, what: task.status === 'waiting' ? 'due' : 'wake', turn: task.turn }, due)
      if (task.status === 'waiting') this.delayed++
    } else this.onDue(task)
  }

  /** The task is looked at again at this time. */
  again(task: TaskRecord, atMs: number): void {
    this.timers.set({ task, what: 'wake', turn: task.turn }, atMs)
  }

  /** Once per task: it holds for all its turns. */
  watchDeadline(task: TaskRecord): void {
    this.watchLimit({ task, what: 'deadline', turn: 0 }, 0)
  }

  watchTurn(task: TaskRecord): void {
    this.watchLimit({ task, what: 'timeout', turn: task.turn }, 0)
  }

  /** What has come due by `nowMs`: tasks go on, limits that have passed are returned as entries. */
  due(nowMs: number): ControlEntry[] {
    const entries: ControlEntry[] = []
    while (entries.length < limits.blockEntriesMax) {
      const timer = this.timers.next(nowMs)
      if (timer === undefined) break
      this.fire(timer, nowMs, entries)
    }
    return entries
  }

  /** Returns the entry that says that the limit has passed; sets a timer for when it will, or for when it is to be said again. */
  private watchLimit(timer: Timer, nowMs: number): ControlEntry | undefined {
    const limit = limitOf(timer, nowMs)
    if (limit !== undefined) this.timers.set(timer, limit.nextMs)
    return limit?.entry
  }

  private fire(timer: Timer, nowMs: number, entries: ControlEntry[]): void {
    const { task, what } = timer
    if (what === 'due' && this.delayed > 0) this.delayed--
    if (!isWanted(timer)) return
    if (what === 'deadline' || what === 'timeout') {
      const entry = this.watchLimit(timer, nowMs)
      if (entry !== undefined) entries.push(entry)
    } else {
      const due = dueAtMs(task)
      if (due !== undefined && due <= nowMs) this.onDue(task)
    }
  }
}
