/**
 * What a leading scheduler has seen of the nodes, beyond what their bids say: how long tasks take there, as the nodes report
 * it, and what fails there, as the log says. It corrects bids by it: slower than stated, fewer credits, none for a moment.
 * Learned while it leads; a new leader begins without.
 */
import type { TypeTook } from '../../protocol/messages.ts'
import type { Change } from '../ledger/change.ts'
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Offer, Offers } from './offers.ts'
import type { Candidate } from './placement.ts'
import { Health, probationBelow, probationPauseMs } from './policies/health.ts'
import { Paces } from './policies/paces.ts'
import { fewNodes } from './room.ts'

/** How old a judgement of health may be while nothing ends. */
const judgeEveryMs = 500
/** While something ends: each judgement looks at all nodes, so with very many it cannot follow every end. */
const judgePerNodeMs = 0.1
const judgedAtOnce = 50
/**
 * With many nodes, paces count in powers of this: no two nodes are known to be exactly as fast, and those about as fast have to
 * cost the same for tasks to go to one of them together, in one award.
 */
export const paceStep = 1.4
/** How old what is known of some of many nodes may be, and of how many types it is kept. */
const lookMs = 50
const looksMax = 1_000

export class Experience {
  readonly paces = new Paces()
  readonly health = new Health()
  /** When to look again although nothing happens: a node on probation may have its next task. */
  nextMs = Number.POSITIVE_INFINITY
  private readonly offers: Offers
  /** The nodes of running turns, since the ledger does not name them any more when they have ended. */
  private readonly owners = new Map<TaskRecord, Member>()
  private readonly looks = new Map<string, { readonly candidates: readonly Candidate[]; readonly untilMs: number }>()
  private readonly probations = new Map<string, number>()
  private judgedAtMs = Number.NEGATIVE_INFINITY
  private isNew = false

  constructor(offers: Offers) {
    this.offers = offers
  }

  /** Hears what was folded. */
  note(change: Change, nowMs: number): void {
    switch (change.what) {
      case 'running':
        this.began(change.task)
        break
      case 'overtaken':
        // Nobody waits for what it takes there: it takes this long at least.
        this.owners.set(change.task, change.member)
        this.outlasted(change.task.type, change.loser, change.lastedMs, nowMs)
        break
      case 'completed':
        this.ended(change.task, false, nowMs)
        break
      case 'failed':
      case 'retrying':
        this.ended(change.task, true, nowMs)
        break
      case 'ready':
      case 'yielded':
      case 'restarted':
      case 'parked':
      case 'cancelled':
      case 'expired':
        this.release(change.task)
        break
      case 'left':
      case 'fenced':
        this.forget(change.member)
        break
      default:
    }
  }

  /** A turn runs. A short one has ended in the same block: the ledger does not name its owner any more, the award does. */
  began(task: TaskRecord): void {
    const member = task.owner ?? this.offers.awardOf(task)?.member
    if (member !== undefined) this.owners.set(task, member)
  }

  /** Hears how long tasks took on a node that states this slowdown; what failed says nothing about that. */
  took({ node }: Member, rows: readonly TypeTook[], slowdown: number, nowMs: number): void {
    for (const [type, ...took] of rows) this.paces.completed(type, node, took, slowdown, nowMs)
  }

  /** Weighs what has happened; done before tasks are placed. */
  judge(nowMs: number): void {
    this.nextMs = Number.POSITIVE_INFINITY
    if (!this.health.isFailing) return
    const { count } = this.offers
    const soonMs = count <= judgedAtOnce ? 0 : Math.min(judgeEveryMs, count * judgePerNodeMs)
    const dueMs = this.judgedAtMs + (this.isNew ? soonMs : judgeEveryMs)
    if (nowMs < dueMs) {
      if (this.isNew) this.nextMs = dueMs
      return
    }
    this.isNew = false
    this.judgedAtMs = nowMs
    this.health.judge(nowMs, (type, node) => this.isElsewhere(type, node))
    for (const { member } of this.offers.all()) {
      const { node } = member
      if (this.health.of(node) >= probationBelow) this.probations.delete(node)
      else if (!this.probations.has(node)) this.probations.set(node, nowMs + probationPauseMs)
    }
  }

  /** Adds to the bid what has been seen of this type there. */
  seen(candidate: Candidate, type: string, nowMs: number): Candidate {
    if (candidate.paceOf === type) return candidate
    candidate.paceOf = type
    const pace = this.paces.pace(type, candidate.offer.member.node, nowMs)
    candidate.pace = this.offers.count > fewNodes ? stepOf(pace) : pace
    return candidate
  }

  /** Nodes that bid for the type and can be trusted, with credits left or not: all, or of very many so many, a moment ago. */
  some(type: string, nowMs: number, count: number): readonly Candidate[] {
    if (this.offers.count <= count) return this.look(type, nowMs, count)
    const known = this.looks.get(type)
    if (known !== undefined && nowMs < known.untilMs) return known.candidates
    if (this.looks.size === looksMax) this.looks.clear()
    const candidates = this.look(type, nowMs, count)
    this.looks.set(type, { candidates, untilMs: nowMs + lookMs })
    return candidates
  }

  /** Every node that bids for the type and can be trusted, with credits left or not. */
  all(type: string, nowMs: number): readonly Candidate[] {
    return this.look(type, nowMs, this.offers.count)
  }

  private look(type: string, nowMs: number, count: number): Candidate[] {
    const candidates: Candidate[] = []
    for (const offer of this.offers.some(count)) {
      const { member, status, expiresAtMs } = offer
      if (status !== 'ready' || expiresAtMs <= nowMs || !member.types.has(type)) continue
      if (this.health.of(member.node) >= probationBelow) candidates.push(this.seen({ offer, free: 0 }, type, nowMs))
    }
    return candidates
  }

  /** Of the credits that an offer has left, those that its node is trusted with now. */
  trusted(offer: Offer, free: number, nowMs: number): number {
    const { member, bid, awarded } = offer
    const share = this.health.of(member.node)
    if (share === 1) return free
    const busy = member.running.size + awarded
    if (share >= probationBelow) return Math.max(0, Math.min(free, Math.ceil(bid.credits * share) - busy))
    const nextAtMs = this.probations.get(member.node) ?? 0
    if (busy > 0) return 0
    if (nextAtMs <= nowMs) return Math.min(1, free)
    this.nextMs = Math.min(this.nextMs, nextAtMs)
    return 0
  }

  private outlasted(type: string, { node, incarnation }: Member, lastedMs: number, nowMs: number): void {
    const slowdown = this.offers.of(incarnation)?.bid.slowdown ?? 1
    this.paces.completed(type, node, [1, Math.max(1, lastedMs)], slowdown, nowMs)
  }

  /** An attempt has ended, by the task's own doing. */
  private ended(task: TaskRecord, failed: boolean, nowMs: number): void {
    const node = this.release(task)?.node
    if (node === undefined) return
    this.health.ended(task.type, node, failed, nowMs)
    this.isNew ||= this.health.isFailing
    if (this.probations.has(node)) this.probations.set(node, nowMs + probationPauseMs)
  }

  /** Its turn is over: the node has room for another. Returns whose it was. */
  private release(task: TaskRecord): Member | undefined {
    const member = this.owners.get(task)
    if (member === undefined) return undefined
    this.owners.delete(task)
    this.offers.freed(member)
    return member
  }

  private forget(member: Member): void {
    this.paces.forget(member.node)
    for (const [task, owner] of this.owners) if (owner === member) this.owners.delete(task)
  }

  /** Whether a node other than this one has the type and is not draining. */
  private isElsewhere(type: string, node: string): boolean {
    for (const { member, status } of this.offers.all()) {
      if (member.node !== node && status === 'ready' && member.types.has(type)) return true
    }
    return false
  }
}

/** The pace in whole steps, rounded down; that of the others, 1, is one of them. */
export function stepOf(pace: number): number {
  return pace === 1 ? 1 : paceStep ** Math.floor(Math.log(pace) / Math.log(paceStep))
}
