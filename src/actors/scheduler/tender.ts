/**
 * One call for bids that reserve (contract net: Smith 1980, with the confirmation of a two-phase commit): so many places for
 * tasks of these types, what each node keeps for it, and which tasks go where once the bids cover them all.
 */
import type { TypeCount } from '../../protocol/messages.ts'
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'

/** What a node said last. */
export interface ReservedBid {
  readonly member: Member
  readonly places: ReadonlyMap<string, number>
  readonly untilMs: number
  /** Why not more; empty when it keeps all that was wanted. */
  readonly reason: string
}

export class Tender {
  readonly id: string
  readonly tasks: readonly TaskRecord[]
  readonly wants: readonly TypeCount[]
  readonly openedAtMs: number
  readonly untilMs: number
  calledAtMs = Number.NEGATIVE_INFINITY
  private readonly bids = new Map<Member, ReservedBid>()

  constructor(id: string, tasks: readonly TaskRecord[], openedAtMs: number, untilMs: number) {
    this.id = id
    this.tasks = tasks
    this.wants = countByType(tasks)
    this.openedAtMs = openedAtMs
    this.untilMs = untilMs
  }

  hear(bid: ReservedBid): void {
    this.bids.set(bid.member, bid)
  }

  /** A node that has gone keeps nothing. */
  forget(member: Member): void {
    this.bids.delete(member)
  }

  all(): Iterable<ReservedBid> {
    return this.bids.values()
  }

  /** Places that are kept at this time, at most as many as are wanted. */
  reserved(nowMs: number): number {
    let sum = 0
    for (const [type, wanted] of this.wants) {
      let count = 0
      for (const bid of this.bids.values()) if (bid.untilMs > nowMs) count += bid.places.get(type) ?? 0
      sum += Math.min(wanted, count)
    }
    return sum
  }

  /** Who gets which task, the cheapest first; undefined while the bids do not cover them all. */
  cover(priceMs: (member: Member) => number, nowMs: number): Map<Member, TaskRecord[]> | undefined {
    const byPrice = [...this.bids.values()]
      .filter((bid) => bid.untilMs > nowMs && bid.member.live)
      .sort((a, b) => priceMs(a.member) - priceMs(b.member) || (a.member.node < b.member.node ? -1 : 1))
    const left = new Map(byPrice.map((bid) => [bid, new Map(bid.places)]))
    const given = new Map<Member, TaskRecord[]>()
    for (const task of this.tasks) {
      const bid = byPrice.find((one) => (left.get(one)?.get(task.type) ?? 0) > 0)
      if (bid === undefined) return undefined
      const places = left.get(bid)!
      places.set(task.type, places.get(task.type)! - 1)
      const tasks = given.get(bid.member)
      if (tasks === undefined) given.set(bid.member, [task])
      else tasks.push(task)
    }
    return given
  }
}

export function countByType(tasks: readonly TaskRecord[]): TypeCount[] {
  const counts = new Map<string, number>()
  for (const { type } of tasks) counts.set(type, (counts.get(type) ?? 0) + 1)
  return [...counts]
}
