/** The balance of a node process: its balancer actor, fed with measurements of this process. */
import { type Actor, createActor } from 'xstate'
import { type BalancerSettings, type BidEffect, balancerMachine } from '../../actors/balancer/balancer.ts'
import { Durations } from '../../actors/balancer/durations.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { LoadSampler } from '../load/load-sampler.ts'
import type { Balance, Occupancy } from './balance.ts'

export class MeasuredBalance implements Balance {
  readonly #durations = new Durations()
  readonly #actor: Actor<typeof balancerMachine>
  readonly #sampler: LoadSampler
  #bid: BidEffect | undefined

  constructor(slots: number, settings?: Partial<BalancerSettings>) {
    this.#actor = createActor(balancerMachine, {
      input: {
        slots,
        durations: this.#durations,
        ask: (effect) => {
          this.#bid = effect
        },
        ...(settings && { settings }),
      },
    }).start()
    this.#sampler = new LoadSampler((load) => this.#actor.send({ type: 'sampled', load }))
  }

  bid({ running, held, draining }: Occupancy): Omit<BidEffect, 'kind'> {
    if (draining) this.#actor.send({ type: 'drain' })
    this.#actor.send({ type: 'quote', running, held })
    if (!this.#bid) throw new TroupeError('TROUPE_INTERNAL', 'the balancer did not answer')
    return this.#bid
  }

  taskEnded(type: string, lastedMs: number): void {
    this.#durations.ended(type, lastedMs)
  }

  stop(): void {
    this.#sampler.stop()
    this.#actor.stop()
  }
}
