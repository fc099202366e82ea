/** Least delay against placements that know nothing of the nodes, on uneven ones, in virtual time; the same jobs for all. */
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../../src/actors/scheduler/policies/random.ts'
import { type Kind, type Machine, UnevenWorld } from './uneven-world.ts'

const workMs = 20
const rounds = 6
/** Rounds in which nothing is known of the nodes yet. */
const warmUp = 2

const batch = (count: number) => () => Array.from({ length: count }, () => ({ atMs: 0, workMs }))

/** Poisson arrivals of exponential work for 60 % of what the nodes can do. */
function stream(kind: Kind, machines: readonly Machine[]) {
  const rates = machines.map(({ others = 0, slow = 1 }) => (kind === 'sleep' ? 4 : 1 / (others + 1)) / slow)
  const gapMs = workMs / (0.6 * rates.reduce((sum, rate) => sum + rate, 0))
  return (random: () => number) => {
    const exponential = (meanMs: number) => -Math.log(1 - random()) * meanMs
    let atMs = 0
    return Array.from({ length: 150 }, () => ({ atMs: (atMs += exponential(gapMs)), workMs: 1 + exponential(workMs) }))
  }
}

function measured(
  placement: string,
  kind: Kind,
  machines: readonly Machine[],
  jobs: (random: () => number) => { readonly atMs: number; readonly workMs: number }[],
): { readonly meanMs: number; readonly makespanMs: number } {
  const world = new UnevenWorld(placement, kind, machines)
  const random = seededRandom(7)
  world.rest(500)
  const counted = []
  for (let round = 0; round < rounds; round++) {
    const outcomes = world.run(jobs(random))
    if (round >= warmUp) counted.push(outcomes)
    world.rest(300)
  }
  const all = counted.flat()
  const ends = counted.map((outcomes) => Math.max(...outcomes.map(({ endedAtMs }) => endedAtMs)))
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length
  return { meanMs: mean(all.map(({ inSystemMs }) => inSystemMs)), makespanMs: mean(ends) }
}

const threeUneven: Machine[] = [{ name: 'fine' }, { name: 'loaded', others: 3 }, { name: 'slow', slow: 4 }]
const oneSlow: Machine[] = [{ name: 'a' }, { name: 'b' }, { name: 'slow', slow: 4 }]

describe.each([
  ['one loaded by three others, one four times as slow', threeUneven],
  ['one of three four times as slow', oneSlow],
] as const)('of nodes with %s', (_name, machines) => {
  const others = ['random', 'round-robin']

  test.each([
    ['inline', 0.9, 0.8],
    ['thread', 0.85, 0.85],
    ['sleep', 0.9, 0.75],
  ] as const)(
    'a small batch of %s tasks takes least delay less: mean time and makespan',
    (kind, meanMax, makespanMax) => {
      const best = measured('least-delay', kind, machines, batch(8))
      for (const other of others) {
        const { meanMs, makespanMs } = measured(other, kind, machines, batch(8))
        expect(best.meanMs / meanMs, other).toBeLessThan(meanMax)
        expect(best.makespanMs / makespanMs, other).toBeLessThan(makespanMax)
      }
    },
  )

  test.each(['inline', 'thread', 'sleep'] as const)('a large batch of %s tasks takes it no longer', (kind) => {
    const best = measured('least-delay', kind, machines, batch(48))
    for (const other of others) {
      const { meanMs, makespanMs } = measured(other, kind, machines, batch(48))
      expect(best.meanMs / meanMs, other).toBeLessThan(1.02)
      // One task more on a node than at best is a few per cent.
      expect(best.makespanMs / makespanMs, other).toBeLessThan(1.03)
    }
  })

  test.each([
    ['inline', 0.85],
    ['thread', 0.7],
    ['sleep', 0.85],
  ] as const)('a stream of %s tasks takes it less time', (kind, meanMax) => {
    const best = measured('least-delay', kind, machines, stream(kind, machines))
    for (const other of others) {
      const { meanMs } = measured(other, kind, machines, stream(kind, machines))
      expect(best.meanMs / meanMs, other).toBeLessThan(meanMax)
    }
  })
})

test('on equal nodes it does as well as any other', () => {
  const machines = [{ name: 'a' }, { name: 'b' }, { name: 'c' }]
  for (const kind of ['inline', 'thread', 'sleep'] as const) {
    const best = measured('least-delay', kind, machines, stream(kind, machines))
    for (const other of ['random', 'round-robin']) {
      const { meanMs } = measured(other, kind, machines, stream(kind, machines))
      expect(best.meanMs / meanMs, `${kind}, ${other}`).toBeLessThan(1.1)
    }
  }
})
