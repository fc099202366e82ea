import { describe, expect, test } from 'vitest'
import { Durations } from '../../../src/actors/balancer/durations.ts'
import { idleLoad, type LoadSample } from '../../../src/actors/balancer/load.ts'
import { creditsOf, priceMsOf, slowdownOf, smoothed } from '../../../src/actors/balancer/pricing.ts'

const idle = { running: 0, held: 0 }
const load = (part: Partial<LoadSample>): LoadSample => ({ ...idleLoad, cpus: 2, ...part })

describe('the slowdown', () => {
  test.each<[string, Partial<LoadSample>, number, number]>([
    ['an idle machine', {}, 0, 1],
    ['half a processor of two used by others', { otherCpus: 0.5 }, 0, 1],
    ['one of two processors used by others', { otherCpus: 1 }, 0, 1],
    ['both processors used by others', { otherCpus: 2 }, 0, 1.5],
    ['the only processor used by others', { cpus: 1, otherCpus: 1 }, 0, 2],
    ['the only processor used by the node itself', { cpus: 1, ownCpus: 1 }, 0, 2],
    ['a quota of half a processor, unused', { cpus: 0.5 }, 0, 1],
    ['threads that wait three times as long as they run', { waitRatio: 3 }, 0, 4],
    ['threads that hardly wait', { waitRatio: 0.1 }, 0, 1],
    ['a main loop kept busy by nine tasks', { loop: 1 }, 9, 10],
    ['a main loop that is three quarters busy', { loop: 0.75 }, 9, 4],
    ['many tasks that only wait', { loop: 0.05 }, 90, 1],
    ['anything worse', { waitRatio: 1_000 }, 0, 32],
  ])('of %s', (_name, part, running, expected) => {
    expect(slowdownOf(load(part), { running, held: 0 })).toBe(expected)
  })

  test('is in steps, so that noise does not tell two nodes apart', () => {
    const noisy = [0.9, 0.95, 1.0, 1.05].map((otherCpus) => slowdownOf(load({ otherCpus }), idle))
    expect(new Set(noisy)).toEqual(new Set([1]))
  })
})

describe('the price', () => {
  test.each<[string, Partial<LoadSample>, number, number, number]>([
    ['an idle node', {}, 0, 0, 0],
    ['a loop that lags a little', { loopDelayMs: 3 }, 0, 0, 0],
    ['a loop that lags 42 ms', { loopDelayMs: 42 }, 0, 0, 40],
    ['a node with a free slot', {}, 3, 0, 0],
    ['a node without a free slot: one of four tasks of 100 ms must end', {}, 4, 0, 25],
    ['a node without a free slot and a queue of three', {}, 4, 3, 100],
    ['a processor shared with a hog', { cpus: 1, otherCpus: 1 }, 0, 0, 5],
    ['threads that wait eight times as long as they run', { waitRatio: 8 }, 0, 0, 60],
  ])('of %s', (_name, part, running, held, expected) => {
    expect(priceMsOf(load(part), { running, held }, 4, 100)).toBe(expected)
  })

  test('never falls when a load rises', () => {
    for (const key of ['loopDelayMs', 'otherCpus', 'ownCpus', 'waitRatio'] as const) {
      let before = 0
      for (let value = 0; value < 20; value += 0.5) {
        const priceMs = priceMsOf(load({ [key]: value }), { running: 4, held: 1 }, 4, 100)
        expect(priceMs).toBeGreaterThanOrEqual(before)
        before = priceMs
      }
    }
  })
})

describe('credits', () => {
  const rules = { slots: 8, roundTripMs: 2, mode: 'open' } as const
  test.each([
    ['nothing known of durations', undefined, 8],
    ['tasks of 100 ms', 100, 8],
    ['tasks of 10 ms', 10, 10],
    ['tasks of 1 ms', 1, 24],
    ['tasks of no time at all', 0, 40],
  ])('with %s', (_name, meanMs, expected) => {
    expect(creditsOf(rules, meanMs, 0)).toBe(expected)
  })

  test('are half when eased, none when closed, and one when full and idle', () => {
    expect(creditsOf({ ...rules, mode: 'eased' }, 1, 0)).toBe(12)
    expect(creditsOf({ ...rules, slots: 1, mode: 'eased' }, 500, 0)).toBe(1)
    expect(creditsOf({ ...rules, mode: 'closed' }, 1, 0)).toBe(0)
    expect(creditsOf({ ...rules, mode: 'full' }, 1, 0)).toBe(1)
    expect(creditsOf({ ...rules, mode: 'full' }, 1, 1)).toBe(0)
  })
})

describe('durations', () => {
  test('follow each type, and the mix of types', () => {
    const durations = new Durations()
    expect(durations.meanMs).toBeUndefined()
    for (let i = 0; i < 100; i += 1) durations.ended('short', 10)
    expect(durations.meanMs).toBe(10)
    for (let i = 0; i < 100; i += 1) durations.ended('long', 1_000)
    expect(durations.ofType('short')).toBe(10)
    expect(durations.ofType('long')).toBe(1_000)
    expect(durations.meanMs).toBeGreaterThan(900)
  })

  test('are moved little by one outlier', () => {
    const durations = new Durations()
    for (let i = 0; i < 100; i += 1) durations.ended('t', 10)
    durations.ended('t', 10_000)
    expect(durations.meanMs).toBeLessThan(120)
  })

  test('are kept for a bounded number of types', () => {
    const durations = new Durations()
    for (let i = 0; i < 20_001; i += 1) durations.ended(`t${i}`, 1)
    expect(durations.ofType('t19999')).toBe(1)
    expect(durations.ofType('t20000')).toBeUndefined()
    expect(durations.meanMs).toBe(1)
  })
})

test('a burst of one measurement is smoothed, the number of processors is not', () => {
  const mixed = smoothed(load({ loopDelayMs: 0, cpus: 2 }), load({ loopDelayMs: 100, cpus: 1 }))
  expect(mixed).toMatchObject({ loopDelayMs: 40, cpus: 1 })
})
