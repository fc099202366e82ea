/** Placement policies: pure functions that choose among the bids that cover a task. */
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Offer } from './offers.ts'

/** A bid that can take the task now. */
export interface Candidate {
  readonly offer: Offer
  /** Credits left, at least 1; counted down as awards are made. */
  free: number
  /** Named quantities left, of those that its node declared; only when tasks there ask for some. */
  room?: Readonly<Record<string, number>>
}

export interface PlacementPolicy {
  readonly name: string
  /** One of the candidates, of which there is at least one. `expectedMs` is how long tasks of this type take. */
  choose(task: TaskRecord, candidates: readonly Candidate[], expectedMs: number): Candidate
}

/**
 * The delay, in milliseconds, that this task is expected to suffer there: the bid's price; plus by how much slower than
 * idle the node runs it; plus the tasks that it has been given since the bid and still has, which the price cannot know,
 * shared by its processors, so that a burst between two bids does not all go to the node that was cheapest by a hair; plus
 * one millisecond times the share of its credits in use, which spreads work over equal nodes.
 */
export function costMs(candidate: Candidate, expectedMs: number): number {
  const { bid, member, awarded, busyAtBid } = candidate.offer
  const since = member.running.size + awarded - busyAtBid
  const sinceMs = since > 0 ? (since * expectedMs) / processors(member) : 0
  return bid.priceMs + (bid.slowdown - 1) * expectedMs + sinceMs + (1 - candidate.free / Math.max(1, bid.credits))
}

/** How many tasks get on at full speed there at the same time. */
function processors({ profile }: Member): number {
  return Math.max(1, Math.min(profile.slots, profile.resources.cpu ?? 1))
}

/** Least expected delay; ties go to the node id, so that every leader chooses alike. The default. */
export const leastDelay: PlacementPolicy = {
  name: 'least-delay',
  choose(_task, candidates, expectedMs) {
    let best = candidates[0]!
    let bestCost = costMs(best, expectedMs)
    for (let i = 1; i < candidates.length; i++) {
      const candidate = candidates[i]!
      const cost = costMs(candidate, expectedMs)
      if (cost < bestCost || (cost === bestCost && candidate.offer.member.node < best.offer.member.node)) {
        best = candidate
        bestCost = cost
      }
    }
    return best
  },
}
