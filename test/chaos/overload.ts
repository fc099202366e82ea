/**
 * `npm run overload -- [--minutes M]`: measures what an installation can do, offers it three times as much for so long, with
 * poison among it, and then half of it. Refusals must come before acknowledgements, nothing acknowledged may be lost, and
 * throughput must hold; memory and handles of every process are shown.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { openBus } from '../../src/nats/connect.ts'
import { openNamespace } from '../../src/nats/setup.ts'
import { startEmbeddedServer } from '../../src/runtime/server/embedded.ts'
import { Cluster } from '../harness/cluster.ts'
import { connectPlain, type PlainClient } from '../harness/plain-client.ts'
import { freshNamespace, lasting, until } from '../harness/server.ts'
import { spread } from './report.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '1' } } })
const overloadMs = Number(values.minutes) * 60_000
const files = [fileURLToPath(new URL('./overload-tasks.ts', import.meta.url))]
/** Two nodes with so many slots, and tasks of 50 ms: 800 a second, were the machine idle. */
const slots = 20
const taskMs = 50
const logBytesMax = 64 * 1024 * 1024
const padding = 'x'.repeat(2_000)
const measureMs = 15_000
const tickMs = 20
const recoverMsMax = 30_000
/** Share of submissions that are poison of either kind. */
const poisonShare = 0.02

interface Offered {
  acknowledged: number
  refused: number
  unanswered: number
  readonly ackMs: number[]
}

/** Submits at this rate, whatever is answered, for so long. */
async function offer(client: PlainClient, perSecond: number, forMs: number): Promise<Offered> {
  const offered: Offered = { acknowledged: 0, refused: 0, unanswered: 0, ackMs: [] }
  const open = new Set<Promise<void>>()
  const startedAtMs = performance.now()
  for (let sent = 0; performance.now() - startedAtMs < forMs; ) {
    const due = ((performance.now() - startedAtMs) / 1_000) * perSecond
    for (; sent < due; sent++) {
      const work = submit(client, offered).finally(() => open.delete(work))
      open.add(work)
    }
    await lasting(tickMs)
  }
  await Promise.all(open)
  return offered
}

async function submit(client: PlainClient, offered: Offered): Promise<void> {
  const dice = Math.random()
  const type = dice < poisonShare / 2 ? 'poison' : dice < poisonShare ? 'tarpit' : 'moment'
  const startedAtMs = performance.now()
  try {
    const answer = await client.request(`submit.${type}`, { ms: taskMs, padding }, {}, 10_000)
    if (answer.error !== undefined) offered.refused++
    else {
      offered.acknowledged++
      offered.ackMs.push(performance.now() - startedAtMs)
    }
  } catch (error) {
    if (/no ?responders/i.test(String(error))) offered.refused++
    else offered.unanswered++
  }
}

async function totals(client: PlainClient): Promise<{ completed: number; ended: number }> {
  const { totals: all } = await client.stats()
  const { completed = 0, failed = 0, cancelled = 0, expired = 0 } = all
  return { completed, ended: completed + failed + cancelled + expired }
}

/** Tasks completed a second while this goes on, but for its beginning. */
async function rateDuring<Value>(client: PlainClient, skipMs: number, work: Promise<Value>): Promise<[number, Value]> {
  await lasting(skipMs)
  const before = await totals(client)
  const startedAtMs = performance.now()
  const value = await work
  const after = await totals(client)
  return [((after.completed - before.completed) / (performance.now() - startedAtMs)) * 1_000, value]
}

function footprint({ processes }: Cluster): string {
  return processes
    .map(({ name, pid }) => {
      const resident = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      return `${name} ${Math.round(Number(resident) / 1_024)} MiB ${readdirSync(`/proc/${pid}/fd`).length} handles`
    })
    .join(', ')
}

const folder = mkdtempSync(join(tmpdir(), 'troupe-overload-'))
const server = await startEmbeddedServer({ storeDir: folder })
const namespace = freshNamespace()
const bus = await openBus({ servers: server.url, name: 'overload' })
await openNamespace(bus, { namespace, logBytesMax })
await bus.close()
const client = await connectPlain(server.url, namespace)
const cluster = new Cluster(server.url, namespace, client)
const say = (line: string) => process.stdout.write(`${line}\n`)
try {
  const node = { roles: ['node' as const], files, slots }
  await cluster.start({ roles: ['scheduler', 'supervisor'] }, node, node)
  // More than there are slots, less than the log holds: what can be done.
  const guess = (2 * slots * 1_000) / taskMs
  const [peak, warm] = await rateDuring(client, 3_000, offer(client, guess, measureMs))
  await until(async () => (await totals(client)).ended >= warm.acknowledged, 'the measurement is worked off', 120_000)
  say(`peak: ${peak.toFixed(0)} tasks/s; before: ${footprint(cluster)}`)

  const [held, over] = await rateDuring(client, 5_000, offer(client, 3 * peak, overloadMs))
  const share = held / peak
  const times = spread(over.ackMs)
  say(
    `${(3 * peak).toFixed(0)} offered a second for ${values.minutes} minutes: ${over.acknowledged} acknowledged (p50 ${times.p50} ms, p99 ${times.p99} ms), ${over.refused} refused, ${over.unanswered} unanswered`,
  )
  say(
    `throughput under overload: ${held.toFixed(0)} tasks/s, ${Math.round(share * 100)} % of the peak; ${footprint(cluster)}`,
  )

  const acknowledged = warm.acknowledged + over.acknowledged
  const startedAtMs = performance.now()
  await until(async () => (await totals(client)).ended >= acknowledged, 'what was acknowledged has ended', 600_000)
  say(`worked off ${((performance.now() - startedAtMs) / 1_000).toFixed(0)} s after the load fell`)
  const taken = await until(
    () => client.submit('moment', { ms: taskMs }).catch(() => undefined),
    'submissions are taken again',
    120_000,
  )
  const recoveredMs = performance.now() - startedAtMs
  say(`submissions taken again ${(recoveredMs / 1_000).toFixed(0)} s after the load fell (sequence ${taken})`)
  const [after, calm] = await rateDuring(client, 1_000, offer(client, peak / 2, measureMs))
  const all = acknowledged + 1 + calm.acknowledged
  await until(async () => (await totals(client)).ended >= all, 'what was acknowledged has ended', 120_000)
  const { ended } = await totals(client)
  say(`at half load again: ${after.toFixed(0)} tasks/s, ${calm.refused} refused; ${footprint(cluster)}`)
  say(`${all} acknowledged, ${ended} ended, ${Math.max(0, all - ended)} lost`)
  if (share < 0.9 || over.refused === 0 || calm.refused > 0 || recoveredMs > recoverMsMax) process.exitCode = 1
} finally {
  await cluster.end()
  await server.stop()
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
