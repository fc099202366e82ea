/**
 * `npm run soak -- [--minutes 60] [--rate 300]`: an installation at work for a long time, with clients that come and go and a
 * node that is started anew each minute. Heap, handles, connections, subscriptions and consumers must not
 * grow between the third and the last quarter; nothing that was acknowledged may be without an end.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect, type Troupe } from '../../src/client/index.ts'
import { startEmbeddedServer } from '../../src/runtime/server/embedded.ts'
import { Cluster, type ClusterProcess } from '../harness/cluster.ts'
import { connectPlain } from '../harness/plain-client.ts'
import { freshNamespace, lasting, until } from '../harness/server.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '60' }, rate: { type: 'string', default: '300' } },
})
const minutes = Number(values.minutes)
const rate = Number(values.rate)
const files = [fileURLToPath(new URL('./soak-tasks.ts', import.meta.url))]
const tickMs = 50
const sampleMs = 5_000
const churnMs = 60_000
/** What may come and go by chance; a leak of a long run is more than this. */
const slack = { share: 0.1, bytes: 8 * 2 ** 20, count: 5 }

const pad = 'x'.repeat(200)
const largePad = 'x'.repeat(200_000)

/** Cumulative shares of what is submitted. */
const mix: readonly [upTo: number, type: string, input: unknown, options?: { delay: string }][] = [
  [0.62, 'quick', { pad }],
  [0.72, 'quick', { pad }, { delay: '3s' }],
  [0.78, 'flaky', {}],
  [0.81, 'doomed', {}],
  [0.87, 'stepping', { pad }],
  [0.92, 'listening', {}],
  [0.95, 'parent', {}],
  [0.96, 'large', { pad: largePad }],
  [1, 'machine', {}],
]

const counts = { acknowledged: 0, refused: 0, signals: 0, clients: 0, restarts: 0 }

async function submitOne(troupe: Troupe): Promise<void> {
  const dice = Math.random()
  const [, type, input, options] = mix.find(([upTo]) => dice < upTo)!
  try {
    const handle = await troupe.submit(type, input, options)
    counts.acknowledged++
    if (type === 'listening' && Math.random() < 0.8) {
      await lasting(500)
      counts.signals++
      await handle.signal({ type: 'go' })
    } else if (Math.random() < 0.02) await handle.cancel('no longer wanted')
    else if (Math.random() < 0.5) await handle.result()
  } catch (error) {
    // Failed and cancelled tasks come as errors; what was not acknowledged is counted.
    if (/REFUSED|NO_ANSWER|QUEUE_FULL/.test(String((error as { code?: unknown }).code))) counts.refused++
  }
}

/** Numbers by name, taken at one time. */
type Sample = ReadonlyMap<string, number>

async function metricsOf(one: ClusterProcess): Promise<[string, number][]> {
  const port = /"port":(\d+)[^\n]*health and metrics/.exec(one.log())?.[1]
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const number = (name: string) => Number(new RegExp(`^${name} (\\d+)`, 'm').exec(text)?.[1])
  return [
    [`${one.name} heap bytes`, number('troupe_heap_used_bytes')],
    [`${one.name} outside bytes`, number('troupe_external_bytes')],
    [`${one.name} resident bytes`, number('troupe_resident_bytes')],
    [`${one.name} handles`, readdirSync(`/proc/${one.pid}/fd`).length],
  ]
}

async function serverSample(url: string, pid: number): Promise<[string, number][]> {
  const ask = async (path: string) => (await (await fetch(`${url}/${path}`)).json()) as Record<string, number>
  const [jsz, varz] = await Promise.all([ask('jsz'), ask('varz')])
  return [
    ['server consumers', jsz.consumers!],
    ['server messages', jsz.messages!],
    ['server stored bytes', jsz.bytes!],
    ['server connections', varz.connections!],
    ['server subscriptions', varz.subscriptions!],
    ['server handles', readdirSync(`/proc/${pid}/fd`).length],
  ]
}

/** The least of a name in some samples: what stays when whatever comes and goes has gone. */
function least(samples: readonly Sample[], name: string): number {
  return Math.min(...samples.map((sample) => sample.get(name) ?? Number.POSITIVE_INFINITY))
}

/**
 * Resident memory is shown only: V8 keeps what it had. So is what the server stores: the log reaches back to the oldest result
 * or dead letter that is kept, and its own size bounds it.
 */
function isJudged(name: string): boolean {
  return !/resident|messages|stored/.test(name)
}

/** Names that are larger at the end than before, beyond chance. */
function growth(samples: readonly Sample[]): string[] {
  const quarter = Math.floor(samples.length / 4)
  const [third, last] = [samples.slice(-2 * quarter, -quarter), samples.slice(-quarter)]
  const grown: string[] = []
  for (const name of samples.at(-1)?.keys() ?? []) {
    const [before, after] = [least(third, name), least(last, name)]
    const room = Math.max(before * slack.share, name.endsWith('bytes') ? slack.bytes : slack.count)
    const line = `${name}: ${shown(name, least(samples.slice(0, quarter), name))} → ${shown(name, before)} → ${shown(name, after)}`
    process.stdout.write(`  ${line}\n`)
    if (after - before > room && isJudged(name)) grown.push(line)
  }
  return grown
}

function shown(name: string, value: number): string {
  return name.endsWith('bytes') ? `${(value / 2 ** 20).toFixed(1)} MiB` : value.toFixed(0)
}

const folder = mkdtempSync(join(tmpdir(), 'troupe-soak-'))
const server = await startEmbeddedServer({ storeDir: folder })
const namespace = freshNamespace()
const plain = await connectPlain(server.url, namespace)
const cluster = new Cluster(server.url, namespace, plain)
const samples: Sample[] = []
try {
  const lasts = await cluster.start(
    { roles: ['scheduler', 'supervisor'], healthPort: 0 },
    { roles: ['scheduler', 'supervisor'], healthPort: 0 },
    { roles: ['node'], files, slots: 100, healthPort: 0 },
  )
  const startNode = () => cluster.one({ roles: ['node'], files, slots: 100 })
  let comer = await startNode()
  let troupe = await connect({ servers: server.url, namespace })
  const open = new Set<Promise<void>>()
  const closing: Promise<void>[] = []
  const startedAtMs = performance.now()
  const endMs = startedAtMs + minutes * 60_000
  let [sampleAtMs, churnAtMs] = [startedAtMs + sampleMs, startedAtMs + churnMs]
  for (let sent = 0; performance.now() < endMs; await lasting(tickMs)) {
    const nowMs = performance.now()
    for (const due = ((nowMs - startedAtMs) / 1_000) * rate; sent < due; sent++) {
      const work = submitOne(troupe).finally(() => open.delete(work))
      open.add(work)
    }
    if (nowMs >= sampleAtMs) {
      sampleAtMs += sampleMs
      const rows = await Promise.all([serverSample(server.monitoringUrl, server.pid), ...lasts.map(metricsOf)])
      samples.push(new Map(rows.flat()))
    }
    if (nowMs >= churnAtMs) {
      churnAtMs += churnMs
      // A client and a node leave as they would in a deployment, and others come.
      const [before, node] = [troupe, comer]
      const waiting = [...open]
      troupe = await connect({ servers: server.url, namespace })
      counts.clients++
      closing.push(Promise.race([Promise.all(waiting), lasting(20_000)]).then(() => before.close()))
      node.signal('SIGTERM')
      await node.exited
      comer = await startNode()
      counts.restarts++
      const { tasks } = await plain.stats()
      process.stdout.write(`minute ${counts.restarts}: ${counts.acknowledged} acknowledged, ${JSON.stringify(tasks)}\n`)
    }
  }
  await Promise.race([Promise.all(open), lasting(30_000)])
  await Promise.all(closing)
  await troupe.close()
  const idle = await until(
    async () => {
      const { tasks } = await plain.stats()
      const { delayed = 0, ready = 0, running = 0, parked = 0, blocked = 0, awarded = 0, waiting = 0 } = tasks
      return delayed + ready + running + parked + blocked + awarded + waiting === 0 ? tasks : undefined
    },
    'all tasks have ended',
    120_000,
  )
  const grown = growth(samples)
  const { totals } = await plain.stats()
  process.stdout.write(`${JSON.stringify(counts)}, left ${JSON.stringify(idle)}, totals ${JSON.stringify(totals)}\n`)
  process.stdout.write(grown.length === 0 ? 'nothing has grown\n' : `GROWN:\n${grown.join('\n')}\n`)
  if (grown.length > 0) process.exitCode = 1
} finally {
  await cluster.end()
  await server.stop()
  rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
}
