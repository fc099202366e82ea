/**
 * Resident memory of each process while a million tasks pass through: it has to stay flat once the kept results are full.
 *   node bench/memory.ts [--tasks 1000000] [--batch 100000]
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect } from '../src/client/index.ts'
import { startEmbeddedServer } from '../src/runtime/server/embedded.ts'

const { values } = parseArgs({
  options: { tasks: { type: 'string', default: '1000000' }, batch: { type: 'string', default: '100000' } },
})
const batch = Number(values.batch)
const pad = 'x'.repeat(184)
const storeDir = mkdtempSync(join(tmpdir(), 'troupe-bench-'))
const server = await startEmbeddedServer({ storeDir })
const scheduler = await child('scheduler,supervisor')
const node = await child('node')
const troupe = await connect({ servers: server.url })
const pids = { client: process.pid, scheduler: scheduler.pid ?? 0, node: node.pid ?? 0, server: server.pid }

for (let done = 0; done < Number(values.tasks); done += batch) {
  const start = performance.now()
  const handles = await troupe.submitMany(
    'noop',
    Array.from({ length: batch }, (_, i) => ({ i: done + i, pad })),
  )
  await handles.at(-1)?.result()
  const rss = Object.entries(pids).map(([name, pid]) => `${name} ${residentMiB(pid)}`)
  const rate = Math.round((batch / (performance.now() - start)) * 1_000)
  console.log(
    `${(done + batch).toLocaleString('en')} tasks: RSS MiB ${rss.join(', ')}; ${rate.toLocaleString('en')} tasks/s`,
  )
}

await troupe.close()
await Promise.all([end(node), end(scheduler)])
await server.stop()
rmSync(storeDir, { recursive: true, force: true })

function residentMiB(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024)
}

function child(roles: string): Promise<ChildProcess> {
  const started = fork(fileURLToPath(new URL('./pipeline.ts', import.meta.url)), [server.url, roles])
  return new Promise((resolve, reject) => {
    started.once('message', () => resolve(started))
    started.once('exit', (code) => reject(new Error(`${roles} ended with ${code}`)))
  })
}

function end(process: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    process.once('exit', () => resolve())
    process.send('end')
  })
}
