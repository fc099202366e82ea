/** Bids for tests. */
import type { Bid, NodeReport } from '../../../src/protocol/messages.ts'

type BidReport = Extract<NodeReport, readonly ['bid', ...unknown[]]>

export function bid(options: Partial<Bid> & { status?: 'ready' | 'draining' } = {}): BidReport {
  const { credits = 1, priceMs = 0, slowdown = 1, ttlMs = 60_000, status = 'ready', parallel } = options
  const load = { loop: 0, loopDelayMs: 0, cpu: 0, memory: 0, rssBytes: 0 }
  return [
    'bid',
    { credits, priceMs, slowdown, ttlMs, ...(parallel !== undefined && { parallel }) },
    load,
    0,
    0,
    status,
    {},
  ]
}
