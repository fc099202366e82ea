/** `npm run chaos -- --minutes M [--seed S] [--rate R] [--kinds a,b] [--json] [--keep FOLDER]`. */
import { parseArgs } from 'node:util'
import type { FaultKind } from './plan.ts'
import { printed } from './report.ts'
import { runChaos } from './run.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '2' },
    seed: { type: 'string' },
    rate: { type: 'string', default: '20' },
    kinds: { type: 'string' },
    json: { type: 'boolean', default: false },
    keep: { type: 'string' },
  },
})

const report = await runChaos({
  seed: Number(values.seed ?? Math.floor(performance.timeOrigin) % 1_000_000),
  minutes: Number(values.minutes),
  rate: Number(values.rate),
  kinds: values.kinds?.split(',') as FaultKind[] | undefined,
  keep: values.keep,
  say: (line) => process.stderr.write(`${line}\n`),
})
process.stdout.write(`${values.json ? JSON.stringify(report) : printed(report)}\n`)
process.exitCode = report.violations.length + report.void.length > 0 ? 1 : 0
