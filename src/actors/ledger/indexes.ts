/** Sets of tasks by the id of another, and the order in which the fold goes through such a set. */
import type { TaskRecord } from './task-record.ts'

/** Sets keep the order in which this process filled them; what is decided must not depend on that. */
export function inOrder(tasks: ReadonlySet<TaskRecord>): TaskRecord[] {
  const sorted = [...tasks]
  return sorted.length < 2 ? sorted : sorted.sort((a, b) => a.order - b.order)
}

export function register(index: Map<string, Set<TaskRecord>>, id: string, task: TaskRecord): void {
  const tasks = index.get(id)
  if (tasks === undefined) index.set(id, new Set([task]))
  else tasks.add(task)
}

export function unregister(index: Map<string, Set<TaskRecord>>, id: string, task: TaskRecord): void {
  const tasks = index.get(id)
  if (tasks === undefined) return
  tasks.delete(task)
  if (tasks.size === 0) index.delete(id)
}
