/** Temporary: a bid from slots alone, until the balancer is wired in. */
import type { Bid, NodeLoad } from '../../protocol/messages.ts'
import type { Balance, Occupancy } from './balance.ts'

export class MeasuredBalance implements Balance {
  private readonly slots: number
  private meanMs = 0

  constructor(slots: number) {
    this.slots = slots
  }

  bid({ running, draining }: Occupancy): { bid: Bid; load: NodeLoad } {
    const extra = Math.ceil(this.slots * Math.min(4, 2 / Math.max(0.01, this.meanMs)))
    const credits = draining ? 0 : this.slots + (this.meanMs < 100 ? extra : 0)
    return {
      bid: { credits, priceMs: running / this.slots, slowdown: 1, ttlMs: 1_500 },
      load: { loop: 0, loopDelayMs: 0, cpu: 0, memory: 0, rssBytes: 0 },
    }
  }

  taskEnded(_type: string, lastedMs: number): void {
    this.meanMs += 0.05 * (lastedMs - this.meanMs)
  }
}
