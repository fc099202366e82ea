/**
 * Standing bids as the leading scheduler sees them, and the awards that spend their credits. A bid states a capacity, not
 * a balance: what is free is its credits less what the ledger says the node runs and what was awarded and not accepted
 * yet. So a lost message costs nothing to mend, and no message returns a credit.
 */
import type { Bid, NodeLoad, NodeReport } from '../../protocol/messages.ts'
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'

export interface Offer {
  readonly member: Member
  bid: Bid
  load: NodeLoad
  status: 'ready' | 'draining'
  free: Readonly<Record<string, number>>
  heardAtMs: number
  expiresAtMs: number
  /** Tasks awarded to this node and not accepted yet. */
  awarded: number
}

interface Award {
  readonly offer: Offer
  readonly turn: number
  readonly atMs: number
}

/** How long an award invites: the node drops it after that, and the scheduler awards anew. */
export const awardTtlMs = 2_000

/** Hears of offers whose free credits or price may have changed. */
export interface OffersWatcher {
  note(offer: Offer): void
  remove(offer: Offer): void
}

export class Offers {
  watcher: OffersWatcher | undefined
  private readonly byIncarnation = new Map<string, Offer>()
  /** The same, in any order. */
  private readonly list: Offer[] = []
  /** In the order in which they were made, so that the oldest is first. */
  private readonly awards = new Map<TaskRecord, Award>()
  /** The turn of a task whose award lapsed last. */
  private readonly lapsed = new WeakMap<TaskRecord, number>()

  get count(): number {
    return this.list.length
  }

  all(): Iterable<Offer> {
    return this.byIncarnation.values()
  }

  /** So many of them, evenly spread; all if there are no more. */
  *some(count: number): Iterable<Offer> {
    const { list } = this
    const step = Math.max(1, list.length / count)
    for (let at = 0; at < list.length; at += step) yield list[Math.floor(at)]!
  }

  of(incarnation: string): Offer | undefined {
    return this.byIncarnation.get(incarnation)
  }

  /** Whether a bid stands, with credits left or not, of a node that has this type. */
  isBidFor(type: string, nowMs: number): boolean {
    for (const { member, expiresAtMs } of this.byIncarnation.values()) {
      if (expiresAtMs > nowMs && member.types.has(type)) return true
    }
    return false
  }

  /** Whether any node that bids has this type, free or not. */
  has(type: string): boolean {
    for (const offer of this.byIncarnation.values()) if (offer.member.types.has(type)) return true
    return false
  }

  hear(member: Member, report: Extract<NodeReport, readonly ['bid', ...unknown[]]>, nowMs: number): Offer {
    const [, bid, load, , , status, free] = report
    const heard = {
      bid,
      load,
      status,
      free,
      heardAtMs: nowMs,
      expiresAtMs: nowMs + bid.ttlMs,
    }
    let offer = this.byIncarnation.get(member.incarnation)
    if (offer === undefined) {
      offer = { member, awarded: 0, ...heard }
      this.byIncarnation.set(member.incarnation, offer)
      this.list.push(offer)
    } else Object.assign(offer, heard)
    this.watcher?.note(offer)
    return offer
  }

  /** Tasks that the node takes now on top of what it has; never negative. */
  freeCredits(offer: Offer, nowMs: number): number {
    if (offer.expiresAtMs <= nowMs || offer.status !== 'ready' || !offer.member.live) return 0
    return Math.max(0, offer.bid.credits - offer.member.running.size - offer.awarded)
  }

  award(task: TaskRecord, offer: Offer, nowMs: number): void {
    this.settle(task)
    this.awards.set(task, { offer, turn: task.turn + 1, atMs: nowMs })
    offer.awarded++
    this.watcher?.note(offer)
  }

  /** A turn has ended there, or does not begin. */
  freed({ incarnation }: Member): void {
    if (this.watcher === undefined) return
    const offer = this.byIncarnation.get(incarnation)
    if (offer !== undefined) this.watcher.note(offer)
  }

  awardOf(task: TaskRecord): Offer | undefined {
    return this.awards.get(task)?.offer
  }

  /** The award is over: accepted, declined, expired, or its task ended. Returns whether there was one. */
  settle(task: TaskRecord): boolean {
    const award = this.awards.get(task)
    if (award === undefined) return false
    this.awards.delete(task)
    award.offer.awarded--
    this.watcher?.note(award.offer)
    return true
  }

  /** A node declined this turn; true if it had been awarded to it. */
  declined(task: TaskRecord, turn: number, incarnation: string): boolean {
    const award = this.awards.get(task)
    if (award === undefined || award.turn !== turn || award.offer.member.incarnation !== incarnation) return false
    return this.settle(task)
  }

  /** Tasks whose award nobody accepted in time; their awards are over. */
  expired(nowMs: number): TaskRecord[] {
    const late: TaskRecord[] = []
    for (const [task, award] of this.awards) {
      if (award.atMs + awardTtlMs > nowMs) break
      late.push(task)
    }
    for (const task of late) {
      this.lapsed.set(task, task.turn + 1)
      this.settle(task)
    }
    return late
  }

  /** The node is gone: returns the tasks that were awarded to it. */
  remove(incarnation: string): TaskRecord[] {
    const tasks: TaskRecord[] = []
    for (const [task, award] of this.awards) if (award.offer.member.incarnation === incarnation) tasks.push(task)
    for (const task of tasks) this.settle(task)
    const offer = this.byIncarnation.get(incarnation)
    if (offer === undefined) return tasks
    this.watcher?.remove(offer)
    this.byIncarnation.delete(incarnation)
    this.list.splice(this.list.indexOf(offer), 1)
    return tasks
  }

  /** Outstanding awards. */
  *awarded(): Iterable<[TaskRecord, Offer]> {
    for (const [task, { offer }] of this.awards) yield [task, offer]
  }

  /** Whether an award of the task's next turn has lapsed before: its node may have choked on it. */
  lapsedBefore(task: TaskRecord): boolean {
    return this.lapsed.get(task) === task.turn + 1
  }

  get awardedCount(): number {
    return this.awards.size
  }
}
