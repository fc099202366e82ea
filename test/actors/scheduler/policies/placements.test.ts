import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { costMs, leastDelay, type PlacementPolicy } from '../../../../src/actors/scheduler/placement.ts'
import {
  affinity,
  bestFit,
  dominantShare,
  randomPlacement,
  roundRobin,
  smoothWeighted,
  spread,
  twoChoices,
} from '../../../../src/actors/scheduler/policies/placements.ts'
import { preferredPlace } from '../../../../src/actors/scheduler/policies/rendezvous.ts'
import { taskProfile } from '../../ledger/test-log.ts'
import { candidateOf, waitingTask } from './tasks.ts'

const nodesChosen = (policy: PlacementPolicy, candidates: Parameters<PlacementPolicy['choose']>[1], times: number) =>
  Array.from({ length: times }, (_, i) => policy.choose(waitingTask(i + 1), candidates, 10).offer.member.node)

const abc = () => ['a', 'b', 'c'].map((node) => candidateOf(node))

describe('placement', () => {
  test('by smooth weights 5, 1, 1 goes a a b a c a a, again and again', () => {
    const chosen = nodesChosen(smoothWeighted({ weights: { a: 5, b: 1, c: 1 } }), abc(), 14)
    expect(chosen.join(' ')).toBe('a a b a c a a a a b a c a a')
  })

  test('by smooth weights takes what a node does in parallel over its slowdown for the weight', () => {
    const candidates = [candidateOf('a', { slots: 8, slowdown: 2 }), candidateOf('b', { slots: 8, parallel: 1 })]
    const chosen = nodesChosen(smoothWeighted(), candidates, 100)
    expect(chosen.filter((node) => node === 'a')).toHaveLength(80)
  })

  test('in turn goes round, whoever joins or is full', () => {
    const policy = roundRobin()
    expect(nodesChosen(policy, abc(), 4)).toEqual(['a', 'b', 'c', 'a'])
    expect(nodesChosen(policy, [candidateOf('c'), candidateOf('a')], 3)).toEqual(['c', 'a', 'c'])
  })

  test('at random is even, and the same from the same seed', () => {
    const chosen = nodesChosen(randomPlacement({ seed: 7 }), abc(), 3_000)
    for (const node of 'abc') expect(chosen.filter((one) => one === node).length).toBeGreaterThan(900)
    expect(nodesChosen(randomPlacement({ seed: 7 }), abc(), 3_000)).toEqual(chosen)
  })

  test('by two choices never takes the dearest of three', () => {
    const candidates = [candidateOf('a'), candidateOf('b', { priceMs: 5 }), candidateOf('c', { priceMs: 50 })]
    const chosen = nodesChosen(twoChoices(), candidates, 300)
    expect(new Set(chosen)).toEqual(new Set(['a', 'b']))
  })

  test('by least delay spreads a burst of long tasks between two bids over the nodes', () => {
    const slow = candidateOf('a', { slots: 4, credits: 8, parallel: 1 })
    const fast = candidateOf('b', { slots: 4, credits: 8, parallel: 1, priceMs: 5 })
    const given = { a: 0, b: 0 }
    for (let i = 0; i < 8; i++) {
      const chosen = leastDelay.choose(waitingTask(i + 1), [slow, fast], 10_000)
      // As the agenda and the offers do with each award.
      chosen.offer.awarded++
      chosen.free--
      given[chosen.offer.member.node as 'a' | 'b']++
    }
    expect(given).toEqual({ a: 4, b: 4 })
    expect(costMs(slow, 10_000)).toBe(5 * 10_000 + 0.5)
  })
})

describe('a vector of resources', () => {
  const types = [taskProfile('job', { resources: { cpu: 1, memory: 100 } })]
  const resources = { cpu: 4, memory: 1_000 }
  const nodes = [
    candidateOf('empty', { types, resources, credits: 10 }),
    candidateOf('half', { types, resources, credits: 10, room: { cpu: 3, memory: 500 } }),
    candidateOf('full', { types, resources, credits: 10, room: { cpu: 1, memory: 900 } }),
  ]

  test('is as full as its scarcest part', () => {
    expect(nodes.map((node) => dominantShare(waitingTask(1), node))).toEqual([0.25, 0.6, 1])
  })

  test('is packed by best fit and levelled by spread', () => {
    expect(bestFit.choose(waitingTask(1), nodes, 10)).toBe(nodes[2])
    expect(spread.choose(waitingTask(1), nodes, 10)).toBe(nodes[0])
  })
})

describe('rendezvous hashing', () => {
  const place = (id: string, weight = 1) => ({ id, weight, load: 0 })
  const places = (count: number) => Array.from({ length: count }, (_, i) => place(`node-${i}`))
  const keys = Array.from({ length: 1_000 }, (_, i) => `key-${i}`)

  /** Each key to its place, one by one, as tasks that stay. */
  const assigned = (among: ReturnType<typeof places>, bound: number) =>
    new Map(
      keys.map((key) => {
        const chosen = preferredPlace(key, among, { bound, total: keys.length })!
        chosen.load++
        return [key, chosen.id] as const
      }),
    )
  const mostOverMean = (where: ReadonlyMap<string, string>, count: number) => {
    const loads = new Map<string, number>()
    for (const id of where.values()) loads.set(id, (loads.get(id) ?? 0) + 1)
    return Math.max(...loads.values()) / (keys.length / count)
  }
  const moved = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>) =>
    keys.filter((key) => a.get(key) !== b.get(key)).length / keys.length

  test('moves to a node that joins its share of the keys and no other', () => {
    const before = assigned(places(50), Number.POSITIVE_INFINITY)
    const after = assigned(places(51), Number.POSITIVE_INFINITY)
    for (const key of keys) if (before.get(key) !== after.get(key)) expect(after.get(key)).toBe('node-50')
    expect(moved(before, after)).toBeLessThan(0.035)
  })

  test('with bounded load keeps the most within 1.25 of the mean, and moves few keys more', () => {
    const before = assigned(places(50), 1.25)
    expect(mostOverMean(assigned(places(50), Number.POSITIVE_INFINITY), 50)).toBeGreaterThan(1.4)
    expect(mostOverMean(before, 50)).toBeLessThanOrEqual(1.25)
    expect(moved(before, assigned(places(51), 1.25))).toBeLessThan(0.045)
    const remaining = places(50).filter(({ id }) => id !== 'node-7')
    const after = assigned(remaining, 1.25)
    const needless = keys.filter((key) => before.get(key) !== 'node-7' && before.get(key) !== after.get(key))
    expect(needless.length / keys.length).toBeLessThan(0.02)
  })

  test('never goes beyond the bound, for any numbers of nodes and keys', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 400 }), (count, used) => {
        const among = places(count)
        for (const key of keys.slice(0, used)) preferredPlace(key, among, { bound: 1.25 })!.load++
        const most = Math.max(...among.map(({ load }) => load))
        expect(most).toBeLessThanOrEqual(Math.ceil((1.25 * used) / count))
      }),
      { numRuns: 50 },
    )
  })

  test('gives a place of twice the weight twice the keys', () => {
    const among = [...places(4), place('big', 4)]
    const where = assigned(among, Number.POSITIVE_INFINITY)
    const share = [...where.values()].filter((id) => id === 'big').length / keys.length
    expect(share).toBeGreaterThan(0.45)
    expect(share).toBeLessThan(0.55)
  })

  test('as a placement keeps tasks of one key together until the node has more than its share', () => {
    const candidates = ['a', 'b', 'c', 'd'].map((node) => candidateOf(node, { slots: 100 }))
    const policy = affinity()
    const chosen = Array.from({ length: 100 }, (_, i) => {
      const task = waitingTask(i + 1, { key: 'one' })
      const { offer } = policy.choose(task, candidates, 10)
      offer.awarded++
      return offer.member.node
    })
    const counts = ['a', 'b', 'c', 'd'].map((node) => chosen.filter((one) => one === node).length)
    expect(Math.max(...counts)).toBeLessThanOrEqual(Math.ceil(1.25 * 25))
    expect(new Set(chosen.slice(0, 1)).size).toBe(1)
    expect(counts.filter((count) => count > 0).length).toBe(4)
  })
})
