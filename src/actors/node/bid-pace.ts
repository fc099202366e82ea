/**
 * When a node bids again: at once when what it says has changed, else every now and then, since a bid stands for some time. With
 * thousands of nodes, most of what they would say is what they said before.
 */
import type { Bid } from '../../protocol/messages.ts'

export interface BidSaid {
  readonly bid: Bid
  /** Tasks that it ran and held. */
  readonly busy: number
  readonly status: string
  readonly free: Readonly<Record<string, number>>
  readonly atMs: number
}

/** Whether `now` says something that the last did not, for a node with so many slots, or the last will lapse before long. */
export function isNews(last: BidSaid | undefined, now: BidSaid, slots: number): boolean {
  if (last === undefined || now.atMs - last.atMs >= last.bid.ttlMs / 4) return true
  const { bid } = now
  return (
    bid.credits !== last.bid.credits ||
    bid.priceMs !== last.bid.priceMs ||
    bid.slowdown !== last.bid.slowdown ||
    now.status !== last.status ||
    Math.abs(now.busy - last.busy) > slots / 4 ||
    Object.entries(now.free).some(([name, amount]) => amount !== last.free[name])
  )
}
