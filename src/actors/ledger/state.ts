/**
 * What a fold knows, and the few moves by which it changes: a task becomes ready, a task ends, a member ends. Every rule
 * that follows from the log and its time alone (dependents, parents, restart intensity, retention) is applied here, so
 * that no entry needs to be written for it. The files beside this one decide when an entry counts.
 */
import type { FoldRules, Payload } from '../../protocol/entries.ts'
import type { ErrorRecord } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { defaultRestart } from '../../protocol/options.ts'
import type { Change, SetAside, TaskChange } from './change.ts'
import { restartAfter } from './delays.ts'
import { Fifo } from './fifo.ts'
import type { Member } from './member.ts'
import { isTerminal, type Place, type RecordStatus, type TaskRecord, type TerminalStatus } from './task-record.ts'

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

/** Saves records as they were, before they change, while a checkpoint is being written. */
export interface Saving {
  readonly number: number
  save(task: TaskRecord): void
}

export class LedgerState {
  readonly partition: number
  readonly tasks = new Map<string, TaskRecord>()
  /** By incarnation; dead ones are remembered so that nothing of theirs ever counts again. */
  readonly members = new Map<string, Member>()
  readonly membersBySubject = new Map<string, Member>()
  /** Ended incarnations, oldest first, and those fenced before they ever joined. */
  readonly deadIncarnations = new Fifo<string>()
  readonly neverToJoin = new Set<string>()
  /** Task id → tasks blocked by it. */
  readonly dependents = new Map<string, Set<TaskRecord>>()
  /** Ended tasks that are still readable, in the order in which they ended. */
  readonly results = new Fifo<TaskRecord>()
  readonly dead = new Fifo<TaskRecord>()
  readonly setAsides = new Fifo<SetAside>()
  readonly counts: Record<RecordStatus, number> = {
    blocked: 0,
    waiting: 0,
    running: 0,
    parked: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
  }
  readonly totals: Totals = { submitted: 0, completed: 0, failed: 0, cancelled: 0, expired: 0, setAside: 0, void: 0 }
  rules: FoldRules = defaultRules
  leader = ''
  epoch = 0
  /** Sequence of the message folded last. */
  position = 0
  /** Log time: the greatest stream timestamp so far. */
  timeMs = 0
  saving: Saving | undefined
  changes: Change[] = []

  constructor(partition: number) {
    this.partition = partition
  }

  /** Every change of a record goes through here first. */
  touch(task: TaskRecord): void {
    if (this.saving !== undefined && task.savedIn !== this.saving.number) this.saving.save(task)
  }

  change(what: TaskChange, task: TaskRecord): void {
    this.changes.push({ what, task })
  }

  add(task: TaskRecord): void {
    this.tasks.set(task.id, task)
    this.counts[task.status]++
    if (this.saving !== undefined) task.savedIn = this.saving.number
  }

  become(task: TaskRecord, status: RecordStatus): void {
    this.counts[task.status]--
    task.status = status
    this.counts[status]++
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
    task.dueAtMs = dueAtMs
    if (task.rare !== undefined) {
      delete task.rare.awaited
      delete task.rare.wakeAtMs
      delete task.rare.onSignal
    }
    this.become(task, 'waiting')
    this.change(why, task)
  }

  /** Takes the task from its owner, if it has one. */
  release(task: TaskRecord): void {
    task.owner?.running.delete(task)
    task.owner = undefined
  }

  /** The task ends; its dependents, children and parent follow. */
  end(task: TaskRecord, status: TerminalStatus, value: Payload | ErrorRecord, place: Place): void {
    this.touch(task)
    this.release(task)
    this.become(task, status)
    task.finishedAtMs = this.timeMs
    task.outcome = { sequence: place.sequence, index: place.index }
    this.totals[status]++
    if (status === 'completed') {
      task.snapshot = undefined
      this.changes.push({ what: status, task, result: value as Payload })
    } else {
      this.changes.push({ what: status, task, error: value as ErrorRecord })
      task.more.lastError = value as ErrorRecord
    }
    // A child's result is needed for as long as its parent lives; it is queued for forgetting when the parent ends.
    if (!this.hasLiveParent(task)) this.queueEnded(task)
    if (task.rare !== undefined || this.dependents.size > 0) this.settleFamily(task, status, place)
  }

  private settleFamily(task: TaskRecord, status: TerminalStatus, place: Place): void {
    const dependents = this.dependents.get(task.id)
    if (dependents !== undefined) {
      this.dependents.delete(task.id)
      for (const dependent of dependents) this.dependencyEnded(dependent, task.id, status, place)
    }
    const rare = task.rare
    if (rare === undefined) return
    if (rare.after !== undefined) {
      for (const id of rare.after) this.dependents.get(id)?.delete(task)
      delete rare.after
    }
    if (rare.children !== undefined) this.releaseChildren(task, rare.children, status, place)
    if (rare.parent !== undefined) this.childEnded(rare.parent, task.id)
  }

  /** The parent has ended: what its children did stays readable like anything else; live ones end with a parent that failed. */
  private releaseChildren(
    parent: TaskRecord,
    children: ReadonlySet<string>,
    status: TerminalStatus,
    place: Place,
  ): void {
    for (const id of children) {
      const child = this.tasks.get(id)
      if (child === undefined) continue
      if (child.ended) {
        this.touch(child)
        child.more.retainedAt = { sequence: place.sequence, index: place.index }
        this.queueEnded(child)
      } else if (status !== 'completed') {
        const message = `its parent "${parent.id}" was ${status}`
        this.end(child, 'cancelled', { code: 'TROUPE_TASK_CANCELLED', message }, place)
      }
    }
  }

  private hasLiveParent(task: TaskRecord): boolean {
    const parent = task.rare?.parent
    return parent !== undefined && this.tasks.get(parent)?.ended === false
  }

  private queueEnded(task: TaskRecord): void {
    if (task.status === 'failed') this.dead.push(task)
    else this.results.push(task)
  }

  private dependencyEnded(task: TaskRecord, id: string, status: TerminalStatus, place: Place): void {
    const after = task.rare?.after
    if (task.status !== 'blocked' || after === undefined) return
    this.touch(task)
    if (status !== 'completed') {
      const message = `it waited for "${id}", which was ${status}`
      this.end(task, 'failed', { code: 'TROUPE_DEPENDENCY_FAILED', message, details: { task: id } }, place)
      return
    }
    after.delete(id)
    if (after.size === 0) this.makeReady(task, 'ready', task.dueAtMs)
  }

  private childEnded(parentId: string, childId: string): void {
    const parent = this.tasks.get(parentId)
    const awaited = parent?.rare?.awaited
    if (parent === undefined || parent.status !== 'parked' || awaited === undefined || !awaited.has(childId)) return
    this.touch(parent)
    awaited.delete(childId)
    if (awaited.size === 0) this.makeReady(parent, 'ready')
  }

  /** Rules 3 and 6: an incarnation ends; what it ran is ready again from its last snapshot, or dead if that happens too often. */
  endMember(member: Member, how: 'left' | 'fenced', reason: string): void {
    if (!member.live) return
    member.live = false
    member.endReason = reason
    this.membersBySubject.delete(member.subject)
    this.deadIncarnations.push(member.incarnation)
    for (const task of [...member.running]) {
      this.touch(task)
      if (how === 'left') this.makeReady(task, 'yielded')
      else this.restart(task, member)
    }
    member.running.clear()
    this.changes.push({ what: how, member })
    while (this.deadIncarnations.length > limits.rowsMax * 10) {
      const oldest = this.deadIncarnations.shift()
      if (oldest !== undefined) {
        this.members.delete(oldest)
        this.neverToJoin.delete(oldest)
      }
    }
  }

  private restart(task: TaskRecord, member: Member): void {
    const policy = task.profile?.restart ?? defaultRestart
    const { times, delayMs } = restartAfter(policy, task.rare?.restarts ?? [], this.timeMs)
    task.more.restarts = times
    if (delayMs !== undefined) {
      this.makeReady(task, 'restarted', delayMs === 0 ? 0 : this.timeMs + delayMs)
      return
    }
    const message = `its node died ${times.length} times within ${policy.periodMs} ms, last "${member.node}"`
    const place = { sequence: this.position, index: 0 }
    const details = { restarts: times.length, node: member.node, reason: member.endReason }
    this.end(task, 'failed', { code: 'TROUPE_RESTART_INTENSITY', message, details }, place)
  }

  /** Forgets ended tasks beyond the number and age that the rules keep. */
  retain(): void {
    this.retainIn(this.results, this.rules.resultsKeepCount, this.rules.resultsKeepMs)
    this.retainIn(this.dead, this.rules.deadKeepCount, this.rules.deadKeepMs)
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
    this.tasks.delete(task.id)
    this.counts[task.status]--
    const parentId = task.rare?.parent
    const parent = parentId === undefined ? undefined : this.tasks.get(parentId)
    if (parent?.rare?.children === undefined) return
    this.touch(parent)
    parent.rare.children.delete(task.id)
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
