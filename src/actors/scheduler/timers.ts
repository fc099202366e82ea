/** What is to happen to tasks at a time: they become due, wake up, pass their deadline, run longer than they may. */
import type { TaskRecord } from '../ledger/task-record.ts'
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

/** Whether something may still come of the timer. */
export function isWanted({ task, what, turn }: Timer): boolean {
  return !task.ended && (what === 'deadline' || task.turn === turn)
}
