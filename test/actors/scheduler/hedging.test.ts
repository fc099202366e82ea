/** Which turns get a second one, when, where, and how many. */
import { describe, expect, test } from 'vitest'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import type { SchedulerEffect } from '../../../src/actors/scheduler/effects.ts'
import { awardTtlMs } from '../../../src/actors/scheduler/offers.ts'
import { Hedges } from '../../../src/actors/scheduler/policies/hedges.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { NodeReport } from '../../../src/protocol/messages.ts'
import type { HedgePolicy, TaskProfile } from '../../../src/protocol/options.ts'
import { TestLog, type TestNode, taskProfile } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

const always: HedgePolicy = { afterMs: 100, budget: 1 }

class Leading {
  readonly log = new TestLog()
  agenda: Agenda
  readonly nodes: TestNode[]

  constructor({ nodes = 2, ...options }: { nodes?: number } & Partial<TaskProfile> = {}) {
    this.log.lead()
    const types = [taskProfile('work', { hedge: always, ...options }), taskProfile('other')]
    this.nodes = ['a', 'b', 'c'].slice(0, nodes).map((name) => this.log.join(name, `${name}1`, types))
    this.agenda = this.lead()
  }

  lead(): Agenda {
    const agenda = new Agenda(this.log.state)
    agenda.build(this.log.nowMs)
    this.agenda = agenda
    for (const [at, node] of this.nodes.entries()) this.bid(node, { priceMs: at })
    return agenda
  }

  bid({ incarnation }: TestNode, options: Parameters<typeof bid>[0] = {}): void {
    this.agenda.hear(incarnation, bid({ credits: 4, ttlMs: 1e9, ...options }), this.log.nowMs)
  }

  /** One round; what it wants written is written. */
  turn(): SchedulerEffect[] {
    const { agenda, log } = this
    const { nowMs } = log
    const effects = [...agenda.note(log.takeChanges(), nowMs), ...agenda.alarm(nowMs), ...agenda.place(nowMs)]
    for (const effect of effects) if (effect.do === 'append') log.decide(...effect.entries)
    return effects
  }

  /** Rounds until nothing more comes of them; returns who was awarded which turn. */
  awards(): [node: string, id: string, turn: number][] {
    const effects = [...this.turn(), ...this.turn()]
    return effects.flatMap((effect) =>
      effect.do === 'award'
        ? effect.tasks.map(({ id, turn }): [string, string, number] => [effect.member.node, id, turn + 1])
        : [],
    )
  }

  /** A task that runs on the first node. */
  begin(node = this.nodes[0]!): string {
    const id = this.log.submit()
    this.turn()
    node.accept(id)
    this.turn()
    return id
  }
}

describe('hedging', () => {
  test('gives a turn that lasts longer than its time a second one, on another node', () => {
    const it = new Leading()
    const id = it.begin()
    it.log.advance(99)
    expect(it.awards()).toEqual([])
    expect(it.agenda.nextAlarmMs(it.log.nowMs)).toBe(it.log.nowMs + 1)
    it.log.advance(1)
    expect(it.awards()).toEqual([['b', id, 2]])
    it.nodes[1]!.accept(id, 2)
    it.nodes[1]!.complete(id, 2)
    const drops = it.turn().filter((effect) => effect.do === 'drop')
    expect(drops).toMatchObject([{ member: { node: 'a' }, turns: [[id, 1, 'the second turn was faster']] }])
    expect(it.log.task(id).rare?.hedge?.reason).toBe('it had run for 100 ms, longer than 100 ms')
  })

  test('asks for nothing while no other node has a free slot that no first turn wants', () => {
    const it = new Leading()
    const [a, b] = it.nodes as [TestNode, TestNode]
    const id = it.begin()
    it.bid(a, { credits: 0 })
    it.bid(b, { credits: 4 })
    const others = [1, 2, 3, 4].map(() => it.log.submit({}, 'other'))
    it.turn()
    for (const other of others) b.accept(other)
    it.log.advance(1_000)
    // A bid for more than the slots lets tasks wait there, but not a second turn.
    it.bid(b, { credits: 8 })
    expect(it.awards()).toEqual([])
    expect(it.log.task(id).rare?.hedge).toBeUndefined()
    const late = it.log.submit({}, 'other')
    b.complete(others[0]!)
    expect(it.awards()).toEqual([['b', late, 1]])
    it.log.advance(300)
    b.accept(late)
    b.complete(late)
    expect(it.awards()).toEqual([['b', id, 2]])
  })

  test('goes to another node when one declines, is gone, or does not answer in time', () => {
    const it = new Leading({ nodes: 3 })
    const [, b, c] = it.nodes as [TestNode, TestNode, TestNode]
    const id = it.begin()
    it.log.advance(100)
    expect(it.awards()).toEqual([['b', id, 2]])
    it.agenda.hear(b.incarnation, ['declined', [[id, 2, 'busy']]], it.log.nowMs)
    expect(it.awards()).toEqual([['c', id, 2]])
    it.log.fence(c)
    expect(it.awards()).toEqual([])
    const d = it.log.join('d', 'd1', [taskProfile('work', { hedge: always })])
    it.bid(d)
    expect(it.awards()).toEqual([['d', id, 2]])
    it.log.advance(awardTtlMs)
    expect(it.awards()).toEqual([])
    expect(it.agenda.offers.of(d.incarnation)?.awarded).toBe(0)
  })

  test('is taken up by the next leader, an award that was under way as well', () => {
    const it = new Leading()
    const id = it.begin()
    it.log.advance(50)
    it.lead()
    it.log.advance(50)
    expect(it.awards()).toEqual([['b', id, 2]])
    it.lead()
    expect(it.awards()).toEqual([['b', id, 2]])
    it.nodes[1]!.accept(id, 2)
    it.lead()
    expect(it.awards()).toEqual([])
  })

  test('takes no more than its budget, which every first turn adds to', () => {
    const it = new Leading({ hedge: { afterMs: 100, budget: 0.25 } })
    const [a, b] = it.nodes as [TestNode, TestNode]
    it.bid(b, { credits: 0 })
    const ids = [1, 2, 3, 4].map(() => it.begin(a))
    it.bid(b, { credits: 100 })
    it.log.advance(5_000)
    // One to begin with, and four quarters.
    const hedged = it.awards().map(([, id]) => id)
    expect(hedged).toHaveLength(2)
    for (let round = 0; round < 20; round++) {
      it.log.advance(1_000)
      it.awards()
    }
    expect(ids.filter((id) => it.log.task(id).rare?.hedge !== undefined).sort()).toEqual(hedged.sort())
  })

  test('waits for ten durations of a type before it trusts a percentile', () => {
    const it = new Leading({ hedge: { percentile: 95, budget: 1 } })
    const [a, b] = it.nodes as [TestNode, TestNode]
    it.bid(b, { credits: 0 })
    for (let count = 0; count < 10; count++) {
      const id = it.begin(a)
      it.log.advance(200)
      a.complete(id)
      it.turn()
    }
    const id = it.begin(a)
    it.bid(b)
    it.log.advance(150)
    expect(it.awards()).toEqual([])
    it.log.advance(60)
    it.turn()
    it.log.advance(250)
    expect(it.awards()).toEqual([['b', id, 2]])
    expect(it.log.task(id).rare?.hedge?.reason).toMatch(/longer than the p95 of its type, 200 ms/)
  })

  test('counts what the second turn takes from its node until one of the two has won', () => {
    const resources = { gpu: 1 }
    const it = new Leading({ nodes: 0, resources })
    const join = (name: string) => {
      const node = it.log.join(name, `${name}1`, [taskProfile('work', { hedge: always, resources })], { resources })
      it.nodes.push(node)
      it.bid(node)
      return node
    }
    const a = join('a')
    const id = it.begin(a)
    const b = join('b')
    it.log.advance(100)
    expect(it.awards()).toEqual([['b', id, 2]])
    b.accept(id, 2)
    const next = it.log.submit()
    expect(it.awards()).toEqual([])
    it.log.advance(100)
    b.complete(id, 2)
    expect(it.awards().map(([, one]) => one)).toEqual([next])
    const last = it.log.submit()
    expect(it.awards().map(([, one]) => one)).toEqual([last])
  })

  test('hands new signals to both, and believes both that they run it', () => {
    const it = new Leading()
    const id = it.begin()
    it.log.advance(100)
    it.awards()
    it.nodes[1]!.accept(id, 2)
    it.turn()
    it.log.signal(id)
    const signals = it.turn().flatMap((effect) => (effect.do === 'signal' ? [[effect.member.node, effect.turn]] : []))
    expect(signals).toEqual([
      ['a', 1],
      ['b', 2],
    ])
    for (const [at, turn] of [1, 2].entries()) {
      const { incarnation } = it.nodes[at]!
      const report = (turns: [string, number][]) =>
        it.agenda.hear(incarnation, ['running', it.log.state.position, turns], it.log.nowMs)
      expect(report([[id, turn]]).filter((effect) => effect.do !== 'signal')).toEqual([])
      expect(report([[id, 3 - turn]])).toMatchObject([
        { do: 'drop', turns: [[id, 3 - turn, 'the turn belongs to another']] },
      ])
      expect(report([])).toMatchObject([{ do: 'append', entries: [[kind.revoked, id, turn, expect.any(String)]] }])
    }
  })

  test('learns of the loser that it took at least so long there', () => {
    const it = new Leading()
    const [a, b] = it.nodes as [TestNode, TestNode]
    for (let count = 0; count < 12; count++) {
      const id = it.begin(a)
      it.log.advance(500)
      it.awards()
      b.accept(id, 2)
      it.turn()
      it.log.advance(10)
      b.complete(id, 2)
      const terms = bid({ credits: 4, ttlMs: 1e9, priceMs: 1 }) as readonly unknown[]
      it.agenda.hear(b.incarnation, [...terms, [['work', 1, 10]]] as unknown as NodeReport, it.log.nowMs)
      it.turn()
    }
    const id = it.log.submit()
    expect(it.awards()).toEqual([['b', id, 1]])
  })
})

describe('the policy', () => {
  test('is never longer than the percentile of a lognormal distribution asks for', () => {
    const hedges = new Hedges()
    // e^(5 + z) for z at the middles of 40 equal parts, a few times over, in a mixed order.
    const logs = Array.from({ length: 400 }, (_, i) => 5 + inverse(((i * 17) % 40) / 40 + 1 / 80))
    for (const log of logs) hedges.ended('t', Math.exp(log))
    const learned = (percentile: 50 | 95 | 99) => hedges.afterMs('t', { percentile, budget: 1 })!
    expect(Math.log(learned(50))).toBeCloseTo(5, 0)
    expect(Math.log(learned(95))).toBeCloseTo(6.645, 0)
    expect(learned(99)).toBeGreaterThan(learned(95))
    expect(hedges.afterMs('t', { afterMs: 7, budget: 1 })).toBe(7)
  })

  test('saves at most ten second turns', () => {
    const hedges = new Hedges()
    for (let i = 0; i < 1_000; i++) hedges.started('t', { budget: 0.05 })
    let spent = 0
    for (; hedges.allows('t'); spent++) hedges.spend('t')
    expect(spent).toBe(10)
  })
})

/** The standard normal quantile, by bisection of its distribution. */
function inverse(p: number): number {
  let [low, high] = [-6, 6]
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2
    if (distribution(middle) < p) low = middle
    else high = middle
  }
  return low
}

function distribution(z: number): number {
  let sum = z
  let term = z
  for (let n = 1; n < 200; n++) {
    term *= (z * z) / (2 * n + 1)
    sum += term
  }
  return 0.5 + (sum * Math.exp((-z * z) / 2)) / Math.sqrt(2 * Math.PI)
}
