/** How much slower one node is than another, from durations alone. */
import { describe, expect, test } from 'vitest'
import { Paces } from '../../../../src/actors/scheduler/policies/paces.ts'
import { seededRandom } from '../../../../src/actors/scheduler/policies/random.ts'

function learned(count: number, durationsMs: Readonly<Record<string, number>>, spread = 0): Paces {
  const random = seededRandom(7)
  const paces = new Paces()
  for (let i = 0; i < count; i++) {
    for (const [node, ms] of Object.entries(durationsMs)) {
      paces.completed('job', node, [1, ms * Math.exp(spread * (random() + random() + random() - 1.5) * 2)], 1, i)
    }
  }
  return paces
}

describe('the pace of a node', () => {
  test('is how many times as long its tasks take as on the fastest, less what may be chance', () => {
    const paces = learned(30, { fast: 50, slow: 200 })
    expect(paces.bestMs('job')).toBeCloseTo(50)
    expect(paces.pace('job', 'fast', 30)).toBe(1)
    expect(paces.pace('job', 'slow', 30)).toBeGreaterThan(3)
    expect(paces.pace('job', 'slow', 30)).toBeLessThan(4)
  })

  test('is doubted after one task, and believed after some', () => {
    const [once, often] = [learned(1, { fast: 50, slow: 200 }), learned(9, { fast: 50, slow: 200 })]
    expect(once.pace('job', 'slow', 1)).toBeGreaterThan(1.5)
    expect(once.pace('job', 'slow', 1)).toBeLessThan(often.pace('job', 'slow', 1))
  })

  test('is 1 for nodes that are alike, however much durations vary', () => {
    const nodes = Object.fromEntries(Array.from({ length: 10 }, (_, n) => [`n-${n}`, 100]))
    const paces = learned(200, nodes, 0.3)
    for (const node of Object.keys(nodes)) expect(paces.pace('job', node, 200)).toBeLessThan(1.6)
    const known = Object.keys(nodes).map((node) => paces.pace('job', node, 200))
    expect(known.filter((pace) => pace === 1).length).toBeGreaterThanOrEqual(6)
  })

  test('is 1 where nothing has ended, and forgotten by half in 10 s, so that the node is tried again', () => {
    const paces = learned(30, { fast: 50, slow: 200 })
    expect(paces.pace('job', 'new', 30)).toBe(1)
    expect(paces.pace('other', 'slow', 30)).toBe(1)
    const now = paces.pace('job', 'slow', 29)
    expect(paces.pace('job', 'slow', 10_029)).toBeCloseTo(Math.sqrt(now))
    expect(paces.pace('job', 'slow', 60_000)).toBe(1)
  })

  test('follows a node that becomes faster, and the fastest that becomes slower or leaves', () => {
    const paces = learned(30, { fast: 50, slow: 200 })
    for (let i = 0; i < 30; i++) paces.completed('job', 'slow', [1, 50], 1, 30 + i)
    expect(paces.pace('job', 'slow', 60)).toBe(1)
    for (let i = 0; i < 30; i++) paces.completed('job', 'fast', [1, 400], 1, 60 + i)
    expect(paces.pace('job', 'fast', 90)).toBeGreaterThan(3)
    paces.forget('slow')
    expect(paces.pace('job', 'fast', 90)).toBe(1)
  })
})
