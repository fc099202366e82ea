/**
 * A supervisor machine and its nodes on virtual time: nodes beat, die, freeze, get stuck; the broker and the supervisor
 * itself stop. Every effect is recorded with its time.
 */
import { type Actor, createActor } from 'xstate'
import type { SupervisionSettings } from '../../../src/actors/supervision/settings.ts'
import { type SupervisorEffect, supervisorMachine } from '../../../src/actors/supervision/supervisor.ts'
import { explain } from '../../../src/actors/supervision/verdict.ts'
import type { Member, ProbeAnswer } from '../../../src/actors/supervision/watched.ts'

interface SimulatedNode {
  readonly node: string
  readonly incarnation: string
  readonly phaseMs: number
  tasks: number
  /** `dead`: the process is gone; `frozen`: SIGSTOP, its connection stands. */
  life: 'alive' | 'dead' | 'frozen'
  stuckSinceMs: number | undefined
  live: boolean
}

const stepMs = 10
const beatMs = 250

export class Cluster {
  readonly nodes: SimulatedNode[] = []
  readonly effects: { readonly atMs: number; readonly effect: SupervisorEffect }[] = []
  readonly actor: Actor<typeof supervisorMachine>
  nowMs = 0
  /** The broker passes messages on. */
  broker = true
  connected = true
  /** Fences reach the log. */
  logWrites = true
  #pausedMs = 0
  readonly #later = new Map<number, (() => void)[]>()

  constructor(count: number, settings: Partial<SupervisionSettings> = {}) {
    this.actor = createActor(supervisorMachine, {
      input: { ask: (effect) => this.#carryOut(effect), settings },
    }).start()
    for (let index = 0; index < count; index += 1) this.join(`n${index + 1}`, { phaseMs: (index * 70) % beatMs })
    this.actor.send({ type: 'lead' })
  }

  join(node: string, options: Partial<SimulatedNode> = {}): SimulatedNode {
    const joined: SimulatedNode = {
      node,
      incarnation: `${node}-1`,
      phaseMs: 0,
      tasks: 1,
      life: 'alive',
      stuckSinceMs: undefined,
      live: true,
      ...options,
    }
    this.nodes.push(joined)
    this.tellMembers()
    return joined
  }

  /** Runs on for this long, in steps of 10 ms. */
  run(durationMs: number): this {
    const untilMs = this.nowMs + durationMs
    while (this.nowMs < untilMs) {
      this.nowMs += stepMs
      this.#step()
    }
    return this
  }

  /** The supervisor's process stops for this long; what was sent meanwhile arrives afterwards. */
  pauseSupervisor(durationMs: number): this {
    const missed: (() => void)[] = []
    const untilMs = this.nowMs + durationMs
    while (this.nowMs < untilMs) {
      this.nowMs += stepMs
      for (const node of this.nodes) if (this.#beats(node)) missed.push(() => this.#heartbeat(node))
    }
    this.#pausedMs = durationMs
    this.#tick()
    for (const arrive of missed) arrive()
    return this
  }

  fencedAtMs(node: SimulatedNode): number | undefined {
    return this.effects.find(({ effect }) => effect.kind === 'fence' && effect.incarnation === node.incarnation)?.atMs
  }

  get fenced(): string[] {
    return [...new Set(this.effects.flatMap(({ effect }) => (effect.kind === 'fence' ? [effect.node] : [])))]
  }

  /** Why it was fenced, as people read it. */
  reason(node: SimulatedNode): string {
    const found = this.effects.find(({ effect }) => effect.kind === 'fence' && effect.incarnation === node.incarnation)
    return found?.effect.kind === 'fence' ? explain(found.effect.verdict) : ''
  }

  statuses(node: SimulatedNode): string[] {
    return this.effects.flatMap(({ effect }) =>
      effect.kind === 'status' && effect.verdict.incarnation === node.incarnation ? [effect.status] : [],
    )
  }

  tellMembers(): void {
    const members: Member[] = this.nodes.filter((node) => node.live)
    this.actor.send({
      type: 'members',
      nowMs: this.nowMs,
      members: members.map(({ node, incarnation, tasks }) => ({ node, incarnation, tasks })),
    })
  }

  #step(): void {
    for (const node of this.nodes) if (this.broker && this.connected && this.#beats(node)) this.#heartbeat(node)
    for (const run of this.#later.get(this.nowMs) ?? []) run()
    this.#later.delete(this.nowMs)
    if (this.nowMs % 50 === 0) this.#tick()
  }

  #beats(node: SimulatedNode): boolean {
    return node.life === 'alive' && this.nowMs % beatMs === node.phaseMs
  }

  #heartbeat(node: SimulatedNode): void {
    const tickAgeMs = node.stuckSinceMs === undefined ? 20 : this.nowMs - node.stuckSinceMs
    this.actor.send({
      type: 'heartbeat',
      node: node.node,
      incarnation: node.incarnation,
      tick: 1,
      tickAgeMs,
      nowMs: this.nowMs,
    })
  }

  #tick(): void {
    this.actor.send({ type: 'tick', nowMs: this.nowMs, lagMs: this.#pausedMs, connected: this.connected })
    this.#pausedMs = 0
  }

  #carryOut(effect: SupervisorEffect): void {
    this.effects.push({ atMs: this.nowMs, effect })
    const node = 'incarnation' in effect && this.nodes.find((each) => each.incarnation === effect.incarnation)
    if (!node) return
    if (effect.kind === 'probe') this.#probe(node)
    if (effect.kind === 'fence' && this.logWrites) {
      this.#after(10, () => this.actor.send({ type: 'fence.stored', incarnation: node.incarnation }))
      this.#after(20, () => {
        node.live = false
        this.tellMembers()
      })
    }
  }

  #probe(node: SimulatedNode): void {
    const answer: ProbeAnswer =
      !this.broker || node.life === 'frozen' ? 'silence' : node.life === 'dead' ? 'nobody' : 'alive'
    this.#after(answer === 'silence' ? 300 : 10, () =>
      this.actor.send({ type: 'probed', incarnation: node.incarnation, answer, nowMs: this.nowMs }),
    )
  }

  #after(delayMs: number, run: () => void): void {
    const atMs = this.nowMs + delayMs
    this.#later.set(atMs, [...(this.#later.get(atMs) ?? []), run])
  }
}
