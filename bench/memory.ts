/**
 * Resident memory of each process while a million tasks pass through: it has to stay flat once the kept results are full.
 *   node bench/memory.ts [--tasks 1000000] [--batch 100000]
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect } from '../src/client/index.ts'
import { startEmbeddedServer } from '../src/runtime/server/embedded.ts'
import { endChild, residentMiB, startChild } from './processes.ts'

const pipeline = fileURLToPath(new URL('./pipeline.ts', import.meta.url))

const { values } = parseArgs({
  options: { tasks: { type: 'string', default: '1000000' }, batch: { type: 'string', default: '100000' } },
})
const batch = Number(values.batch)
const pad = 'x'.repeat(184)
const server = await startEmbeddedServer()
const scheduler = await startChild(pipeline, [server.url, 'scheduler,supervisor'])
const node = await startChild(pipeline, [server.url, 'node'])
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
await Promise.all([endChild(node), endChild(scheduler)])
await server.stop()
