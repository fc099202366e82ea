/**
 * `npm run simulate -- --seeds N [--seed S] [--steps N] [--workers N] [--trace]`: tries seeds, one process for each core, and
 * judges each. One that breaks a promise is made smaller, and the command that shows it is printed.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { tryAll } from './crew.ts'
import { plants } from './planted.ts'
import { commandOf } from './shrink.ts'
import { type Trial, type TrialResult, tryOut } from './trial.ts'
import type { WorkerReport } from './worker.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string' },
    seed: { type: 'string' },
    steps: { type: 'string', default: '10000' },
    workers: { type: 'string', default: String(availableParallelism()) },
    trace: { type: 'boolean', default: false },
    plant: { type: 'string' },
    faults: { type: 'string' },
    features: { type: 'string' },
    json: { type: 'boolean', default: false },
    'until-found': { type: 'boolean', default: false },
  },
})

const first = Number(values.seed ?? Math.floor(performance.timeOrigin) % 1_000_000)
// A seed that is named is one; a number of seeds without a name is as many from a fresh one on.
const count = values.trace ? 1 : Number(values.seeds ?? (values.seed === undefined ? 20 : 1))
const { plant } = values
if (plant !== undefined && !plants.some(({ name }) => name === plant)) throw new Error(`no planted bug "${plant}"`)
const kinds = values.faults?.split(',').filter((kind) => kind !== '')
const features = values.features?.split(',').filter((name) => name !== '')
const trials = Array.from(
  { length: count },
  (_, at): Trial => ({ seed: first + at, steps: Number(values.steps), plant, kinds, features }),
)
const say = (text: string) => values.json || process.stdout.write(`${text}\n`)

const results: TrialResult[] = []

function report({ result, smallest }: WorkerReport): boolean {
  results.push(result)
  const { seed, broken, explained } = result
  if (broken.length === 0) return true
  say(
    `seed ${seed} (${result.kinds.join(', ') || 'no faults'}; ${result.features.join(', ') || 'no features'}): ${broken.join(', ')}`,
  )
  for (const text of explained) say(text)
  say(`    ${commandOf(smallest ?? { ...result, kinds, features })}`)
  return !values['until-found']
}

say(`seed ${first}`)
const startedAtMs = performance.now()
if (values.trace) {
  report({ result: await tryOut(trials[0]!, (line) => process.stdout.write(`${line}\n`)), smallest: undefined })
} else {
  await tryAll(trials, Number(values.workers), report)
}
const lastedMs = performance.now() - startedAtMs

const sum = (of: (result: TrialResult) => number) => results.reduce((total, result) => total + of(result), 0)
const fired = new Map<string, number>()
for (const result of results) for (const [kind, times] of result.fired) fired.set(kind, (fired.get(kind) ?? 0) + times)
const found = results.filter(({ broken }) => broken.length > 0)
const [steps, cpuMs, virtualMs] = [
  sum(({ stepsTaken }) => stepsTaken),
  sum(({ cpuMs }) => cpuMs),
  sum((r) => r.virtualMs),
]
const totals = {
  first,
  ran: results.length,
  steps,
  /** By the time of processors, so that it says the same on a busy machine. */
  perSecondAndCore: Math.round((steps / cpuMs) * 1_000),
  timesRealTime: Math.round(virtualMs / cpuMs),
  lastedMs: Math.round(lastedMs),
  submissions: sum(({ submissions }) => submissions),
  voids: results.filter(({ neverFired }) => neverFired.length > 0).length,
}
say(
  `${totals.ran} seeds, ${steps} steps, ${totals.submissions} submissions: ${totals.perSecondAndCore} steps/s and ${totals.timesRealTime} × real time on a core, ${found.length} with violations, ${totals.voids} in which a planned fault never came about`,
)
say(
  [...fired]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([kind, times]) => `${kind} ${times}`)
    .join(', '),
)
if (values.json) {
  const shown = found.map(({ seed, broken }) => ({ seed, predicates: broken }))
  process.stdout.write(`${JSON.stringify({ ...totals, found: shown, fired: Object.fromEntries(fired) })}\n`)
}
process.exitCode = found.length > 0 ? 1 : 0
