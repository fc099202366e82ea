/** What an agenda needs of the tasks that may start: the next one in order, over the types that some node can take now. */
import type { TaskRecord } from '../../ledger/task-record.ts'

export interface ReadyTasks {
  add(task: TaskRecord): void
  /** The first ready task of a type that is covered, left where it is; undefined when there is none. */
  peek(): TaskRecord | undefined
  /** Takes the task that `peek` returned. */
  take(): TaskRecord | undefined
  /** Some of the ready tasks of this type, those near the head of its queue: a guess at which come next. */
  ahead(type: string, count: number): TaskRecord[]
  /** Nothing can be awarded to this type now: its tasks wait aside. */
  setUncovered(type: string): void
  setCovered(type: string): void
  uncoveredTypes(): string[]
  /** The tasks of this type and key wait aside, until released. A queue without it cannot tell keys apart. */
  hold?(type: string, key: string): void
  release?(type: string, key: string): void
  /** A turn that was taken has ended, or never began (0 ms). */
  turnEnded?(task: TaskRecord, lastedMs: number): void
}
