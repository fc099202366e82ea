/** Placing with so many nodes that not all are looked at for every task. */
import { describe, expect, test } from 'vitest'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import { randomPlacement } from '../../../src/actors/scheduler/policies/placements.ts'
import type { TaskProfile } from '../../../src/protocol/options.ts'
import { TestLog, type TestNode, taskProfile } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

const nodesMany = 200

class Many {
  readonly log = new TestLog()
  readonly agenda: Agenda
  readonly nodes: TestNode[]

  constructor(options: ConstructorParameters<typeof Agenda>[1] = {}, typesOf?: (i: number) => readonly TaskProfile[]) {
    this.log.lead()
    this.agenda = new Agenda(this.log.state, options)
    this.agenda.epoch = this.log.epoch
    this.nodes = Array.from({ length: nodesMany }, (_, i) => {
      return this.log.join(`n${i}`, undefined, typesOf?.(i), { resources: i === 9 ? { gpu: 1 } : {} })
    })
  }

  bid(options: (i: number) => Parameters<typeof bid>[0]): void {
    for (const [i, { incarnation }] of this.nodes.entries()) {
      this.agenda.hear(incarnation, bid({ ttlMs: 1e9, ...options(i) }), this.log.nowMs)
    }
  }

  submit(count: number, type = 'work'): void {
    this.log.submitBlock(
      'c',
      Array.from({ length: count }, () => [type, null] as const),
    )
  }

  /** Rounds are a few ms apart; what one wants written is written. Returns its awards, by node. */
  round(): Map<string, string[]> {
    const { agenda, log } = this
    log.advance(5)
    const { nowMs } = log
    agenda.note(log.takeChanges(), nowMs)
    const given = new Map<string, string[]>()
    for (const effect of agenda.place(nowMs)) {
      if (effect.do === 'append') log.decide(...effect.entries)
      if (effect.do !== 'award') continue
      given.set(effect.member.node, [...(given.get(effect.member.node) ?? []), ...effect.tasks.map(({ id }) => id)])
    }
    return given
  }
}

describe('with many nodes', () => {
  test('all credits are used, none twice, and the cheapest node comes first', () => {
    const it = new Many()
    it.bid((i) => ({ credits: 1 + (i % 3), priceMs: i === 77 ? 0 : 5 + (i % 7) * 5 }))
    it.submit(1)
    expect([...it.round().keys()]).toEqual(['n77'])
    it.submit(1_000)
    const given = it.round()
    for (const [i, { node }] of it.nodes.entries()) {
      expect(given.get(node)?.length ?? 0, node).toBe(i === 77 ? 2 : 1 + (i % 3))
    }
    expect(it.round().size).toBe(0)
  })

  test('what comes together goes out in few awards to nodes that are equal', () => {
    const it = new Many()
    it.bid(() => ({ credits: 4 }))
    it.submit(80)
    expect(it.round().size).toBe(20)
  })

  test('but no further than the cost of a message: what would slow them goes elsewhere', () => {
    const it = new Many()
    it.bid((i) => ({ credits: 8, priceMs: i < 100 ? 0 : 10 }))
    it.submit(500)
    const given = it.round()
    expect(given.size).toBe(125)
    for (const { node } of it.nodes.slice(0, 100)) expect(given.get(node)).toHaveLength(4)
  })

  test('what nodes take beyond their slots goes to them when no slot is left anywhere', () => {
    const it = new Many()
    it.bid((i) => ({ credits: 8, priceMs: i }))
    it.submit(nodesMany * 4 + 1)
    const counts = [...it.round().values()].map((ids) => ids.length).sort()
    expect(counts).toEqual([...Array.from({ length: nodesMany - 1 }, () => 4), 5])
  })

  test('a slot that becomes free gets the next task at once', () => {
    const it = new Many()
    it.bid(() => ({ credits: 1 }))
    it.submit(nodesMany + 2)
    const given = it.round()
    for (const node of it.nodes) node.accept(given.get(node.node)![0]!)
    expect(it.round().size).toBe(0)
    it.nodes[123]!.complete(given.get('n123')![0]!)
    expect([...it.round().keys()]).toEqual(['n123'])
    it.nodes[5]!.fail(given.get('n5')![0]!)
    expect([...it.round().keys()]).toEqual(['n5'])
  })

  test('so does that of a second turn which came to nothing', () => {
    const it = new Many({}, () => [taskProfile('work', { hedge: { afterMs: 100, budget: 1 } })])
    it.bid(() => ({ credits: 1 }))
    it.submit(nodesMany - 1)
    const given = it.round()
    for (const node of it.nodes) for (const id of given.get(node.node) ?? []) node.accept(id)
    it.round()
    it.log.advance(100)
    it.round()
    const [[second, [id]]] = [...it.round()] as [[string, [string]]]
    it.nodes.find(({ node }) => node === second)!.accept(id, 2)
    it.submit(2)
    expect(it.round().size).toBe(0)
    const first = it.nodes.find(({ node }) => node === it.log.task(id).owner?.node)!
    first.complete(id)
    expect([...it.round().keys()].sort()).toEqual([first.node, second].sort())
  })

  test('bids that have lapsed, nodes that drain and nodes that are gone get nothing', () => {
    const it = new Many()
    it.bid((i) => ({ ttlMs: i < 100 ? 10 : 1e9, priceMs: i, status: i < 150 ? 'ready' : 'draining' }))
    it.round()
    for (const node of it.nodes.slice(100, 120)) it.log.fence(node)
    it.log.advance(20)
    it.submit(nodesMany)
    expect([...it.round().keys()].sort()).toEqual(it.nodes.slice(120, 150).map(({ node }) => node))
    it.bid(() => ({}))
    expect(it.round().size).toBe(nodesMany - 20 - 30)
  })

  test('the few with a type, or with what it asks for, are found behind cheaper ones', () => {
    const gpu = taskProfile('gpu', { resources: { gpu: 1 } })
    const it = new Many({}, (i) => [taskProfile('work'), i === 150 ? taskProfile('rare') : gpu])
    it.bid((i) => ({ credits: 2, priceMs: i === 9 || i === 150 ? 500 : 0 }))
    it.submit(1, 'gpu')
    it.submit(1, 'rare')
    expect([...it.round().keys()].sort()).toEqual(['n150', 'n9'])
  })

  test('a policy that is not about cost sees all of them', () => {
    const it = new Many({ placement: randomPlacement({ seed: 3 }) })
    it.bid((i) => ({ credits: 4, priceMs: i }))
    it.submit(100)
    const last = [...it.round().keys()].map((node) => Number(node.slice(1)))
    expect(Math.max(...last)).toBeGreaterThan(150)
  })
})
