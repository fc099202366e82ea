/** A leading scheduler learns from what ends: nodes that fail everything, and nodes that are slow, in virtual time. */
import { expect, test } from 'vitest'
import { Completions } from '../../../src/actors/node/completions.ts'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import { Experience, paceStep, stepOf } from '../../../src/actors/scheduler/experience.ts'
import { Offers } from '../../../src/actors/scheduler/offers.ts'
import type { Candidate } from '../../../src/actors/scheduler/placement.ts'
import { fewNodes } from '../../../src/actors/scheduler/room.ts'
import type { NodeReport } from '../../../src/protocol/messages.ts'
import { defaultRetry } from '../../../src/protocol/options.ts'
import { startMs, TestLog, type TestNode, taskProfile } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

interface Behaviour {
  /** How long a task takes there; what fails does so at once. */
  readonly ms: number
  readonly fails?: (nowMs: number) => boolean
}

interface Simulated {
  readonly node: TestNode
  readonly behaves: Behaviour
  readonly completions: Completions
}

/** Nodes with four slots each that do what they are awarded; everything takes its time in the log. */
class World {
  readonly log = new TestLog()
  readonly agenda: Agenda
  readonly failed = new Map<string, number>()
  readonly ran = new Map<string, number>()
  private readonly nodes: ReadonlyMap<string, Simulated>
  private due: { atMs: number; node: TestNode; id: string; turn: number; failed: boolean }[] = []

  constructor(behaviours: Readonly<Record<string, Behaviour>>) {
    this.log.lead()
    this.agenda = new Agenda(this.log.state)
    this.agenda.epoch = this.log.epoch
    const work = taskProfile('work', { retry: { ...defaultRetry, attempts: 1_000, backoffMs: 1, maxMs: 1 } })
    const joined = Object.entries(behaviours).map(([name, behaves]) => {
      return [name, { node: this.log.join(name, `${name}1`, [work]), behaves, completions: new Completions() }] as const
    })
    this.nodes = new Map(joined)
  }

  /** Passes the time, in steps of 4 ms, until all tasks have ended. */
  run(msMax = 60_000): void {
    const { log, agenda } = this
    for (; log.nowMs < startMs + msMax; log.advance(4)) {
      for (const { node, completions } of this.nodes.values()) {
        const took = completions.untold()
        completions.told(took)
        const report = [...bid({ credits: 4, parallel: 4 }), took] as const
        agenda.hear(node.incarnation, report as unknown as NodeReport, log.nowMs)
      }
      this.end()
      agenda.note(log.takeChanges(), log.nowMs)
      agenda.alarm(log.nowMs)
      for (const effect of agenda.place(log.nowMs)) {
        if (effect.do === 'award') for (const { id, turn } of effect.tasks) this.begin(effect.member.node, id, turn + 1)
      }
      agenda.note(log.takeChanges(), log.nowMs)
      if (log.state.counts.waiting + log.state.counts.running === 0) return
    }
    throw new Error(`not done in ${msMax} ms`)
  }

  private begin(name: string, id: string, turn: number): void {
    const { node, behaves } = this.nodes.get(name)!
    const failed = behaves.fails?.(this.log.nowMs - startMs) ?? false
    node.accept(id, turn)
    this.due.push({ atMs: this.log.nowMs + (failed ? 1 : behaves.ms), node, id, turn, failed })
    this.ran.set(name, (this.ran.get(name) ?? 0) + 1)
  }

  private end(): void {
    for (const { node, id, turn, failed } of this.due.filter(({ atMs }) => atMs <= this.log.nowMs)) {
      if (failed) node.fail(id, turn)
      else {
        node.complete(id, turn)
        const { completions, behaves } = this.nodes.get(node.node)!
        completions.completed('work', behaves.ms)
      }
      if (failed) this.failed.set(node.node, (this.failed.get(node.node) ?? 0) + 1)
    }
    this.due = this.due.filter(({ atMs }) => atMs > this.log.nowMs)
  }
}

test('a node that fails everything at once gets a handful of attempts and then one a second, not all of them', () => {
  const world = new World({ broken: { ms: 1, fails: () => true }, a: { ms: 100 }, b: { ms: 100 } })
  for (let i = 0; i < 400; i++) world.log.submit()
  world.run()
  const seconds = (world.log.nowMs - startMs) / 1_000
  expect(world.failed.get('broken')).toBeLessThanOrEqual(12 + seconds)
  expect(world.log.state.counts.completed).toBe(400)
})

test('one that is mended takes its share again', () => {
  const broken = { ms: 400, fails: (ms: number) => ms < 1_000 }
  const world = new World({ broken, a: { ms: 400 }, b: { ms: 400 } })
  for (let i = 0; i < 1_500; i++) world.log.submit()
  world.run(150_000)
  expect(world.failed.get('broken')).toBeLessThan(20)
  expect(world.ran.get('broken')).toBeGreaterThan(50)
})

test('a type that fails everywhere puts nobody on probation', () => {
  const fails = (ms: number) => ms < 200
  const world = new World({ a: { ms: 5, fails }, b: { ms: 5, fails } })
  for (let i = 0; i < 200; i++) world.log.submit()
  world.run(5_000)
  expect(world.log.state.counts.completed).toBe(200)
})

test('a slow node gets less than a fast one, and the last tasks do not wait for it', () => {
  const world = new World({ fast: { ms: 20 }, slow: { ms: 400 } })
  for (let i = 0; i < 200; i++) world.log.submit()
  world.run()
  expect(world.ran.get('slow')).toBeLessThan(16)
  // 200 tasks by four slots of 20 ms each, with what the slow node does meanwhile; one more that it took late would add 400 ms.
  expect(world.log.nowMs - startMs).toBeLessThan(1_100)
})

test('with many nodes paces count in steps: never more than was seen, less by no more than a step, and in the same order', () => {
  const paces = Array.from({ length: 4_000 }, (_, at) => 0.01 * 1.002 ** at)
  const steps = paces.map(stepOf)
  for (const [at, pace] of paces.entries()) {
    const step = steps[at]!
    expect(step).toBeLessThanOrEqual(pace * (1 + 1e-9))
    expect(step * paceStep).toBeGreaterThan(pace * (1 - 1e-9))
    expect(step).toBeGreaterThanOrEqual(steps[at - 1] ?? 0)
  }
  // As few as the range has, so that nodes which are about as fast cost the same.
  expect(new Set(steps).size).toBe(Math.ceil(Math.log(paces.at(-1)! / stepOf(paces[0]!)) / Math.log(paceStep)))
  expect(stepOf(1)).toBe(1)
})

test('up to 32 nodes have the paces that were seen, more of them have steps', () => {
  const paceAmong = (nodes: number) => {
    const log = new TestLog()
    log.lead()
    const offers = new Offers()
    const members = Array.from({ length: nodes }, (_, at) => log.join(`n${at}`, `i${at}`))
    for (const { member } of members) offers.hear(member!, bid({ credits: 1 }) as never, log.nowMs)
    const experience = new Experience(offers)
    Object.assign(experience, { paces: { pace: () => 1.5 } })
    const candidate = { offer: offers.of('i0') } as unknown as Candidate
    return experience.seen(candidate, 'work', log.nowMs).pace
  }
  expect(paceAmong(fewNodes)).toBe(1.5)
  expect(paceAmong(fewNodes + 1)).toBe(1.4)
})
