/**
 * Many tasks asleep: what they cost while they are parked, and how late they wake. One process each: nats-server, scheduler
 * with supervisor, node, client.
 *   node bench/parked.ts [--tasks 100000] [--spread 60] [--idle 10] [--signals 300] [--profile DIR]
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect, type TaskContext, type Troupe, task } from '../src/client/index.ts'
import { createLogger } from '../src/runtime/logger.ts'
import { type Role, TroupeProcess } from '../src/runtime/process.ts'
import { startEmbeddedServer } from '../src/runtime/server/embedded.ts'
import { cpuMs, endChild, profiled, residentMiB, startChild } from './processes.ts'

const script = fileURLToPath(import.meta.url)

const slots = 256

/** Sleeps until an instant and tells how late it woke, ms. */
const sleeper = task('sleeper', async ({ dueAtMs }: { dueAtMs: number }, { sleepUntil }: TaskContext) => {
  await sleepUntil(dueAtMs)
  return Date.now() - dueAtMs
})

/** Waits for an event and tells how long that was on its way, ms; `eager` keeps its slot, as a running task does. */
const wait = async (_: unknown, { waitFor }: TaskContext) => {
  const { sentAtMs } = (await waitFor('GO')) as { type: string; sentAtMs: number }
  return Date.now() - sentAtMs
}
const listener = task('listener', wait)
const eager = task('eager', wait, { linger: '1h' })

if (process.send === undefined) await measure()
else await beChild()

async function beChild(): Promise<void> {
  const [servers, roles] = process.argv.slice(2) as [string, string]
  const troupe = await TroupeProcess.start({
    servers,
    roles: roles.split(',') as Role[],
    slots,
    definitions: [sleeper, listener, eager],
    logger: createLogger('warn', false),
  })
  await troupe.led()
  process.send?.('ready')
  process.on('message', () => void troupe.stop().then(() => process.exit(0)))
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tasks: { type: 'string', default: '100000' },
      spread: { type: 'string', default: '60' },
      idle: { type: 'string', default: '10' },
      signals: { type: 'string', default: '300' },
      profile: { type: 'string' },
    },
  })
  const count = Number(values.tasks)
  const server = await startEmbeddedServer()
  const profile = profiled(values.profile)
  const scheduler = await startChild(script, [server.url, 'scheduler,supervisor'], profile)
  const node = await startChild(script, [server.url, 'node'], profile)
  const troupe = await connect({ servers: server.url })
  const pids = { scheduler: scheduler.pid ?? 0, node: node.pid ?? 0, server: server.pid }

  const rss = () => Object.fromEntries(Object.entries(pids).map(([name, pid]) => [name, residentMiB(pid)]))
  const cpu = () => Object.values(pids).map(cpuMs)
  await asleep(troupe, Math.min(count, 2_000), 2_000, 1_000)
  console.log('RSS MiB with nothing to do:', rss())

  // All are to be parked before the first wakes.
  const startMs = performance.now()
  const setUpMs = Math.max(15_000, count * 0.6)
  const spreadMs = Number(values.spread) * 1_000
  const woken = asleep(troupe, count, setUpMs, spreadMs)
  while (((await troupe.stats()).tasks.parked ?? 0) < count) {
    if (performance.now() - startMs > setUpMs)
      throw new Error('they were not all parked in time; the machine is too slow')
    await sleep(200)
  }
  const parkedMs = performance.now() - startMs
  console.log(`${count} tasks submitted, started and parked in ${(parkedMs / 1_000).toFixed(1)} s`)

  const before = cpu()
  await sleep(Number(values.idle) * 1_000)
  const after = cpu()
  const [{ running, bid } = {}] = await troupe.nodes()
  const share = Object.keys(pids).map((name, i) => {
    const percent = ((after[i]! - before[i]!) / (Number(values.idle) * 10)).toFixed(1)
    return `${name} ${percent} %`
  })
  console.log(`while parked: CPU ${share.join(', ')}; node: ${running} running, ${bid?.credits} credits of ${slots}`)
  console.log('RSS MiB while parked:', rss())

  const latencies = await woken
  report(`woke over ${spreadMs / 1_000} s, ms after the due time`, latencies)
  console.log('RSS MiB after:', rss())

  const signals = Number(values.signals)
  const toRunning = await signalled(troupe, 'eager', 'running', signals)
  report('event to a task that runs, ms', toRunning)
  report('event to a task that is parked, ms', await signalled(troupe, 'listener', 'parked', signals))

  await troupe.close()
  await Promise.all([endChild(node), endChild(scheduler)])
  await server.stop()
}

/** Submits tasks that sleep, the first until `firstMs` from now, the others spread behind it; resolves with their latencies. */
function asleep(troupe: Troupe, count: number, firstMs: number, spreadMs: number): Promise<number[]> {
  const firstAtMs = Date.now() + firstMs
  const inputs = Array.from({ length: count }, (_, i) => ({
    // Not in the order of submission.
    dueAtMs: firstAtMs + Math.floor((((i * 7_919) % count) / count) * spreadMs),
  }))
  return troupe.map(sleeper, inputs)
}

/** One event after the other, each to a task of its own that waits in this status. */
async function signalled(troupe: Troupe, type: string, status: string, count: number): Promise<number[]> {
  const latencies: number[] = []
  for (let round = 0; round < Math.ceil(count / 100); round++) {
    const handles = await troupe.submitMany<number>(
      type,
      Array.from({ length: Math.min(100, count) }, () => null),
    )
    for (const handle of handles) while ((await handle.state()).status !== status) await sleep(20)
    for (const handle of handles) {
      await handle.signal({ type: 'GO', sentAtMs: Date.now() })
      latencies.push(await handle.result())
    }
  }
  return latencies
}

function report(what: string, latencies: number[]): void {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]
  const early = sorted.filter((ms) => ms < 0).length
  console.log(
    `${what}: ${sorted.length}, ${early} early; p50 ${at(0.5)}, p99 ${at(0.99)}, max ${sorted.at(-1)}, least ${sorted[0]}`,
  )
}
