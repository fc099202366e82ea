/** Which nodes fail more than others would in their place. */
import { describe, expect, test } from 'vitest'
import { Health, probationBelow } from '../../../../src/actors/scheduler/policies/health.ts'
import { seededRandom } from '../../../../src/actors/scheduler/policies/random.ts'

const everywhere = () => true

function judged(outcomes: readonly (readonly [node: string, failed: boolean, type?: string])[], nowMs = 0): Health {
  const health = new Health()
  for (const [node, failed, type = 'job'] of outcomes) health.ended(type, node, failed, nowMs)
  health.judge(nowMs, everywhere)
  return health
}

const times = (count: number, node: string, failed: boolean, type?: string) =>
  Array.from({ length: count }, () => [node, failed, type] as [string, boolean, string?])

describe('the health of a node', () => {
  test('is 1 where nothing fails', () => {
    const health = judged(times(100, 'a', false))
    expect(health.isFailing).toBe(false)
    expect(health.of('a')).toBe(1)
  })

  test('falls below probation after a handful of failures, even before others have ended anything', () => {
    const counts = [1, 2, 3, 4, 5, 8].map((count) => judged(times(count, 'broken', true)).of('broken'))
    expect(counts[0]).toBeGreaterThan(probationBelow)
    expect(counts[5]).toBeLessThan(probationBelow)
    expect([...counts].sort((a, b) => b - a)).toEqual(counts)
  })

  test('is near 0 for one that fails what two others complete, who stay at 1', () => {
    const health = judged([
      ...times(1, 'broken', true),
      ...times(20, 'a', false),
      ...times(20, 'b', false),
      ...times(20, 'broken', true),
    ])
    expect(health.of('broken')).toBeLessThan(0.2)
    expect([health.of('a'), health.of('b')]).toEqual([1, 1])
  })

  test('is not touched by a type that fails everywhere', () => {
    const health = judged(['a', 'b', 'c'].flatMap((node) => times(20, node, true, 'poison')))
    for (const node of ['a', 'b', 'c']) expect(health.of(node)).toBeGreaterThan(0.9)
  })

  test('is not moved to probation by chance', () => {
    const random = seededRandom(3)
    const outcomes = Array.from({ length: 3_000 }, () => [`n-${Math.floor(random() * 5)}`, random() < 0.4] as const)
    const health = judged(outcomes)
    for (let n = 0; n < 5; n++) expect(health.of(`n-${n}`)).toBeGreaterThan(probationBelow)
  })

  test('does not count a type that no other node has', () => {
    const health = new Health()
    for (let i = 0; i < 20; i++) health.ended('only-here', 'a', true, 0)
    health.judge(0, (type) => type !== 'only-here')
    expect(health.of('a')).toBe(1)
  })

  test('recovers slowly: by time alone, and with tasks that it completes', () => {
    const health = judged([...times(20, 'a', true), ...times(20, 'b', false)])
    const before = health.of('a')
    const at = (ms: number) => {
      health.judge(ms, everywhere)
      return health.of('a')
    }
    expect(at(30_000)).toBeGreaterThan(before)
    expect(at(30_000)).toBeLessThan(probationBelow)
    expect(at(150_000)).toBeGreaterThan(probationBelow)
    expect(at(10_000_000)).toBe(1)
    expect(health.isFailing).toBe(false)
  })
})
