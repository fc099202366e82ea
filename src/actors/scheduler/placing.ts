/**
 * Which ready task goes to which bid: takes tasks in order, asks the gate who may have them and the placement policy which of
 * those it is to be, and spends the credit. What finds no room waits, calls for bids, or makes room by an order that preempts.
 */
import { limits } from '../../protocol/limits.ts'
import { askedTasksMax } from '../../protocol/quotes.ts'
import type { Member } from '../ledger/member.ts'
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import { BidCall } from './bid-call.ts'
import type { SchedulerEffect } from './effects.ts'
import { Experience } from './experience.ts'
import { Gate, mostWished } from './gate.ts'
import { Hedging } from './hedging.ts'
import type { Offer, Offers } from './offers.ts'
import { Openings } from './openings.ts'
import { type OrderingPolicy, priority } from './ordering.ts'
import { Patience } from './patience.ts'
import { type Candidate, leastDelay, type PlacementPolicy, preferenceMs } from './placement.ts'
import { type BidSeen, type Decision, Decisions } from './policies/decisions.ts'
import { unfit } from './policies/demands.ts'
import { probationBelow } from './policies/health.ts'
import { LaneQueue } from './policies/lane-queue.ts'
import type { ReadyTasks } from './policies/ready-tasks.ts'
import type { RebalancingPolicy } from './policies/rebalance.ts'
import { Preemption } from './preemption.ts'
import { Quotes, refusedPauseMs } from './quotes.ts'
import { ReadyQueue } from './ready-queue.ts'
import { Rebalancing } from './rebalancing.ts'
import { fewNodes, OpenNodes, type Room } from './room.ts'
import type { OpenPlace } from './tender.ts'
import { Tenders } from './tenders.ts'

/** How long a task at the head of its queue finds no room before places are reserved for it. */
const largeAfterMs = 1_000
/** With many nodes, how long the next round waits for each award of the last, and at most: what comes meanwhile shares awards. */
const pausePerAwardMs = 1 / 12
const pauseMsMax = 2

export interface PlacingPolicies {
  /** Default: by priority. */
  readonly ordering?: OrderingPolicy
  /** Default: least delay. */
  readonly placement?: PlacementPolicy
  /** Instead of `placement`, by task type. */
  readonly placements?: ReadonlyMap<string, PlacementPolicy>
  /** When running tasks are moved; default: never. */
  readonly rebalancing?: RebalancingPolicy
}

/** What one round of placing has before it. */
interface Round {
  readonly room: Room
  readonly awards: Map<Member, TaskRecord[]>
  readonly effects: SchedulerEffect[]
  /** Types that wait until the next round. */
  readonly aside: string[]
  /** What was bid when it began. */
  bids: readonly BidSeen[]
  readonly nowMs: number
}

export class Placing {
  readonly gate: Gate
  readonly quotes = new Quotes()
  readonly preemption: Preemption
  readonly tenders: Tenders
  readonly experience: Experience
  readonly hedging: Hedging
  readonly rebalancing: Rebalancing
  ready: ReadyTasks
  private readonly state: LedgerState
  private readonly later: (task: TaskRecord, atMs: number) => void
  private readonly patience: Patience
  /** There are many nodes. */
  private openings: Openings | undefined
  private lastType = ''
  private nowMs = 0
  private pausedUntilMs = 0
  private readonly offers: Offers
  private readonly ordering: OrderingPolicy
  private readonly placement: PlacementPolicy
  private readonly placements: ReadonlyMap<string, PlacementPolicy>
  private readonly bidCall = new BidCall()
  private readonly decisions = new Decisions()
  /** By type, the task that finds no room, and since when. */
  private readonly short = new Map<string, { readonly task: TaskRecord; readonly sinceMs: number }>()

  /** `later` takes a task that is to be admitted again at a time. */
  constructor(
    state: LedgerState,
    offers: Offers,
    policies: PlacingPolicies,
    later: (task: TaskRecord, atMs: number) => void,
  ) {
    this.state = state
    this.later = later
    this.offers = offers
    this.experience = new Experience(offers)
    this.patience = new Patience(state, offers, this.experience, this.quotes)
    this.placement = policies.placement ?? leastDelay
    this.ordering = policies.ordering ?? priority
    this.placements = policies.placements ?? new Map()
    this.gate = new Gate(state, offers)
    this.hedging = new Hedging(this.gate, offers)
    this.rebalancing = new Rebalancing(policies.rebalancing, offers, this.gate)
    const chooseReserved = (task: TaskRecord, open: readonly OpenPlace[], nowMs: number) =>
      this.chooseReserved(task, open, nowMs)
    this.tenders = new Tenders(state, offers, this.gate, chooseReserved, (task) => this.ready.add(task))
    this.preemption = new Preemption(this.ordering)
    this.ready = this.emptyQueue()
  }

  /** Matches ready tasks to bids until one side is used up; returns the awards, one per node. */
  place(epoch: number, nowMs: number): SchedulerEffect[] {
    this.nowMs = nowMs
    if (nowMs < this.pausedUntilMs) return []
    this.experience.judge(nowMs)
    this.patience.begin(nowMs)
    this.quotes.begin()
    if (this.gate.active) this.gate.open(nowMs, this.ready)
    const effects = this.tenders.proceed(epoch, nowMs)
    if (this.movesTurns(nowMs) || this.ready.peek() !== undefined) this.match(epoch, nowMs, effects)
    if (this.ordering.outranks !== undefined) this.makeRoom(nowMs, effects)
    const call = this.bidCall.due(this.ready, this.offers, nowMs)
    if (call !== undefined) effects.push(call)
    return effects
  }

  private match(epoch: number, nowMs: number, effects: SchedulerEffect[]): void {
    const { gate } = this
    const room = this.room()
    const round: Round = { room, awards: new Map(), effects, aside: [], bids: [], nowMs }
    while (!room.isEmpty) {
      const task = this.ready.peek()
      if (task === undefined) break
      const chosen = this.placeFor(task, round)
      if (chosen === undefined) continue
      this.ready.take()
      this.lastType = task.type
      this.offers.award(task, chosen.offer, nowMs)
      if (gate.active) gate.awarded(task, chosen.offer, nowMs)
      room.spent(chosen)
      const { member } = chosen.offer
      const tasks = round.awards.get(member)
      if (tasks === undefined) round.awards.set(member, [task])
      else tasks.push(task)
    }
    for (const [member, tasks] of round.awards) {
      for (let from = 0; from < tasks.length; from += limits.awardTasksMax) {
        effects.push({ do: 'award', epoch, member, tasks: tasks.slice(from, from + limits.awardTasksMax) })
      }
    }
    if (effects.length > 0) this.decisions.note(nowMs, round.bids, effects)
    if (this.movesTurns(nowMs)) {
      const open = room.left()
      if (this.hedging.active) this.hedging.proceed({ epoch, nowMs, open, choose: this.chooseAt(nowMs) }, effects)
      this.rebalancing.proceed(open, nowMs, effects)
    }
    // Nodes with these types have no credit left just now; types that no node bids for wait until one does.
    for (const type of round.aside) this.ready.setCovered(type)
    if (this.openings === undefined) return
    this.pausedUntilMs = nowMs + Math.min(pauseMsMax, round.awards.size * pausePerAwardMs)
  }

  /** What runs already may want a place elsewhere. */
  private movesTurns(nowMs: number): boolean {
    return this.hedging.active || this.rebalancing.isDue(nowMs)
  }

  /** When to look again although nothing happens. */
  get nextMs(): number {
    const { experience, patience, preemption, tenders, quotes, hedging } = this
    const learnedMs = Math.min(experience.nextMs, patience.nextMs, quotes.nextMs)
    const nextMs = Math.min(learnedMs, preemption.nextMs, tenders.nextMs, hedging.nextMs)
    return this.pausedUntilMs > this.nowMs ? Math.min(nextMs, this.pausedUntilMs) : nextMs
  }

  /** How the task was placed last, if that is not long ago. */
  decisionOf(task: TaskRecord): (Decision & { readonly policy: string }) | undefined {
    const decision = this.decisions.of(task)
    return decision && { ...decision, policy: this.placementOf(task).name }
  }

  /** The task may start: it waits for its turn. */
  admit(task: TaskRecord): void {
    if (!this.tenders.admit(task) && !this.tenders.has(task)) this.ready.add(task)
  }

  /** The place that the first task gets; without one, the task or its type has been put aside. */
  private placeFor(task: TaskRecord, round: Round): Candidate | undefined {
    const { gate, ready } = this
    const { room, aside, nowMs } = round
    if (gate.active && gate.holdsBack(task, nowMs, ready, aside)) return undefined
    let candidates: readonly Candidate[] = room.candidates(task)
    if (round.bids.length === 0) round.bids = this.look(candidates, task, nowMs)
    if (candidates.length === 0 && gate.active && this.isLarge(task, nowMs)) {
      ready.take()
      return undefined
    }
    if (candidates.length > 0 && this.quotes.isFor(task.type)) {
      const quoted = this.quotes.weigh(
        task,
        candidates,
        this.bidders(task, nowMs),
        () => ready.ahead(task.type, askedTasksMax),
        nowMs,
        round.effects,
      )
      if ('waits' in quoted && quoted.waits === 'for a refusal to change') {
        ready.take()
        ready.turnEnded?.(task, 0)
        this.later(task, nowMs + refusedPauseMs)
        return undefined
      }
      candidates = 'candidates' in quoted ? quoted.candidates : []
    }
    const able = this.rebalancing.awayFrom(task, candidates)
    const chosen = able.length === 0 ? undefined : this.choose(task, able, nowMs)
    const isPatient = this.placementOf(task).patient === true
    const waits = chosen === undefined || (isPatient && this.patience.awaitsFaster(task, chosen, nowMs))
    // They stand for other tasks, too.
    if (this.quotes.isFor(task.type)) for (const candidate of candidates) candidate.extraMs = 0
    if (!waits) return chosen
    ready.setUncovered(task.type)
    if (chosen !== undefined || this.offers.has(task.type)) aside.push(task.type)
    return undefined
  }

  /** The nodes that bid for the task's type, with room or without, and can ever take it. */
  private bidders(task: TaskRecord, nowMs: number): Member[] {
    const bidders: Member[] = []
    for (const { offer } of this.experience.all(task.type, nowMs)) {
      const { types, profile } = offer.member
      if (unfit(types.get(task.type)!, profile) === undefined) bidders.push(offer.member)
    }
    return bidders
  }

  /** It has been first of its type for some time, what it asks for is never free at once, and places are sought for it now. */
  private isLarge(task: TaskRecord, nowMs: number): boolean {
    const { type } = task
    if (!this.gate.isShort(task)) {
      this.short.delete(type)
      return false
    }
    const known = this.short.get(type)
    if (known?.task !== task) this.short.set(type, { task, sinceMs: nowMs })
    return known?.task === task && nowMs - known.sinceMs >= largeAfterMs && this.tenders.admitLarge(task, nowMs)
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

  /** A queue that can keep keys apart if some limit asks for it. */
  emptyQueue(): ReadyTasks {
    const { ordering, gate } = this
    const isReady = (task: TaskRecord) =>
      (task.status === 'waiting' || task.status === 'parked') && this.offers.awardOf(task) === undefined
    if (ordering.total && !gate.byKey) return new ReadyQueue(ordering, isReady)
    return new LaneQueue(ordering, isReady, { byKey: gate.byKey })
  }

  private look(open: readonly Candidate[], task: TaskRecord, nowMs: number): BidSeen[] {
    for (const candidate of open) this.experience.seen(candidate, task.type, nowMs)
    return this.decisions.look(open, (node) => this.experience.health.of(node))
  }

  private choose(task: TaskRecord, candidates: readonly Candidate[], nowMs: number): Candidate {
    if (candidates.length === 1) return candidates[0]!
    for (const candidate of candidates) this.experience.seen(candidate, task.type, nowMs)
    return this.placementOf(task).choose(task, candidates, this.experience.paces.bestMs(task.type) ?? 0)
  }

  private chooseAt(nowMs: number): (task: TaskRecord, candidates: readonly Candidate[]) => Candidate {
    return (task, candidates) => this.choose(task, candidates, nowMs)
  }

  /**
   * Among nodes that have reserved a place for the task: those that can be trusted if there are any, the most wished for of
   * them, and of these the one that the placement policy takes.
   */
  private chooseReserved(task: TaskRecord, open: readonly OpenPlace[], nowMs: number): Member {
    const { experience } = this
    const healthy = open.filter(({ member }) => experience.health.of(member.node) >= probationBelow)
    const able = healthy.length > 0 ? healthy : open
    const candidates = able.flatMap(({ member, left, given }): Candidate[] => {
      const offer = this.offers.of(member.incarnation)
      if (offer === undefined) return []
      // What the party has been given counts as awarded, though it is not yet.
      const shadow = { offer: { ...offer, awarded: offer.awarded + given }, free: left }
      return [experience.seen({ ...shadow, room: this.gate.claims.roomOf(member) }, task.type, nowMs)]
    })
    if (candidates.length === 0) return able[0]!.member
    const wished = mostWished(task, candidates)
    const bestMs = experience.paces.bestMs(task.type) ?? 0
    return this.placementOf(task).choose(task, wished, bestMs).offer.member
  }

  private placementOf(task: TaskRecord): PlacementPolicy {
    return (this.placements.size > 0 && this.placements.get(task.type)) || this.placement
  }

  private room(): Room {
    const { openings, offers, gate } = this
    if (openings !== undefined) {
      openings.begin()
      return openings
    }
    if (offers.count > fewNodes) return this.beginOpenings()
    const open: Candidate[] = []
    for (const offer of offers.all()) {
      const free = this.freeOf(offer)
      if (free > 0) open.push({ offer, free })
    }
    return new OpenNodes(open, gate)
  }

  /** From now on nodes are kept in order of what they cost. */
  private beginOpenings(): Openings {
    this.openings = new Openings({
      free: (offer) => this.freeOf(offer),
      rank: (opening) => {
        const { paces } = this.experience
        return preferenceMs(this.experience.seen(opening, this.lastType, this.nowMs), paces.bestMs(this.lastType) ?? 0)
      },
      accepts: (task, opening) => !this.gate.active || this.gate.canTake(task, opening),
      ofAll: (task, all) => {
        const isByCost = this.placementOf(task).byCost === true && !this.quotes.isFor(task.type)
        const seesAll = !isByCost || this.gate.hasWishes(task)
        return seesAll ? this.gate.candidates(task, all()) : undefined
      },
    })
    for (const offer of this.offers.all()) this.openings.note(offer)
    this.offers.watcher = this.openings
    return this.openings
  }

  private freeOf(offer: Offer): number {
    const { member, awarded } = offer
    if (this.tenders.isClearing(member)) return 0
    const credits = this.experience.trusted(offer, this.offers.freeCredits(offer, this.nowMs), this.nowMs)
    if (this.ordering.outranks === undefined) return credits
    // With an order that preempts, what waits does so here: one that a node holds already could not take a slot from another.
    return Math.max(0, Math.min(credits, member.profile.slots - member.running.size - awarded))
  }
}
