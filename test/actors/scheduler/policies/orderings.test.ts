/** Orders against what the textbooks say of them, on random traces in virtual time. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { simulate, summary } from '../../../../bench/scheduling/orders.ts'
import { exponential, type Job, mixedTrace } from '../../../../bench/scheduling/traces.ts'
import { fifo, type OrderingPolicy, priority } from '../../../../src/actors/scheduler/ordering.ts'
import {
  agedPriority,
  deficitRoundRobin,
  earliestDeadline,
  fairShares,
  roundRobinSlices,
  shortestFirst,
  shortestRemaining,
} from '../../../../src/actors/scheduler/policies/orderings.ts'
import { seededRandom } from '../../../../src/actors/scheduler/policies/random.ts'

const srtf = () => shortestRemaining({ aging: 0, marginMs: 0 })
const others: (() => OrderingPolicy)[] = [
  () => fifo,
  () => priority,
  () => agedPriority(),
  () => earliestDeadline,
  () => shortestFirst({ aging: 0 }),
  () => shortestFirst(),
  () => shortestRemaining(),
  () => roundRobinSlices({ quantumMs: 20 }),
  () => fairShares(),
  () => deficitRoundRobin(),
]

/** Any jobs at all, with true hints. */
const anyJobs = fc
  .array(
    fc.record({
      gapMs: fc.integer({ min: 0, max: 100 }),
      durationMs: fc.integer({ min: 1, max: 300 }),
      key: fc.constantFrom('a', 'b', 'c'),
      priority: fc.integer({ min: 0, max: 9 }),
      slackMs: fc.integer({ min: 0, max: 500 }),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map((given): Job[] => {
    let atMs = 0
    return given.map(({ gapMs, durationMs, key, priority, slackMs }) => {
      atMs += gapMs
      const deadlineAtMs = atMs + durationMs + slackMs
      return { atMs, durationMs, type: 'job', key, priority, deadlineAtMs, expectedMs: durationMs }
    })
  })

describe('shortest remaining time first', () => {
  test('has the least mean wait of all orders on any trace, on one slot', () => {
    fc.assert(
      fc.property(anyJobs, (jobs) => {
        const least = summary(simulate(jobs, srtf(), 1)).meanMs
        for (const other of others) {
          const policy = other()
          expect(summary(simulate(jobs, policy, 1)).meanMs, policy.name).toBeGreaterThanOrEqual(least - 1e-6)
        }
      }),
      { numRuns: 150 },
    )
  })

  test('has it on many slots under heavy load', () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const jobs = mixedTrace({ seed, jobs: 5_000, slots: 8, load: 0.95, hints: true })
      const least = summary(simulate(jobs, srtf(), 8)).meanMs
      for (const other of others) {
        const policy = other()
        expect(summary(simulate(jobs, policy, 8)).meanMs, `${policy.name}, seed ${seed}`).toBeGreaterThanOrEqual(least)
      }
    }
  })
})

describe('aging', () => {
  /** One long task among short ones that alone would keep the slot busy. */
  const flood: Job[] = [
    { atMs: 0, durationMs: 10, type: 'short', expectedMs: 10 },
    { atMs: 1, durationMs: 1_000, type: 'long', expectedMs: 1_000 },
    ...Array.from({ length: 5_000 }, (_, i) => ({ atMs: i * 9.9, durationMs: 10, type: 'short', expectedMs: 10 })),
  ].sort((a, b) => a.atMs - b.atMs)

  test('bounds the wait of a long task, which without it starves', () => {
    const waitOf = (aging: number) =>
      simulate(flood, shortestFirst({ aging }), 1).find(({ job }) => job.type === 'long')!.waitedMs
    expect(waitOf(0)).toBeGreaterThan(49_000)
    // It goes before whatever arrived (1,000 − 10) / a later than it; one short task may be running, few are queued.
    for (const aging of [0.25, 0.5, 1]) expect(waitOf(aging)).toBeLessThan((990 / aging) * 1.02 + 20)
  })

  test('bounds the wait of low priority', () => {
    const jobs: Job[] = flood.map((job) => ({ ...job, priority: job.type === 'long' ? 0 : 9 }))
    const waitOf = (policy: OrderingPolicy) =>
      simulate(jobs, policy, 1).find(({ job }) => job.type === 'long')!.waitedMs
    expect(waitOf(priority)).toBeGreaterThan(49_000)
    expect(waitOf(agedPriority({ agingMs: 100 }))).toBeLessThan(9 * 100 * 1.02 + 20)
  })
})

describe('earliest deadline first', () => {
  test('meets every deadline of any set that some order can meet, on one slot', () => {
    // Feasible by construction: jobs that all have arrived are cut from one timeline, each due at the end of its piece or later.
    const feasible = fc
      .array(fc.record({ durationMs: fc.integer({ min: 1, max: 100 }), slackMs: fc.integer({ min: 0, max: 300 }) }), {
        minLength: 1,
        maxLength: 50,
      })
      .chain((pieces) => {
        let endMs = 0
        const jobs = pieces.map(({ durationMs, slackMs }): Job => {
          endMs += durationMs
          return { atMs: 0, durationMs, type: 'job', deadlineAtMs: endMs + slackMs }
        })
        return fc.shuffledSubarray(jobs, { minLength: jobs.length })
      })
    let missedByFifo = 0
    const late = (jobs: readonly Job[], policy: OrderingPolicy) =>
      simulate(jobs, policy, 1).filter(({ job, finishedAtMs }) => finishedAtMs > job.deadlineAtMs!).length
    fc.assert(
      fc.property(feasible, (jobs) => {
        expect(late(jobs, earliestDeadline)).toBe(0)
        missedByFifo += late(jobs, fifo)
      }),
    )
    expect(missedByFifo).toBeGreaterThan(0)
  })
})

describe('time slices', () => {
  test('let a short task wait for at most one slice of each other task', () => {
    const long = Array.from({ length: 5 }, (): Job => ({ atMs: 0, durationMs: 10_000, type: 'long' }))
    const jobs: Job[] = [...long, { atMs: 500, durationMs: 50, type: 'short' }]
    const short = simulate(jobs, roundRobinSlices({ quantumMs: 100 }), 1).find(({ job }) => job.type === 'short')!
    expect(short.waitedMs).toBeLessThanOrEqual(5 * 101)
    expect(simulate(jobs, fifo, 1).find(({ job }) => job.type === 'short')!.waitedMs).toBeGreaterThan(49_000)
  })
})

describe('fair shares', () => {
  const weights = { a: 1, b: 2, c: 5 }
  /** Every key always has work; durations differ by key, so that counting tasks is not enough. */
  const backlog = (seed: number, durations: Readonly<Record<string, number>>): Job[] => {
    const random = seededRandom(seed)
    return Object.entries(durations).flatMap(([key, meanMs]) =>
      Array.from({ length: 40_000 / meanMs }, (): Job => {
        return { atMs: 0, durationMs: Math.max(1, exponential(random, meanMs)), type: `of-${key}`, key }
      }),
    )
  }

  const policies = [
    ['stride', () => fairShares({ weights })],
    ['deficit round robin', () => deficitRoundRobin({ weights, quantumMs: 50 })],
  ] as const

  for (const [name, policy] of policies) {
    test(`by ${name} give each key its weight of the time, within 5 %, whatever its tasks take`, () => {
      for (const seed of [1, 2, 3]) {
        const jobs = backlog(seed, { a: 10, b: 40, c: 5 })
        const usedMs = new Map<string, number>()
        for (const { job } of simulate(jobs, policy(), 4, 8_000)) {
          usedMs.set(job.key!, (usedMs.get(job.key!) ?? 0) + job.durationMs)
        }
        const totalMs = [...usedMs.values()].reduce((sum, ms) => sum + ms, 0)
        for (const [key, weight] of Object.entries(weights)) {
          const share = (usedMs.get(key) ?? 0) / totalMs
          expect(share / (weight / 8), `${key}, seed ${seed}`).toBeGreaterThan(0.95)
          expect(share / (weight / 8), `${key}, seed ${seed}`).toBeLessThan(1.05)
        }
      }
    })

    test(`by ${name} save nothing up for a key that had nothing to do`, () => {
      const early = Array.from({ length: 4_000 }, (): Job => ({ atMs: 0, durationMs: 10, type: 'job', key: 'a' }))
      const late = Array.from({ length: 4_000 }, (): Job => ({ atMs: 20_000, durationMs: 10, type: 'job', key: 'c' }))
      const ran = simulate([...early, ...late], policy(), 1, 26_000)
      const after = ran.filter(({ startedAtMs }) => startedAtMs > 20_100)
      const ofA = after.filter(({ job }) => job.key === 'a').length / after.length
      expect(ofA).toBeGreaterThan(0.95 / 6)
      expect(ofA).toBeLessThan(1.05 / 6)
    })
  }
})
