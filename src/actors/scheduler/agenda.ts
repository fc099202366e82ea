/**
 * What a leading scheduler works on: the ready queue, the timers, the bids. All of it is derived from the ledger and from
 * what nodes say, so a new leader builds it anew. It decides what to award, to whom, and what has come due; it carries
 * nothing out.
 */
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import type { NodeReport } from '../../protocol/messages.ts'
import type { Change } from '../ledger/change.ts'
import type { Member } from '../ledger/member.ts'
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import { dueAtMs } from '../ledger/turn-entries.ts'
import type { Dropped, SchedulerEffect } from './effects.ts'
import { Heap } from './heap.ts'
import { Offers } from './offers.ts'
import { type OrderingPolicy, priority } from './ordering.ts'
import { type Candidate, leastDelay, type PlacementPolicy } from './placement.ts'
import { ReadyQueue } from './ready-queue.ts'

interface Timer {
  readonly task: TaskRecord
  readonly what: 'due' | 'wake' | 'deadline' | 'timeout'
  readonly turn: number
}

/** Grace for the node to report a timeout itself before the leader does. */
const timeoutGraceMs = 2_000
/** A decision that was appended and is not folded after this long is made again: it, or the message, was lost. */
const decideAgainMs = 5_000
/** Before a task that a node declined is placed again: the same node may be the only one. */
const declinedPauseMs = 20
/** Fewer timers than this are never swept. */
const timersMin = 10_000
/** How late an award that nobody accepted may be made anew. */
const expiryCheckMs = 250
/** Weight of the newest duration in the running mean of a type. */
const durationWeight = 0.2

export interface AgendaOptions {
  readonly ordering?: OrderingPolicy
  readonly placement?: PlacementPolicy
}

export class Agenda {
  readonly offers = new Offers()
  epoch = 0
  private readonly state: LedgerState
  private readonly placement: PlacementPolicy
  private readonly ready: ReadyQueue
  private readonly timers = new Heap<Timer>()
  private readonly durations = new Map<string, number>()
  private timersMax = timersMin
  private delayed = 0

  constructor(state: LedgerState, options: AgendaOptions = {}) {
    this.state = state
    this.placement = options.placement ?? leastDelay
    this.ready = new ReadyQueue(options.ordering ?? priority, (task) => {
      return (task.status === 'waiting' || task.status === 'parked') && this.offers.awardOf(task) === undefined
    })
  }

  /** Everything from the ledger; done once, when leading begins. */
  build(nowMs: number): void {
    for (const task of this.state.tasks.values()) {
      if (task.ended) continue
      this.watchDeadline(task)
      if (task.status === 'running') this.noteRunning(task)
      else this.enter(task, nowMs)
    }
  }

  /** Takes note of what was folded; returns what nodes have to be told at once. */
  note(changes: readonly Change[], nowMs: number): SchedulerEffect[] {
    const effects: SchedulerEffect[] = []
    for (const change of changes) {
      switch (change.what) {
        case 'submitted':
          this.watchDeadline(change.task)
          break
        case 'running':
          this.noteRunning(change.task)
          this.handOver(change.task, effects)
          break
        case 'ready':
        case 'yielded':
        case 'retrying':
        case 'restarted':
        case 'retried':
        case 'parked':
          this.offers.settle(change.task)
          this.enter(change.task, nowMs)
          break
        case 'completed':
          this.noteDuration(change.task)
          this.offers.settle(change.task)
          break
        case 'failed':
        case 'cancelled':
        case 'expired':
          this.noteEnded(change.task)
          break
        case 'signalled':
          this.noteSignal(change.task, effects)
          break
        case 'left':
        case 'fenced':
          this.forgetNode(change.member, nowMs)
          break
        case 'void-accept':
          effects.push({
            do: 'drop',
            member: change.member,
            turns: [[change.id, change.turn, 'the turn belongs to another']],
          })
          break
        default:
      }
    }
    return effects
  }

  /** Matches ready tasks to bids until one side is used up; returns the awards, one per node. */
  place(nowMs: number): SchedulerEffect[] {
    const awards = new Map<Member, TaskRecord[]>()
    const effects: SchedulerEffect[] = []
    const aside: string[] = []
    let open = this.openOffers(nowMs)
    while (open.length > 0) {
      const task = this.ready.peek()
      if (task === undefined) break
      const candidates = open.filter((candidate) => candidate.offer.member.types.has(task.type))
      if (candidates.length === 0) {
        this.ready.setUncovered(task.type)
        if (this.offers.has(task.type)) aside.push(task.type)
        continue
      }
      this.ready.take()
      const chosen =
        candidates.length === 1 ? candidates[0]! : this.placement.choose(task, candidates, this.expectedMs(task.type))
      this.offers.award(task, chosen.offer, nowMs)
      const { member } = chosen.offer
      let tasks = awards.get(member)
      if (tasks === undefined) awards.set(member, (tasks = []))
      tasks.push(task)
      if (tasks.length === limits.awardTasksMax) {
        effects.push({ do: 'award', epoch: this.epoch, member, tasks })
        awards.delete(member)
      }
      chosen.free--
      if (chosen.free === 0) open = open.filter((candidate) => candidate !== chosen)
    }
    for (const [member, tasks] of awards) effects.push({ do: 'award', epoch: this.epoch, member, tasks })
    // Nodes with these types have no credit left just now; types that no node bids for wait until one does.
    for (const type of aside) this.ready.setCovered(type)
    return effects
  }

  /** Hears a node. */
  hear(incarnation: string, report: NodeReport, nowMs: number): SchedulerEffect[] {
    const member = this.state.members.get(incarnation)
    if (member === undefined || !member.live) return []
    switch (report[0]) {
      case 'bid':
        if (this.offers.of(incarnation) === undefined) {
          for (const type of this.ready.uncoveredTypes()) if (member.types.has(type)) this.ready.setCovered(type)
        }
        this.offers.hear(member, report, nowMs)
        return []
      case 'declined':
        for (const [id, turn] of report[1]) {
          const task = this.state.tasks.get(id)
          if (task !== undefined && this.offers.declined(task, turn, incarnation)) {
            this.setTimer({ task, what: 'wake', turn: task.turn }, nowMs + declinedPauseMs)
          }
        }
        return []
      case 'running':
        return this.compare(member, report[1], report[2])
      case 'gap': {
        const task = this.state.tasks.get(report[1])
        if (task === undefined || task.owner !== member || task.turn !== report[2]) return []
        const signals = task.rare?.signals?.filter((signal) => signal.sequence > report[3]) ?? []
        return signals.length === 0 ? [] : [{ do: 'signal', member, task, signals }]
      }
    }
  }

  /** What has come due by `nowMs`: tasks become placeable; deadlines and timeouts become entries. */
  alarm(nowMs: number): SchedulerEffect[] {
    const entries: ControlEntry[] = []
    while (this.timers.peekRank() <= nowMs && entries.length < limits.blockEntriesMax) {
      const timer = this.timers.pop()!
      this.fire(timer, nowMs, entries)
    }
    for (const task of this.offers.expired(nowMs)) this.enter(task, nowMs)
    return entries.length === 0 ? [] : [{ do: 'append', epoch: this.epoch, entries }]
  }

  /** When `alarm` has something to do next; awards that nobody accepted are looked at now and then. */
  nextAlarmMs(nowMs: number): number {
    const awards = this.offers.awardedCount > 0 ? nowMs + expiryCheckMs : Number.POSITIVE_INFINITY
    return Math.min(this.timers.peekRank(), awards)
  }

  /** Why a task is not running, in a sentence, for whoever asks. */
  waitingReason(task: TaskRecord, nowMs: number): string | undefined {
    if (task.status === 'blocked') return `waits for ${[...(task.rare?.after ?? [])].slice(0, 5).join(', ')}`
    if (task.status === 'parked') return this.parkedReason(task)
    if (task.status !== 'waiting') return undefined
    if (task.dueAtMs > nowMs) {
      const why = task.turn > 0 ? 'backs off after a failure' : 'is delayed'
      return `${why} until ${new Date(task.dueAtMs).toISOString()}`
    }
    const award = this.offers.awardOf(task)
    if (award !== undefined) return `awarded to ${award.member.node}, not accepted yet`
    let nodes = 0
    let able = 0
    for (const member of this.state.membersBySubject.values()) {
      nodes++
      if (member.types.has(task.type)) able++
    }
    if (nodes === 0) return 'no node has joined'
    if (able === 0) return `none of ${nodes} nodes has the task type "${task.type}"`
    return `all credits of the ${able} nodes with the type are in use`
  }

  /** Tasks with a timer before which they cannot start; an upper bound, for people. */
  get delayedCount(): number {
    return this.delayed
  }

  awardedTo(task: TaskRecord): Member | undefined {
    return this.offers.awardOf(task)?.member
  }

  private parkedReason(task: TaskRecord): string {
    const rare = task.rare
    const reasons: string[] = []
    if (rare?.onSignal) reasons.push('a signal')
    if (rare?.wakeAtMs !== undefined) reasons.push(`a timer at ${new Date(rare.wakeAtMs).toISOString()}`)
    if (rare?.awaited !== undefined) reasons.push(`${rare.awaited.size} children`)
    return `waits for ${reasons.join(' or ')}`
  }

  private openOffers(nowMs: number): Candidate[] {
    const open: Candidate[] = []
    for (const offer of this.offers.all()) {
      const free = this.offers.freeCredits(offer, nowMs)
      if (free > 0) open.push({ offer, free })
    }
    return open
  }

  private noteRunning(task: TaskRecord): void {
    this.offers.settle(task)
    const timeoutMs = task.profile?.timeoutMs ?? 0
    if (timeoutMs > 0) {
      this.setTimer({ task, what: 'timeout', turn: task.turn }, task.turnAtMs + timeoutMs + timeoutGraceMs)
    }
  }

  /** Once per task: it holds for all its turns. */
  private watchDeadline(task: TaskRecord): void {
    const deadlineAtMs = task.rare?.deadlineAtMs
    if (deadlineAtMs !== undefined) this.setTimer({ task, what: 'deadline', turn: 0 }, deadlineAtMs)
  }

  /** Timers of tasks that ended long before are swept out now and then, or they would hold them for years. */
  private setTimer(timer: Timer, atMs: number): void {
    this.timers.push(timer, atMs)
    if (this.timers.length <= this.timersMax) return
    this.timers.sweep(isWanted)
    this.timersMax = Math.max(timersMin, this.timers.length * 2)
  }

  private noteDuration(task: TaskRecord): void {
    const lastedMs = task.finishedAtMs - task.turnAtMs
    const known = this.durations.get(task.type)
    if (known !== undefined) this.durations.set(task.type, known + durationWeight * (lastedMs - known))
    else if (this.durations.size < limits.typesPerNodeMax) this.durations.set(task.type, lastedMs)
  }

  private expectedMs(type: string): number {
    return this.durations.get(type) ?? 0
  }

  private noteEnded(task: TaskRecord): void {
    this.offers.settle(task)
  }

  private noteSignal(task: TaskRecord, effects: SchedulerEffect[]): void {
    const latest = task.rare?.signals?.at(-1)
    if (task.status === 'running' && task.owner !== undefined && latest !== undefined) {
      effects.push({ do: 'signal', member: task.owner, task, signals: [latest] })
    }
  }

  /**
   * The last signal that the task has not consumed. A node that knows it drops it; one that lacks others before it, which
   * arrived after the award, did not fit into it or got lost, asks for them.
   */
  private handOver(task: TaskRecord, effects: SchedulerEffect[]): void {
    const latest = task.rare?.signals?.at(-1)
    if (latest === undefined || task.owner === undefined) return
    effects.push({ do: 'signal', member: task.owner, task, signals: [latest] })
  }

  private forgetNode(member: Member, nowMs: number): void {
    for (const task of this.offers.remove(member.incarnation)) this.enter(task, nowMs)
  }

  /** Queues a task that may run, or sets a timer for when it may. What runs already has been, or will be, noted as such. */
  private enter(task: TaskRecord, nowMs: number): void {
    const due = dueAtMs(task)
    if (due === undefined) return
    if (due > nowMs) {
      this.setTimer({ task, what: task.status === 'waiting' ? 'due' : 'wake', turn: task.turn }, due)
      if (task.status === 'waiting') this.delayed++
    } else this.ready.add(task)
  }

  private fire(timer: Timer, nowMs: number, entries: ControlEntry[]): void {
    const { task, what, turn } = timer
    if (what === 'due' && this.delayed > 0) this.delayed--
    if (!isWanted(timer)) return
    if (what === 'deadline') {
      // An operator's retry has taken the deadline away.
      if (task.rare?.deadlineAtMs === undefined) return
      entries.push([kind.expired, task.id])
      this.setTimer(timer, nowMs + decideAgainMs)
    } else if (what === 'timeout') {
      if (task.status !== 'running') return
      entries.push([kind.timedOut, task.id, turn])
      this.setTimer(timer, nowMs + decideAgainMs)
    } else {
      const due = dueAtMs(task)
      if (due !== undefined && due <= nowMs) this.ready.add(task)
    }
  }

  /**
   * Rule 6, against a ledger folded past the node's last block: what the node lists and does not own it is told to drop;
   * what the ledger gives it and it does not list is revoked.
   */
  private compare(
    member: Member,
    lastBlockSequence: number,
    turns: readonly (readonly [task: string, turn: number])[],
  ): SchedulerEffect[] {
    if (this.state.position < lastBlockSequence) return []
    const effects: SchedulerEffect[] = []
    const dropped: Dropped[] = []
    const listed = new Set<string>()
    for (const [id, turn] of turns) {
      listed.add(id)
      const task = this.state.tasks.get(id)
      if (task?.owner !== member || task.turn !== turn) dropped.push([id, turn, 'the turn belongs to another'])
      else this.handOver(task, effects)
    }
    if (dropped.length > 0) effects.push({ do: 'drop', member, turns: dropped })
    const entries: ControlEntry[] = []
    for (const task of member.running) {
      if (task.turnSequence <= lastBlockSequence && !listed.has(task.id) && entries.length < limits.rowsMax) {
        entries.push([kind.revoked, task.id, task.turn, 'its node does not know the turn'])
      }
    }
    if (entries.length > 0) effects.push({ do: 'append', epoch: this.epoch, entries })
    return effects
  }
}

/** Whether something may still come of the timer. */
function isWanted({ task, what, turn }: Timer): boolean {
  return !task.ended && (what === 'deadline' || task.turn === turn)
}
