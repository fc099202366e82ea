/**
 * When a node bids again: at once when what it says has changed, else every now and then, since a bid stands for some time. With
 * thousands of nodes, most of what they would say is what they said before.
 */
import type { Bid, TypeTook } from '../../protocol/messages.ts'

export interface BidSaid {
  readonly bid: Bid
  /** Tasks that it ran and held. */
  readonly busy: number
  readonly status: string
  readonly free: Readonly<Record<string, number>>
  /** How long tasks took that completed since the bid before. */
  readonly took: readonly TypeTook[]
  readonly atMs: number
}

/** Smaller changes of what a node does in parallel, and of how long tasks took, can wait: they may be chance. */
const parallelFactor = 1.25
const tookFactor = 2

/** Whether `now` says something that the last did not, for a node with so many slots, or the last will lapse before long. */
export function isNews(last: BidSaid | undefined, now: BidSaid, slots: number): boolean {
  if (last === undefined || now.atMs - last.atMs >= last.bid.ttlMs / 4) return true
  const { bid } = now
  return (
    bid.credits !== last.bid.credits ||
    bid.priceMs !== last.bid.priceMs ||
    bid.slowdown !== last.bid.slowdown ||
    differ(bid.parallel ?? 1, last.bid.parallel ?? 1, parallelFactor) ||
    now.status !== last.status ||
    Math.abs(now.busy - last.busy) > slots / 4 ||
    Object.entries(now.free).some(([name, amount]) => amount !== last.free[name]) ||
    now.took.some(([type, , meanMs]) => {
      const before = last.took.find(([other]) => other === type)
      return before === undefined || differ(meanMs, before[2], tookFactor)
    })
  )
}

function differ(a: number, b: number, factor: number): boolean {
  return a > b * factor || b > a * factor
}
