/**
 * Placement at work in virtual time: one scheduler, nodes whose tasks share their processors (with others, on some), bids
 * priced by the balancer from measured load every 250 ms, and the real offers and policies in between. Pure.
 */
import type { LoadSample, Occupancy } from '../../src/actors/balancer/load.ts'
import { creditsOf, priceMsOf, slowdownOf, smoothed } from '../../src/actors/balancer/pricing.ts'
import { Member } from '../../src/actors/ledger/member.ts'
import { TaskRecord } from '../../src/actors/ledger/task-record.ts'
import { Offers } from '../../src/actors/scheduler/offers.ts'
import type { PlacementPolicy } from '../../src/actors/scheduler/placement.ts'
import { nodeProfile } from '../profiles.ts'
import type { Job } from './traces.ts'

export interface SimulatedNode {
  readonly name: string
  readonly cpus: number
  /** Threads of others that always want a processor. */
  readonly others: number
  readonly slots: number
}

export interface Placed {
  readonly waitsMs: readonly number[]
  readonly makespanMs: number
  /** Tasks and busy share of the processors' time that the node's tasks had, by node. */
  readonly nodes: readonly { readonly name: string; readonly tasks: number; readonly running: readonly number[] }[]
}

interface Turn {
  readonly task: TaskRecord
  readonly job: Job
  leftMs: number
}

const bidEveryMs = 250
const weight = 0.2

class Node {
  readonly spec: SimulatedNode
  readonly member: Member
  readonly turns = new Set<Turn>()
  readonly runningOverTime: number[] = []
  load: LoadSample | undefined
  /** Turns per processor, smoothed as the load is. */
  contention = 0
  usedMs = 0
  tasks = 0

  constructor(spec: SimulatedNode) {
    this.spec = spec
    const { name, slots, cpus } = spec
    this.member = new Member(`journal.${name}`, name, nodeProfile(name, slots, ['job'], cpus), 0, 0)
  }

  /** What each turn gets of a processor: fair shares among all threads that want one. */
  get rate(): number {
    return Math.min(1, this.spec.cpus / Math.max(1, this.turns.size + this.spec.others))
  }

  sample(): LoadSample {
    const { cpus, others } = this.spec
    const ownCpus = this.usedMs / bidEveryMs
    this.usedMs = 0
    const otherCpus = Math.min(others, cpus - ownCpus)
    const cpu = (ownCpus + otherCpus) / cpus
    return {
      passedMs: bidEveryMs,
      loop: 0,
      loopDelayMs: 0,
      cpu,
      cpus,
      ownCpus,
      otherCpus,
      waitRatio: 1 / this.rate - 1,
      memory: 0,
      rssBytes: 0,
    }
  }
}

/** Returns what became of the jobs, which are taken first in first out. */
export function simulatePlacing(
  jobs: readonly Job[],
  specs: readonly SimulatedNode[],
  policy: PlacementPolicy,
): Placed {
  const nodes = specs.map((spec) => new Node(spec))
  const byMember = new Map(nodes.map((node) => [node.member, node]))
  const offers = new Offers()
  const queue: Turn[] = []
  const waitsMs: number[] = []
  let expectedMs = 0
  let next = 0
  let nowMs = 0
  for (; waitsMs.length < jobs.length; nowMs++) {
    if (nowMs % bidEveryMs === 0) for (const node of nodes) bid(node, offers, nowMs, expectedMs)
    for (; next < jobs.length && jobs[next]!.atMs <= nowMs; next++) queue.push(turnOf(jobs[next]!, next))
    while (queue.length > 0) {
      const open = nodes.flatMap(({ member }) => {
        const offer = offers.of(member.incarnation)
        const free = offer === undefined ? 0 : offers.freeCredits(offer, nowMs)
        return offer !== undefined && free > 0 ? [{ offer, free }] : []
      })
      if (open.length === 0) break
      const turn = queue.shift()!
      const { offer } = policy.choose(turn.task, open, expectedMs)
      offers.award(turn.task, offer, nowMs)
      offers.settle(turn.task)
      offer.member.running.add(turn.task)
      const node = byMember.get(offer.member)!
      node.turns.add(turn)
      node.tasks++
    }
    for (const node of nodes) {
      const { rate } = node
      node.usedMs += rate * node.turns.size
      for (const turn of node.turns) {
        turn.leftMs -= rate
        if (turn.leftMs > 0) continue
        node.turns.delete(turn)
        node.member.running.delete(turn.task)
        const lastedMs = nowMs + 1 - turn.job.atMs
        waitsMs.push(Math.max(0, lastedMs - turn.job.durationMs))
        expectedMs += weight * (turn.job.durationMs - expectedMs)
      }
      if (nowMs % 1_000 === 0) node.runningOverTime.push(node.turns.size)
    }
  }
  const of = nodes.map(({ spec, tasks, runningOverTime }) => ({ name: spec.name, tasks, running: runningOverTime }))
  return { waitsMs, makespanMs: nowMs, nodes: of }
}

function turnOf(job: Job, index: number): Turn {
  const arrival = { partition: 0, sequence: index + 1, submittedAtMs: job.atMs, client: undefined }
  return {
    task: new TaskRecord({ name: `t-${index}`, type: 'job', priority: 4, key: job.key, arrival, index: -1, hash: 0 }),
    job,
    leftMs: job.durationMs,
  }
}

function bid(node: Node, offers: Offers, nowMs: number, meanMs: number): void {
  node.load = smoothed(node.load, node.sample())
  node.contention += 0.4 * (node.turns.size / node.spec.cpus - node.contention)
  const occupancy: Occupancy = { running: node.turns.size, held: 0 }
  const { slots } = node.spec
  const contention = Math.max(1, node.contention)
  const rules = { slots, roundTripMs: 2, mode: 'open' as const }
  const { loop, loopDelayMs, cpu, memory, rssBytes } = node.load
  const priced = {
    credits: creditsOf(rules, meanMs === 0 ? undefined : meanMs, occupancy.running),
    priceMs: priceMsOf(node.load, contention),
    slowdown: slowdownOf(node.load, contention),
    parallel: node.spec.cpus,
    ttlMs: 1_500,
  }
  const load = { loop, loopDelayMs, cpu, memory, rssBytes }
  offers.hear(node.member, ['bid', priced, load, occupancy.running, 0, 'ready', {}], nowMs)
}
