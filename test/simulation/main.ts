/** `npm run simulate -- --seeds N [--seed S] [--steps N] [--trace]`: runs seeds one after another and judges each. */
import { parseArgs } from 'node:util'
import { check, explain } from './checker/check.ts'
import { plants } from './planted.ts'
import { simulate } from './simulation.ts'

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20' },
    seed: { type: 'string' },
    steps: { type: 'string', default: '10000' },
    trace: { type: 'boolean', default: false },
    plant: { type: 'string' },
    faults: { type: 'string' },
    json: { type: 'boolean', default: false },
    'until-found': { type: 'boolean', default: false },
  },
})

/** One seed in so many runs twice, and both must have the same trace. */
const twiceEvery = 20

const first = Number(values.seed ?? Math.floor(performance.timeOrigin) % 1_000_000)
const count = values.trace ? 1 : Number(values.seeds)
const steps = Number(values.steps)
const plant = plants.find(({ name }) => name === values.plant)
if (values.plant !== undefined && plant === undefined) throw new Error(`no planted bug "${values.plant}"`)
const kinds = values.faults?.split(',').filter((kind) => kind !== '')
const say = (text: string) => values.json || process.stdout.write(`${text}\n`)

interface Found {
  readonly seed: number
  readonly predicates: readonly string[]
}

const found: Found[] = []
const fired = new Map<string, number>()
let total = 0
let virtualMs = 0
let busyMs = 0
let ran = 0
let voids = 0
let tasks = 0

say(`seed ${first}`)
for (let seed = first; seed < first + count; seed++) {
  const startedAtMs = performance.now()
  const onTrace = values.trace ? (line: string) => process.stdout.write(`${line}\n`) : undefined
  const result = await simulate({ seed, steps, plant, kinds, onTrace })
  busyMs += performance.now() - startedAtMs
  total += result.steps
  virtualMs += result.virtualMs
  ran++
  const { violations, neverFired } = check(result.history)
  tasks += result.history.events.filter(({ what }) => what === 'accepted').length
  for (const [kind, times] of result.history.fired) fired.set(kind, (fired.get(kind) ?? 0) + times)
  if (neverFired.length > 0) voids++
  const names = violations.map(({ predicate }) => predicate)
  if (seed % twiceEvery === 0 && !values.trace) {
    const again = await simulate({ seed, steps, plant, kinds })
    if (again.hash !== result.hash) names.push('one-trace')
  }
  if (names.length > 0) {
    found.push({ seed, predicates: names })
    say(`seed ${seed} (${result.kinds.join(', ') || 'no faults'}): ${names.join(', ')}`)
    for (const violation of violations) say(explain(violation))
    if (values['until-found']) break
  }
}
const perSecond = Math.round((total / busyMs) * 1_000)
const ratio = Math.round(virtualMs / busyMs)
say(
  `${ran} seeds, ${total} steps, ${tasks} submissions: ${perSecond} steps/s, ${ratio} × real time, ${found.length} with violations, ${voids} in which a planned fault never came about`,
)
say(
  [...fired]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([kind, times]) => `${kind} ${times}`)
    .join(', '),
)
if (values.json) {
  const report = { first, ran, steps: total, perSecond, ratio, voids, tasks, found, fired: Object.fromEntries(fired) }
  process.stdout.write(`${JSON.stringify(report)}\n`)
}
process.exitCode = found.length > 0 ? 1 : 0
