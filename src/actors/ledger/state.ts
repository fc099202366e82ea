/**
 * What a fold knows, and the few moves by which it changes: a task becomes ready, a task ends, a member ends. Every rule
 * that follows from the log and its time alone (dependents, parents, restart intensity, retention) is applied here, so
 * that no entry needs to be written for it. The files beside this one decide when an entry counts.
 */
import type { FoldRules, Payload } from '../../protocol/entries.ts'
import type { ErrorRecord } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { TypeLimits } from '../../protocol/options.ts'
import type { Breaker } from './breakers.ts'
import type { Change, SetAside, TaskChange } from './change.ts'
import { isHeldByParent, leaveFamily, releaseChildren } from './families.ts'
import { Fifo } from './fifo.ts'
import { type Gang, gatherAgain, leaveGang } from './gangs.ts'
import { endSecond, leavesToOther, spendTurns, turnHeldBy } from './hedges.ts'
import { inOrder, register, unregister } from './indexes.ts'
import type { Member } from './member.ts'
import { loseNode } from './node-loss.ts'
import { ObjectReferences } from './object-references.ts'
import type { ScheduleRecord } from './schedules.ts'
import { type Counts, StatusCounts } from './status-counts.ts'
import { Strays } from './strays.ts'
import { type Group, leaveGroup, loseMember } from './supervision.ts'
import { isTerminal, type Place, type RecordStatus, type TaskRecord, type TerminalStatus } from './task-record.ts'
import { TaskTable } from './task-table.ts'
import { beginStartLimit } from './time-limits.ts'
import { UniqueWindows } from './unique-windows.ts'

/** The rules in force until the first `led` entry. */
export const defaultRules: FoldRules = {
  foldVersion: 1,
  resultsKeepMs: 24 * 3_600_000,
  resultsKeepCount: 100_000,
  deadKeepMs: 30 * 24 * 3_600_000,
  deadKeepCount: 10_000,
}

export interface Totals {
  submitted: number
  completed: number
  failed: number
  cancelled: number
  expired: number
  setAside: number
  /** Entries that did not count: of an incarnation that was not live, a turn not owned, an old epoch. */
  void: number
}

/** Dead incarnations remembered; a zombie older than that has met the broker's refusal long ago. */
const deadIncarnationsMax = 10_000

/** Saves records as they were, before they change, while a checkpoint is being written. */
export interface Saving {
  readonly number: number
  save(task: TaskRecord): void
}

interface Ending {
  readonly task: TaskRecord
  readonly status: TerminalStatus
  readonly value: Payload | ErrorRecord
  readonly place: Place
  readonly withParent: boolean
}

export class LedgerState {
  readonly partition: number
  /** Of the namespace, this one included. */
  readonly partitions: number
  readonly tasks: TaskTable
  /** The live ones, by incarnation and by the subject of their journal. */
  readonly members = new Map<string, Member>()
  readonly membersBySubject = new Map<string, Member>()
  /** Ended incarnations and those fenced before they ever joined, oldest first: nothing of theirs counts again. */
  readonly deadIncarnations = new Set<string>()
  /** Task id → tasks blocked by it. */
  readonly dependents = new Map<string, Set<TaskRecord>>()
  /** Task id → parked tasks that wait for it to end. */
  readonly awaiters = new Map<string, Set<TaskRecord>>()
  /** The last that broke before all its members had come, and where. */
  brokenGang: { readonly id: string; readonly position: number } | undefined
  /** Those with members that have not ended. */
  readonly gangs = new Map<string, Gang>()
  /** Groups of supervised tasks that live, by path. */
  readonly groups = new Map<string, Group>()
  /** Ended tasks that are still readable, in the order in which they ended. */
  readonly results = new Fifo<TaskRecord>()
  readonly dead = new Fifo<TaskRecord>()
  /** Those that run again if their parents, which are dead letters, do. */
  readonly cancelledWithParents = new Fifo<TaskRecord>()
  readonly setAsides = new Fifo<SetAside>()
  private readonly statuses = new StatusCounts()
  readonly totals: Totals = { submitted: 0, completed: 0, failed: 0, cancelled: 0, expired: 0, setAside: 0, void: 0 }
  rules: FoldRules = defaultRules
  /** By task type. */
  readonly limits = new Map<string, TypeLimits>()
  readonly breakers = new Map<string, Breaker>()
  /** By name, in the order in which they were first set. */
  readonly schedules = new Map<string, ScheduleRecord>()
  uniques = new UniqueWindows()
  strays = new Strays()
  objects = new ObjectReferences()
  leader = ''
  epoch = 0
  /** Sequence of the message folded last. */
  position = 0
  /** Log time: the greatest stream timestamp so far. */
  timeMs = 0
  /** How many ended tasks were queued for forgetting since the log began; numbers the queues' entries. */
  retained = 0
  saving: Saving | undefined
  changes: Change[] = []
  /** Tasks that are about to end because of what is being folded; a queue, since chains of them have any length. */
  private readonly ending: Ending[] = []

  constructor(partition: number, partitions = 1) {
    this.partition = partition
    this.tasks = new TaskTable(partition)
    this.partitions = partitions
  }

  /** Whether the namespace has a partition of this number. */
  hasPartition(partition: number): boolean {
    return Number.isInteger(partition) && partition >= 0 && partition < this.partitions
  }

  get counts(): Readonly<Counts> {
    return this.statuses.all
  }

  /** Counts of the types with the most live tasks. */
  busiestTypes(count: number): ReturnType<StatusCounts['busiest']> {
    return this.statuses.busiest(count)
  }

  queuedOf(type?: string): number {
    return this.statuses.queued(type)
  }

  /** Every change of a record goes through here first. */
  touch(task: TaskRecord): void {
    if (this.saving !== undefined && task.savedIn !== this.saving.number) this.saving.save(task)
  }

  change(what: TaskChange, task: TaskRecord): void {
    this.changes.push({ what, task })
  }

  add(task: TaskRecord): void {
    this.tasks.add(task)
    this.statuses.add(task.type, task.status)
    if (this.saving !== undefined) task.savedIn = this.saving.number
  }

  become(task: TaskRecord, status: RecordStatus): void {
    this.statuses.move(task.type, task.status, status)
    task.status = status
  }

  setAside(subject: string, reason: ErrorRecord): void {
    this.totals.setAside++
    const item: SetAside = { sequence: this.position, subject: subject.slice(0, 256), atMs: this.timeMs, reason }
    this.setAsides.push(item)
    if (this.setAsides.length > limits.setAsideMax) this.setAsides.shift()
    this.changes.push({ what: 'set-aside', item })
  }

  /** The task may run from `dueAtMs` on (0: at once). */
  makeReady(task: TaskRecord, why: TaskChange, dueAtMs = 0): void {
    this.release(task)
    this.wake(task)
    task.dueAtMs = dueAtMs
    beginStartLimit(task, this.timeMs)
    this.become(task, 'waiting')
    this.change(why, task)
  }

  /** Takes the task from its owner, if it has one. */
  release(task: TaskRecord): void {
    if (task.rare?.hedge !== undefined) {
      endSecond(this, task, 'the first turn was over')
      spendTurns(task)
    }
    task.owner?.running.delete(task)
    task.owner = undefined
  }

  /** The task waits until all of these tasks have ended. */
  awaitAll(task: TaskRecord, ids: Set<string>): void {
    task.more.awaited = ids
    for (const id of ids) register(this.awaiters, id, task)
  }

  /** What a parked task waited for does not matter any more. */
  wake(task: TaskRecord): void {
    const { rare } = task
    if (rare === undefined) return
    if (rare.awaited !== undefined) for (const id of rare.awaited) unregister(this.awaiters, id, task)
    delete rare.awaited
    delete rare.awaitsAny
    delete rare.wakeAtMs
    delete rare.onSignal
  }

  /** The task does not start before all of these tasks have completed. */
  block(task: TaskRecord, after: Set<string>): void {
    task.more.after = after
    for (const id of after) register(this.dependents, id, task)
  }

  /** The task ends; its dependents, children and parent follow. */
  end(task: TaskRecord, status: TerminalStatus, value: Payload | ErrorRecord, place: Place, withParent = false): void {
    const { ending } = this
    ending.push({ task, status, value, place: { sequence: place.sequence, index: place.index }, withParent })
    if (ending.length > 1) return
    try {
      for (let at = 0; at < ending.length; at++) {
        const next = ending[at]!
        if (!next.task.ended) this.endOne(next)
      }
    } finally {
      ending.length = 0
    }
  }

  private endOne({ task, status, value, place, withParent }: Ending): void {
    this.touch(task)
    this.release(task)
    this.wake(task)
    if (task.status === 'blocked') this.unblock(task)
    this.become(task, status)
    task.finishedAtMs = this.timeMs
    task.outcome = place
    this.totals[status]++
    if (status === 'completed') {
      task.snapshot = undefined
      this.changes.push({ what: status, task, result: value as Payload })
    } else {
      this.changes.push({ what: status, task, error: value as ErrorRecord })
      task.more.lastError = value as ErrorRecord
    }
    if (withParent) task.more.cancelledWithParent = true
    this.queueEnded(task)
    if (task.rare?.group !== undefined) {
      if (status === 'failed' || status === 'expired') loseMember(this, task, value as ErrorRecord, place)
      leaveGroup(this, task)
    }
    if (task.rare?.children !== undefined) releaseChildren(this, task, task.rare.children, place)
    if (this.dependents.size > 0) this.settleDependents(task.id, status, place)
    if (this.awaiters.size > 0) this.settleAwaiters(task.id)
    if (task.rare?.gang !== undefined) leaveGang(this, task, place)
  }

  /** It waits for nothing any more; what it waited for stays noted, in case that it is retried. */
  private unblock(task: TaskRecord): void {
    for (const id of task.rare?.after ?? []) unregister(this.dependents, id, task)
  }

  /** Of this task, which has ended so. */
  settleDependents(id: string, status: TerminalStatus, place: Place): void {
    const dependents = this.dependents.get(id)
    if (dependents === undefined) return
    for (const dependent of inOrder(dependents)) {
      if (status === 'completed' || dependent.rare?.afterEnd) {
        this.touch(dependent)
        dependent.rare?.after?.delete(id)
        unregister(this.dependents, id, dependent)
        if (dependent.rare?.after?.size === 0) this.makeReady(dependent, 'ready', dependent.dueAtMs)
      } else {
        const message = `it waited for "${id}", which was ${status}`
        const error = { code: 'TROUPE_DEPENDENCY_FAILED', message, details: { task: id } }
        this.end(dependent, 'failed', error, place)
      }
    }
  }

  private settleAwaiters(id: string): void {
    const awaiters = this.awaiters.get(id)
    if (awaiters === undefined) return
    this.awaiters.delete(id)
    for (const task of inOrder(awaiters)) {
      const awaited = task.rare?.awaited
      if (awaited === undefined) continue
      this.touch(task)
      awaited.delete(id)
      if (awaited.size === 0 || task.rare?.awaitsAny) this.makeReady(task, 'ready')
    }
  }

  /** The task has ended, and is to be forgotten in its time. */
  queueEnded(task: TaskRecord): void {
    if (task.retained > 0 || isHeldByParent(this, task)) return
    task.retained = ++this.retained
    this.queueOf(task).push(task)
  }

  /** Which of the queues for forgetting an ended task belongs in. */
  queueOf(task: TaskRecord): Fifo<TaskRecord> {
    if (task.status === 'failed') return this.dead
    return task.rare?.cancelledWithParent ? this.cancelledWithParents : this.results
  }

  /** Takes an ended task out of the queues for forgetting. */
  unqueue(task: TaskRecord): void {
    if (task.retained === 0) return
    task.retained = 0
    this.queueOf(task).remove(task)
  }

  /** Rules 3 and 6: an incarnation ends; what it ran is ready again from its last snapshot, or dead if that happens too often. */
  endMember(member: Member, how: 'left' | 'fenced', reason: string): void {
    if (!member.live) return
    member.live = false
    member.endReason = reason
    this.members.delete(member.incarnation)
    this.membersBySubject.delete(member.subject)
    this.bury(member.incarnation)
    for (const task of inOrder(member.running)) {
      // One that its gang or its group has taken along is there no more.
      const turn = turnHeldBy(task, member)
      if (turn === undefined || leavesToOther(this, task, turn, `lost its node: ${reason}`)) continue
      this.touch(task)
      const isHeld = task.status === 'held'
      if (how === 'left' || isHeld) this.makeReady(task, how === 'left' ? 'yielded' : 'restarted')
      else loseNode(this, task, member)
      if (task.rare?.gang !== undefined && !isHeld && !task.ended) gatherAgain(this, task)
    }
    this.changes.push({ what: how, member })
  }

  /** Nothing of this incarnation counts from here on. */
  bury(incarnation: string): void {
    this.deadIncarnations.add(incarnation)
    for (const oldest of this.deadIncarnations) {
      if (this.deadIncarnations.size <= deadIncarnationsMax) break
      this.deadIncarnations.delete(oldest)
    }
  }

  /** Forgets ended tasks beyond the number and age that the rules keep. */
  retain(): void {
    this.retainIn(this.results, this.rules.resultsKeepCount, this.rules.resultsKeepMs)
    this.retainIn(this.dead, this.rules.deadKeepCount, this.rules.deadKeepMs)
    this.retainIn(this.cancelledWithParents, this.rules.deadKeepCount, this.rules.deadKeepMs)
  }

  private retainIn(ended: Fifo<TaskRecord>, count: number, keepMs: number): void {
    for (let oldest = ended.peek(); oldest !== undefined; oldest = ended.peek()) {
      if (ended.length <= count && oldest.finishedAtMs + keepMs > this.timeMs) return
      ended.shift()
      this.forget(oldest)
    }
  }

  forget(task: TaskRecord): void {
    this.touch(task)
    task.retained = 0
    this.tasks.delete(task)
    this.statuses.remove(task.type, task.status)
    leaveFamily(this, task)
  }

  /** Log time never steps back. */
  advanceTo(timestampMs: number): void {
    if (timestampMs > this.timeMs) this.timeMs = timestampMs
  }

  isEnded(id: string): boolean {
    const task = this.tasks.get(id)
    return task === undefined || isTerminal(task.status)
  }
}
