/**
 * Ready tasks in the order of a policy, over all types. Each type has a heap of its own; a heap of types by their best
 * task gives the global order, so that cost does not depend on the number of types. A type that no bid covers is set
 * aside until one does, and never blocks the others. Tasks that are no longer ready are skipped when they surface.
 */
import type { TaskRecord } from '../ledger/task-record.ts'
import { Heap } from './heap.ts'
import type { OrderingPolicy } from './ordering.ts'

/** Fewer queued tasks than this are never swept. */
const queuedMin = 10_000

interface TypeQueue {
  readonly type: string
  /** Marked with the turn for which each was queued; a later turn is another item. */
  readonly heap: Heap<TaskRecord>
  /** In the heap of types, under this rank. */
  listed: number | undefined
}

export class ReadyQueue {
  private readonly policy: OrderingPolicy
  private readonly types = new Map<string, TypeQueue>()
  private readonly order = new Heap<TypeQueue>()
  /** Types that wait aside. */
  private readonly uncovered = new Set<string>()
  private readonly isReady: (task: TaskRecord) => boolean
  /** Tasks in all heaps, ready or not, and how many there may be before the others are swept out. */
  private queued = 0
  private queuedMax = queuedMin

  /** `isReady` says whether a queued task may still be awarded. */
  constructor(policy: OrderingPolicy, isReady: (task: TaskRecord) => boolean) {
    this.policy = policy
    this.isReady = isReady
  }

  add(task: TaskRecord): void {
    let queue = this.types.get(task.type)
    if (queue === undefined) {
      queue = { type: task.type, heap: new Heap(), listed: undefined }
      this.types.set(task.type, queue)
    }
    queue.heap.push(task, this.policy.rank(task), task.turn)
    if (++this.queued > this.queuedMax) this.sweep()
    if (!this.uncovered.has(task.type)) this.list(queue)
  }

  /** The first ready task of a type that is covered, left in the queue; undefined when there is none. */
  peek(): TaskRecord | undefined {
    for (;;) {
      const queue = this.order.peek()
      if (queue === undefined) return undefined
      const rank = this.order.peekRank()
      if (queue.listed !== rank) {
        this.order.pop() // A better listing replaced this one, or the type was set aside.
        continue
      }
      const task = this.head(queue)
      if (task !== undefined && queue.heap.peekRank() === rank) return task
      this.order.pop()
      this.relist(queue)
    }
  }

  /** Takes the task that `peek` returned. */
  take(): TaskRecord | undefined {
    const queue = this.order.pop()
    const task = queue?.heap.pop()
    if (task !== undefined) this.queued--
    if (queue !== undefined) this.relist(queue)
    return task
  }

  ahead(type: string, count: number): TaskRecord[] {
    return this.types.get(type)?.heap.near(count).filter(this.isReady) ?? []
  }

  /** Nothing can be awarded to this type now: its tasks wait aside. */
  setUncovered(type: string): void {
    const queue = this.types.get(type)
    if (queue === undefined) return
    queue.listed = undefined
    this.uncovered.add(type)
  }

  /** A bid covers this type (again). */
  setCovered(type: string): void {
    if (!this.uncovered.delete(type)) return
    const queue = this.types.get(type)
    if (queue !== undefined) this.relist(queue)
  }

  uncoveredTypes(): string[] {
    return [...this.uncovered]
  }

  private head(queue: TypeQueue): TaskRecord | undefined {
    for (;;) {
      const task = queue.heap.peek()
      if (task === undefined) return undefined
      if (this.isWanted(task, queue.heap.peekMark())) return task
      queue.heap.pop()
      this.queued--
    }
  }

  private readonly isWanted = (task: TaskRecord, turn: number): boolean => task.turn === turn && this.isReady(task)

  /** Tasks that ended while their type was set aside never surface; they must not stay for ever. */
  private sweep(): void {
    this.queued = 0
    for (const [type, queue] of this.types) {
      queue.heap.sweep(this.isWanted)
      this.queued += queue.heap.length
      if (queue.heap.length > 0) continue
      queue.listed = undefined
      this.types.delete(type)
      this.uncovered.delete(type)
    }
    this.order.clear()
    for (const queue of this.types.values()) this.relist(queue)
    this.queuedMax = Math.max(queuedMin, this.queued * 2)
  }

  /** Lists the queue when its best task is better than what it is listed under. */
  private list(queue: TypeQueue): void {
    const rank = queue.heap.peekRank()
    if (queue.listed !== undefined && queue.listed <= rank) return
    queue.listed = rank
    this.order.push(queue, rank)
  }

  private relist(queue: TypeQueue): void {
    queue.listed = undefined
    if (this.uncovered.has(queue.type)) return
    if (queue.heap.length > 0) this.list(queue)
    else this.types.delete(queue.type)
  }
}
