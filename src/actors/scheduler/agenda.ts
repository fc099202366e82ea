/**
 * What a leading scheduler works on: the ready queue, the timers, the bids. All of it is derived from the ledger and from
 * what nodes say, so a new leader builds it anew. It decides what to award, to whom, and what has come due; it carries
 * nothing out.
 */
import type { ControlEntry } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import type { NodeReport } from '../../protocol/messages.ts'
import { Durations } from '../balancer/durations.ts'
import type { Change } from '../ledger/change.ts'
import type { Member } from '../ledger/member.ts'
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import { dueAtMs } from '../ledger/turn-entries.ts'
import { BidCall } from './bid-call.ts'
import { compareTurns, type RunningReport } from './comparison.ts'
import type { SchedulerEffect } from './effects.ts'
import { Gate } from './gate.ts'
import { Offers } from './offers.ts'
import { type OrderingPolicy, priority } from './ordering.ts'
import { type Candidate, leastDelay, type PlacementPolicy } from './placement.ts'
import { type BidSeen, type Decision, Decisions } from './policies/decisions.ts'
import { LaneQueue } from './policies/lane-queue.ts'
import type { ReadyTasks } from './policies/ready-tasks.ts'
import { Preemption } from './preemption.ts'
import { ReadyQueue } from './ready-queue.ts'
import { isWanted, limitOf, type Timer, Timers } from './timers.ts'
import { waitingReason } from './waiting.ts'

/** Before a task that a node declined is placed again: the same node may be the only one. */
const declinedPauseMs = 20
/** How late an award that nobody accepted may be made anew. */
const expiryCheckMs = 250

export interface AgendaOptions {
  /** Default: by priority. */
  readonly ordering?: OrderingPolicy
  /** Default: least delay. */
  readonly placement?: PlacementPolicy
  /** Instead of `placement`, by task type. */
  readonly placements?: ReadonlyMap<string, PlacementPolicy>
}

export class Agenda {
  private readonly bidCall = new BidCall()
  readonly offers = new Offers()
  epoch = 0
  private readonly state: LedgerState
  private readonly gate: Gate
  private readonly decisions = new Decisions()
  private readonly ordering: OrderingPolicy
  private readonly placement: PlacementPolicy
  private readonly placements: ReadonlyMap<string, PlacementPolicy>
  private ready: ReadyTasks
  private readonly timers = new Timers()
  private readonly preemption: Preemption
  private readonly durations = new Durations()
  private delayed = 0

  constructor(state: LedgerState, options: AgendaOptions = {}) {
    this.state = state
    this.placement = options.placement ?? leastDelay
    this.ordering = options.ordering ?? priority
    this.placements = options.placements ?? new Map()
    this.gate = new Gate(state, this.offers)
    this.preemption = new Preemption(this.ordering)
    this.ready = this.emptyQueue()
  }

  /** Everything from the ledger; done once, when leading begins. */
  build(nowMs: number): void {
    for (const type of this.state.limits.keys()) this.gate.limited(type, nowMs, this.ready)
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
          this.over(change.task)
          this.enter(change.task, nowMs)
          break
        case 'completed':
          this.durations.ended(change.task.type, change.task.finishedAtMs - change.task.turnAtMs)
          this.over(change.task)
          break
        case 'failed':
        case 'cancelled':
        case 'expired':
          this.over(change.task)
          break
        case 'limited':
          this.noteLimited(change.type, nowMs)
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
    const { gate } = this
    let bids: BidSeen[] | undefined
    if (gate.active) gate.open(nowMs, this.ready)
    let open = this.openOffers(nowMs)
    while (open.length > 0) {
      const task = this.ready.peek()
      if (task === undefined) break
      bids ??= this.decisions.look(open)
      if (gate.active && gate.holdsBack(task, nowMs, this.ready, aside)) continue
      const candidates = gate.active
        ? gate.candidates(task, open)
        : open.filter((candidate) => candidate.offer.member.types.has(task.type))
      if (candidates.length === 0) {
        this.ready.setUncovered(task.type)
        if (this.offers.has(task.type)) aside.push(task.type)
        continue
      }
      this.ready.take()
      const chosen = candidates.length === 1 ? candidates[0]! : this.choose(task, candidates)
      this.offers.award(task, chosen.offer, nowMs)
      if (gate.active) gate.awarded(task, chosen.offer, nowMs)
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
    if (effects.length > 0) this.decisions.note(nowMs, bids ?? [], effects)
    // Nodes with these types have no credit left just now; types that no node bids for wait until one does.
    for (const type of aside) this.ready.setCovered(type)
    if (this.ordering.outranks !== undefined) this.makeRoom(nowMs, effects)
    const call = this.bidCall.due(this.ready, this.offers, nowMs)
    if (call !== undefined) effects.push(call)
    return effects
  }

  /** Hears a node. */
  hear(incarnation: string, report: NodeReport, nowMs: number): SchedulerEffect[] {
    const member = this.state.members.get(incarnation)
    if (member === undefined || !member.live) return []
    switch (report[0]) {
      case 'bid':
        this.noteBid(member, report, nowMs)
        return []
      case 'declined':
        for (const [id, turn] of report[1]) {
          const task = this.state.tasks.get(id)
          if (task !== undefined && this.offers.declined(task, turn, incarnation)) {
            this.over(task, true)
            this.timers.set({ task, what: 'wake', turn: task.turn }, nowMs + declinedPauseMs)
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
    while (entries.length < limits.blockEntriesMax) {
      const timer = this.timers.next(nowMs)
      if (timer === undefined) break
      this.fire(timer, nowMs, entries)
    }
    for (const task of this.offers.expired(nowMs)) {
      this.over(task, true)
      this.enter(task, nowMs)
    }
    return entries.length === 0 ? [] : [{ do: 'append', epoch: this.epoch, entries }]
  }

  /** When `alarm` has something to do next; awards that nobody accepted are looked at now and then. */
  nextAlarmMs(nowMs: number): number {
    const awards = this.offers.awardedCount > 0 ? nowMs + expiryCheckMs : Number.POSITIVE_INFINITY
    return Math.min(this.timers.nextMs, awards, this.gate.opensAtMs, this.preemption.nextMs)
  }

  /** Why a task is not running, in a sentence, for whoever asks. */
  waitingReason(task: TaskRecord, nowMs: number): string | undefined {
    const { offers, gate, state } = this
    return waitingReason(task, { offers, gate, members: state.membersBySubject.values(), nowMs })
  }

  /** How the task was placed last, if that is not long ago. */
  decisionOf(task: TaskRecord): (Decision & { readonly policy: string }) | undefined {
    const decision = this.decisions.of(task)
    return decision && { ...decision, policy: this.placementOf(task).name }
  }

  /** Tasks with a timer before which they cannot start; an upper bound, for people. */
  get delayedCount(): number {
    return this.delayed
  }

  awardedTo(task: TaskRecord): Member | undefined {
    return this.offers.awardOf(task)?.member
  }

  /** For an order that preempts: the first task that found no room may have that of a running one. */
  private makeRoom(nowMs: number, effects: SchedulerEffect[]): void {
    const waiting = this.ready.peek()
    if (waiting !== undefined && this.gate.active && this.gate.limiter.blocks(waiting, nowMs) !== undefined) return
    const victim = this.preemption.victim(waiting, this.state.members.values(), nowMs)
    if (victim === undefined) return
    const { member, task } = victim
    effects.push({ do: 'yield', member, task, reason: `makes room by ${this.ordering.name}` })
  }

  private emptyQueue(): ReadyTasks {
    const { ordering, gate } = this
    const isReady = (task: TaskRecord) =>
      (task.status === 'waiting' || task.status === 'parked') && this.offers.awardOf(task) === undefined
    if (ordering.total && !gate.byKey) return new ReadyQueue(ordering, isReady)
    return new LaneQueue(ordering, isReady, { byKey: gate.byKey })
  }

  private choose(task: TaskRecord, candidates: readonly Candidate[]): Candidate {
    return this.placementOf(task).choose(task, candidates, this.durations.ofType(task.type) ?? 0)
  }

  private placementOf(task: TaskRecord): PlacementPolicy {
    return (this.placements.size > 0 && this.placements.get(task.type)) || this.placement
  }

  private openOffers(nowMs: number): Candidate[] {
    const open: Candidate[] = []
    const preempts = this.ordering.outranks !== undefined
    for (const offer of this.offers.all()) {
      const credits = this.offers.freeCredits(offer, nowMs)
      // With an order that preempts, what waits does so here: one that a node holds already could not take a slot from another.
      const { member, awarded } = offer
      const free = preempts ? Math.min(credits, member.profile.slots - member.running.size - awarded) : credits
      if (free > 0) open.push({ offer, free })
    }
    return open
  }

  private noteRunning(task: TaskRecord): void {
    this.offers.settle(task)
    if (this.gate.active && task.owner !== undefined) this.gate.claims.take(task, task.owner)
    this.watchLimit({ task, what: 'timeout', turn: task.turn }, 0)
  }

  /** Once per task: it holds for all its turns. */
  private watchDeadline(task: TaskRecord): void {
    this.watchLimit({ task, what: 'deadline', turn: 0 }, 0)
  }

  /** Returns the entry that says that the limit has passed; sets a timer for when it will, or for when it is to be said again. */
  private watchLimit(timer: Timer, nowMs: number): ControlEntry | undefined {
    const limit = limitOf(timer, nowMs)
    if (limit !== undefined) this.timers.set(timer, limit.nextMs)
    return limit?.entry
  }

  /** The task's award or turn is over. */
  private over(task: TaskRecord, unused = this.offers.settle(task)): void {
    if (this.gate.active) this.gate.settled(task, this.ready)
    if (this.ready.turnEnded === undefined) return
    const endedAtMs = task.ended ? task.finishedAtMs : this.state.timeMs
    this.ready.turnEnded(task, unused || task.turnAtMs === 0 ? 0 : Math.max(0, endedAtMs - task.turnAtMs))
  }

  private noteBid(member: Member, report: Extract<NodeReport, readonly ['bid', ...unknown[]]>, nowMs: number): void {
    const isNew = this.offers.of(member.incarnation) === undefined
    const offer = this.offers.hear(member, report, nowMs)
    if (!isNew) return
    for (const type of this.ready.uncoveredTypes()) if (member.types.has(type)) this.ready.setCovered(type)
    this.gate.joined(offer)
  }

  private noteLimited(type: string, nowMs: number): void {
    this.gate.limited(type, nowMs, this.ready)
    if (!this.gate.byKey || this.ready.hold !== undefined) return
    // From now on keys have to be told apart.
    this.ready = this.emptyQueue()
    for (const task of this.state.tasks.values()) {
      const due = dueAtMs(task)
      if (due !== undefined && due <= nowMs && this.offers.awardOf(task) === undefined) this.ready.add(task)
    }
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

  /** Rule 6: what a node says that it runs, against the ledger. */
  private compare(member: Member, lastBlockSequence: number, turns: RunningReport[2]): SchedulerEffect[] {
    const { dropped, revoked, owned } = compareTurns(this.state, member, lastBlockSequence, turns)
    const effects: SchedulerEffect[] = []
    for (const task of owned) this.handOver(task, effects)
    if (dropped.length > 0) effects.push({ do: 'drop', member, turns: dropped })
    if (revoked.length > 0) effects.push({ do: 'append', epoch: this.epoch, entries: revoked })
    return effects
  }

  private forgetNode(member: Member, nowMs: number): void {
    const offer = this.offers.of(member.incarnation)
    for (const task of this.offers.remove(member.incarnation)) {
      this.over(task, true)
      this.enter(task, nowMs)
    }
    if (offer !== undefined) this.gate.left(offer)
  }

  /** Queues a task that may run, or sets a timer for when it may. What runs already has been, or will be, noted as such. */
  private enter(task: TaskRecord, nowMs: number): void {
    const due = dueAtMs(task)
    if (due === undefined) return
    if (task.startedAtMs === 0 && task.rare?.startByMs !== undefined) this.watchDeadline(task)
    if (due > nowMs) {
      this.timers.set({ task, what: task.status === 'waiting' ? 'due' : 'wake', turn: task.turn }, due)
      if (task.status === 'waiting') this.delayed++
    } else this.ready.add(task)
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
      if (due !== undefined && due <= nowMs) this.ready.add(task)
    }
  }
}
