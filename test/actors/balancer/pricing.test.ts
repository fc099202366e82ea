import { describe, expect, test } from 'vitest'
import { contentionOf, type Demand, demandAfter, noDemand, parallelOf } from '../../../src/actors/balancer/demand.ts'
import { Durations } from '../../../src/actors/balancer/durations.ts'
import { idleLoad, type LoadSample } from '../../../src/actors/balancer/load.ts'
import { creditsOf, priceMsOf, slowdownOf, smoothed } from '../../../src/actors/balancer/pricing.ts'

const load = (part: Partial<LoadSample>): LoadSample => ({ ...idleLoad, cpus: 2, ...part })

describe('the slowdown', () => {
  test.each<[string, Partial<LoadSample>, number, number]>([
    ['an idle machine', {}, 1, 1],
    ['half a processor of two used by others', { otherCpus: 0.5 }, 1, 1],
    ['one of two processors used by others', { otherCpus: 1 }, 1, 1],
    ['both processors used by others', { otherCpus: 2 }, 1, 1.5],
    ['the only processor used by others', { cpus: 1, otherCpus: 1 }, 1, 2],
    ['the only processor used by the node itself', { cpus: 1, ownCpus: 1 }, 1, 1],
    ['a quota of half a processor, unused', { cpus: 0.5 }, 1, 1],
    ['threads that wait three times as long as they run', { waitRatio: 3 }, 1, 4],
    ['threads that wait for each other alone', { waitRatio: 3 }, 4, 1],
    ['threads that wait for each other and for as many of others', { waitRatio: 7 }, 4, 2],
    ['threads that hardly wait', { waitRatio: 0.1 }, 1, 1],
    ['anything worse', { waitRatio: 1_000 }, 1, 32],
  ])('of %s', (_name, part, contention, expected) => {
    expect(slowdownOf(load(part), contention)).toBe(expected)
  })

  test('is in steps, so that noise does not tell two nodes apart', () => {
    const noisy = [0.9, 0.95, 1.0, 1.05].map((otherCpus) => slowdownOf(load({ otherCpus }), 1))
    expect(new Set(noisy)).toEqual(new Set([1]))
  })
})

describe('the price', () => {
  test.each<[string, Partial<LoadSample>, number, number]>([
    ['an idle node', {}, 1, 0],
    ['a loop that lags a little', { loopDelayMs: 3 }, 1, 0],
    ['a loop that lags 42 ms', { loopDelayMs: 42 }, 1, 40],
    ['a processor shared with a hog', { cpus: 1, otherCpus: 1 }, 1, 5],
    ['threads that wait eight times as long as they run', { waitRatio: 8 }, 1, 60],
    ['threads that wait for each other alone', { waitRatio: 3 }, 4, 0],
  ])('of %s', (_name, part, contention, expected) => {
    expect(priceMsOf(load(part), contention)).toBe(expected)
  })

  test('never falls when a load rises', () => {
    for (const key of ['loopDelayMs', 'otherCpus', 'ownCpus', 'waitRatio'] as const) {
      let before = 0
      for (let value = 0; value < 20; value += 0.5) {
        const priceMs = priceMsOf(load({ [key]: value }), 1)
        expect(priceMs).toBeGreaterThanOrEqual(before)
        before = priceMs
      }
    }
  })
})

/** Ten seconds of the same: so many turns at once, and what they do to the machine. */
function demandOf(turnsAtOnce: number, part: Partial<LoadSample>): Demand {
  let demand = noDemand
  for (let i = 0; i < 40; i++) demand = demandAfter(demand, load(part), turnsAtOnce * 250)
  return demand
}

describe('what tasks want', () => {
  test.each<[string, number, Partial<LoadSample>, number, number]>([
    ['nothing known: one per processor', 0, {}, 2, 1],
    ['eight that wait', 8, { ownCpus: 0.05, loop: 0.05 }, 8, 1],
    ['one that computes on the main loop, of four processors', 1, { cpus: 4, ownCpus: 1.1, loop: 1 }, 1.1, 1],
    ['four threads that compute on two processors', 4, { ownCpus: 2.1, waitRatio: 1 }, 2, 2],
    ['four threads that compute for half of their time', 4, { ownCpus: 2.1 }, 4, 1],
  ])('of %s', (_name, turns, part, parallel, contention) => {
    const cpus = part.cpus ?? 2
    const demand = demandOf(turns, part)
    expect(parallelOf(demand, cpus, 8)).toBeCloseTo(parallel, 0)
    expect(contentionOf(demand, cpus, 8)).toBeCloseTo(contention, 0)
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
