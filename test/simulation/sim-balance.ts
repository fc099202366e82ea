/** The real balancer on a machine that has nothing else to do. */

import { createActor } from 'xstate'
import { type BidEffect, balancerMachine } from '../../src/actors/balancer/balancer.ts'
import { Durations } from '../../src/actors/balancer/durations.ts'
import type { Balance, Occupancy } from '../../src/runtime/node/balance.ts'

export class IdleBalance implements Balance {
  private readonly durations = new Durations()
  private readonly actor
  private latest: BidEffect | undefined

  constructor(slots: number) {
    const ask = (effect: BidEffect) => {
      this.latest = effect
    }
    this.actor = createActor(balancerMachine, { input: { slots, durations: this.durations, ask } }).start()
  }

  bid({ running, held, draining }: Occupancy): Omit<BidEffect, 'kind'> {
    if (draining) this.actor.send({ type: 'drain' })
    this.actor.send({ type: 'quote', running, held })
    if (this.latest === undefined) throw new Error('the balancer did not answer')
    return this.latest
  }

  taskEnded(type: string, lastedMs: number): void {
    this.durations.ended(type, lastedMs)
  }
}
