/** Policies against their textbooks on traces of every shape: heavy tails, bursts, batches, ties, jobs of no length. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { simulate, summary } from '../../../../bench/scheduling/orders.ts'
import { orderRow, parseTrace } from '../../../../bench/scheduling/simulate.ts'
import type { Job } from '../../../../bench/scheduling/traces.ts'
import { orderingNamed, orderingNames } from '../../../../src/actors/scheduler/policies/named.ts'
import { roundRobinSlices, shortestFirst } from '../../../../src/actors/scheduler/policies/orderings.ts'
import { randomPlacement, smoothWeighted, twoChoices } from '../../../../src/actors/scheduler/policies/placements.ts'
import { seededRandom } from '../../../../src/actors/scheduler/policies/random.ts'
import { candidateOf, waitingTask } from './tasks.ts'

/** Arrivals in bursts, with ties; durations with a heavy tail (Pareto, α = 1.1), some of no length; true hints. */
const anyTrace = (batch: boolean) =>
  fc
    .record({ seed: fc.nat(), count: fc.integer({ min: 1, max: 80 }), burst: fc.integer({ min: 1, max: 20 }) })
    .map(({ seed, count, burst }): Job[] => {
      const random = seededRandom(seed)
      let atMs = 0
      return Array.from({ length: count }, (_, i) => {
        if (!batch && i % burst === 0) atMs += Math.floor(random() * 400)
        const durationMs = random() < 0.1 ? 0 : Math.min(20_000, Math.ceil(10 * (1 - random()) ** (-1 / 1.1)))
        const key = 'abc'[Math.floor(random() * 3)]!
        return { atMs, durationMs, type: 'job', key, expectedMs: durationMs, priority: Math.floor(random() * 10) }
      })
    })
const meanOf = (jobs: readonly Job[], order: string) => orderRow(jobs, order, 1).meanMs

describe('on one slot, for any trace', () => {
  test('shortest remaining time first has the least mean wait of all orders', () => {
    fc.assert(
      fc.property(anyTrace(false), (jobs) => {
        const least = meanOf(jobs, 'shortest-remaining:aging=0,marginMs=0')
        for (const order of orderingNames) expect(meanOf(jobs, order), order).toBeGreaterThanOrEqual(least - 1e-6)
      }),
      { numRuns: 60 },
    )
  })

  test('shortest first has the least mean wait of a batch, as if it had been sorted', () => {
    fc.assert(
      fc.property(anyTrace(true), (jobs) => {
        let sum = 0
        let endMs = 0
        for (const ms of jobs.map(({ durationMs }) => durationMs).sort((a, b) => a - b)) {
          sum += endMs
          endMs += ms
        }
        expect(meanOf(jobs, 'shortest-first:aging=0')).toBeCloseTo(sum / jobs.length, 6)
      }),
      { numRuns: 60 },
    )
  })

  test('every order does all the work and never idles while there is some: the last ends at the same time', () => {
    fc.assert(
      fc.property(anyTrace(false), (jobs) => {
        let endMs = 0
        for (const { atMs, durationMs } of jobs) endMs = Math.max(endMs, atMs) + durationMs
        for (const order of orderingNames) expect(orderRow(jobs, order, 1).makespanMs, order).toBeCloseTo(endMs, 3)
      }),
      { numRuns: 40 },
    )
  })

  test('aging bounds what may pass a waiting task: only what arrived within (longest − shortest) ÷ a of it and is shorter', () => {
    fc.assert(
      fc.property(anyTrace(false), fc.constantFrom(0.25, 0.5, 1, 2), (jobs, aging) => {
        const ran = simulate(jobs, shortestFirst({ aging }), 1)
        for (const one of ran) {
          for (const other of ran) {
            if (other.startedAtMs < one.startedAtMs && other.startedAtMs >= one.job.atMs && other !== one) {
              const lead = (one.job.durationMs - other.job.durationMs) / aging
              expect(other.job.atMs - one.job.atMs).toBeLessThanOrEqual(Math.max(0, lead) + 1e-6)
            }
          }
        }
      }),
      { numRuns: 60 },
    )
  })

  test('with slices q, a job among n waits for at most n − 1 slices for each of its own, and one more', () => {
    const quantumMs = 10
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 15 }), (lengths) => {
        const jobs = lengths.map((durationMs): Job => ({ atMs: 0, durationMs, type: 'job' }))
        for (const { job, waitedMs } of simulate(jobs, roundRobinSlices({ quantumMs }), 1)) {
          const slices = Math.ceil(job.durationMs / quantumMs)
          expect(waitedMs).toBeLessThanOrEqual((jobs.length - 1) * slices * (quantumMs + 0.01))
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('fair shares', () => {
  test.each(['fair-shares:a=1,b=3', 'deficit-round-robin:a=1,b=3'])(
    'by %s are within a twentieth of the weights while a third tenant comes and goes, with unequal tasks',
    (order) => {
      const random = seededRandom(5)
      const of = (key: string, fromMs: number, toMs: number, meanMs: number) => {
        const jobs: Job[] = []
        for (let ms = 0; ms < 4 * (toMs - fromMs); ) {
          const durationMs = 1 + Math.floor(random() * 2 * meanMs)
          jobs.push({ atMs: fromMs, durationMs, type: `of-${key}`, key })
          ms += durationMs
        }
        return jobs
      }
      const jobs = [...of('a', 0, 40_000, 5), ...of('b', 0, 40_000, 60), ...of('c', 10_000, 10_500, 20)].sort(
        (a, b) => a.atMs - b.atMs,
      )
      const ran = simulate(jobs, orderingNamed(order), 2, 30_000)
      const lastOfC = Math.max(...ran.filter(({ job }) => job.key === 'c').map(({ finishedAtMs }) => finishedAtMs))
      const used = (key: string, fromMs: number, toMs: number) =>
        ran
          .filter(
            ({ job, startedAtMs, finishedAtMs }) => job.key === key && startedAtMs >= fromMs && finishedAtMs <= toMs,
          )
          .reduce((sum, { job }) => sum + job.durationMs, 0)
      for (const [fromMs, toMs] of [
        [1_000, 10_000],
        [lastOfC + 500, 30_000],
      ] as const) {
        const ratio = used('b', fromMs, toMs) / used('a', fromMs, toMs)
        expect(ratio / 3, `${fromMs} to ${toMs}`).toBeGreaterThan(0.95)
        expect(ratio / 3, `${fromMs} to ${toMs}`).toBeLessThan(1.05)
      }
    },
  )
})

describe('placement', () => {
  test('smooth weights that change are followed from the next task on', () => {
    const policy = smoothWeighted()
    const chosen = (parallel: readonly number[], times: number) => {
      const candidates = parallel.map((of, i) => candidateOf('abc'[i]!, { slots: 8, parallel: of }))
      return Array.from(
        { length: times },
        (_, i) => policy.choose(waitingTask(i + 1), candidates, 10).offer.member.node,
      )
    }
    expect(chosen([5, 1, 1], 7).join(' ')).toBe('a a b a c a a')
    const after = chosen([1, 1, 5], 70)
    expect(after.filter((node) => node === 'c')).toHaveLength(50)
  })

  test('two choices load the fullest of 100 nodes far less than chance does', () => {
    const nodes = 100
    const fullest = (policy: ReturnType<typeof twoChoices>) => {
      const candidates = Array.from({ length: nodes }, (_, i) => {
        return candidateOf(`n${i}`, { slots: 1_000, credits: 1_000, parallel: 1 })
      })
      for (let i = 0; i < 10 * nodes; i++) policy.choose(waitingTask(i + 1), candidates, 10).offer.awarded++
      return Math.max(...candidates.map(({ offer }) => offer.awarded)) - 10
    }
    for (const seed of [1, 2, 3]) {
      // ln ln n / ln 2 and a bit, against √(2 × 10 ln n).
      expect(fullest(twoChoices({ seed }))).toBeLessThanOrEqual(3)
      expect(fullest(randomPlacement({ seed }))).toBeGreaterThanOrEqual(6)
    }
  })
})

describe('a trace of the user', () => {
  test('is read as an array or by line, sorted by arrival, and may leave out all but arrival and duration', () => {
    expect(parseTrace('{"atMs":5,"durationMs":1}\n\n{"atMs":2,"durationMs":3,"type":"x"}\n', true)).toEqual([
      { atMs: 2, durationMs: 3, type: 'x', expectedMs: 3 },
      { atMs: 5, durationMs: 1, type: 'job', expectedMs: 1 },
    ])
    expect(() => parseTrace('[{"atMs":1}]')).toThrow(/job 0: durationMs undefined is no number/)
  })
})

test('ten times as many queued tasks are ranked about ten times as often, not a hundred times', () => {
  const trace = (count: number): Job[] =>
    Array.from({ length: count }, (_, i) => {
      const durationMs = 1 + ((i * 7_919) % 97)
      return { atMs: 0, durationMs, type: `t${i % 7}`, key: `k${i % 50}`, priority: i % 10, expectedMs: durationMs }
    })
  // Ranks are counted, since time would tell of the machine.
  for (const order of orderingNames.filter((name) => name !== 'round-robin')) {
    const ranks = (count: number) => {
      const policy = orderingNamed(order)
      let calls = 0
      const rank = (task: Parameters<typeof policy.rank>[0]) => {
        calls++
        return policy.rank(task)
      }
      const counted = { ...policy, rank }
      expect(summary(simulate(trace(count), counted, 8, 2_000)).meanMs).toBeGreaterThan(0)
      return calls
    }
    expect(ranks(20_000) / ranks(2_000), order).toBeLessThan(12)
  }
})
