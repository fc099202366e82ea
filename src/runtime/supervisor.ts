/**
 * The supervisor service: a candidate for leading the supervisors of a namespace. It watches whether it leads or not; when
 * it does, it carries out what the supervisor actor asks for: probes, fences, and telling who was fenced.
 */
import type { LeadershipSettings } from '../actors/leadership/settings.ts'
import { defaultSupervision } from '../actors/supervision/settings.ts'
import type { SupervisorEffect } from '../actors/supervision/supervisor.ts'
import { explain } from '../actors/supervision/verdict.ts'
import type { HealthStatus, ProbeAnswer } from '../actors/supervision/watched.ts'
import type { LeaseStore, Log } from '../nats/bus.ts'
import { packBlock } from '../protocol/blocks.ts'
import { formatVersion, kind } from '../protocol/entries.ts'
import { hasCode } from '../protocol/errors.ts'
import { supervisorLease } from '../protocol/subjects.ts'
import { HealthWatch, type HealthWatchOptions } from './health-watch.ts'
import { Leadership } from './leadership.ts'

export interface SupervisorOptions extends Omit<HealthWatchOptions, 'onEffect'> {
  /** The log of the partition in which nodes are fenced; `subjects` are its. */
  readonly log: Log
  readonly leases: LeaseStore
  /** Unique to this life of the process. */
  readonly holder: string
  /** What happens, in words and data, for the process's log. Must not throw. */
  readonly onReport?: (report: SupervisorReport) => void
  readonly leadership?: Partial<LeadershipSettings>
}

export interface SupervisorReport {
  readonly what: 'leading' | 'standby' | 'status' | 'fencing' | 'fenced' | 'spared' | 'sight'
  readonly text: string
  readonly details: Readonly<Record<string, unknown>>
}

type FenceEffect = SupervisorEffect & { readonly kind: 'fence' }

const fenceTimeoutMs = 2_000
const fencePauseMs = 100
const nothing = new Uint8Array(0)

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #watch: HealthWatch
  readonly #leadership: Leadership
  /** Fences under way; taken out of here, one is given up before its next attempt. */
  readonly #fencing = new Set<string>()
  #stopped = false

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#watch = new HealthWatch({ ...options, onEffect: (effect) => this.#carryOut(effect) })
    this.#leadership = new Leadership({
      leases: options.leases,
      bus: options.bus,
      key: supervisorLease(options.subjects.partition),
      holder: options.holder,
      onLeading: (term) => {
        this.#report('leading', `leads the supervisors in term ${term}`, { term })
        this.#watch.send({ type: 'lead' })
      },
      onStepDown: (reason) => {
        this.#fencing.clear()
        this.#report('standby', `leads no longer: ${reason}`, { reason })
        this.#watch.send({ type: 'stand.by' })
      },
      ...(options.leadership && { settings: options.leadership }),
    })
  }

  /** Returns at once: it watches from now on, and leads when it is its turn. */
  start(): void {
    this.#watch.start()
    this.#leadership.start()
  }

  /** Gives the lease back, so that a standby leads at once. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    await this.#leadership.stop({ release: true })
    this.#watch.stop()
  }

  get leading(): boolean {
    return this.#leadership.leading
  }

  /** Undefined for an incarnation that is not live. */
  statusOf(incarnation: string): HealthStatus | undefined {
    return this.#watch.statusOf(incarnation)
  }

  /** When it was last heard, ms since 1970; undefined: not by this process, or it is not live. */
  lastSeenAtMs(incarnation: string): number | undefined {
    return this.#watch.lastSeenAtMs(incarnation)
  }

  #carryOut(effect: SupervisorEffect): void {
    const { bus, subjects, members } = this.#options
    switch (effect.kind) {
      case 'probe':
        void this.#probe(effect.node, effect.incarnation)
        break
      case 'fence':
        void this.#fence(effect)
        break
      case 'spare':
        this.#fencing.delete(effect.incarnation)
        this.#report('spared', `${effect.node} is heard again before it was fenced`, { ...effect })
        break
      case 'tell-fenced':
        // A ledger that lags behind does not know the youngest.
        if (!this.leading || !members.caughtUp()) break
        bus.publish(subjects.node(effect.node, effect.incarnation), packBlock(['fenced', effect.reason]))
        break
      case 'status':
        this.#report('status', `${effect.verdict.node} is ${effect.status}: ${explain(effect.verdict)}`, {
          ...effect.verdict,
        })
        break
      case 'sight':
        this.#report('sight', sightText(effect), { sight: effect.sight, ...effect.hold })
    }
  }

  async #probe(node: string, incarnation: string): Promise<void> {
    const answer = await this.#answerOf(node, incarnation)
    if (!this.#stopped) this.#watch.send({ type: 'probed', incarnation, answer, nowMs: performance.now() })
  }

  async #answerOf(node: string, incarnation: string): Promise<ProbeAnswer> {
    const { bus, subjects, settings } = this.#options
    const timeoutMs = settings?.probeTimeoutMs ?? defaultSupervision.probeTimeoutMs
    try {
      await bus.request(subjects.probe(node, incarnation), nothing, { timeoutMs })
      return 'alive'
    } catch (error) {
      const nobody = hasCode(error, 'TROUPE_NO_ANSWER') && (error.details as { noResponders?: boolean })?.noResponders
      return nobody === true ? 'nobody' : 'silence'
    }
  }

  /** Writes the fence until it is stored: twice does no harm, not at all leaves tasks with a dead node. */
  async #fence({ node, incarnation, verdict }: FenceEffect): Promise<void> {
    if (this.#fencing.has(incarnation)) return
    const { bus, log, subjects } = this.#options
    const reason = explain(verdict)
    const block = packBlock([formatVersion, 0, [[kind.fenced, reason]]])
    this.#report('fencing', `fences ${node}: ${reason}`, { ...verdict })
    this.#fencing.add(incarnation)
    while (!this.#stopped && this.#fencing.has(incarnation) && this.#watch.isLive(incarnation)) {
      // A process that was paused may lead no longer, and learns it a moment later.
      if (this.leading) {
        const { outcome } = await log.append(subjects.journal(subjects.partition, node, incarnation), block, {
          timeoutMs: fenceTimeoutMs,
        })
        if (outcome === 'stored') {
          bus.publish(subjects.node(node, incarnation), packBlock(['fenced', reason]))
          if (!this.#stopped) this.#watch.send({ type: 'fence.stored', incarnation })
          this.#report('fenced', `fenced ${node}`, { node, incarnation, reason })
          break
        }
      }
      await new Promise((done) => setTimeout(done, fencePauseMs))
    }
    this.#fencing.delete(incarnation)
  }

  #report(what: SupervisorReport['what'], text: string, details: SupervisorReport['details']): void {
    this.#options.onReport?.({ what, text, details })
  }
}

function sightText({ sight, hold }: SupervisorEffect & { kind: 'sight' }): string {
  if (hold === undefined) return 'sees the nodes again: fencing is no longer held'
  if (hold.cause === 'disconnected') return 'has no connection: nothing is judged'
  if (hold.cause === 'own-lag') return 'was itself late, so it may have missed heartbeats: fencing is held for a moment'
  const numbers = `${hold.silent} silent, ${hold.heard} heard before`
  return `sees ${sight === 'dim' ? 'badly' : 'nothing'}, so fencing is held: ${hold.cause} (${numbers})`
}
