/**
 * Spreads the leading schedulers of the partitions over the processes that have one: each says now and then how many it leads,
 * and one that leads two more than another gives one back. Which is a matter of load alone: any of them may lead any.
 */
import type { Bus, Subscription } from '../nats/bus.ts'
import { parseJson } from '../protocol/json.ts'
import type { Subjects } from '../protocol/subjects.ts'

/** The candidates of this process, by partition. */
interface Candidate {
  readonly leading: boolean
  /** `awaited`: somebody waits for an answer that only this one can give. */
  readonly teller: { readonly awaited: boolean }
  /** Gives the lease back, and is no candidate for so long. */
  standBack(ms: number): Promise<void>
}

export interface LeadershipSpreadOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  /** Of the process. */
  readonly name: string
  readonly schedulers: readonly Candidate[]
}

interface Heard {
  readonly leads: number
  readonly atMs: number
}

const everyMs = 1_000
/** A process that has not been heard for so long is not counted on. */
const silentMs = 3_500
/** Whoever gave a partition back leaves it to others for so long. */
const standBackMs = 3_000

export class LeadershipSpread {
  readonly #options: LeadershipSpreadOptions
  readonly #heard = new Map<string, Heard>()
  #subscription: Subscription | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: LeadershipSpreadOptions) {
    this.#options = options
  }

  start(): void {
    const { bus, subjects } = this.#options
    this.#subscription = bus.subscribe(subjects.leads('*'), ({ subject, data }) => this.#hear(subject, data))
    this.#timer = setInterval(() => this.#balance(), everyMs)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#subscription?.unsubscribe()
  }

  #hear(subject: string, data: Uint8Array): void {
    try {
      const { leads } = parseJson(data) as { leads: unknown }
      const name = subject.slice(subject.lastIndexOf('.') + 1)
      if (typeof leads === 'number') this.#heard.set(name, { leads, atMs: performance.now() })
    } catch {
      // Nobody of us said it.
    }
  }

  #balance(): void {
    const { bus, subjects, name, schedulers } = this.#options
    const nowMs = performance.now()
    const led = schedulers.filter(({ leading }) => leading)
    bus.publish(subjects.leads(name), new TextEncoder().encode(JSON.stringify({ leads: led.length })))
    let least = led.length
    for (const [other, { leads, atMs }] of this.#heard) {
      if (nowMs - atMs > silentMs) this.#heard.delete(other)
      else if (other !== name) least = Math.min(least, leads)
    }
    // One at a time: what the others lead is known after the next round only.
    if (led.length - least >= 2) void led.findLast(({ teller }) => !teller.awaited)?.standBack(standBackMs)
  }
}
