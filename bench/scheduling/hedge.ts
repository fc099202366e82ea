/**
 * Hedging at work in virtual time: turns that, now and then, take ten times as long because of where they run, and the real
 * policy that decides which of them get a second turn. Pure.
 */
import { Heap } from '../../src/actors/scheduler/heap.ts'
import { Hedges } from '../../src/actors/scheduler/policies/hedges.ts'
import { seededRandom } from '../../src/actors/scheduler/policies/random.ts'
import type { HedgePolicy } from '../../src/protocol/options.ts'
import { exponential } from './traces.ts'

const nodes = 8
const slotsPerNode = 4
const load = 0.6
const medianMs = 100
const sigma = 0.5
/** Share of turns that meet a busy disk, a pause or a noisy neighbour, and how many times as long they take. */
const hiccups = 0.02
const factor = 10
const lookAgainMs = 250

interface Turn {
  readonly job: Job
  readonly node: number
  readonly atMs: number
}

interface Job {
  readonly atMs: number
  /** On a node where all is well. */
  readonly durationMs: number
  readonly turns: Turn[]
  isDone: boolean
}

type Event = { readonly what: 'arrive'; readonly job: Job } | { readonly what: 'end' | 'look'; readonly turn: Turn }

export interface Hedged {
  /** Time in the system, sorted, ms. */
  readonly lastedMs: readonly number[]
  /** Second turns for each first one. */
  readonly seconds: number
  /** Time that all turns had slots, ms. */
  readonly busyMs: number
}

/** Returns what became of the same jobs under this policy; undefined: no second turns. */
export function simulateHedging(count: number, policy: HedgePolicy | undefined): Hedged {
  return new Hedging(policy).run(count)
}

class Hedging {
  private readonly policy: HedgePolicy | undefined
  private readonly hedges = new Hedges()
  private readonly events = new Heap<Event>()
  private readonly queue: Job[] = []
  private readonly free = Array.from({ length: nodes }, () => slotsPerNode)
  private readonly luck = seededRandom(8)
  private readonly lastedMs: number[] = []
  private seconds = 0
  private busyMs = 0
  private nowMs = 0

  constructor(policy: HedgePolicy | undefined) {
    this.policy = policy
  }

  run(count: number): Hedged {
    const random = seededRandom(7)
    const meanMs = medianMs * Math.exp(sigma ** 2 / 2) * (1 + hiccups * (factor - 1))
    let atMs = 0
    for (let i = 0; i < count; i++) {
      atMs += exponential(random, meanMs / (load * nodes * slotsPerNode))
      const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
      const durationMs = medianMs * Math.exp(sigma * normal)
      const job: Job = { atMs, durationMs, turns: [], isDone: false }
      this.events.push({ what: 'arrive', job }, atMs)
    }
    while (this.lastedMs.length < count) {
      this.nowMs = this.events.peekRank()
      this.happen(this.events.pop()!)
      while (this.queue.length > 0 && this.free.some((slots) => slots > 0)) this.start(this.queue.shift()!)
    }
    return { lastedMs: this.lastedMs.sort((a, b) => a - b), seconds: this.seconds / count, busyMs: this.busyMs }
  }

  private happen(event: Event): void {
    if (event.what === 'arrive') this.queue.push(event.job)
    else if (event.turn.job.isDone) return
    else if (event.what === 'end') this.end(event.turn)
    else this.look(event.turn)
  }

  /** On the node with most room but `besides`. */
  private start(job: Job, besides?: number): void {
    const free = this.free.map((slots, node) => (node === besides ? 0 : slots))
    const node = free.indexOf(Math.max(...free))
    this.free[node]!--
    const turn = { job, node, atMs: this.nowMs }
    job.turns.push(turn)
    const lastsMs = job.durationMs * (this.luck() < hiccups ? factor : 1)
    this.events.push({ what: 'end', turn }, this.nowMs + lastsMs)
    if (this.policy === undefined || job.turns.length > 1) return
    this.hedges.started('job', this.policy)
    this.events.push({ what: 'look', turn }, this.nowMs + (this.hedges.afterMs('job', this.policy) ?? lookAgainMs))
  }

  private look(turn: Turn): void {
    const { job, node, atMs } = turn
    const dueAtMs = atMs + (this.hedges.afterMs('job', this.policy!) ?? Number.POSITIVE_INFINITY)
    const isRoom = this.queue.length === 0 && this.free.some((slots, other) => slots > 0 && other !== node)
    if (dueAtMs > this.nowMs || !isRoom || !this.hedges.allows('job')) {
      const againAtMs = dueAtMs > this.nowMs && dueAtMs < Number.POSITIVE_INFINITY ? dueAtMs : this.nowMs + lookAgainMs
      this.events.push({ what: 'look', turn }, againAtMs)
      return
    }
    this.hedges.spend('job')
    this.seconds++
    this.start(job, node)
  }

  /** The first turn to end ends the other. */
  private end({ job, atMs }: Turn): void {
    job.isDone = true
    this.lastedMs.push(this.nowMs - job.atMs)
    this.hedges.ended('job', this.nowMs - atMs)
    for (const turn of job.turns) {
      this.free[turn.node]!++
      this.busyMs += this.nowMs - turn.atMs
    }
  }
}
