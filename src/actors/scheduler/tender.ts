/**
 * One call for bids that reserve (contract net: Smith 1980, with the confirmation of a two-phase commit): so many places for
 * tasks of these types, what each node keeps for it, and which tasks go where once the bids cover them all.
 */
import type { TypeCount } from '../../protocol/messages.ts'
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'

/** A node with places left for a task, and how many tasks of the same party it has been given already. */
export interface OpenPlace {
  readonly member: Member
  readonly left: number
  readonly given: number
}

/** One of the nodes, of which there is at least one. */
export type ChoosePlace = (task: TaskRecord, open: readonly OpenPlace[]) => Member

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

  /** Who gets which task, as `choose` says for each; undefined while the bids do not cover them all. */
  cover(choose: ChoosePlace, nowMs: number): Map<Member, TaskRecord[]> | undefined {
    if (this.reserved(nowMs) < this.tasks.length) return undefined
    const bids = [...this.bids.values()]
      .filter((bid) => bid.untilMs > nowMs && bid.member.live)
      .sort((a, b) => (a.member.node < b.member.node ? -1 : 1))
    const left = new Map(bids.map((bid) => [bid.member, new Map(bid.places)]))
    const given = new Map<Member, TaskRecord[]>()
    for (const task of this.tasks) {
      const open = [...left].flatMap(([member, places]) => {
        const count = places.get(task.type) ?? 0
        return count > 0 ? [{ member, left: count, given: given.get(member)?.length ?? 0 }] : []
      })
      if (open.length === 0) return undefined
      const member = choose(task, open)
      const places = left.get(member)!
      places.set(task.type, places.get(task.type)! - 1)
      const tasks = given.get(member)
      if (tasks === undefined) given.set(member, [task])
      else tasks.push(task)
    }
    return given
  }
}

export function countByType(items: readonly { readonly type: string }[]): TypeCount[] {
  const counts = new Map<string, number>()
  for (const { type } of items) counts.set(type, (counts.get(type) ?? 0) + 1)
  return [...counts]
}
