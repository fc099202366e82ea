/**
 * Listens to heartbeats and keeps the health of every live incarnation: what `nodes` answers are made of, and what a
 * supervisor acts on. It gives the supervisor actor time, members and heartbeats, and decides nothing itself.
 */
import { type Actor, createActor } from 'xstate'
import type { SupervisionSettings } from '../actors/supervision/settings.ts'
import { type SupervisorEffect, type SupervisorEvent, supervisorMachine } from '../actors/supervision/supervisor.ts'
import type { HealthStatus, Member } from '../actors/supervision/watched.ts'
import type { Bus, BusMessage, Subscription } from '../nats/bus.ts'
import { unpackHeartbeat } from '../protocol/blocks.ts'
import type { Subjects } from '../protocol/subjects.ts'

/** Who is live, from the ledger. */
export interface MemberSource {
  /** The live incarnations, with the number of turns that each owns. */
  live(): readonly Member[]
  /** True while the fold is at the end of the log, but for what was written in the last moments. */
  caughtUp(): boolean
  /** Calls `listener` after an incarnation became live or ended. Returns a function that stops that. */
  onChange(listener: () => void): () => void
}

export interface HealthWatchOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  readonly members: MemberSource
  readonly settings?: Partial<SupervisionSettings>
  /** What the actor asks for; a mere watcher may ignore it. Must not throw. */
  readonly onEffect?: (effect: SupervisorEffect) => void
}

const tickMs = 50
/** Tasks held matter for stuck nodes only: a second late is early enough. */
const refreshMs = 1_000

export class HealthWatch {
  readonly #options: HealthWatchOptions
  readonly #actor: Actor<typeof supervisorMachine>
  readonly #lastSeenAtMs = new Map<string, number>()
  readonly #effects: SupervisorEffect[] = []
  #subscription: Subscription | undefined
  #timer: NodeJS.Timeout | undefined
  #stopFollowing: (() => void) | undefined
  #tickAtMs = 0
  #refreshedAtMs = Number.NEGATIVE_INFINITY

  constructor(options: HealthWatchOptions) {
    this.#options = options
    this.#actor = createActor(supervisorMachine, {
      input: {
        ask: (effect) => this.#effects.push(effect),
        ...(options.settings && { settings: options.settings }),
      },
    })
  }

  start(): void {
    const { bus, subjects, members } = this.#options
    this.#actor.start()
    this.#subscription = bus.subscribe(subjects.heartbeat('*', '*'), (message) => this.#hear(message))
    this.#stopFollowing = members.onChange(() => this.#follow())
    this.#tickAtMs = performance.now()
    this.#timer = setInterval(() => this.#tick(), tickMs)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#subscription?.unsubscribe()
    this.#stopFollowing?.()
    this.#actor.stop()
  }

  /** Undefined for an incarnation that is not live. */
  statusOf(incarnation: string): HealthStatus | undefined {
    return this.#actor.getSnapshot().context.watch.nodes.get(incarnation)?.status
  }

  /** When it was last heard, ms since 1970; undefined: not by this process, or it is not live. */
  lastSeenAtMs(incarnation: string): number | undefined {
    return this.#lastSeenAtMs.get(incarnation)
  }

  isLive(incarnation: string): boolean {
    return this.#actor.getSnapshot().context.watch.nodes.has(incarnation)
  }

  /** Gives the actor an event, and passes on what it asks for once it has come to rest. */
  send(event: SupervisorEvent): void {
    this.#actor.send(event)
    for (const effect of this.#effects.splice(0)) this.#options.onEffect?.(effect)
  }

  #tick(): void {
    const nowMs = performance.now()
    const lagMs = Math.max(0, nowMs - this.#tickAtMs - tickMs)
    this.#tickAtMs = nowMs
    if (nowMs - this.#refreshedAtMs >= refreshMs) this.#follow()
    this.send({ type: 'tick', nowMs, lagMs, connected: this.#options.bus.connected })
  }

  #follow(): void {
    const { members } = this.#options
    // A ledger that is still being read shows members that ended long ago.
    if (!members.caughtUp()) return
    this.#refreshedAtMs = performance.now()
    this.send({ type: 'members', members: members.live(), nowMs: this.#refreshedAtMs })
    for (const incarnation of this.#lastSeenAtMs.keys()) {
      if (!this.isLive(incarnation)) this.#lastSeenAtMs.delete(incarnation)
    }
  }

  #hear({ subject, data }: BusMessage): void {
    const [node, incarnation] = subject.split('.').slice(-2)
    const read = unpackHeartbeat(data)
    if (!read.ok || node === undefined || incarnation === undefined) return
    const [, tick, tickAgeMs] = read.message
    this.send({ type: 'heartbeat', node, incarnation, tick, tickAgeMs, nowMs: performance.now() })
    if (this.isLive(incarnation)) this.#lastSeenAtMs.set(incarnation, Date.now())
  }
}
