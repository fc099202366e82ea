/**
 * A trace of your own by any orders and placements: waits and slowdowns, in virtual time, by the policies and queues of the
 * scheduler.
 *   node bench/scheduling/simulate.ts --trace FILE [--order fifo --order shortest-first:aging=0] [--place least-delay]
 *     [--slots 4] [--nodes FILE] [--hints] [--json]
 * A trace is a JSON array of jobs, or one job per line:
 *   {"atMs": 0, "durationMs": 120, "type": "a", "key": "tenant", "priority": 4, "deadlineAtMs": 900, "expectedMs": 100}
 * All but `atMs` and `durationMs` may be left out. `--hints` has every submitter know the duration. Nodes for `--place` are
 *   [{"name": "n1", "cpus": 2, "others": 0, "slots": 8}, …]          others: threads of others that always want a processor
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import {
  orderingNamed,
  orderingNames,
  placementNamed,
  placementNames,
} from '../../src/actors/scheduler/policies/named.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { type Summary, simulate, summary } from './orders.ts'
import { type SimulatedNode, simulatePlacing } from './place.ts'
import { meanOf, spreadOf } from './statistics.ts'
import type { Job } from './traces.ts'

const defaultNodes: readonly SimulatedNode[] = [
  { name: 'large', cpus: 4, others: 0, slots: 16 },
  { name: 'small', cpus: 1, others: 0, slots: 16 },
  { name: 'loaded', cpus: 2, others: 4, slots: 16 },
]

/** Returns the jobs by arrival. Throws TROUPE_INVALID_OPTION naming the job and what is wrong with it. */
export function parseTrace(text: string, hints = false): Job[] {
  const rows: unknown = text.trimStart().startsWith('[')
    ? JSON.parse(text)
    : text
        .split('\n')
        .filter((line) => line.trim() !== '')
        .map((line) => JSON.parse(line))
  if (!Array.isArray(rows)) throw new TroupeError('TROUPE_INVALID_OPTION', 'a trace is an array of jobs')
  return rows.map((row, i) => jobOf(row, i, hints)).sort((a, b) => a.atMs - b.atMs)
}

function jobOf(row: Partial<Job> | null, index: number, hints: boolean): Job {
  const amount = (name: 'atMs' | 'durationMs' | 'priority' | 'deadlineAtMs' | 'expectedMs') => {
    const value = row?.[name]
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
    throw new TroupeError(
      'TROUPE_INVALID_OPTION',
      `job ${index}: ${name} ${JSON.stringify(value)} is no number from 0 on`,
    )
  }
  const durationMs = amount('durationMs')
  const expectedMs = row?.expectedMs === undefined ? (hints ? durationMs : undefined) : amount('expectedMs')
  return {
    atMs: amount('atMs'),
    durationMs,
    type: String(row?.type ?? 'job'),
    ...(row?.key !== undefined && { key: String(row.key) }),
    ...(row?.priority !== undefined && { priority: amount('priority') }),
    ...(row?.deadlineAtMs !== undefined && { deadlineAtMs: amount('deadlineAtMs') }),
    ...(expectedMs !== undefined && { expectedMs }),
  }
}

export interface OrderRow extends Summary {
  readonly slowdownMean: number
  readonly makespanMs: number
  readonly missed: number
}

/** What the order makes of the trace: waits (time in the system less duration), slowdowns, and missed deadlines. */
export function orderRow(jobs: readonly Job[], order: string, slots: number): OrderRow {
  const ran = simulate(jobs, orderingNamed(order), slots)
  return {
    ...summary(ran),
    slowdownMean: meanOf(ran.map(({ slowdown }) => slowdown)),
    makespanMs: ran.reduce((latest, { finishedAtMs }) => Math.max(latest, finishedAtMs), 0),
    missed: ran.filter(({ job, finishedAtMs }) => finishedAtMs > (job.deadlineAtMs ?? Number.POSITIVE_INFINITY)).length,
  }
}

function placeRow(jobs: readonly Job[], nodes: readonly SimulatedNode[], place: string) {
  const { waitsMs, makespanMs, nodes: had } = simulatePlacing(jobs, nodes, placementNamed(place))
  const tasks = had.map((node) => [node.name, node.tasks] as const)
  return { ...spreadOf(waitsMs), makespanMs, ...Object.fromEntries(tasks) }
}

function main(): void {
  const { values } = parseArgs({
    options: {
      trace: { type: 'string' },
      order: { type: 'string', multiple: true },
      place: { type: 'string', multiple: true },
      nodes: { type: 'string' },
      slots: { type: 'string', default: '4' },
      hints: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  })
  if (values.trace === undefined) {
    process.stderr.write(
      `--trace FILE is missing\norders: ${orderingNames.join(', ')}\nplacements: ${placementNames.join(', ')}\n`,
    )
    process.exitCode = 2
    return
  }
  const jobs = parseTrace(readFileSync(values.trace, 'utf8'), values.hints)
  const { order = values.place === undefined ? orderingNames : [], place = [] } = values
  const nodes =
    values.nodes === undefined ? defaultNodes : (JSON.parse(readFileSync(values.nodes, 'utf8')) as SimulatedNode[])
  const orders = Object.fromEntries(order.map((name) => [name, orderRow(jobs, name, Number(values.slots))]))
  const places = Object.fromEntries(place.map((name) => [name, placeRow(jobs, nodes, name)]))
  if (values.json) return void process.stdout.write(`${JSON.stringify({ orders, places })}\n`)
  for (const rows of [orders, places]) if (Object.keys(rows).length > 0) console.table(rounded(rows))
}

function rounded(rows: Readonly<Record<string, object>>): Record<string, Record<string, number>> {
  const round = (row: object) => Object.entries(row).map(([name, value]) => [name, Math.round(Number(value) * 10) / 10])
  return Object.fromEntries(Object.entries(rows).map(([name, row]) => [name, Object.fromEntries(round(row))]))
}

if (import.meta.main) main()
