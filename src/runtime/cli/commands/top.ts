/**
 * `top`: nodes, counts and rates at a glance. On a terminal it draws them anew each interval until Ctrl-C; otherwise it
 * prints one snapshot, or as many as it is asked for.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Troupe } from '../../../client/troupe.ts'
import { hasCode } from '../../../protocol/errors.ts'
import type { NodeAnswer, StatsAnswer } from '../../../protocol/messages.ts'
import { statusCell } from '../format.ts'
import type { Output } from '../output.ts'
import type { Invocation } from '../program.ts'
import { withTroupe } from '../session.ts'
import { nodeTable } from './cluster.ts'

interface TopOptions {
  readonly interval?: number
  readonly count?: number
}

/** What happened in a second, on average over the interval before. */
interface Rates {
  readonly submitted: number
  readonly completed: number
  readonly failed: number
}

interface Snapshot {
  readonly at: string
  readonly rates: Rates
  readonly tasks: StatsAnswer['tasks']
  readonly types: NonNullable<StatsAnswer['types']>
  readonly nodes: readonly NodeAnswer[]
}

const intervalMs = 1_000
const clearScreen = '\x1b[H\x1b[2J'

export function top(invocation: Invocation): Promise<number> {
  const { output, options } = invocation
  const { interval = intervalMs, count: asked } = options as TopOptions
  const live = process.stdout.isTTY && !output.json
  const isStream = (options as TopOptions).interval !== undefined || live
  const count = asked ?? (isStream ? Number.POSITIVE_INFINITY : 1)
  const stopping = new AbortController()
  process.once('SIGINT', () => stopping.abort())
  return withTroupe(invocation, async (troupe) => {
    const sampler = new Sampler(troupe)
    await sampler.start()
    for (let shown = 0; shown < count; shown++) {
      const pause = await sleep(interval, 'over', { signal: stopping.signal }).catch(() => 'stopped')
      if (pause === 'stopped') return 0
      try {
        const snapshot = await sampler.take()
        if (output.json) output.value(snapshot)
        else draw(snapshot, output, live)
      } catch (error) {
        // While another scheduler takes over nobody answers; a screen waits for it.
        if (!live || !hasCode(error, 'TROUPE_NO_ANSWER')) throw error
        output.note('no scheduler answers just now')
      }
    }
    return 0
  })
}

/** Turns counts since the log began into rates. */
class Sampler {
  private readonly troupe: Troupe
  private totals: StatsAnswer['totals'] | undefined
  private atMs = 0

  constructor(troupe: Troupe) {
    this.troupe = troupe
  }

  async start(): Promise<void> {
    this.note(await this.troupe.stats())
  }

  async take(): Promise<Snapshot> {
    const before = this.totals
    const beforeMs = this.atMs
    const [stats, nodes] = await Promise.all([this.troupe.stats(), this.troupe.nodes()])
    this.note(stats)
    const seconds = (this.atMs - beforeMs) / 1_000
    const rate = (what: keyof Rates) => Math.round((stats.totals[what] - (before?.[what] ?? 0)) / seconds)
    const rates = { submitted: rate('submitted'), completed: rate('completed'), failed: rate('failed') }
    return { at: stats.logTime, rates, tasks: stats.tasks, types: stats.types ?? [], nodes }
  }

  private note({ totals }: StatsAnswer): void {
    this.totals = totals
    this.atMs = performance.now()
  }
}

function draw({ at, rates, tasks, types, nodes }: Snapshot, output: Output, live: boolean): void {
  const rowsMax = live ? Math.max(3, Math.floor(((process.stdout.rows || 24) - 10) / 2)) : Number.POSITIVE_INFINITY
  if (live) process.stdout.write(clearScreen)
  output.line(
    `${at}  ${rates.submitted} submitted/s  ${rates.completed} completed/s  ${rates.failed} failed/s  ${nodes.length} nodes`,
  )
  output.line('')
  const statuses = Object.entries(tasks).filter(([, count]) => count > 0)
  output.fields(statuses.map(([status, count]) => [status, { ...statusCell(status as never), text: String(count) }]))
  output.line('')
  nodeTable(nodes.slice(0, rowsMax), output)
  more(nodes.length - rowsMax, 'nodes', output)
  output.line('')
  output.table(
    ['TYPE', 'WAITING', 'BLOCKED', 'RUNNING', 'PARKED', 'COMPLETED', 'FAILED', 'CANCELLED', 'EXPIRED'],
    types
      .slice(0, rowsMax)
      .map(({ type, waiting, blocked, running, parked, completed, failed, cancelled, expired }) => [
        type,
        ...[waiting, blocked, running, parked, completed, failed, cancelled, expired].map(String),
      ]),
  )
  more(types.length - rowsMax, 'types', output)
}

function more(count: number, what: string, output: Output): void {
  if (count > 0) output.line(`and ${count} more ${what}`)
}
