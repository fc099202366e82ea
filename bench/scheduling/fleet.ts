/**
 * Very many nodes in virtual time: their processors, queues and journals, messages that take 0.2 to 1 ms, and whoever decides
 * where tasks go. `Troupe` is the real scheduler actor over the real ledger, with bids priced by the real balancer; the others
 * are what the literature has, and are told the true speed of every node. The same seed gives the same run.
 */
import { type Actor, createActor } from 'xstate'
import { type BidEffect, balancerMachine } from '../../src/actors/balancer/balancer.ts'
import { Durations } from '../../src/actors/balancer/durations.ts'
import { idleLoad } from '../../src/actors/balancer/load.ts'
import { Ledger } from '../../src/actors/ledger/ledger.ts'
import { defaultRules } from '../../src/actors/ledger/state.ts'
import { type BidSaid, isNews } from '../../src/actors/node/bid-pace.ts'
import { Completions } from '../../src/actors/node/completions.ts'
import type { SchedulerEffect } from '../../src/actors/scheduler/effects.ts'
import { Heap } from '../../src/actors/scheduler/heap.ts'
import { type Random, seededRandom } from '../../src/actors/scheduler/policies/random.ts'
import { schedulerMachine } from '../../src/actors/scheduler/scheduler.ts'
import { packBlock } from '../../src/protocol/blocks.ts'
import { formatVersion, type JournalEntry, kind } from '../../src/protocol/entries.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { nodeProfile } from '../profiles.ts'
import { exponential } from './traces.ts'

export type Placer = 'troupe' | 'random' | 'round-robin' | 'two-choices' | 'contract-net'
export type Workload = 'small' | 'mixed' | 'long'

export interface FleetOptions {
  readonly nodes: number
  readonly load: number
  readonly workload: Workload
  readonly placer: Placer
  /** Measured after `warmMs`. */
  readonly warmMs: number
  readonly runMs: number
  readonly seed?: number
}

export interface FleetResult {
  readonly tasks: number
  readonly tasksPerSecond: number
  /** From submission to the start of the task. */
  readonly waitsMs: readonly number[]
  readonly meanStayMs: number
  /** Per task, by what they are. */
  readonly publishes: Readonly<Record<string, number>>
  readonly appends: number
}

interface Job {
  readonly id: string
  readonly type: string
  readonly atMs: number
  readonly workMs: number
}

const bidEveryMs = 250
const heartbeatEveryMs = 250
const runningEveryMs = 1_000
const epochMs = 1_800_000_000_000

/** What a task takes on a processor of speed 1. Sizes of the long ones have a heavy tail (Pareto 1.5, bounded). */
function jobOf(workload: Workload, random: Random): { type: string; workMs: number } {
  const small = () => ({ type: 'small', workMs: 1 + 9 * random() })
  const large = (fromMs: number) => ({ type: 'large', workMs: Math.min(200 * fromMs, fromMs / random() ** (1 / 1.5)) })
  if (workload === 'small') return small()
  if (workload === 'long') return large(400)
  return random() < 0.5 ? small() : large(200)
}

function meanWorkMs(workload: Workload): number {
  const random = seededRandom(99)
  let sum = 0
  for (let i = 0; i < 200_000; i++) sum += jobOf(workload, random).workMs
  return sum / 200_000
}

class Node {
  readonly index: number
  readonly name: string
  readonly processors: number
  readonly speed: number
  readonly queue: Job[] = []
  head = 0
  running = 0
  /** What others know of it. */
  reported = 0

  constructor(index: number) {
    this.index = index
    this.name = `n${index}`
    this.processors = [8, 16, 16, 24][index % 4]!
    this.speed = [0.6, 1, 1, 1.4][Math.floor(index / 4) % 4]!
  }

  get held(): number {
    return this.queue.length - this.head
  }

  get power(): number {
    return this.processors * this.speed
  }

  /** Time until a task that came now would start, in tasks per power. */
  get backlog(): number {
    return Math.max(0, this.running + this.held + 1 - this.processors) / this.power
  }
}

export function simulateFleet(options: FleetOptions): FleetResult {
  return new Fleet(options).run()
}

export class Fleet {
  readonly options: FleetOptions
  readonly nodes: readonly Node[]
  readonly random: Random
  readonly publishes: Record<string, number> = {}
  nowMs = 0
  appends = 0
  private readonly events = new Heap<() => void>()
  private readonly waitsMs: number[] = []
  private staysMs = 0
  private tasks = 0
  private readonly decider: Decider

  constructor(options: FleetOptions) {
    this.options = options
    this.random = seededRandom(options.seed ?? 1)
    this.nodes = Array.from({ length: options.nodes }, (_, i) => new Node(i))
    this.decider = options.placer === 'troupe' ? new Troupe(this) : deciderOf(options.placer, this)
  }

  at(atMs: number, what: () => void): void {
    this.events.push(what, atMs)
  }

  after(ms: number, what: () => void): void {
    this.events.push(what, this.nowMs + ms)
  }

  /** One hop over the message server. */
  hopMs(): number {
    return 0.2 + 0.8 * this.random()
  }

  /** A message by core NATS. */
  publish(what: string, arrives: () => void, count = 1): void {
    if (this.isMeasured) this.publishes[what] = (this.publishes[what] ?? 0) + count
    this.after(this.hopMs(), arrives)
  }

  get isMeasured(): boolean {
    return this.nowMs >= this.options.warmMs
  }

  run(): FleetResult {
    const { warmMs, runMs, load, workload } = this.options
    const endMs = warmMs + runMs
    const power = this.nodes.reduce((sum, node) => sum + node.power, 0)
    const everyMs = meanWorkMs(workload) / (load * power)
    let count = 0
    const arrive = () => {
      const { type, workMs } = jobOf(workload, this.random)
      this.decider.submitted({ id: `j${++count}`, type, workMs, atMs: this.nowMs })
      this.after(exponential(this.random, everyMs), arrive)
    }
    this.decider.start()
    this.at(20, arrive)
    while (this.events.peekRank() <= endMs) {
      this.nowMs = this.events.peekRank()
      this.events.pop()!()
    }
    const perTask = Object.fromEntries(Object.entries(this.publishes).map(([what, sum]) => [what, sum / this.tasks]))
    return {
      tasks: this.tasks,
      tasksPerSecond: (this.tasks / runMs) * 1_000,
      waitsMs: this.waitsMs.sort((a, b) => a - b),
      meanStayMs: this.staysMs / this.tasks,
      publishes: perTask,
      appends: this.appends / this.tasks,
    }
  }

  /** The node has the task: it starts when a processor is free. */
  give(node: Node, job: Job): void {
    node.queue.push(job)
    this.startNext(node)
  }

  private startNext(node: Node): void {
    while (node.running < node.processors && node.head < node.queue.length) {
      const job = node.queue[node.head++]!
      if (node.head > 1_000) {
        node.queue.splice(0, node.head)
        node.head = 0
      }
      node.running++
      if (this.isMeasured) {
        this.tasks++
        this.waitsMs.push(this.nowMs - job.atMs)
        this.staysMs += this.nowMs - job.atMs + job.workMs / node.speed
      }
      this.decider.began(node, job)
      this.after(job.workMs / node.speed, () => {
        node.running--
        this.decider.ended(node, job)
        this.startNext(node)
      })
    }
  }
}

/** Where tasks go. */
interface Decider {
  start(): void
  submitted(job: Job): void
  began(node: Node, job: Job): void
  ended(node: Node, job: Job): void
}

// --- what the literature has ------------------------------------------------------------------------------------

function deciderOf(placer: Exclude<Placer, 'troupe'>, fleet: Fleet): Decider {
  if (placer === 'contract-net') return new ContractNet(fleet)
  const choose = { random: byChance, 'round-robin': inTurn, 'two-choices': ofTwo }[placer](fleet)
  return new Push(fleet, choose, placer === 'two-choices')
}

/** A dispatcher that sends each task to a node at once; it waits there. */
class Push implements Decider {
  private readonly fleet: Fleet
  private readonly choose: () => Node
  private readonly hears: boolean

  constructor(fleet: Fleet, choose: () => Node, hears: boolean) {
    this.fleet = fleet
    this.choose = choose
    this.hears = hears
  }

  start(): void {
    if (!this.hears) return
    const { fleet } = this
    for (const node of fleet.nodes) {
      const report = () => {
        const { backlog } = node
        fleet.publish('bids', () => {
          node.reported = backlog
        })
        fleet.after(bidEveryMs, report)
      }
      fleet.at(fleet.random() * bidEveryMs, report)
    }
  }

  submitted(job: Job): void {
    const { fleet } = this
    fleet.after(fleet.hopMs(), () => {
      const node = this.choose()
      fleet.publish('awards', () => fleet.give(node, job))
    })
  }

  began(): void {}
  ended(): void {}
}

/** Each as likely as it is powerful. */
function byChance({ nodes, random }: Fleet): () => Node {
  const sums: number[] = []
  let sum = 0
  for (const { power } of nodes) sums.push((sum += power))
  return () => {
    const at = random() * sum
    let [low, high] = [0, sums.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if (sums[middle]! > at) high = middle
      else low = middle + 1
    }
    return nodes[low]!
  }
}

/** In turn, each as often as it is powerful. */
function inTurn({ nodes }: Fleet): () => Node {
  const turns = new Heap<Node>()
  for (const node of nodes) turns.push(node, 1 / node.power)
  return () => {
    const rank = turns.peekRank()
    const node = turns.pop()!
    turns.push(node, rank + 1 / node.power)
    return node
  }
}

/** The one of two that said it had less to do. */
function ofTwo(fleet: Fleet): () => Node {
  const pick = byChance(fleet)
  return () => {
    const [a, b] = [pick(), pick()]
    return a.reported <= b.reported ? a : b
  }
}

/** Every task is announced to all, every node bids, the best bid is awarded (Smith 1980). */
class ContractNet implements Decider {
  private readonly fleet: Fleet

  constructor(fleet: Fleet) {
    this.fleet = fleet
  }

  start(): void {}

  submitted(job: Job): void {
    const { fleet } = this
    fleet.after(fleet.hopMs(), () => {
      fleet.publish('calls', () => {
        let best = fleet.nodes[0]!
        for (const node of fleet.nodes) {
          const less = node.backlog - best.backlog
          if (less < 0 || (less === 0 && node.speed > best.speed)) best = node
        }
        // All bids are there after the longest hop.
        fleet.publish('bids', () => {}, fleet.nodes.length)
        fleet.after(1, () => fleet.publish('awards', () => fleet.give(best, job)))
      })
    })
  }

  began(): void {}
  ended(): void {}
}

// --- Troupe -------------------------------------------------------------------------------------------------------

interface Journal {
  readonly subject: string
  pending: JournalEntry[]
  inFlight: boolean
  number: number
}

class Troupe implements Decider {
  private readonly fleet: Fleet
  private readonly subjects = new Subjects()
  private readonly ledger = new Ledger(this.subjects)
  private readonly actor: Actor<typeof schedulerMachine>
  private readonly jobs = new Map<string, Job>()
  private readonly turns = new Map<Job, number>()
  private readonly journals: Journal[] = []
  private readonly durations: Durations[] = []
  private readonly completions: Completions[] = []
  private sequence = 0
  private alarmAtMs = Number.POSITIVE_INFINITY

  constructor(fleet: Fleet) {
    this.fleet = fleet
    const ask = (effect: SchedulerEffect) => this.carryOut(effect)
    this.actor = createActor(schedulerMachine, {
      input: {
        name: 's',
        ledger: this.ledger.state,
        ask,
      },
    }).start()
  }

  start(): void {
    const { fleet } = this
    this.actor.send({ type: 'LEASE_WON' })
    for (const node of fleet.nodes) {
      const { name, processors: slots } = node
      const subject = this.subjects.journal(0, name, `life-${name}`)
      this.journals.push({ subject, pending: [], inFlight: false, number: 0 })
      this.write(node, [kind.joined, nodeProfile(name, slots, ['small', 'large'])])
      this.balance(node)
    }
  }

  submitted({ id, ...job }: Job): void {
    const block = packBlock([formatVersion, [[job.type, null, { id }]]])
    this.jobs.set(id, { id, ...job })
    this.append(this.subjects.block('client'), block)
  }

  began(node: Node, job: Job): void {
    this.write(node, [kind.accepted, job.id, this.turns.get(job)!])
  }

  ended(node: Node, job: Job): void {
    this.durations[node.index]!.ended(job.type, job.workMs / node.speed)
    this.completions[node.index]!.completed(job.type, job.workMs / node.speed)
    this.write(node, [kind.completed, job.id, this.turns.get(job)!, null])
    this.jobs.delete(job.id)
    this.turns.delete(job)
  }

  /** What a node says of itself. */
  private balance(node: Node): void {
    const { fleet } = this
    const durations = new Durations()
    this.durations.push(durations)
    const completions = new Completions()
    this.completions.push(completions)
    let asked: BidEffect | undefined
    const slots = node.processors
    const balancer = createActor(balancerMachine, {
      input: { slots, durations, ask: (effect) => void (asked = effect) },
    }).start()
    let last: BidSaid | undefined
    const quote = () => {
      const { running, held } = node
      const load = { ...idleLoad, cpu: running / slots, cpus: slots, ownCpus: running }
      balancer.send({ type: 'sampled', load })
      balancer.send({ type: 'quote', running, held })
      const { bid, load: said, contention } = asked!
      const took = completions.untold(contention)
      const now = { bid, busy: running + held, status: 'ready', free: {}, took, atMs: fleet.nowMs }
      if (isNews(last, now, slots)) {
        last = now
        completions.told(took)
        fleet.publish('bids', () => {
          const report = ['bid', bid, said, running, held, 'ready', {}, took] as const
          this.actor.send({ type: 'REPORTED', incarnation: `life-${node.name}`, report, nowMs: this.nowMs })
        })
      }
      fleet.after(bidEveryMs, quote)
    }
    fleet.at(5 + fleet.random() * 5, quote)
    const silent = (what: string, everyMs: number) => {
      const tell = () => {
        fleet.publish(what, () => {})
        fleet.after(everyMs, tell)
      }
      fleet.at(fleet.random() * everyMs, tell)
    }
    silent('heartbeats', heartbeatEveryMs)
    silent('reports', runningEveryMs)
  }

  private get nowMs(): number {
    return epochMs + this.fleet.nowMs
  }

  /** Group commit: one block in flight. */
  private write(node: Node, entry: JournalEntry): void {
    const journal = this.journals[node.index]!
    journal.pending.push(entry)
    if (!journal.inFlight) this.flush(journal)
  }

  private flush(journal: Journal): void {
    const { fleet } = this
    const block = packBlock([formatVersion, ++journal.number, journal.pending])
    journal.pending = []
    journal.inFlight = true
    this.append(journal.subject, block, () => {
      fleet.after(0.3, () => {
        journal.inFlight = false
        if (journal.pending.length > 0) this.flush(journal)
      })
    })
  }

  /** To the log, which the scheduler reads in order. */
  private append(subject: string, data: Uint8Array, stored?: () => void): void {
    const { fleet } = this
    if (fleet.isMeasured) fleet.appends++
    fleet.after(0.1 + 0.4 * fleet.random(), () => {
      const sequence = ++this.sequence
      const timestampMs = Math.floor(this.nowMs)
      stored?.()
      fleet.after(0.3, () => {
        this.ledger.fold({ subject, sequence, timestampMs, data, headers: undefined })
        this.actor.send({ type: 'FOLDED', changes: this.ledger.takeChanges(), nowMs: this.nowMs })
      })
    })
  }

  private carryOut(effect: SchedulerEffect): void {
    const { fleet } = this
    if (effect.do === 'lead')
      this.append(this.subjects.control(0, 's'), packBlock([formatVersion, 0, [[kind.led, defaultRules]]]))
    else if (effect.do === 'wake') this.wake(effect.atMs)
    else if (effect.do === 'award') {
      const node = fleet.nodes[Number(effect.member.node.slice(1))]!
      const turns = effect.tasks.map(({ id, turn }) => [this.jobs.get(id), turn + 1] as const)
      fleet.publish('awards', () => {
        for (const [job, turn] of turns) {
          if (job === undefined) continue
          this.turns.set(job, turn)
          fleet.give(node, job)
        }
      })
    } else if (effect.do === 'call') fleet.publish('calls', () => {})
    else if (effect.do === 'drop' || effect.do === 'append') fleet.publish('others', () => {})
  }

  private wake(atMs: number): void {
    if (atMs >= this.alarmAtMs) return
    this.alarmAtMs = atMs
    // As a timer of Node: whole milliseconds.
    this.fleet.at(Math.max(this.fleet.nowMs + 1, atMs - epochMs), () => {
      if (this.alarmAtMs !== atMs) return
      this.alarmAtMs = Number.POSITIVE_INFINITY
      this.actor.send({ type: 'ALARM', nowMs: this.nowMs })
    })
  }
}
