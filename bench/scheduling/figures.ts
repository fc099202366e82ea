/**
 * Draws the figures of docs/scheduling.md and writes their numbers into it: `npm run figures`. Everything is simulated in
 * virtual time from fixed seeds, so the same code gives the same bytes.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fifo, type OrderingPolicy } from '../../src/actors/scheduler/ordering.ts'
import { leastDelay, type PlacementPolicy } from '../../src/actors/scheduler/placement.ts'
import {
  agedPriority,
  deficitRoundRobin,
  earliestDeadline,
  fairShares,
  roundRobinSlices,
  shortestFirst,
  shortestRemaining,
} from '../../src/actors/scheduler/policies/orderings.ts'
import {
  affinity,
  randomPlacement,
  roundRobin,
  smoothWeighted,
  twoChoices,
} from '../../src/actors/scheduler/policies/placements.ts'
import { seededRandom } from '../../src/actors/scheduler/policies/random.ts'
import type { HedgePolicy } from '../../src/protocol/options.ts'
import { simulateHedging } from './hedge.ts'
import { type Ran, simulate, summary } from './orders.ts'
import { type SimulatedNode, simulatePlacing } from './place.ts'
import { quantile, spreadOf } from './statistics.ts'
import { barChart, lineChart } from './svg.ts'
import { exponential, type Job, mixedTrace } from './traces.ts'

/** Files by name, and tables by the name of their marker in the page. */
export interface Figures {
  readonly files: ReadonlyMap<string, string>
  readonly tables: ReadonlyMap<string, string>
}

export function figures(): Figures {
  const files = new Map<string, string>()
  const tables = new Map<string, string>()
  drawOrders(files, tables)
  drawAging(files, tables)
  drawDeadlines(files, tables)
  drawShares(files, tables)
  drawPlacement(files, tables)
  drawHedging(files, tables)
  return { files, tables }
}

// --- orders -----------------------------------------------------------------------------------------------------

function drawOrders(files: Map<string, string>, tables: Map<string, string>): void {
  const slots = 16
  const given = { seed: 1, jobs: 40_000, slots, load: 0.95 }
  const learned = mixedTrace(given)
  const hinted = mixedTrace({ ...given, hints: true })
  const runs: [string, readonly Job[], OrderingPolicy][] = [
    ['fifo', learned, fifo],
    ['round-robin, 100 ms', learned, roundRobinSlices({ quantumMs: 100 })],
    ['shortest-first, learned', learned, shortestFirst()],
    ['shortest-first, hints', hinted, shortestFirst()],
    ['shortest-remaining, learned', learned, shortestRemaining()],
    ['shortest-remaining, hints', hinted, shortestRemaining()],
  ]
  const done = runs.map(([name, jobs, policy]) => ({ name, ran: simulate(jobs, policy, slots) }))
  files.set(
    'wait-by-order.svg',
    lineChart({
      title: 'Wait by order, 16 slots, load 0.95: share of tasks that waited less',
      x: 'wait, ms (logarithmic)',
      y: 'share of tasks',
      logarithmic: true,
      lines: done.map(({ name, ran }) => ({
        name,
        points: distribution(ran, ({ waitedMs }) => Math.max(1, waitedMs)),
      })),
    }),
  )
  files.set(
    'slowdown-by-order.svg',
    lineChart({
      title: 'Slowdown by order: time in the system over duration',
      x: 'slowdown (logarithmic)',
      y: 'share of tasks',
      logarithmic: true,
      lines: done.map(({ name, ran }) => ({ name, points: distribution(ran, ({ slowdown }) => slowdown) })),
    }),
  )
  const rows = done.map(({ name, ran }) => {
    const { meanMs, p50Ms, p99Ms, worstMs, slowdownP99 } = summary(ran)
    return [name, ...[meanMs, p50Ms, p99Ms, worstMs, slowdownP99].map((one) => one.toFixed(0))]
  })
  tables.set('orders', table(['order', 'mean wait ms', 'p50', 'p99', 'worst', 'slowdown p99'], rows))
}

function distribution(ran: readonly Ran[], of: (one: Ran) => number): [number, number][] {
  const sorted = ran.map(of).sort((a, b) => a - b)
  return Array.from({ length: 101 }, (_, i) => [quantile(sorted, i / 100), i / 100])
}

function drawAging(files: Map<string, string>, tables: Map<string, string>): void {
  // Short tasks alone are a little more than the slots can do, for two minutes; a long one comes every now and then.
  const random = seededRandom(2)
  const short: Job[] = []
  for (let atMs = 0; atMs < 120_000; atMs += exponential(random, 10)) {
    short.push({ atMs, durationMs: Math.max(1, exponential(random, 41)), type: 'short' })
  }
  const long = Array.from({ length: 24 }, (_, i): Job => ({ atMs: 2_000 + i * 5_000, durationMs: 1_000, type: 'long' }))
  const jobs = [...short, ...long].sort((a, b) => a.atMs - b.atMs)
  const agings = [0, 0.05, 0.1, 0.25, 0.5, 1, 2]
  const runs = agings.map((aging) => {
    const ran = simulate(jobs, shortestFirst({ aging }), 4)
    const ofType = (type: string) => summary(ran.filter(({ job }) => job.type === type))
    return { aging, short: ofType('short'), long: ofType('long') }
  })
  files.set(
    'starvation.svg',
    barChart({
      title: 'Shortest first: worst wait of long tasks in a flood of short ones, by aging',
      y: 'ms',
      series: ['worst wait of long', 'mean wait of short'],
      groups: runs.map(({ aging, short, long }) => ({ name: `a = ${aging}`, values: [long.worstMs, short.meanMs] })),
    }),
  )
  tables.set(
    'aging',
    table(
      ['aging', 'worst wait of long, ms', 'mean wait of short, ms'],
      runs.map(({ aging, short, long }) => [String(aging), long.worstMs.toFixed(0), short.meanMs.toFixed(0)]),
    ),
  )
}

function drawDeadlines(files: Map<string, string>, tables: Map<string, string>): void {
  const loads = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1, 1.05, 1.1]
  const policies: [string, OrderingPolicy][] = [
    ['earliest-deadline', earliestDeadline],
    ['fifo', fifo],
    ['shortest-first', shortestFirst({ aging: 0 })],
    ['aged-priority', agedPriority()],
  ]
  const missed = policies.map(([name, policy]) => {
    const points = loads.map((load): [number, number] => {
      const random = seededRandom(3)
      const jobs = mixedTrace({ seed: 3, jobs: 8_000, slots: 4, load }).map((job): Job => {
        return { ...job, deadlineAtMs: job.atMs + job.durationMs + 50 + exponential(random, 1_000) }
      })
      const late = simulate(jobs, policy, 4).filter(({ job, finishedAtMs }) => finishedAtMs > job.deadlineAtMs!)
      return [load, (100 * late.length) / jobs.length]
    })
    return { name, points }
  })
  files.set(
    'deadlines.svg',
    lineChart({ title: 'Missed deadlines by load, 4 slots', x: 'load', y: '% of tasks', lines: missed }),
  )
  const at = [0.8, 0.95, 1.05]
  const rows = missed.map(({ name, points }) => [
    name,
    ...at.map((load) => `${(points.find(([one]) => one === load)?.[1] ?? 0).toFixed(1)} %`),
  ])
  tables.set('deadlines', table(['order', ...at.map((load) => `missed at load ${load}`)], rows))
}

// --- shares -----------------------------------------------------------------------------------------------------

function drawShares(files: Map<string, string>, tables: Map<string, string>): void {
  const weights = { a: 1, b: 2, c: 5 }
  const jobs = tenants()
  const runs: [string, OrderingPolicy][] = [
    ['fifo', fifo],
    ['fair-shares', fairShares({ weights })],
    ['deficit-round-robin', deficitRoundRobin({ weights, quantumMs: 50 })],
  ]
  const rows: string[][] = []
  for (const [name, policy] of runs) {
    const ran = simulate(jobs, policy, 4, 24_000)
    const lines = Object.keys(weights).map((key) => ({ name: `tenant ${key}`, points: shareOverTime(ran, key) }))
    if (name !== 'deficit-round-robin') {
      files.set(
        `shares-${name}.svg`,
        lineChart({
          title: `${name}: share of the slots; weights a 1, b 2, c 5; c comes at 8 s`,
          x: 'time, s',
          y: 'share of the time, %',
          lines,
          yMax: 100,
        }),
      )
    }
    const later = ran.filter(({ startedAtMs }) => startedAtMs > 9_000)
    const total = used(later)
    const shares = Object.keys(weights).map((key) => (100 * used(later.filter(({ job }) => job.key === key))) / total)
    rows.push([name, ...shares.map((share) => `${share.toFixed(1)} %`)])
  }
  rows.push(['the weights', ...Object.values(weights).map((weight) => `${((100 * weight) / 8).toFixed(1)} %`)])
  tables.set('shares', table(['order', 'tenant a', 'tenant b', 'tenant c'], rows))
}

/** a floods with short tasks, b with long ones; c comes late. */
function tenants(): Job[] {
  const random = seededRandom(4)
  const of = (key: string, fromMs: number, count: number, meanMs: number) =>
    Array.from({ length: count }, (): Job => {
      const durationMs = Math.max(1, exponential(random, meanMs))
      return { atMs: fromMs, durationMs, type: `of-${key}`, key }
    })
  return [...of('a', 0, 10_000, 10), ...of('b', 0, 3_000, 40), ...of('c', 8_000, 14_000, 5)]
}

const used = (ran: readonly Ran[]): number => ran.reduce((sum, { job }) => sum + job.durationMs, 0)

function shareOverTime(ran: readonly Ran[], key: string): [number, number][] {
  return Array.from({ length: 23 }, (_, second) => {
    const then = ran.filter(({ finishedAtMs }) => Math.floor(finishedAtMs / 1_000) === second)
    return [second + 0.5, (100 * used(then.filter(({ job }) => job.key === key))) / Math.max(1, used(then))]
  })
}

// --- placement --------------------------------------------------------------------------------------------------

const uneven: readonly SimulatedNode[] = [
  { name: 'large', cpus: 4, others: 0, slots: 16 },
  { name: 'middle', cpus: 2, others: 0, slots: 16 },
  { name: 'small', cpus: 1, others: 0, slots: 16 },
  { name: 'loaded', cpus: 2, others: 4, slots: 16 },
]

function drawPlacement(files: Map<string, string>, tables: Map<string, string>): void {
  const random = seededRandom(5)
  // 7.7 processors, of which the loaded node has less than one to give: 70 % of what there is.
  let atMs = 0
  const jobs = Array.from({ length: 2_000 }, (): Job => {
    atMs += exponential(random, 100 / 5.4)
    return {
      atMs,
      durationMs: Math.max(1, exponential(random, 100)),
      type: 'job',
      key: `k${Math.floor(random() * 200)}`,
    }
  })
  const policies: PlacementPolicy[] = [
    leastDelay,
    twoChoices(),
    smoothWeighted(),
    affinity(),
    randomPlacement(),
    roundRobin(),
  ]
  const runs = policies.map((policy) => ({ name: policy.name, ...simulatePlacing(jobs, uneven, policy) }))
  files.set(
    'placement-nodes.svg',
    barChart({
      title: 'Tasks by node: large 4, middle 2, small 1 processors; loaded 2, with 4 busy threads of others',
      y: 'tasks',
      series: uneven.map(({ name }) => name),
      groups: runs.map(({ name, nodes }) => ({ name, values: nodes.map(({ tasks }) => tasks) })),
    }),
  )
  const seconds = Math.min(...runs.map(({ nodes }) => nodes[0]!.running.length))
  const loadedLines = runs
    .filter(({ name }) => ['least-delay', 'two-choices', 'random', 'round-robin'].includes(name))
    .map(({ name, nodes }) => ({
      name,
      points: Array.from({ length: seconds }, (_, i): [number, number] => [i, nodes[3]!.running[i] ?? 0]),
    }))
  files.set(
    'placement-loaded.svg',
    lineChart({ title: 'Tasks on the loaded node over time', x: 'time, s', y: 'running tasks', lines: loadedLines }),
  )
  const batch = jobs.slice(0, 1_000).map((job): Job => ({ ...job, atMs: 0 }))
  const makespans = policies.map((policy) => simulatePlacing(batch, uneven, policy).makespanMs)
  const rows = runs.map(({ name, waitsMs }, i) => {
    const { meanMs, p99Ms } = spreadOf(waitsMs)
    return [name, meanMs.toFixed(0), p99Ms.toFixed(0), (makespans[i]! / 1_000).toFixed(1)]
  })
  tables.set('placement', table(['placement', 'mean wait ms', 'p99', 'a batch of 1,000, s'], rows))
}

// --- stragglers -------------------------------------------------------------------------------------------------

function drawHedging(files: Map<string, string>, tables: Map<string, string>): void {
  const policies: [string, HedgePolicy | undefined][] = [
    ['never', undefined],
    ['p95, budget 0.01', { percentile: 95, budget: 0.01 }],
    ['p95, budget 0.05', { percentile: 95, budget: 0.05 }],
    ['p75, budget 0.2', { percentile: 75, budget: 0.2 }],
  ]
  const runs = policies.map(([name, policy]) => ({ name, ...simulateHedging(40_000, policy) }))
  const without = runs[0]!
  files.set(
    'hedging.svg',
    lineChart({
      title: 'Stragglers: share of tasks that took longer; 2 % of turns take ten times as long',
      x: 'time in the system, ms (logarithmic)',
      y: 'slowest tasks, %',
      logarithmic: true,
      yMax: 10,
      lines: runs.map(({ name, lastedMs }) => ({
        name,
        points: Array.from({ length: 100 }, (_, i): [number, number] => [
          quantile(lastedMs, 0.9 + i / 1_000),
          (1_000 - 900 - i) / 10,
        ]),
      })),
    }),
  )
  const rows = runs.map(({ name, lastedMs, seconds, busyMs }) => [
    name,
    ...[0.5, 0.95, 0.99, 0.999].map((share) => quantile(lastedMs, share).toFixed(0)),
    `${(100 * seconds).toFixed(1)} %`,
    `${(100 * (busyMs / without.busyMs - 1)).toFixed(1)} %`,
  ])
  tables.set('hedging', table(['second turns', 'p50 ms', 'p95', 'p99', 'p99.9', 'given', 'load added'], rows))
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}

/** The page with its tables replaced, each between `<!-- name -->` and `<!-- /name -->`. */
export function withTables(page: string, tables: ReadonlyMap<string, string>): string {
  let filled = page
  for (const [name, rows] of tables) {
    const marked = new RegExp(`(<!-- ${name} -->)[\\s\\S]*?(<!-- /${name} -->)`)
    filled = filled.replace(marked, (_, from: string, to: string) => `${from}\n${rows}\n${to}`)
  }
  return filled
}

if (import.meta.main) {
  const docs = resolve(import.meta.dirname, '../../docs')
  const drawn = figures()
  mkdirSync(join(docs, 'figures'), { recursive: true })
  for (const [name, svg] of drawn.files) writeFileSync(join(docs, 'figures', name), svg)
  const page = join(docs, 'scheduling.md')
  writeFileSync(page, withTables(readFileSync(page, 'utf8'), drawn.tables))
  for (const [name, rows] of drawn.tables) process.stdout.write(`${name}\n${rows}\n\n`)
}
