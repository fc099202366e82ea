/** Calls for bids with reservation: who keeps places, who is awarded, who waits for whom, and what is said about it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Quantities } from '../../../src/actors/node/quantities.ts'
import { Reservations } from '../../../src/actors/node/reservations.ts'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import type { SchedulerEffect } from '../../../src/actors/scheduler/effects.ts'
import { gatherMs } from '../../../src/actors/scheduler/gatherings.ts'
import { placementNamed } from '../../../src/actors/scheduler/policies/named.ts'
import { tenderMs } from '../../../src/actors/scheduler/tenders.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { TypeCount } from '../../../src/protocol/messages.ts'
import { partitionOf } from '../../../src/protocol/partitions.ts'
import { TestLog, type TestNode, taskProfile } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

type Call = Extract<SchedulerEffect, { do: 'call' }>

/** A node that keeps places as a real one does. */
class Bidder {
  readonly node: TestNode
  readonly reservations: Reservations
  readonly slots: number
  /** Slots that other partitions have of the same node. */
  elsewhere = () => 0

  constructor(node: TestNode, slots: number, resources: Record<string, number> = {}) {
    this.node = node
    this.slots = slots
    this.reservations = new Reservations(new Quantities(resources))
  }

  get running(): number {
    return this.node.member?.running.size ?? 0
  }

  hear({ tender }: Call, agenda: Agenda, nowMs: number): void {
    if (tender === undefined) return
    const asked = (type: string) => this.node.member?.types.get(type)?.resources
    const free = this.slots - this.running - this.reservations.count - this.elsewhere()
    const { places, reason = '' } = this.reservations.reserve(
      tender.id,
      tender.wants,
      asked,
      free,
      nowMs + tender.ttlMs,
    )
    agenda.hear(this.node.incarnation, ['reserved', tender.id, places, tender.ttlMs, reason], nowMs)
  }

  bid(agenda: Agenda, nowMs: number): void {
    this.reservations.expire(nowMs)
    const credits = this.slots - this.reservations.count
    agenda.hear(this.node.incarnation, bid({ credits, ttlMs: 1e9 }), nowMs)
  }
}

class Cluster {
  readonly log: TestLog
  agenda: Agenda
  readonly bidders: Bidder[] = []

  constructor(policies: ConstructorParameters<typeof Agenda>[1] = {}, log = new TestLog()) {
    this.log = log
    this.log.lead()
    this.agenda = new Agenda(this.log.state, policies)
    this.agenda.epoch = this.log.epoch
  }

  join(
    name: string,
    slots: number,
    resources: Record<string, number> = {},
    types = [taskProfile('work')],
    labels: Record<string, string> = {},
  ): Bidder {
    const bidder = new Bidder(this.log.join(name, `${name}1`, types, { slots, resources, labels }), slots, resources)
    this.bidders.push(bidder)
    return bidder
  }

  gang(id: string, size: number): string[] {
    const member = (n: number) => ({ 'troupe-id': `${id}${n}`, 'troupe-gang': `${id}/${size}` })
    return Array.from({ length: size }, (_, n) => this.log.submit(member(n)))
  }

  /** One round: decides, lets nodes answer calls, accept awards and hear of releases; returns what was awarded. */
  round(accepts: (id: string) => boolean = () => true): Record<string, string[]> {
    const awarded: Record<string, string[]> = {}
    const { agenda, log } = this
    for (let more = true; more; ) {
      for (const bidder of this.bidders) bidder.bid(agenda, log.nowMs)
      const effects = [
        ...agenda.note(log.takeChanges(), log.nowMs),
        ...agenda.alarm(log.nowMs),
        ...agenda.place(log.nowMs),
      ]
      more = effects.length > 0
      for (const effect of effects) this.carryOut(effect, awarded, accepts)
    }
    return awarded
  }

  private carryOut(effect: SchedulerEffect, awarded: Record<string, string[]>, accepts: (id: string) => boolean): void {
    const { agenda, log } = this
    switch (effect.do) {
      case 'append':
        return log.decide(...effect.entries)
      case 'call':
        for (const bidder of this.bidders) bidder.hear(effect, agenda, log.nowMs)
        return
      case 'release':
        return this.of(effect.member.node).reservations.release(effect.tender, effect.keep)
      case 'award':
        for (const { id, type, turn } of effect.tasks) {
          const { node, reservations } = this.of(effect.member.node)
          if (!accepts(id)) continue
          if (effect.tender !== undefined) expect(reservations.use(effect.tender, type)).toBe(true)
          node.accept(id, turn + 1)
          awarded[node.node] = [...(awarded[node.node] ?? []), id]
        }
        return
      default:
    }
  }

  private of(name: string): Bidder {
    return this.bidders.find(({ node }) => node.node === name)!
  }

  waiting(id: string): string | undefined {
    return this.agenda.waitingReason(this.log.task(id), this.log.nowMs)
  }

  statuses(ids: readonly string[]): string[] {
    return [...new Set(ids.map((id) => this.log.task(id).status))]
  }
}

describe('a gang', () => {
  test('is awarded as a whole to nodes that have reserved its places', () => {
    const it = new Cluster()
    it.join('a', 2)
    it.join('b', 2)
    const ids = it.gang('g', 3)
    expect(it.round()).toEqual({ a: ['g0', 'g2'], b: ['g1'] })
    expect(it.statuses(ids)).toEqual(['running'])
    expect(it.agenda.negotiationOf(it.log.task('g2'), it.log.nowMs)).toMatchObject({
      asked: 3,
      outcome: '2 nodes got it',
      bids: [
        { node: 'a', places: 2, awarded: 2, reason: 'its slots are in use' },
        { node: 'b', places: 2, awarded: 1 },
      ],
    })
    for (const { reservations } of it.bidders) expect(reservations.count).toBe(0)
  })

  test('that is not whole, or larger than the cluster, says so; it starts when a node joins', () => {
    const it = new Cluster()
    it.join('a', 2)
    const ids = it.gang('g', 4)
    it.log.submit({ 'troupe-id': 'h0', 'troupe-gang': 'h/2' })
    expect(it.round()).toEqual({})
    expect(it.waiting('g0')).toBe('its gang "g" waits: 4 places are needed at once, and the nodes have 2 in all')
    expect(it.waiting('h0')).toBe('its gang "h" has 1 of 2 members; the others have not been submitted')
    expect(it.bidders[0]!.reservations.count).toBe(0)
    it.join('b', 2)
    it.round()
    expect(it.statuses(ids)).toEqual(['running'])
  })

  test('gathers places while others hold them: what becomes free is kept for it', () => {
    const it = new Cluster()
    const a = it.join('a', 2)
    const before = [it.log.submit(), it.log.submit()]
    it.round()
    const ids = it.gang('g', 2)
    it.round()
    expect(it.waiting('g1')).toMatch(/^its gang "g" has 0 of 2 places reserved, and waits for the rest until /)
    a.node.complete(before[0]!)
    const single = it.log.submit()
    it.log.advance(500)
    it.round()
    expect(it.waiting('g1')).toMatch(/has 1 of 2 places reserved/)
    expect(it.statuses([single])).toEqual(['waiting'])
    a.node.complete(before[1]!)
    it.log.advance(500)
    it.round()
    expect(it.statuses(ids)).toEqual(['running'])
    for (const id of ids) a.node.complete(id)
    it.round()
    expect(it.statuses([single])).toEqual(['running'])
  })

  test('that is not served in time lets others have the places, and tries again', () => {
    const it = new Cluster()
    const a = it.join('a', 2)
    const long = it.log.submit()
    it.round()
    const ids = it.gang('g', 2)
    const single = it.log.submit()
    it.round()
    expect(it.statuses([single])).toEqual(['waiting'])
    for (let ms = 0; ms <= tenderMs; ms += 500) {
      it.log.advance(500)
      it.round()
    }
    expect(it.statuses([single])).toEqual(['running'])
    expect(it.waiting('g0')).toMatch(/needs 2 places at once, which were not free together in 10000 ms/)
    a.node.complete(single)
    a.node.complete(long)
    it.log.advance(tenderMs)
    it.round()
    expect(it.statuses(ids)).toEqual(['running'])
  })

  test('of which one does not follow is handed back as a whole, and gathers again', () => {
    const it = new Cluster()
    it.join('a', 4)
    const ids = it.gang('g', 3)
    it.round((id) => id !== 'g2')
    expect(it.statuses(ids)).toEqual(['held', 'waiting'])
    expect(it.waiting('g0')).toBe('a holds it until all of its gang "g" are accepted: 2 of 3 are')
    for (let ms = 0; ms < gatherMs; ms += 500) {
      it.log.advance(500)
      it.round((id) => id !== 'g2')
    }
    expect(it.waiting('g2')).toContain('awarded to a')
    it.log.advance(3_000)
    it.round()
    expect(ids.map((id) => it.log.task(id).turn)).toEqual([2, 2, 1])
    expect(it.statuses(ids)).toEqual(['running'])
  })

  test('whose node drains goes back as a whole, and says why', () => {
    const it = new Cluster()
    const a = it.join('a', 4)
    const ids = it.gang('g', 2)
    it.round((id) => id !== 'g1')
    const effects = it.agenda.hear(a.node.incarnation, ['declined', [['g0', 1, 'the node is draining']]], it.log.nowMs)
    expect(effects).toMatchObject([{ do: 'append', entries: [[kind.ungathered, 'g', 5, 'the node is draining']] }])
    it.log.decide([kind.ungathered, 'g', 5, 'the node is draining'])
    expect(it.statuses(ids)).toEqual(['waiting'])
  })

  test('of another leader, held by halves, is ended or completed: two gangs never wait for each other', () => {
    const it = new Cluster()
    const [a, b] = [it.join('a', 2), it.join('b', 2)]
    const [g, h] = [it.gang('g', 4), it.gang('h', 4)]
    for (const id of ['g0', 'g1']) a.node.accept(id)
    for (const id of ['h0', 'h1']) b.node.accept(id)
    it.agenda = new Agenda(it.log.state)
    it.agenda.epoch = it.log.epoch
    it.agenda.build(it.log.nowMs)
    it.log.takeChanges()
    for (let ms = 0; ms < 60_000; ms += 500) {
      it.round()
      it.log.advance(500)
      for (const { node } of it.bidders) {
        for (const task of [...(node.member?.running ?? [])]) {
          if (task.status === 'running') node.complete(task.id, task.turn)
        }
      }
    }
    expect(it.statuses([...g, ...h])).toEqual(['completed'])
  })
})

describe('the places of a gang', () => {
  test.each([
    ['best-fit', [3]],
    ['spread', [2, 1]],
    ['least-delay', [2, 1]],
  ] as const)('by %s are on so many nodes', (placement, counts) => {
    const it = new Cluster({ placement: placementNamed(placement) })
    it.join('a', 4)
    it.join('b', 4)
    it.gang('g', 3)
    expect(Object.values(it.round()).map((ids) => ids.length)).toEqual(counts)
  })

  test('are on preferred nodes, and not on avoided ones, while these have some', () => {
    const it = new Cluster()
    const labels = { preferred: { disk: 'ssd' }, avoided: { spot: 'yes' } }
    const types = [taskProfile('work', { labels })]
    it.join('a', 4, {}, types, { spot: 'yes' })
    it.join('b', 2, {}, types, { disk: 'ssd' })
    it.join('c', 4, {}, types)
    it.gang('g', 4)
    expect(it.round()).toEqual({ b: ['g0', 'g1'], c: ['g2', 'g3'] })
  })

  test('are on a node that fails everything only if no other has any', () => {
    const it = new Cluster()
    const [a] = [it.join('a', 4), it.join('b', 4)]
    for (let n = 0; n < 12; n++) {
      const id = it.log.submit()
      a.node.accept(id)
      it.agenda.note(it.log.takeChanges(), it.log.nowMs)
      a.node.fail(id, 1, false)
    }
    it.round()
    expect(it.agenda.healthOf('a')).toBeLessThan(0.5)
    it.gang('g', 4)
    expect(it.round()).toEqual({ b: ['g0', 'g1', 'g2', 'g3'] })
    it.gang('h', 2)
    expect(it.round()).toEqual({ a: ['h0', 'h1'] })
  })
})

test('a large task is given places that small ones would otherwise take for ever', () => {
  const it = new Cluster()
  const types = [taskProfile('small', { resources: { gpu: 1 } }), taskProfile('large', { resources: { gpu: 4 } })]
  const a = it.join('a', 8, { gpu: 4 }, types)
  for (let n = 0; n < 4; n++) it.log.submit({}, 'small')
  it.round()
  const large = it.log.submit({}, 'large')
  const ran: string[] = []
  for (let ms = 0; ms < 20_000 && it.log.task(large).status === 'waiting'; ms += 250) {
    // One small task ends and two come, so that the quantity is never free as a whole.
    const oldest = [...(a.node.member?.running ?? [])][0]
    if (oldest !== undefined) {
      a.node.complete(oldest.id)
      ran.push(oldest.id)
    }
    it.log.submit({}, 'small')
    it.log.submit({}, 'small')
    it.round()
    it.log.advance(250)
  }
  expect(it.log.task(large).status).toBe('running')
  expect(it.agenda.negotiationOf(it.log.task(large), it.log.nowMs)).toMatchObject({
    asked: 1,
    outcome: 'one node got it',
  })
})

test('whatever is wanted, freed and forgotten, a node never reserves more than it has', () => {
  const want = fc.tuple(fc.constantFrom('small', 'large'), fc.integer({ min: 0, max: 5 })) as fc.Arbitrary<TypeCount>
  const move = fc.oneof(
    fc.record({ call: fc.constantFrom('t1', 't2', 't3'), wants: fc.array(want, { maxLength: 2 }) }),
    fc.record({ use: fc.constantFrom('t1', 't2'), type: fc.constantFrom('small', 'large') }),
    fc.record({ release: fc.constantFrom('t1', 't2', 't3'), keep: fc.array(want, { maxLength: 1 }) }),
    fc.record({ passMs: fc.integer({ min: 0, max: 3_000 }) }),
  )
  const property = fc.property(fc.array(move, { maxLength: 40 }), (moves) => {
    const quantities = new Quantities({ gpu: 4 })
    const reservations = new Reservations(quantities)
    const asked = (type: string) => ({ gpu: type === 'large' ? 2 : 1 })
    let nowMs = 0
    for (const step of moves) {
      if ('call' in step) reservations.reserve(step.call, step.wants, asked, 3 - reservations.count, nowMs + 2_000)
      else if ('use' in step) reservations.use(step.use, step.type)
      else if ('release' in step) reservations.release(step.release, step.keep)
      else reservations.expire((nowMs += step.passMs))
      expect(reservations.count).toBeLessThanOrEqual(3)
      expect(quantities.free.gpu ?? 0).toBeGreaterThanOrEqual(0)
    }
    reservations.expire(nowMs + 10_000)
    expect([reservations.count, quantities.free.gpu]).toEqual([0, 4])
  })
  fc.assert(property, { numRuns: 300, seed: 11 })
})

test('gangs of two partitions that have half of a node each do not keep it from each other for ever', () => {
  const clusters = [0, 1].map((partition) => new Cluster({}, new TestLog(2, partition)))
  const bidders = clusters.map((cluster) => cluster.join('a', 4))
  const taken = (bidder: Bidder) => bidder.running + bidder.reservations.count
  // A task of the other partition has half of the slots until each gang has reserved what is left to it.
  bidders[0]!.elsewhere = () => 2
  bidders[1]!.elsewhere = () => 2
  const gangs = clusters.map((cluster, partition) => {
    const names = Array.from({ length: 50 }, (_, n) => `g${n}`).filter(
      (id) => partitionOf(`gang ${id}`, 2) === partition,
    )
    return names.slice(0, 2).map((id) => cluster.gang(id, 3))
  })
  for (const cluster of clusters) expect(cluster.round()).toEqual({})
  expect(bidders.map(({ reservations }) => reservations.count)).toEqual([2, 2])
  bidders[0]!.elsewhere = () => taken(bidders[1]!)
  bidders[1]!.elsewhere = () => taken(bidders[0]!)
  const ended = () => clusters.every(({ log }) => log.state.counts.completed === 6)
  for (let ms = 0; ms < 10 * tenderMs && !ended(); ms += 100) {
    for (const [at, cluster] of clusters.entries()) {
      cluster.log.advance(100)
      cluster.round()
      for (const id of gangs[at]!.flat()) if (cluster.log.task(id).status === 'running') bidders[at]!.node.complete(id)
    }
  }
  expect(ended()).toBe(true)
})
