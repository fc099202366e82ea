/**
 * Runs one candidate of an election: gives the leadership actor time and the lease, and carries out what it asks for.
 * Decides nothing. What leading means is up to the caller, who is told when it begins and ends.
 */
import { type Actor, createActor } from 'xstate'
import { leadershipMachine, mayAct } from '../actors/leadership/leadership.ts'
import type { LeadershipSettings } from '../actors/leadership/settings.ts'
import type { LeadershipEffect, LeadershipEvent } from '../actors/leadership/words.ts'
import type { Bus, LeaseStore, Subscription } from '../nats/bus.ts'

export interface LeadershipOptions {
  readonly leases: LeaseStore
  /** The connection of `leases`: without it silence proves nothing. */
  readonly bus: Pick<Bus, 'connected'>
  /** The lease: `scheduler-0`, `supervisor`. */
  readonly key: string
  /** Unique to this life of the process: a node id is not enough. */
  readonly holder: string
  /** May start to act. Must not throw. */
  readonly onLeading: (term: number) => void
  /** Must stop acting, at once. Must not throw. */
  readonly onStepDown: (reason: string) => void
  readonly settings?: Partial<LeadershipSettings>
  /** A monotonic clock, ms. */
  readonly clock?: () => number
}

const tickMs = 50
const watchAgainMs = 500
const encoder = new TextEncoder()
const decoder = new TextDecoder()

export class Leadership {
  readonly #options: LeadershipOptions
  readonly #clock: () => number
  readonly #actor: Actor<typeof leadershipMachine>
  readonly #effects: LeadershipEffect[] = []
  readonly #stopped = Promise.withResolvers<void>()
  #sending = false
  readonly #events: LeadershipEvent[] = []
  #timer: NodeJS.Timeout | undefined
  #watch: Subscription | undefined

  constructor(options: LeadershipOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => performance.now())
    this.#actor = createActor(leadershipMachine, {
      input: {
        holder: options.holder,
        random: Math.random,
        ask: (effect) => this.#effects.push(effect),
        ...(options.settings && { settings: options.settings }),
      },
    })
  }

  /** True while this process may act as the leader: it holds the lease, and has renewed it recently. */
  get leading(): boolean {
    return mayAct(this.#actor.getSnapshot(), this.#clock())
  }

  /** Returns at once; `onLeading` may be called from the first look at the lease on. */
  start(): void {
    this.#actor.start()
    this.#timer = setInterval(() => this.#tick(), tickMs)
    void this.#watchLease()
  }

  /**
   * Resolves when nothing of it runs any more, after a write's deadline at the latest. With `release` a successor leads at
   * once; without, it waits as after a crash. `onStepDown` is called if it was leading.
   */
  async stop({ release = true }: { release?: boolean } = {}): Promise<void> {
    if (this.#actor.getSnapshot().status !== 'active' || !this.#timer) return
    this.#send({ type: 'stop', nowMs: this.#clock(), release })
    await this.#stopped.promise
  }

  #tick(): void {
    this.#send({ type: 'tick', nowMs: this.#clock(), connected: this.#options.bus.connected })
  }

  /** What is asked for is carried out after the machine has come to rest, so that callers may call back. */
  #send(event: LeadershipEvent): void {
    this.#events.push(event)
    if (this.#sending) return
    this.#sending = true
    for (let next = this.#events.shift(); next; next = this.#events.shift()) {
      if (this.#actor.getSnapshot().status !== 'active') continue
      this.#actor.send(next)
      for (const effect of this.#effects.splice(0)) this.#carryOut(effect)
    }
    this.#sending = false
  }

  #carryOut(effect: LeadershipEffect): void {
    switch (effect.kind) {
      case 'put':
        void this.#put(effect)
        break
      case 'read':
        void this.#read()
        break
      case 'lead':
        this.#options.onLeading(effect.term)
        break
      case 'step-down':
        this.#options.onStepDown(effect.reason)
        break
      case 'stopped':
        clearInterval(this.#timer)
        this.#watch?.unsubscribe()
        this.#stopped.resolve()
    }
  }

  async #put({ put, expected, holder, term }: LeadershipEffect & { kind: 'put' }): Promise<void> {
    const { leases, key, bus } = this.#options
    try {
      // A write kept for the next connection would renew a lease that was long given up.
      if (!bus.connected) throw new Error('not connected')
      const value = encoder.encode(JSON.stringify({ holder: holder ?? null, term }))
      const revision = await leases.put(key, value, expected)
      const nowMs = this.#clock()
      this.#send(
        revision === undefined ? { type: 'put.refused', put, nowMs } : { type: 'put.stored', put, revision, nowMs },
      )
    } catch {
      this.#send({ type: 'put.unknown', put, nowMs: this.#clock() })
    }
  }

  async #read(): Promise<void> {
    try {
      await this.#look()
    } catch {
      // The next refusal or unknown outcome asks again.
    }
  }

  async #look(): Promise<void> {
    const found = await this.#options.leases.get(this.#options.key)
    this.#see(found?.value, found?.revision ?? 0)
  }

  /** The watch says nothing about a lease that never was, so it is also read once. */
  async #watchLease(): Promise<void> {
    const { leases, key } = this.#options
    try {
      this.#watch ??= await leases.watch(key, (value, revision) => this.#see(value, revision))
      await this.#look()
    } catch {
      const again = setTimeout(() => void this.#watchLease(), watchAgainMs)
      void this.#stopped.promise.then(() => clearTimeout(again))
    }
    if (this.#actor.getSnapshot().status !== 'active') this.#watch?.unsubscribe()
  }

  #see(value: Uint8Array | undefined, revision: number): void {
    this.#send({ type: 'lease', nowMs: this.#clock(), revision, ...(value ? leaseOf(value) : free) })
  }
}

const free = { holder: undefined, term: 0 }

/** A value that nobody of us wrote counts as held by a stranger, who will not renew it. */
function leaseOf(value: Uint8Array): { holder: string | undefined; term: number } {
  try {
    const lease: unknown = JSON.parse(decoder.decode(value))
    if (typeof lease === 'object' && lease !== null && 'holder' in lease && 'term' in lease) {
      const { holder, term } = lease
      if (Number.isSafeInteger(term) && (holder === null || typeof holder === 'string')) {
        return { holder: holder ?? undefined, term: term as number }
      }
    }
  } catch {
    // Not JSON.
  }
  return { holder: '?', term: 0 }
}
