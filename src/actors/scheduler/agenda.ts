/**
 * What a leading scheduler works on: the ready queue, the timers, the bids. All of it is derived from the ledger and from
 * what nodes say, so a new leader builds it anew. It decides what to award, to whom, and what has come due; it carries
 * nothing out.
 */
import type { ControlEntry } from '../../protocol/entries.ts'
import type { NodeReport } from '../../protocol/messages.ts'
import type { Change } from '../ledger/change.ts'
import { holdsTurn, secondOf, turnHeldBy } from '../ledger/hedges.ts'
import type { Member } from '../ledger/member.ts'
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import { dueAtMs } from '../ledger/turn-entries.ts'
import { Calendar } from './calendar.ts'
import { compareTurns, type RunningReport } from './comparison.ts'
import type { SchedulerEffect } from './effects.ts'
import type { Gate } from './gate.ts'
import { Gatherings } from './gatherings.ts'
import { Offers } from './offers.ts'
import { Placing, type PlacingPolicies } from './placing.ts'
import type { Decision } from './policies/decisions.ts'
import type { Negotiation } from './policies/negotiations.ts'
import type { ReadyTasks } from './policies/ready-tasks.ts'
import type { QuoteSeen } from './quotes.ts'
import type { Move } from './rebalancing.ts'
import { type Refusal, waitingReason } from './waiting.ts'

/** Before a task that a node declined is placed again: the same node may be the only one. */
const declinedPauseMs = 20
/** How late an award that nobody accepted may be made anew. */
const expiryCheckMs = 250

export type AgendaOptions = PlacingPolicies

export class Agenda {
  readonly offers = new Offers()
  epoch = 0
  private readonly state: LedgerState
  private readonly placing: Placing
  private readonly gate: Gate
  private readonly calendar = new Calendar((task) => this.placing.admit(task))
  private readonly gatherings = new Gatherings()
  private readonly refusals = new WeakMap<TaskRecord, Refusal>()

  constructor(state: LedgerState, options: AgendaOptions = {}) {
    this.state = state
    this.placing = new Placing(state, this.offers, options, (task, atMs) => this.calendar.again(task, atMs))
    this.gate = this.placing.gate
  }

  /** Everything from the ledger; done once, when leading begins. */
  build(nowMs: number): void {
    for (const type of this.state.limits.keys()) this.gate.limited(type, nowMs, this.ready)
    for (const task of this.state.tasks.values()) {
      if (task.ended) continue
      this.calendar.watchDeadline(task)
      if (task.status === 'running' || task.status === 'held') {
        this.noteRunning(task)
        this.placing.experience.began(task)
      } else this.calendar.enter(task, nowMs)
    }
    this.gatherings.build(this.state, nowMs)
  }

  /** Takes note of what was folded; returns what nodes have to be told at once. */
  note(changes: readonly Change[], nowMs: number): SchedulerEffect[] {
    const effects: SchedulerEffect[] = []
    for (const change of changes) {
      this.placing.experience.note(change, nowMs)
      if (this.placing.hedging.active) this.placing.hedging.note(change)
      switch (change.what) {
        case 'submitted':
          this.calendar.watchDeadline(change.task)
          break
        case 'held':
          this.noteRunning(change.task)
          this.gatherings.noteHeld(this.state, change.task, nowMs)
          break
        case 'running':
          this.noteRunning(change.task)
          if (change.task.rare?.gang !== undefined) begin(change.task, effects)
          this.handOver(change.task, change.task.owner, effects)
          break
        case 'overtaken':
          this.noteRunning(change.task)
          break
        case 'running-beside':
          this.handOver(change.task, secondOf(this.state, change.task), effects)
          break
        case 'ready':
        case 'yielded':
        case 'retrying':
        case 'restarted':
        case 'retried':
        case 'parked':
          this.over(change.task)
          this.calendar.enter(change.task, nowMs)
          break
        case 'completed':
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
        case 'recalled': {
          const reason = change.what === 'recalled' ? change.reason : 'the turn belongs to another'
          effects.push({ do: 'drop', member: change.member, turns: [[change.id, change.turn, reason]] })
          this.offers.freed(change.member)
          break
        }
        default:
      }
    }
    return effects
  }

  /** Matches ready tasks to bids until one side is used up; returns the awards, one per node. */
  place(nowMs: number): SchedulerEffect[] {
    return this.placing.place(this.epoch, nowMs)
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
        return this.declined(member, report[1], nowMs)
      case 'reserved':
        this.placing.tenders.hear(member, report, nowMs)
        return []
      case 'quoted':
        this.placing.quotes.hear(member, report[1], this.state.tasks)
        return []
      case 'running':
        return this.compare(member, report[1], report[2])
      case 'gap': {
        const task = this.state.tasks.get(report[1])
        if (task === undefined || !holdsTurn(task, member, report[2])) return []
        const signals = task.rare?.signals?.filter((signal) => signal.sequence > report[3]) ?? []
        return signals.length === 0 ? [] : [{ do: 'signal', member, task, turn: report[2], signals }]
      }
    }
  }

  /** What has come due by `nowMs`: tasks become placeable; deadlines and timeouts become entries. */
  alarm(nowMs: number): SchedulerEffect[] {
    const entries = [...this.calendar.due(nowMs), ...this.gatherings.lapsed(nowMs)]
    for (const task of this.offers.expired(nowMs)) {
      this.over(task, true)
      this.calendar.enter(task, nowMs)
    }
    return entries.length === 0 ? [] : [{ do: 'append', epoch: this.epoch, entries }]
  }

  /** When `alarm` has something to do next; awards that nobody accepted are looked at now and then. */
  nextAlarmMs(nowMs: number): number {
    const awards = this.offers.awardedCount > 0 ? nowMs + expiryCheckMs : Number.POSITIVE_INFINITY
    return Math.min(awards, ...this.soonest)
  }

  private get soonest(): number[] {
    const { calendar, gatherings, gate, placing } = this
    return [calendar.nextMs, gatherings.nextMs, gate.opensAtMs, placing.nextMs]
  }

  /** Why a task is not running, in a sentence, for whoever asks. */
  waitingReason(task: TaskRecord, nowMs: number): string | undefined {
    const { offers, gate, state, refusals } = this
    const { tenders, quotes } = this.placing
    return waitingReason(task, {
      offers,
      gate,
      tenders,
      quotes,
      gangs: state.gangs,
      refusals,
      members: state.membersBySubject.values(),
      nowMs,
    })
  }

  /** 1 for a node that fails no more of its tasks than others would, towards 0 for one that fails all of them. */
  healthOf(node: string): number {
    return this.placing.experience.health.of(node)
  }

  /** How the task was placed last, if that is not long ago. */
  decisionOf(task: TaskRecord): (Decision & { readonly policy: string }) | undefined {
    return this.placing.decisionOf(task)
  }

  /** What nodes quoted for the task when it was looked at last, if its type has a hook. */
  quotesFor(task: TaskRecord): readonly QuoteSeen[] | undefined {
    return this.placing.quotes.about(task)
  }

  /** The last time that the task was moved while it ran, if that is not long ago. */
  moveOf(task: TaskRecord): Move | undefined {
    return this.placing.rebalancing.moveOf(task)
  }

  /** The last call for bids in which places were reserved for it, if that is not long ago. */
  negotiationOf(task: TaskRecord, nowMs: number): Negotiation | undefined {
    return this.placing.tenders.about(task, nowMs)
  }

  /** Tasks with a timer before which they cannot start; an upper bound, for people. */
  get delayedCount(): number {
    return this.calendar.delayedCount
  }

  awardedTo(task: TaskRecord): Member | undefined {
    return this.offers.awardOf(task)?.member
  }

  private get ready(): ReadyTasks {
    return this.placing.ready
  }

  private noteRunning(task: TaskRecord): void {
    this.offers.settle(task)
    if (this.gate.active && task.owner !== undefined) this.gate.claims.take(task, task.owner)
    this.calendar.watchTurn(task)
    this.placing.hedging.watch(task)
  }

  /** The task's award or turn is over. */
  private over(task: TaskRecord, unused = this.offers.settle(task)): void {
    if (this.gate.active) this.gate.settled(task, this.ready)
    if (this.ready.turnEnded === undefined) return
    const endedAtMs = task.ended ? task.finishedAtMs : this.state.timeMs
    this.ready.turnEnded(task, unused || task.turnAtMs === 0 ? 0 : Math.max(0, endedAtMs - task.turnAtMs))
  }

  /** What a node does not take goes to others, or to it again a moment later; one that it holds goes back with its gang. */
  private declined(
    member: Member,
    turns: Extract<NodeReport, readonly ['declined', ...unknown[]]>[1],
    nowMs: number,
  ): SchedulerEffect[] {
    const entries: ControlEntry[] = []
    for (const [id, turn, reason] of turns) {
      const task = this.state.tasks.get(id)
      if (task === undefined) continue
      if (task.status === 'held' && task.owner === member && task.turn === turn) {
        const entry = this.gatherings.refused(this.state, task, reason)
        if (entry !== undefined && !entries.some(([, gang]) => gang === entry[1])) entries.push(entry)
      } else if (this.placing.hedging.declined(task, turn, member)) {
        // It goes to another that has room.
      } else if (this.offers.declined(task, turn, member.incarnation)) {
        this.refusals.set(task, { node: member.node, reason, atMs: nowMs, turn })
        this.over(task, true)
        this.calendar.again(task, nowMs + declinedPauseMs)
      }
    }
    return entries.length === 0 ? [] : [{ do: 'append', epoch: this.epoch, entries }]
  }

  private noteBid(member: Member, report: Extract<NodeReport, readonly ['bid', ...unknown[]]>, nowMs: number): void {
    const isNew = this.offers.of(member.incarnation) === undefined
    this.placing.experience.took(member, report[7] ?? [], report[1].slowdown, nowMs)
    const offer = this.offers.hear(member, report, nowMs)
    if (!isNew) return
    for (const type of this.ready.uncoveredTypes()) if (member.types.has(type)) this.ready.setCovered(type)
    this.gate.joined(offer)
    this.placing.quotes.joined(offer)
  }

  private noteLimited(type: string, nowMs: number): void {
    this.gate.limited(type, nowMs, this.ready)
    if (!this.gate.byKey || this.ready.hold !== undefined) return
    // From now on keys have to be told apart.
    this.placing.ready = this.placing.emptyQueue()
    for (const task of this.state.tasks.values()) {
      const due = dueAtMs(task)
      if (due !== undefined && due <= nowMs && this.offers.awardOf(task) === undefined) this.placing.admit(task)
    }
  }

  private noteSignal(task: TaskRecord, effects: SchedulerEffect[]): void {
    const latest = task.rare?.signals?.at(-1)
    if (task.status !== 'running' || latest === undefined) return
    for (const member of [task.owner, secondOf(this.state, task)]) this.handOver(task, member, effects)
  }

  /**
   * The last signal that the task has not consumed. A node that knows it drops it; one that lacks others before it, which
   * arrived after the award, did not fit into it or got lost, asks for them.
   */
  private handOver(task: TaskRecord, member: Member | undefined, effects: SchedulerEffect[]): void {
    const latest = task.rare?.signals?.at(-1)
    const turn = member && turnHeldBy(task, member)
    if (latest === undefined || member === undefined || turn === undefined) return
    effects.push({ do: 'signal', member, task, turn, signals: [latest] })
  }

  /** Rule 6: what a node says that it runs, against the ledger. */
  private compare(member: Member, lastBlockSequence: number, turns: RunningReport[2]): SchedulerEffect[] {
    const { dropped, revoked, owned, unbegun } = compareTurns(this.state, member, lastBlockSequence, turns)
    const effects: SchedulerEffect[] = []
    for (const task of unbegun) begin(task, effects)
    for (const task of owned) this.handOver(task, member, effects)
    if (dropped.length > 0) effects.push({ do: 'drop', member, turns: dropped })
    if (revoked.length > 0) effects.push({ do: 'append', epoch: this.epoch, entries: revoked })
    return effects
  }

  private forgetNode(member: Member, nowMs: number): void {
    const offer = this.offers.of(member.incarnation)
    this.placing.tenders.forget(member)
    this.placing.quotes.forget(member)
    this.placing.hedging.forget(member)
    this.placing.rebalancing.forget(member)
    for (const task of this.offers.remove(member.incarnation)) {
      this.over(task, true)
      this.calendar.enter(task, nowMs)
    }
    if (offer !== undefined) this.gate.left(offer)
  }
}

/** Its node, which holds it, may begin: the whole gang has been accepted. */
function begin(task: TaskRecord, effects: SchedulerEffect[]): void {
  if (task.owner !== undefined) effects.push({ do: 'begin', member: task.owner, turns: [[task.id, task.turn]] })
}
