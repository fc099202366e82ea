/** `npm run fuzz -- [--inputs N] [--seed S]`: N inputs in all, shared among the decoders; 1,000,000 if not said. */
import { parseArgs } from 'node:util'
import { decoders } from './decoders.ts'
import { fuzz } from './fuzz.ts'

const { values } = parseArgs({ options: { inputs: { type: 'string', default: '1000000' }, seed: { type: 'string' } } })
const seed = Number(values.seed ?? Math.floor(performance.timeOrigin) % 1_000_000)
const share = Math.ceil(Number(values.inputs) / decoders.length)
const mebibytes = (bytes: number) => Math.round(bytes / 2 ** 20)
/** What a million inputs may leave behind, MiB. */
const growthMax = 200

process.stdout.write(`seed ${seed}, ${share} inputs for each of ${decoders.length} decoders\n`)
let failed = false
let total = 0
const before = process.memoryUsage().heapUsed
for (const decoder of decoders) {
  const startedAtMs = performance.now()
  try {
    const { inputs, stalls } = fuzz(decoder, share, seed)
    total += inputs
    const micros = (((performance.now() - startedAtMs) * 1_000) / inputs).toFixed(1)
    process.stdout.write(`${decoder.name}: ${inputs} inputs, ${micros} µs each, ${stalls.length} stalls\n`)
    for (const { ms, input } of stalls) process.stdout.write(`    ${ms.toFixed(0)} ms: ${input}\n`)
    failed ||= stalls.length > 0
  } catch (error) {
    failed = true
    process.stdout.write(`${(error as Error).message}\n`)
    process.stdout.write(`${((error as Error).cause as Error).stack}\n`)
  }
}
globalThis.gc?.()
const grown = mebibytes(process.memoryUsage().heapUsed - before)
process.stdout.write(
  `${total} inputs; ${grown} MiB of heap more than before; resident ${mebibytes(process.memoryUsage().rss)} MiB\n`,
)
process.exitCode = failed || grown > growthMax ? 1 : 0
