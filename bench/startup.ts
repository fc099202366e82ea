/**
 * How long things take to start: a command that does nothing, `troupe dev`, `connect` of the SDK; wall clock and CPU, as
 * medians. Wall clock says little on a busy machine.
 *   node bench/startup.ts [--rounds 5]
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect } from '../src/client/index.ts'

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' } } })
const rounds = Number(values.rounds)
const binary = fileURLToPath(new URL('../bin/troupe.mjs', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'troupe-bench-'))

await report('troupe --version', () => ended(['--version']))
await report('troupe --help', () => ended(['--help']))
{
  const readyFile = join(folder, 'ready.json')
  const startedAt = performance.now()
  const args = ['dev', '--port', '0', '--ephemeral', '--ready-file', readyFile, '--log-level', 'error']
  const dev = spawn(process.execPath, [binary, ...args], { cwd: folder, stdio: ['ignore', 'ignore', 'inherit'] })
  while (!existsSync(readyFile) || !readFileSync(readyFile, 'utf8').endsWith('\n')) await sleep(5)
  console.log(`troupe dev: ready after ${Math.round(performance.now() - startedAt)} ms`)
  const { nats } = JSON.parse(readFileSync(readyFile, 'utf8')) as { nats: string }
  await report('connect (SDK)', async () => {
    const troupe = await connect({ servers: nats })
    await troupe.close()
  })
  await report('troupe nodes', () => ended(['nodes', '--nats', nats]))
  dev.kill('SIGTERM')
  await new Promise((resolve) => dev.once('exit', resolve))
}
rmSync(folder, { recursive: true, force: true })

async function report(what: string, work: () => Promise<void>): Promise<void> {
  const wall: number[] = []
  const cpu: number[] = []
  for (let round = 0; round < rounds; round++) {
    const before = cpuMs()
    const startedAt = performance.now()
    await work()
    wall.push(performance.now() - startedAt)
    cpu.push(cpuMs() - before)
  }
  console.log(`${what}: ${median(wall)} ms, CPU ${median(cpu)} ms`)
}

/** Of this process and its children that have ended. */
function cpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0)
}

function median(of: number[]): number {
  return Math.round(of.sort((a, b) => a - b)[of.length >> 1]!)
}

function ended(args: readonly string[]): Promise<void> {
  const child = spawn(process.execPath, [binary, ...args], { stdio: 'ignore' })
  return new Promise((resolve) => child.once('exit', () => resolve()))
}
