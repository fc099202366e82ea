/**
 * Placement by a scheduler of a thousand nodes against what the literature has: how long tasks wait, and what it says to
 * place one. In virtual time, so the figures do not depend on the machine.
 *   node bench/scheduling/thousand.ts [--nodes 1000] [--workloads mixed,small,long] [--loads 0.8,0.95] [--placers …] [--part 1]
 */
import { parseArgs } from 'node:util'
import { type FleetResult, type Placer, simulateFleet, type Workload } from './fleet.ts'
import { spreadOf } from './statistics.ts'

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '1000' },
    workloads: { type: 'string', default: 'mixed,small,long' },
    loads: { type: 'string', default: '0.8,0.95' },
    placers: { type: 'string', default: 'troupe,two-choices,round-robin,random,contract-net' },
    part: { type: 'string', default: '1' },
  },
})
const times: Record<Workload, readonly [warmMs: number, runMs: number]> = {
  small: [50, 50],
  mixed: [1_000, 1_000],
  long: [2_000, 3_000],
}

const line = (cells: readonly unknown[]) => console.log(`| ${cells.join(' | ')} |`)
line([
  'tasks',
  'load',
  'placed by',
  'tasks/s',
  'wait mean ms',
  'p50',
  'p99',
  'stay mean ms',
  'publishes/task',
  'of these',
])
line(['---', '---', '---', ...Array.from({ length: 6 }, () => '---:'), '---'])
for (const workload of values.workloads.split(',') as Workload[]) {
  for (const load of values.loads.split(',').map(Number)) {
    for (const placer of values.placers.split(',') as Placer[]) {
      const [warmMs, runMs] = times[workload].map((ms) => ms * Number(values.part)) as [number, number]
      row(workload, load, placer, simulateFleet({ nodes: Number(values.nodes), load, workload, placer, warmMs, runMs }))
    }
  }
}

function row(workload: string, load: number, placer: string, result: FleetResult): void {
  const { publishes } = result
  const { meanMs, p50Ms, p99Ms } = spreadOf(result.waitsMs)
  const all = Object.values(publishes).reduce((sum, count) => sum + count, 0)
  const parts = Object.entries(publishes).map(([what, count]) => `${what} ${count.toFixed(2)}`)
  const rate = Math.round(result.tasksPerSecond / 100) * 100
  const times = [meanMs, p50Ms, p99Ms, result.meanStayMs].map((ms) => ms.toFixed(1))
  line([workload, load, placer, rate.toLocaleString('en'), ...times, all.toFixed(2), parts.join(', ')])
}
