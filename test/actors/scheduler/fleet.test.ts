/** Placement over many nodes in virtual time; the tables of docs/scale.md are the same at full size. */
import { expect, test } from 'vitest'
import { type Placer, simulateFleet } from '../../../bench/scheduling/fleet.ts'

const run = (placer: Placer) =>
  simulateFleet({ nodes: 64, load: 0.8, workload: 'mixed', placer, warmMs: 1_000, runMs: 600 })
const p99 = ({ waitsMs }: { waitsMs: readonly number[] }) => waitsMs[Math.floor(0.99 * (waitsMs.length - 1))]!
const publishes = (result: ReturnType<typeof run>) => Object.values(result.publishes).reduce((sum, one) => sum + one, 0)

test('standing bids and tasks that wait in one place beat what sends them on at once, and what asks everybody', () => {
  const troupe = run('troupe')
  expect(p99(troupe)).toBeLessThan(10)
  for (const placer of ['random', 'round-robin', 'two-choices', 'contract-net'] as const) {
    expect(p99(troupe), placer).toBeLessThan(p99(run(placer)))
  }
  expect(publishes(troupe)).toBeLessThan(publishes(run('random')) * 1.2)
  expect(publishes(run('contract-net'))).toBeGreaterThan(64)
})
