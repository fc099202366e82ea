/**
 * What may be awarded beyond a type and a free credit: quantities that a node has left, labels, limits of the type. While no
 * type asks for any of these it counts nothing and costs nothing.
 */
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import { Heap } from './heap.ts'
import type { Offer, Offers } from './offers.ts'
import type { Candidate } from './placement.ts'
import { Claims } from './policies/claims.ts'
import { isDemanding, lacking, unfit, wishFor } from './policies/demands.ts'
import { Limiter } from './policies/limiter.ts'
import type { ReadyTasks } from './policies/ready-tasks.ts'

interface HeldKey {
  readonly type: string
  readonly key: string
}

/** Of the nodes that can take the task, those that it wishes for most; all of them if it has no wishes. */
export function mostWished<Some extends Candidate>(task: TaskRecord, able: Some[]): Some[] {
  if (able.length < 2 || able[0]!.offer.member.types.get(task.type)?.labels === undefined) return able
  const wishes = able.map(({ offer: { member } }) =>
    wishFor(member.types.get(task.type)?.labels, member.profile.labels),
  )
  const most = Math.max(...wishes)
  return able.filter((_, i) => wishes[i] === most)
}

export class Gate {
  readonly claims = new Claims()
  readonly limiter: Limiter
  /** Some type asks for more than a credit, or has limits. */
  active = false
  private readonly state: LedgerState
  private readonly offers: Offers
  /** Nodes with types that ask for something. */
  private readonly demanding = new Set<Offer>()
  /** Types that ask for labels. */
  private readonly wishing = new Set<string>()
  private readonly held = new Map<string, HeldKey>()
  private readonly heldUntil = new Heap<HeldKey>()
  private typesOpenAtMs = Number.POSITIVE_INFINITY

  constructor(state: LedgerState, offers: Offers) {
    this.state = state
    this.offers = offers
    this.limiter = new Limiter(state, this.claims)
  }

  /** Keys have limits of their own, so tasks must be queued by key. */
  get byKey(): boolean {
    for (const { runningPerKeyMax, startsPerKeyMax } of this.state.limits.values()) {
      if (runningPerKeyMax !== undefined || startsPerKeyMax !== undefined) return true
    }
    return false
  }

  /** A node bids for the first time. */
  joined(offer: Offer): void {
    for (const profile of offer.member.types.values()) {
      if (isDemanding(profile)) this.demanding.add(offer)
      if (profile.labels !== undefined) this.wishing.add(profile.type)
    }
    this.begin()
  }

  left(offer: Offer): void {
    this.demanding.delete(offer)
    this.claims.forget(offer.member)
  }

  /** The limits of a type have changed. */
  limited(type: string, nowMs: number, ready: ReadyTasks): void {
    this.limiter.changed(type, nowMs, this.state.tasks.values())
    for (const held of this.held.values()) ready.release?.(held.type, held.key)
    this.held.clear()
    this.begin()
  }

  /** Starts to count, with what runs and what is awarded already. */
  begin(): void {
    if (this.active || (this.demanding.size === 0 && this.state.limits.size === 0)) return
    this.active = true
    for (const member of this.state.members.values()) {
      for (const task of member.running) {
        if (task.owner === member) this.claims.take(task, member)
        else this.claims.takeBeside(task, member)
      }
    }
    for (const [task, offer] of this.offers.awarded()) this.claims.take(task, offer.member)
  }

  /** The task was awarded to, or accepted by, the owner of this offer. */
  awarded(task: TaskRecord, offer: Offer, nowMs: number): void {
    this.claims.take(task, offer.member)
    this.limiter.spend(task, nowMs)
  }

  /** The same for a second turn of a task that runs. */
  awardedBeside(task: TaskRecord, offer: Offer, nowMs: number): void {
    this.claims.takeBeside(task, offer.member)
    this.limiter.spend(task, nowMs)
  }

  /** The award or the turn is over. */
  settled(task: TaskRecord, ready: ReadyTasks): void {
    if (!this.claims.settle(task) || this.held.size === 0 || task.key === undefined) return
    if (this.held.delete(`${task.type} ${task.key}`)) ready.release?.(task.type, task.key)
  }

  /**
   * True if a limit keeps the task from starting: then its type, which is returned to the caller's list, or its key has been
   * set aside.
   */
  holdsBack(task: TaskRecord, nowMs: number, ready: ReadyTasks, aside: string[]): boolean {
    const block = this.limiter.blocks(task, nowMs)
    if (block === undefined) return false
    const { type, key = '' } = task
    if (block.scope === 'key' && ready.hold !== undefined) {
      const held = { type, key }
      ready.hold(type, key)
      this.held.set(`${type} ${key}`, held)
      if (block.untilMs < Number.POSITIVE_INFINITY) this.heldUntil.push(held, block.untilMs)
      return true
    }
    this.typesOpenAtMs = Math.min(this.typesOpenAtMs, block.untilMs)
    ready.setUncovered(type)
    aside.push(type)
    return true
  }

  /** Lets go of keys whose time has come; a round of placing begins. */
  open(nowMs: number, ready: ReadyTasks): void {
    this.typesOpenAtMs = Number.POSITIVE_INFINITY
    while (this.heldUntil.peekRank() <= nowMs) {
      const { type, key } = this.heldUntil.pop()!
      if (this.held.delete(`${type} ${key}`)) ready.release?.(type, key)
    }
  }

  /** When time alone lets something start. */
  get opensAtMs(): number {
    return Math.min(this.typesOpenAtMs, this.heldUntil.peekRank())
  }

  /** Of the nodes with a free credit, those that can take the task; only the most wished for, if it has wishes. */
  candidates<Some extends Candidate>(task: TaskRecord, open: readonly Some[]): Some[] {
    if (!this.active) return open.filter(({ offer }) => offer.member.types.has(task.type))
    return mostWished(
      task,
      open.filter((candidate) => this.canTake(task, candidate)),
    )
  }

  /** Some node could have the task, if others did not take so much of it. */
  isShort(task: TaskRecord): boolean {
    let short = false
    for (const { member } of this.demanding) {
      const profile = member.types.get(task.type)
      if (profile === undefined || unfit(profile, member.profile) !== undefined) continue
      if (lacking(profile.resources, this.claims.roomOf(member)) === undefined) return false
      short = true
    }
    return short
  }

  /** Some nodes are wished for more than others that can take the task. */
  hasWishes({ type }: TaskRecord): boolean {
    return this.wishing.has(type)
  }

  canTake(task: TaskRecord, candidate: Candidate): boolean {
    const { offer } = candidate
    const profile = offer.member.types.get(task.type)
    if (profile === undefined) return false
    if (!this.demanding.has(offer) || !isDemanding(profile)) return true
    if (unfit(profile, offer.member.profile) !== undefined) return false
    candidate.room = this.claims.roomOf(offer.member)
    return lacking(profile.resources, candidate.room) === undefined
  }
}
