/** Placement policies: pure functions that choose among the bids that cover a task. */
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Offer } from './offers.ts'

/** A bid that can take the task now. */
export interface Candidate {
  readonly offer: Offer
  /** Credits left, at least 1; counted down as awards are made. */
  free: number
  /** Named quantities left, of those that its node declared; only when tasks there ask for some. */
  room?: Readonly<Record<string, number>>
  /** How many times as long as on the fastest node tasks of this type take there, as has been seen; default 1. */
  pace?: number
  paceOf?: string
  /** What the node quoted for this very task, ms; default 0. */
  extraMs?: number
  /** It has got something in this round, so that its award travels anyway. */
  addressed?: boolean
}

export interface PlacementPolicy {
  readonly name: string
  /** A task waits for a node that is faster than the chosen one if it ends sooner so; see `worthWaiting`. */
  readonly patient?: boolean
  /** It takes the cheapest, so that of very many nodes it need not see all. */
  readonly byCost?: boolean
  /** One of the candidates, of which there is at least one. `expectedMs` is how long tasks of this type take. */
  choose(task: TaskRecord, candidates: readonly Candidate[], expectedMs: number): Candidate
}

/**
 * When the task is expected to end if it starts there now, in milliseconds:
 *
 *     price + quote + slower × expected × max(1, (busy + 1) ÷ parallel) + share of credits in use × 1 ms
 *
 * `slower` is by how much longer it takes there than on the fastest idle node: the slowdown that the bid states, times what has
 * been seen of tasks that completed there (`Paces`). `busy` tasks run there or have been awarded, and `parallel` of them get on
 * at full speed at once. `quote` is what the type's `bid` hook said, if it has one (`Quotes`). The last part spreads work over
 * equal nodes. `expectedMs` is how long the type takes on the fastest.
 */
export function costMs(candidate: Candidate, expectedMs: number): number {
  const { bid } = candidate.offer
  const priceMs = bid.priceMs + (candidate.extraMs ?? 0)
  return priceMs + lastsMs(candidate, expectedMs) + (1 - candidate.free / Math.max(1, bid.credits))
}

/** How long a task takes there, with those before it, without the price. */
export function lastsMs(candidate: Candidate, expectedMs: number): number {
  return slownessOf(candidate) * expectedMs * Math.max(1, (busyOf(candidate) + 1) / parallelOf(candidate))
}

/** Tasks that run there or have been awarded. */
export function busyOf({ offer: { member, awarded } }: Candidate): number {
  return member.running.size + awarded
}

/** How many times as long as on the fastest idle node a task takes there. */
export function slownessOf({ offer, pace = 1 }: Candidate): number {
  return offer.bid.slowdown * pace
}

/** How many tasks get on at full speed there at the same time: as the node has measured, else one for each processor. */
export function parallelOf({ offer: { bid, member } }: Candidate): number {
  const { slots, resources } = member.profile
  return Math.max(1, Math.min(slots, bid.parallel ?? resources.cpu ?? 1))
}

/**
 * By what the cheapest is chosen: the cost, but a node whose slots are all taken comes after those with a free one, however fast
 * it is, since what is held there waits for one task to end, which may be a long one. With many nodes, one that gets an award
 * anyway is filled up before the next equal one gets its own: a message less.
 */
export function preferenceMs(candidate: Candidate, expectedMs: number): number {
  const { member, awarded } = candidate.offer
  const isFull = member.running.size + awarded >= member.profile.slots
  return costMs(candidate, expectedMs) + (isFull ? noSlotMs : 0) - (candidate.addressed ? messageMs : 0)
}

const noSlotMs = 10_000
const messageMs = 1

/** Least expected delay; ties go to the node id, so that every leader chooses alike. The default. */
export const leastDelay: PlacementPolicy = {
  name: 'least-delay',
  patient: true,
  byCost: true,
  choose: (_task, candidates, expectedMs) => leastBy(candidates, (candidate) => preferenceMs(candidate, expectedMs)),
}

/** The candidate of least cost; ties go to the node id, so that every leader chooses alike. */
export function leastBy(candidates: readonly Candidate[], cost: (candidate: Candidate) => number): Candidate {
  let best = candidates[0]!
  let bestCost = cost(best)
  for (let i = 1; i < candidates.length; i++) {
    const candidate = candidates[i]!
    const itsCost = cost(candidate)
    if (itsCost < bestCost || (itsCost === bestCost && candidate.offer.member.node < best.offer.member.node)) {
      best = candidate
      bestCost = itsCost
    }
  }
  return best
}
