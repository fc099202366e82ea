/** What an agenda needs of the tasks that may start: the next one in order, over the types that some node can take now. */
import type { TaskRecord } from '../../ledger/task-record.ts'

export interface ReadyTasks {
  add(task: TaskRecord): void
  /** The first ready task of a type that is covered, left where it is; undefined when there is none. */
  peek(): TaskRecord | undefined
  /** Takes the task that `peek` returned. */
  take(): TaskRecord | undefined
  /** Nothing can be awarded to this type now: its tasks wait aside. */
  setUncovered(type: string): void
  setCovered(type: string): void
  uncoveredTypes(): string[]
}
