/** Candidates for one lease, on virtual time, over a simulated key with compare-and-set. Everything takes 5 ms. */
import { type Actor, createActor } from 'xstate'
import { leadershipMachine, mayAct } from '../../../src/actors/leadership/leadership.ts'
import type { LeadershipEffect, LeadershipEvent } from '../../../src/actors/leadership/words.ts'

const stepMs = 5
const travelMs = 5
const tickMs = 50

export class Candidate {
  readonly name: string
  readonly actor: Actor<typeof leadershipMachine>
  readonly said: { readonly atMs: number; readonly effect: LeadershipEffect }[] = []
  life: 'running' | 'stopped' | 'dead' = 'running'
  connected = true
  /** What arrived while it was stopped. */
  readonly inbox: (() => void)[] = []

  constructor(name: string, election: Election, random: () => number) {
    this.name = name
    this.actor = createActor(leadershipMachine, {
      input: {
        holder: name,
        random,
        ask: (effect) => {
          this.said.push({ atMs: election.nowMs, effect })
          election.carryOut(this, effect)
        },
      },
    }).start()
  }

  send(event: LeadershipEvent): void {
    if (this.actor.getSnapshot().status === 'active') this.actor.send(event)
  }

  get leads(): boolean {
    return this.life !== 'dead' && this.actor.getSnapshot().matches('leading')
  }

  get stepDowns(): string[] {
    return this.said.flatMap(({ effect }) => (effect.kind === 'step-down' ? [effect.reason] : []))
  }
}

export class Election {
  nowMs = 0
  revision = 0
  holder: string | undefined
  term = 0
  /** The store takes writes and answers; otherwise every request is lost. */
  store: 'up' | 'down' | 'loses answers' = 'up'
  /** Changes reach those who watch. */
  watching = true
  readonly candidates: Candidate[] = []
  readonly #later = new Map<number, (() => void)[]>()
  #seed = 7

  join(...names: string[]): Candidate[] {
    return names.map((name) => {
      const candidate = new Candidate(name, this, () => this.#random())
      this.candidates.push(candidate)
      this.#deliver(candidate, () => this.#lease())
      return candidate
    })
  }

  /** Runs on for this long; at every step at most one may act. */
  run(durationMs: number): this {
    const untilMs = this.nowMs + durationMs
    while (this.nowMs < untilMs) {
      this.nowMs += stepMs
      for (const run of this.#later.get(this.nowMs) ?? []) run()
      this.#later.delete(this.nowMs)
      for (const candidate of this.candidates) this.#step(candidate)
      const acting = this.acting()
      if (acting.length > 1) throw new Error(`two act at ${this.nowMs}: ${acting.map(({ name }) => name).join(', ')}`)
    }
    return this
  }

  acting(): Candidate[] {
    return this.candidates.filter(({ actor, life }) => life === 'running' && mayAct(actor.getSnapshot(), this.nowMs))
  }

  get leader(): string | undefined {
    return this.candidates.find(({ leads }) => leads)?.name
  }

  carryOut(candidate: Candidate, effect: LeadershipEffect): void {
    if (!candidate.connected) return
    if (effect.kind === 'read') this.#after(travelMs, () => this.#deliver(candidate, () => this.#lease()))
    if (effect.kind === 'put') this.#after(travelMs, () => this.#put(candidate, effect))
  }

  #put(candidate: Candidate, { put, expected, holder, term }: LeadershipEffect & { kind: 'put' }): void {
    if (this.store === 'down') return
    const stored = expected === this.revision
    if (stored) {
      this.revision += 1
      this.holder = holder
      this.term = term
      const lease = this.#lease()
      if (this.watching) for (const each of this.candidates) this.#deliver(each, () => lease)
    }
    const { revision } = this
    if (this.store === 'loses answers') return
    this.#deliver(candidate, () =>
      stored
        ? { type: 'put.stored', put, revision, nowMs: this.nowMs }
        : { type: 'put.refused', put, nowMs: this.nowMs },
    )
  }

  #lease() {
    return { type: 'lease', revision: this.revision, holder: this.holder, term: this.term, nowMs: this.nowMs } as const
  }

  #deliver(candidate: Candidate, event: () => LeadershipEvent): void {
    this.#after(travelMs, () => {
      if (!candidate.connected || candidate.life === 'dead') return
      const arrive = () => candidate.send({ ...event(), nowMs: this.nowMs })
      if (candidate.life === 'running') arrive()
      else candidate.inbox.push(arrive)
    })
  }

  #step(candidate: Candidate): void {
    if (candidate.life !== 'running') return
    // After a stop the overdue timer comes first, then what waited in the socket.
    if (this.nowMs % tickMs === 0 || candidate.inbox.length > 0) {
      candidate.send({ type: 'tick', nowMs: this.nowMs, connected: candidate.connected })
    }
    for (const arrive of candidate.inbox.splice(0)) arrive()
  }

  #after(delayMs: number, run: () => void): void {
    const atMs = this.nowMs + delayMs
    this.#later.set(atMs, [...(this.#later.get(atMs) ?? []), run])
  }

  #random(): number {
    this.#seed = (this.#seed * 16_807) % 2_147_483_647
    return this.#seed / 2_147_483_647
  }
}
