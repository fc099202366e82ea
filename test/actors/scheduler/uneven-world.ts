/**
 * Uneven nodes in virtual time: a real agenda over a real ledger, real balancers and start paces; only the machines are made
 * up. A node has one processor, which threads of others may want as well, and may need several times as much of it for the
 * same work. What the simulated main loop does is what Node's does: while a task computes on it, nothing is heard or said.
 */
import { createActor } from 'xstate'
import { type BidEffect, balancerMachine } from '../../../src/actors/balancer/balancer.ts'
import { Durations } from '../../../src/actors/balancer/durations.ts'
import { type BidSaid, isNews } from '../../../src/actors/node/bid-pace.ts'
import { Completions } from '../../../src/actors/node/completions.ts'
import { StartPace } from '../../../src/actors/node/start-pace.ts'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import { placementNamed } from '../../../src/actors/scheduler/policies/named.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { startMs, TestLog, type TestNode } from '../ledger/test-log.ts'

/** Tasks compute on the main loop, compute on threads of their own, or wait for something. */
export type Kind = 'inline' | 'thread' | 'sleep'

export interface Machine {
  readonly name: string
  /** Threads of others that always want its processor. */
  readonly others?: number
  /** How many times as much work everything is there. */
  readonly slow?: number
}

export interface Outcome {
  /** From submission to end. */
  readonly inSystemMs: number
  readonly endedAtMs: number
  readonly node: string
}

interface Turn {
  readonly id: string
  readonly number: number
  leftMs: number
  startedAtMs: number
}

const slots = 4
const sampleEveryMs = 250
const loopTimerMs = 50

class SimulatedNode {
  readonly node: TestNode
  readonly machine: Machine
  private readonly kind: Kind
  private readonly agenda: Agenda
  private readonly log: TestLog
  private readonly durations = new Durations()
  private readonly completions = new Completions()
  private readonly pace = new StartPace()
  private readonly balancer
  private quoted: BidEffect | undefined
  private said: BidSaid | undefined
  private held: Turn[] = []
  private running: Turn[] = []
  private usedMs = 0
  private waitedMs = 0
  private loopMs = 0
  private lateness: number[] = []
  private bidAtMs = 0
  private readonly onEnded: (turn: Turn) => void

  constructor(node: TestNode, machine: Machine, kind: Kind, agenda: Agenda, onEnded: (turn: Turn) => void) {
    this.node = node
    this.machine = machine
    this.kind = kind
    this.agenda = agenda
    this.log = node.log
    this.onEnded = onEnded
    const ask = (effect: BidEffect) => {
      this.quoted = effect
    }
    this.balancer = createActor(balancerMachine, { input: { slots, durations: this.durations, ask } }).start()
  }

  award(id: string, number: number, workMs: number): void {
    this.held.push({ id, number, leftMs: workMs * (this.machine.slow ?? 1), startedAtMs: 0 })
  }

  /** Passes a millisecond; returns whether anything was said. */
  pass(nowMs: number): boolean {
    if (nowMs % sampleEveryMs === 0) this.sample()
    const isDue = nowMs >= this.bidAtMs
    // A main loop that computes says nothing before the task has ended.
    const isDeaf = this.kind === 'inline' && this.running.length > 0
    const started = isDeaf ? false : this.start(nowMs)
    if (isDue && !isDeaf) this.bid(nowMs)
    const ended = this.work(nowMs)
    return started || ended || (isDue && !isDeaf)
  }

  private start(nowMs: number): boolean {
    const room = this.kind === 'inline' ? 1 : slots
    const turns = this.held.splice(0, Math.max(0, room - this.running.length))
    for (const turn of turns) turn.startedAtMs = nowMs
    this.running.push(...turns)
    if (this.kind === 'inline' || turns.length === 0) return false
    for (const _ of turns) this.pace.started(0.05)
    this.node.write(...turns.map(({ id, number }) => [kind.accepted, id, number] as const))
    return true
  }

  private work(nowMs: number): boolean {
    const computing = this.kind === 'sleep' ? 0 : this.running.length
    const rate = computing === 0 ? 1 : Math.min(1, 1 / (computing + (this.machine.others ?? 0)))
    this.usedMs += rate * computing
    this.waitedMs += (1 - rate) * computing
    if (this.kind === 'inline') this.loopMs += computing
    for (const turn of this.running) turn.leftMs -= rate
    const ended = this.running.filter(({ leftMs }) => leftMs <= 1e-9)
    if (ended.length === 0) return false
    this.running = this.running.filter((turn) => !ended.includes(turn))
    for (const turn of ended) this.end(turn, nowMs + 1)
    return true
  }

  private end(turn: Turn, nowMs: number): void {
    const { id, number, startedAtMs } = turn
    this.durations.ended('work', nowMs - startedAtMs)
    this.completions.completed('work', nowMs - startedAtMs)
    const completed = [kind.completed, id, number, new Uint8Array([1])] as const
    if (this.kind === 'inline') {
      this.pace.started(nowMs - startedAtMs)
      for (let dueMs = startedAtMs; dueMs < nowMs; dueMs += loopTimerMs) this.lateness.push(nowMs - dueMs)
      // What it accepted is sent only now, with what became of it.
      this.node.write([kind.accepted, id, number], completed)
    } else this.node.write(completed)
    this.onEnded(turn)
  }

  private sample(): void {
    const others = this.machine.others ?? 0
    const own = this.usedMs / sampleEveryMs
    const other = Math.min(others, 1 - own)
    const loopDelayMs =
      this.lateness.length === 0 ? 0 : this.lateness.reduce((sum, ms) => sum + ms, 0) / this.lateness.length
    const load = {
      passedMs: sampleEveryMs,
      loop: this.loopMs / sampleEveryMs,
      loopDelayMs,
      cpu: own + other,
      cpus: 1,
      ownCpus: own,
      otherCpus: other,
      waitRatio: this.waitedMs / Math.max(20, this.usedMs),
      memory: 0.1,
      rssBytes: 1e8,
    }
    this.balancer.send({ type: 'sampled', load })
    this.usedMs = 0
    this.waitedMs = 0
    this.loopMs = 0
    this.lateness = []
  }

  private bid(nowMs: number): void {
    this.bidAtMs = nowMs + sampleEveryMs
    const [running, held] = [this.running.length, this.held.length]
    this.balancer.send({ type: 'quote', running, held })
    const { load, contention } = this.quoted!
    const took = this.completions.untold(contention)
    const credits = Math.max(0, Math.min(this.quoted!.bid.credits, running + this.pace.room))
    const bid = { ...this.quoted!.bid, credits }
    const now = { bid, busy: running + held, status: 'ready', free: {}, took, atMs: nowMs }
    if (!isNews(this.said, now, slots)) return
    this.said = now
    this.completions.told(took)
    const report = ['bid', bid, load, running, held, 'ready', {}, took] as const
    this.agenda.hear(this.node.incarnation, report, this.log.nowMs)
  }
}

export class UnevenWorld {
  private readonly log = new TestLog()
  private readonly agenda: Agenda
  private readonly nodes: ReadonlyMap<string, SimulatedNode>
  private readonly workMs = new Map<string, number>()
  private readonly submittedAtMs = new Map<string, number>()
  private outcomes: Outcome[] = []

  constructor(placement: string, kind: Kind, machines: readonly Machine[]) {
    this.log.lead()
    this.agenda = new Agenda(this.log.state, { placement: placementNamed(placement) })
    this.agenda.epoch = this.log.epoch
    this.nodes = new Map(
      machines.map((machine) => {
        const node = this.log.join(machine.name, `${machine.name}1`, undefined, { slots, resources: { cpu: 1 } })
        const onEnded = ({ id }: Turn) => {
          const endedAtMs = this.log.nowMs + 1
          const inSystemMs = endedAtMs - this.submittedAtMs.get(id)!
          this.outcomes.push({ inSystemMs, endedAtMs, node: machine.name })
        }
        return [machine.name, new SimulatedNode(node, machine, kind, this.agenda, onEnded)] as const
      }),
    )
  }

  /** Submits so much work at these times from now on, waits until all is done, and returns what became of it. */
  run(jobs: readonly { readonly atMs: number; readonly workMs: number }[]): Outcome[] {
    const beganAtMs = this.log.nowMs
    this.outcomes = []
    let next = 0
    for (; this.outcomes.length < jobs.length; this.log.advance(1)) {
      const nowMs = this.log.nowMs - startMs
      let said = false
      for (; next < jobs.length && beganAtMs + jobs[next]!.atMs <= this.log.nowMs; next++) {
        const id = this.log.submit()
        this.workMs.set(id, jobs[next]!.workMs)
        this.submittedAtMs.set(id, this.log.nowMs)
        said = true
      }
      for (const node of this.nodes.values()) said = node.pass(nowMs) || said
      if (said || this.agenda.nextAlarmMs(this.log.nowMs) <= this.log.nowMs) this.schedule()
      if (nowMs > 3_600_000) throw new Error('an hour has passed')
    }
    const ended = this.outcomes
    return ended.map((one) => ({ ...one, endedAtMs: one.endedAtMs - beganAtMs }))
  }

  /** Nothing happens for a while. */
  rest(ms: number): void {
    for (let i = 0; i < ms; i++, this.log.advance(1)) {
      for (const node of this.nodes.values()) node.pass(this.log.nowMs - startMs)
    }
  }

  private schedule(): void {
    const { agenda, log } = this
    agenda.note(log.takeChanges(), log.nowMs)
    agenda.alarm(log.nowMs)
    for (const effect of agenda.place(log.nowMs)) {
      if (effect.do !== 'award') continue
      const node = this.nodes.get(effect.member.node)!
      for (const { id, turn } of effect.tasks) node.award(id, turn + 1, this.workMs.get(id)!)
    }
  }
}
