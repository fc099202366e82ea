/**
 * Moves running tasks off nodes on which they suffer, one at a time: asks a node to give up a turn at its next boundary, from which
 * the task goes on elsewhere, so nothing is done twice. Remembers what it moved, so that nothing goes to and fro.
 */
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { SchedulerEffect } from './effects.ts'
import type { Gate } from './gate.ts'
import type { Offer, Offers } from './offers.ts'
import type { Candidate } from './placement.ts'
import { ageMs, hasBoundaries, leftMs, type RebalancingPolicy, whyBetter } from './policies/rebalance.ts'

/** How often it is looked, at most; loads are reported about as often. */
const lookEveryMs = 250

/** A task was asked to leave its node. */
export interface Move {
  readonly atMs: number
  readonly turn: number
  readonly from: string
  readonly to: string
  readonly reason: string
}

export class Rebalancing {
  private readonly policy: RebalancingPolicy | undefined
  private readonly offers: Offers
  private readonly gate: Gate
  private readonly moves = new WeakMap<TaskRecord, Move>()
  /** Since when a node is worse than another that has room. */
  private readonly worseSinceMs = new Map<Member, number>()
  private lookedAtMs = Number.NEGATIVE_INFINITY

  /** Without a policy nothing is moved. */
  constructor(policy: RebalancingPolicy | undefined, offers: Offers, gate: Gate) {
    this.policy = policy
    this.offers = offers
    this.gate = gate
  }

  /** It is time to look at what could be moved. */
  isDue(nowMs: number): boolean {
    return this.policy !== undefined && nowMs >= this.lookedAtMs + lookEveryMs
  }

  /** Asks one turn to make for a better node if that is due. `open`: bids with credits that nothing that waits took. */
  proceed(open: readonly Candidate[], nowMs: number, effects: SchedulerEffect[]): void {
    const { policy } = this
    if (policy === undefined || !this.isDue(nowMs)) return
    this.lookedAtMs = nowMs
    const idle = open.filter(({ offer: { member, awarded } }) => member.running.size + awarded < member.profile.slots)
    for (const here of this.offers.all()) {
      const better = this.betterThan(here, idle, policy, nowMs)
      if (better.length === 0) this.worseSinceMs.delete(here.member)
      else if (!this.worseSinceMs.has(here.member)) this.worseSinceMs.set(here.member, nowMs)
      else if (nowMs - this.worseSinceMs.get(here.member)! >= policy.afterMs) {
        const moved = this.move(here, better, policy, nowMs)
        if (moved === undefined) continue
        effects.push(moved)
        // What comes of this one is to be seen before the next.
        this.worseSinceMs.clear()
        return
      }
    }
  }

  /** Of these, those that the task was not just moved away from, if there are any. */
  awayFrom(task: TaskRecord, candidates: readonly Candidate[]): readonly Candidate[] {
    const move = this.moves.get(task)
    if (move === undefined || move.turn !== task.turn) return candidates
    const others = candidates.filter(({ offer }) => offer.member.node !== move.from)
    return others.length === 0 ? candidates : others
  }

  /** The last move of the task, if its node did what it was asked. */
  moveOf(task: TaskRecord): Move | undefined {
    const move = this.moves.get(task)
    return move !== undefined && (task.turn > move.turn || task.status === 'waiting') ? move : undefined
  }

  forget(member: Member): void {
    this.worseSinceMs.delete(member)
  }

  /** The bids that are clearly better than the node, cheapest first. */
  private betterThan(here: Offer, idle: readonly Candidate[], policy: RebalancingPolicy, nowMs: number): Candidate[] {
    if (here.expiresAtMs <= nowMs || here.member.running.size === 0) return []
    const better = idle.filter(({ offer }) => offer !== here && whyBetter(here, offer, policy) !== undefined)
    const cost = ({ offer: { bid } }: Candidate) => bid.slowdown * 1_000 + bid.priceMs
    return better.sort((a, b) => cost(a) - cost(b))
  }

  private move(
    here: Offer,
    better: readonly Candidate[],
    policy: RebalancingPolicy,
    nowMs: number,
  ): SchedulerEffect | undefined {
    let most: { readonly task: TaskRecord; readonly there: Offer; readonly leftMs: number } | undefined
    for (const task of here.member.running) {
      if (!this.isMovable(task, here.member, policy, nowMs) || leftMs(task, nowMs) <= (most?.leftMs ?? 0)) continue
      const there = this.placesFor(task, better)[0]?.offer
      if (there !== undefined) most = { task, there, leftMs: leftMs(task, nowMs) }
    }
    if (most === undefined) return undefined
    const { task, there } = most
    const { member } = here
    const reason = whyBetter(here, there, policy) ?? ''
    this.moves.set(task, { atMs: nowMs, turn: task.turn, from: member.node, to: there.member.node, reason })
    return { do: 'yield', member, task, reason: `moves to another node: ${reason}` }
  }

  private isMovable(task: TaskRecord, owner: Member, policy: RebalancingPolicy, nowMs: number): boolean {
    if (task.status !== 'running' || task.owner !== owner || task.rare?.hedge?.beside || task.rare?.gang) return false
    const movedAtMs = this.moves.get(task)?.atMs ?? Number.NEGATIVE_INFINITY
    if (!hasBoundaries(task) || nowMs - movedAtMs < policy.pauseMs) return false
    return ageMs(task, nowMs) >= policy.ageMinMs
  }

  private placesFor(task: TaskRecord, better: readonly Candidate[]): readonly Candidate[] {
    const able = better.filter(({ offer }) => offer.member.types.has(task.type))
    return this.gate.active ? this.gate.candidates(task, able) : able
  }
}
