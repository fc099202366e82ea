/** The real balancer on a machine that others slow down at times. */
import { createActor } from 'xstate'
import { type BidEffect, balancerMachine } from '../../src/actors/balancer/balancer.ts'
import { Durations } from '../../src/actors/balancer/durations.ts'
import { idleLoad, type LoadSample } from '../../src/actors/balancer/load.ts'
import type { Balance, Occupancy } from '../../src/runtime/node/balance.ts'
import type { Random } from './random.ts'

/** For how long a machine stays as it is. */
const moodMs = 4_000

export class MoodyBalance implements Balance {
  private readonly durations = new Durations()
  private readonly actor
  private readonly random: Random
  private readonly nowMs: () => number
  private moodUntilMs = 0
  private load: LoadSample = idleLoad
  private latest: BidEffect | undefined

  constructor(slots: number, random: Random, nowMs: () => number) {
    this.random = random
    this.nowMs = nowMs
    const ask = (effect: BidEffect) => {
      this.latest = effect
    }
    this.actor = createActor(balancerMachine, { input: { slots, durations: this.durations, ask } }).start()
  }

  bid({ running, held, draining }: Occupancy): Omit<BidEffect, 'kind'> {
    if (draining) this.actor.send({ type: 'drain' })
    this.actor.send({ type: 'sampled', load: this.sample() })
    this.actor.send({ type: 'quote', running, held })
    if (this.latest === undefined) throw new Error('the balancer did not answer')
    return this.latest
  }

  private sample(): LoadSample {
    if (this.nowMs() < this.moodUntilMs) return this.load
    this.moodUntilMs = this.nowMs() + moodMs
    this.load = { ...idleLoad, waitRatio: this.random.chance(0.5) ? 4 : 0 }
    return this.load
  }

  taskEnded(type: string, lastedMs: number): void {
    this.durations.ended(type, lastedMs)
  }
}
