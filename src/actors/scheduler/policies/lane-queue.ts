/**
 * Ready tasks in the order of any policy. Tasks of one type and one lane (a key, or what is known of their duration) wait
 * in a heap under ranks that never change; what changes (a key's pass, a type's estimate) moves whole lanes. Lanes of a type
 * are in a heap, types in another, so everything is O(log n), and a type that no bid covers, or a lane at its limit, is
 * set aside and never blocks the others.
 */
import type { TaskRecord } from '../../ledger/task-record.ts'
import type { OrderingPolicy } from '../ordering.ts'
import { IndexedHeap, type Placed } from './indexed-heap.ts'
import type { ReadyTasks } from './ready-tasks.ts'

/** A task at the turn for which it was queued; a later turn is another entry. */
interface Queued extends Placed {
  readonly task: TaskRecord
  readonly turn: number
  readonly rank: number
}

interface Lane extends Placed {
  readonly type: TypeLanes
  readonly name: string
  /** Of the tasks in it, when keys matter. */
  readonly key: string
  readonly tasks: IndexedHeap<Queued>
  readonly offset: boolean
  held: boolean
  pass: number
  rank: number
  order: number
}

interface TypeLanes extends Placed {
  readonly type: string
  readonly byName: Map<string, Lane>
  readonly lanes: IndexedHeap<Lane>
  offset: number
}

interface Charge {
  readonly key: string
  readonly costMs: number
}

/** Fewer queued tasks than this are never swept. */
const queuedMin = 10_000
/** An estimate that has changed by less than this share moves nothing. */
const offsetChangeMin = 0.05

export class LaneQueue implements ReadyTasks {
  private readonly policy: OrderingPolicy
  private readonly isReady: (task: TaskRecord) => boolean
  /** Each key has lanes of its own: its share, or its limits. */
  private readonly byKey: boolean
  private readonly types = new Map<string, TypeLanes>()
  private readonly order = new IndexedHeap<TypeLanes>(typeBefore)
  private readonly uncovered = new Set<string>()
  /** Lanes at a limit, by type and key; they may be empty and come back. */
  private readonly held = new Set<string>()
  /** Shares only: the lanes of each key that has work, and what its running tasks were charged. */
  private readonly keys = new Map<string, Set<Lane>>()
  private readonly charges = new Map<TaskRecord, Charge>()
  private queued = 0
  private queuedMax = queuedMin

  /** `isReady` says whether a queued task may still be awarded. */
  constructor(policy: OrderingPolicy, isReady: (task: TaskRecord) => boolean, { byKey = false } = {}) {
    this.policy = policy
    this.isReady = isReady
    this.byKey = byKey || policy.shares !== undefined
  }

  add(task: TaskRecord): void {
    this.settle(task, 0)
    const lane = this.laneOf(task)
    lane.tasks.place({ task, turn: task.turn, rank: this.policy.rank(task), at: -1 })
    if (++this.queued > this.queuedMax) this.sweep()
    this.list(lane)
  }

  peek(): TaskRecord | undefined {
    for (;;) {
      const lane = this.order.peek()?.lanes.peek()
      if (lane === undefined) return undefined
      const head = lane.tasks.peek()
      if (head !== undefined && this.isWanted(head)) return head.task
      this.list(lane)
    }
  }

  take(): TaskRecord | undefined {
    const lane = this.order.peek()?.lanes.peek()
    const queued = lane?.tasks.pop()
    if (lane === undefined || queued === undefined) return undefined
    this.queued--
    const { task } = queued
    const { shares } = this.policy
    if (shares !== undefined) {
      const costMs = this.costMs(task)
      shares.taken(lane.key, costMs)
      this.charges.set(task, { key: lane.key, costMs })
      this.listKey(lane.key)
    }
    this.list(lane)
    return task
  }

  ahead(type: string, count: number): TaskRecord[] {
    const ahead: TaskRecord[] = []
    for (const lane of this.types.get(type)?.lanes ?? []) {
      for (const queued of lane.tasks) {
        if (ahead.length === count) return ahead
        if (this.isWanted(queued)) ahead.push(queued.task)
      }
    }
    return ahead
  }

  /** A turn that was taken has ended, or never began (0 ms). */
  turnEnded(task: TaskRecord, lastedMs: number): void {
    this.settle(task, lastedMs)
    const { policy } = this
    policy.turnEnded?.(task, lastedMs)
    if (policy.offset === undefined) return
    const type = this.types.get(task.type)
    if (type === undefined) return
    const offset = policy.offset(task.type)
    if (Math.abs(offset - type.offset) <= offsetChangeMin * type.offset) return
    type.offset = offset
    for (const lane of type.byName.values()) if (lane.offset) this.list(lane)
  }

  setUncovered(type: string): void {
    const lanes = this.types.get(type)
    if (lanes === undefined) return
    this.uncovered.add(type)
    this.order.remove(lanes)
  }

  setCovered(type: string): void {
    if (!this.uncovered.delete(type)) return
    const lanes = this.types.get(type)
    if (lanes !== undefined) this.listType(lanes)
  }

  uncoveredTypes(): string[] {
    return [...this.uncovered]
  }

  /** The tasks of this type and key wait aside, whatever else is free. */
  hold(type: string, key: string): void {
    this.held.add(keyed(type, key))
    this.listHeld(type, key)
  }

  release(type: string, key: string): void {
    if (this.held.delete(keyed(type, key))) this.listHeld(type, key)
  }

  private listHeld(type: string, key: string): void {
    for (const lane of this.types.get(type)?.byName.values() ?? []) {
      if (lane.key !== key) continue
      lane.held = this.held.has(keyed(type, key))
      this.list(lane)
    }
  }

  private laneOf(task: TaskRecord): Lane {
    let type = this.types.get(task.type)
    if (type === undefined) {
      const offset = this.policy.offset?.(task.type) ?? 0
      type = { type: task.type, byName: new Map(), lanes: new IndexedHeap(laneBefore), offset, at: -1 }
      this.types.set(task.type, type)
    }
    const key = this.byKey ? (task.key ?? '') : ''
    const offset = this.policy.isOffset?.(task) ?? false
    const name = `${offset ? 'learned' : 'own'} ${key}`
    let lane = type.byName.get(name)
    if (lane === undefined) {
      const held = this.byKey && this.held.has(keyed(task.type, key))
      const tasks = new IndexedHeap<Queued>(queuedBefore)
      lane = { type, name, key, tasks, offset, held, pass: 0, rank: 0, order: 0, at: -1 }
      type.byName.set(name, lane)
      this.enterKey(lane)
    }
    return lane
  }

  /** Puts the lane where its first ready task belongs; forgets it when it has none. */
  private list(lane: Lane): void {
    const { type, tasks } = lane
    let head = tasks.peek()
    while (head !== undefined && !this.isWanted(head)) {
      tasks.pop()
      this.queued--
      head = tasks.peek()
    }
    if (head === undefined || lane.held) type.lanes.remove(lane)
    else {
      lane.pass = this.policy.shares?.pass(lane.key, this.costMs(head.task)) ?? 0
      lane.rank = head.rank + (lane.offset ? type.offset : 0)
      lane.order = head.task.order
      type.lanes.place(lane)
    }
    if (head === undefined) {
      type.byName.delete(lane.name)
      this.leaveKey(lane)
      if (type.byName.size === 0) {
        this.types.delete(type.type)
        this.uncovered.delete(type.type)
        this.order.remove(type)
        return
      }
    }
    this.listType(type)
  }

  private listType(type: TypeLanes): void {
    if (type.lanes.length === 0 || this.uncovered.has(type.type)) this.order.remove(type)
    else this.order.place(type)
  }

  private listKey(key: string): void {
    for (const lane of [...(this.keys.get(key) ?? [])]) this.list(lane)
  }

  private enterKey(lane: Lane): void {
    const { shares } = this.policy
    if (shares === undefined) return
    const lanes = this.keys.get(lane.key)
    if (lanes !== undefined) {
      lanes.add(lane)
      return
    }
    this.keys.set(lane.key, new Set([lane]))
    shares.begin(lane.key)
  }

  private leaveKey(lane: Lane): void {
    const { shares } = this.policy
    const lanes = this.keys.get(lane.key)
    if (shares === undefined || lanes === undefined) return
    lanes.delete(lane)
    if (lanes.size > 0) return
    this.keys.delete(lane.key)
    shares.end(lane.key)
  }

  /** Puts right what the key was charged for a turn. */
  private settle(task: TaskRecord, lastedMs: number): void {
    const charge = this.charges.get(task)
    if (charge === undefined) return
    this.charges.delete(task)
    this.policy.shares?.correct(charge.key, lastedMs - charge.costMs)
    this.listKey(charge.key)
  }

  private costMs(task: TaskRecord): number {
    return this.policy.costMs?.(task) ?? 1
  }

  private readonly isWanted = ({ task, turn }: Queued): boolean => task.turn === turn && this.isReady(task)

  /** Tasks that ended while their lane was aside never surface; they must not stay for ever. */
  private sweep(): void {
    for (const type of [...this.types.values()]) {
      for (const lane of [...type.byName.values()]) {
        const gone = [...lane.tasks].filter((queued) => !this.isWanted(queued))
        for (const queued of gone) lane.tasks.remove(queued)
        this.queued -= gone.length
        if (gone.length > 0 || lane.tasks.length === 0) this.list(lane)
      }
    }
    for (const task of this.charges.keys()) if (task.ended) this.charges.delete(task)
    this.queuedMax = Math.max(queuedMin, this.queued * 2)
  }
}

function queuedBefore(a: Queued, b: Queued): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.task.order < b.task.order)
}

function laneBefore(a: Lane, b: Lane): boolean {
  if (a.pass !== b.pass) return a.pass < b.pass
  return a.rank < b.rank || (a.rank === b.rank && a.order < b.order)
}

function typeBefore(a: TypeLanes, b: TypeLanes): boolean {
  return laneBefore(a.lanes.peek()!, b.lanes.peek()!)
}

/** Types are names, which have no space. */
function keyed(type: string, key: string): string {
  return `${type} ${key}`
}
