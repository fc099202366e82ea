/**
 * Second turns for turns that take unusually long. Watches running turns of the types that hedge; when one is a straggler, the
 * budget of its type allows it, and a slot is free on another node that no first turn wants, it asks for a `hedged` entry. Once
 * that is folded it awards the second turn. What the two turns come to is the fold's business.
 */
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import type { Change } from '../ledger/change.ts'
import { isHedgeOpen, mayHedge } from '../ledger/hedges.ts'
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { SchedulerEffect } from './effects.ts'
import type { Gate } from './gate.ts'
import { Heap } from './heap.ts'
import { awardTtlMs, type Offer, type Offers } from './offers.ts'
import type { Candidate } from './placement.ts'
import { Hedges } from './policies/hedges.ts'

/** When a straggler for which there is no room or no budget is looked at again, and a type of which too little is known. */
const lookAgainMs = 250
/** An entry that was asked for and is not folded after this long is asked for again. */
const askAgainMs = 5_000
/** Stragglers looked at in one round. */
const looksMax = 64
/** Fewer watched turns than this are never swept. */
const watchedMin = 10_000

interface Award {
  readonly offer: Offer
  readonly turn: number
  readonly atMs: number
}

/** What a round of placing has left, and how it chooses. */
export interface HedgingRound {
  readonly epoch: number
  readonly nowMs: number
  /** Bids with credits that no first turn took. */
  readonly open: readonly Candidate[]
  readonly choose: (task: TaskRecord, candidates: readonly Candidate[]) => Candidate
}

export class Hedging {
  private readonly gate: Gate
  private readonly offers: Offers
  private readonly hedges = new Hedges()
  /** Running turns by when they are looked at, marked with their number. */
  private readonly watched = new Heap<TaskRecord>()
  private watchedMax = watchedMin
  /** Hedges that wait for a node, with the nodes that did not take them. */
  private readonly waiting = new Map<TaskRecord, Set<string>>()
  private readonly awards = new Map<TaskRecord, Award>()
  /** Some type hedges. */
  active = false

  constructor(gate: Gate, offers: Offers) {
    this.gate = gate
    this.offers = offers
  }

  /** When to look again although nothing happens. */
  get nextMs(): number {
    const [oldest] = this.awards.values()
    return Math.min(this.watched.peekRank(), oldest === undefined ? Number.POSITIVE_INFINITY : oldest.atMs + awardTtlMs)
  }

  /** A turn runs. */
  watch(task: TaskRecord): void {
    const hedge = task.profile?.hedge
    if (hedge === undefined) return
    this.active = true
    if (isHedgeOpen(task)) this.waiting.set(task, new Set())
    if (!mayHedge(task)) return
    this.hedges.started(task.type, hedge)
    if (this.watched.length >= this.watchedMax) this.sweep()
    this.watched.push(task, task.turnAtMs + (this.hedges.afterMs(task.type, hedge) ?? lookAgainMs), task.turn)
  }

  /** Hears what was folded. */
  note(change: Change): void {
    switch (change.what) {
      case 'completed': {
        const { type, profile, finishedAtMs, turnAtMs } = change.task
        if (profile?.hedge !== undefined && turnAtMs > 0) this.hedges.ended(type, finishedAtMs - turnAtMs)
        break
      }
      case 'hedged':
        this.waiting.set(change.task, new Set())
        break
      case 'running-beside':
        this.settle(change.task)
        this.waiting.delete(change.task)
        break
      case 'hedge-over':
      case 'overtaken':
        this.settle(change.task)
        this.waiting.delete(change.task)
        if (this.gate.active) this.gate.claims.settleBeside(change.task)
        break
      default:
    }
  }

  /** Awards and asks for second turns, as far as the bids that are left go. */
  proceed(round: HedgingRound, effects: SchedulerEffect[]): void {
    const { nowMs, epoch } = round
    for (const [task, { atMs, offer }] of this.awards) {
      if (atMs + awardTtlMs > nowMs) break
      this.refused(task, offer.member)
    }
    const open = round.open.flatMap((candidate) => {
      const { member, awarded } = candidate.offer
      const free = Math.min(candidate.free, member.profile.slots - member.running.size - awarded)
      return free > 0 ? [{ ...candidate, free }] : []
    })
    for (const [task, avoided] of this.waiting) this.award(task, avoided, { ...round, open }, effects)
    const entries = this.stragglers({ ...round, open })
    if (entries.length > 0) effects.push({ do: 'append', epoch, entries })
  }

  /** A node did not take the award of this turn; true if it had been awarded to it. */
  declined(task: TaskRecord, turn: number, member: Member): boolean {
    const award = this.awards.get(task)
    if (award?.turn !== turn || award.offer.member !== member) return false
    this.refused(task, member)
    return true
  }

  /** The node is gone. */
  forget(member: Member): void {
    for (const [task, { offer }] of this.awards) if (offer.member === member) this.refused(task, member)
  }

  private award(task: TaskRecord, avoided: ReadonlySet<string>, round: HedgingRound, effects: SchedulerEffect[]): void {
    if (!isHedgeOpen(task)) {
      this.waiting.delete(task)
      return
    }
    const chosen = this.awards.has(task) ? undefined : this.roomFor(task, round, avoided)
    if (chosen === undefined) return
    const { offer } = chosen
    chosen.free--
    offer.awarded++
    this.awards.set(task, { offer, turn: task.turn + 1, atMs: round.nowMs })
    if (this.gate.active) this.gate.awardedBeside(task, offer, round.nowMs)
    effects.push({ do: 'award', epoch: round.epoch, member: offer.member, tasks: [task] })
  }

  /** The entries for stragglers that have room and budget. */
  private stragglers(round: HedgingRound): ControlEntry[] {
    const { nowMs } = round
    const entries: ControlEntry[] = []
    for (let looks = 0; looks < looksMax && this.watched.peekRank() <= nowMs; looks++) {
      const turn = this.watched.peekMark()
      const task = this.watched.pop()!
      const hedge = task.profile?.hedge
      if (task.turn !== turn || hedge === undefined || !mayHedge(task)) continue
      const lastedMs = nowMs - task.turnAtMs
      const afterMs = this.hedges.afterMs(task.type, hedge)
      if (afterMs === undefined || lastedMs < afterMs) {
        this.watched.push(task, Math.max(nowMs + 1, task.turnAtMs + (afterMs ?? lastedMs + lookAgainMs)), turn)
        continue
      }
      const room = this.hedges.allows(task.type) ? this.roomFor(task, round) : undefined
      this.watched.push(task, nowMs + (room === undefined ? lookAgainMs : askAgainMs), turn)
      if (room === undefined) continue
      room.free--
      this.hedges.spend(task.type)
      entries.push([kind.hedged, task.id, turn, this.hedges.reason(task.type, hedge, lastedMs)])
    }
    return entries
  }

  /** A place on another node that could take the second turn now. */
  private roomFor(task: TaskRecord, round: HedgingRound, avoided?: ReadonlySet<string>): Candidate | undefined {
    const { gate } = this
    if (gate.active && gate.limiter.blocks(task, round.nowMs) !== undefined) return undefined
    const able = round.open.filter(({ free, offer: { member } }) => {
      return free > 0 && member.node !== task.owner?.node && member.types.has(task.type) && !avoided?.has(member.node)
    })
    const candidates = gate.active ? gate.candidates(task, able) : able
    return candidates.length === 0 ? undefined : round.choose(task, candidates)
  }

  private refused(task: TaskRecord, member: Member): void {
    this.settle(task)
    if (this.gate.active) this.gate.claims.settleBeside(task)
    this.waiting.get(task)?.add(member.node)
  }

  /** The award is over. */
  private settle(task: TaskRecord): void {
    const award = this.awards.get(task)
    if (award === undefined) return
    this.awards.delete(task)
    award.offer.awarded--
    this.offers.freed(award.offer.member)
  }

  private sweep(): void {
    this.watched.sweep((task, turn) => task.turn === turn && mayHedge(task))
    this.watchedMax = Math.max(watchedMin, this.watched.length * 2)
  }
}
