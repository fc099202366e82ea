/**
 * One run: an installation of real processes on three servers, work, faults by plan, healing, and the verdict. Ends
 * everything that it has started, whatever happened.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Cluster, type ProcessStart } from '../harness/cluster.ts'
import { connectPlain } from '../harness/plain-client.ts'
import { freshNamespace, until } from '../harness/server.ts'
import { ServerTrio } from '../harness/server-trio.ts'
import { check } from '../simulation/checker/check.ts'
import { FaultDriver } from './faults.ts'
import { Place } from './place.ts'
import { type FaultKind, type PlannedFault, plan, processKinds, serverKinds } from './plan.ts'
import { historyOf } from './record.ts'
import { type Report, reportOf } from './report.ts'
import { SmallDisk } from './small-disk.ts'
import { Workload } from './workload.ts'

export interface ChaosOptions {
  readonly seed: number
  readonly minutes: number
  /** Submissions a second. */
  readonly rate: number
  /** Only these kinds of faults; default: all that can be brought about here. */
  readonly kinds: readonly FaultKind[] | undefined
  /** Where to leave the history and the logs of the processes; undefined: nowhere. */
  readonly keep: string | undefined
  readonly say: (line: string) => void
}

const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))
/** Once the faults are over, something has to end in every stretch of this length. */
const patienceMs = 60_000
const diskMebibytes = 300
/** A node asks for the time through a proxy that may be slow both ways. */
const clockErrorMs = 1_000

export async function runChaos(options: ChaosOptions): Promise<Report> {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-chaos-'))
  const effectsFolder = join(folder, 'effects')
  mkdirSync(effectsFolder)
  const wantsDisk = options.kinds === undefined || options.kinds.includes('full disk')
  const disk = wantsDisk ? SmallDisk.mount(join(folder, 'small'), 'server-3', diskMebibytes) : undefined
  if (wantsDisk && disk === undefined) options.say('no leave to mount: the disk is not filled')
  const closing: (() => Promise<unknown> | unknown)[] = [
    () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }),
    () => disk?.unmount(),
  ]
  try {
    const own = new Map(disk === undefined ? [] : [[disk.server, disk.folder]])
    const servers = await ServerTrio.open(folder, own)
    closing.push(() => servers.end())
    const namespace = freshNamespace()
    const cluster = new Cluster(servers.urls, namespace, await connectPlain(servers.urls, namespace))
    closing.push(() => cluster.end())
    return await trial(options, { cluster, servers, disk, effectsFolder, closing })
  } finally {
    for (const close of closing.reverse()) await close()
  }
}

interface Stage {
  readonly cluster: Cluster
  readonly servers: ServerTrio
  readonly disk: SmallDisk | undefined
  readonly effectsFolder: string
  readonly closing: (() => Promise<unknown> | unknown)[]
}

async function trial(
  options: ChaosOptions,
  { cluster, servers, disk, effectsFolder, closing }: Stage,
): Promise<Report> {
  const { seed, minutes, rate, say } = options
  const { client } = cluster
  await until(async () => (await client.jetStream())?.limits !== undefined, 'the servers have a leader', 60_000)
  const common = { preload: file('./clock.ts'), env: { TROUPE_CHAOS_EFFECTS: effectsFolder }, replicas: 3 }
  const control: ProcessStart = { ...common, roles: ['scheduler', 'supervisor'] }
  const node: ProcessStart = { ...common, roles: ['node'], files: [file('./tasks.ts')], slots: 64 }
  const places = await Promise.all(
    [control, control, node, node, node].map((start) => Place.open(cluster, servers.urls, start)),
  )
  closing.push(() => Promise.all(places.flatMap(({ proxies }) => proxies.map((proxy) => proxy.close()))))
  await client.mirrorLog()

  const kinds = options.kinds ?? [...processKinds, ...serverKinds].filter((kind) => kind !== 'full disk' || disk)
  const faults: PlannedFault[] = plan({ seed, durationMs: minutes * 60_000, kinds })
  const workload = new Workload({ client, seed, rate })
  const driver = new FaultDriver({ cluster, servers, places, disk })
  say(`seed ${seed}: ${faults.length} faults in ${minutes} minutes, ${rate} submissions a second`)
  const working = workload.run()
  await driver.carryOut(faults)
  await Promise.all(places.map((place) => place.next(async () => {})))
  const healedAtMs = Date.now()
  workload.stop()
  await working
  say(`faults are over; ${driver.skipped} were left out, because everybody was busy with others`)
  await workload.settle(patienceMs)
  const log = await client.log()
  for (const place of places) await place.end()

  const history = historyOf({
    called: workload.events,
    faults: driver.done,
    effectsFolder,
    log,
    planned: faults.map(({ kind }) => kind),
    healedAtMs,
    endedAtMs: Date.now(),
    waiting: workload.waiting.size,
    strayEnds: [...places.flatMap(({ strayEnds }) => strayEnds), ...driver.failed],
    clockErrorMs,
  })
  const refusedLives = cluster.logs().split('fenced: this incarnation is over').length - 1
  const report = reportOf({ seed, minutes, history, log, verdict: check(history), refusedLives, ackMs: workload.ackMs })
  if (options.keep !== undefined) {
    mkdirSync(options.keep, { recursive: true })
    const events = history.events.map((event) => JSON.stringify(event)).join('\n')
    writeFileSync(join(options.keep, `events-${seed}.jsonl`), events)
    writeFileSync(join(options.keep, `processes-${seed}.log`), cluster.logs())
    writeFileSync(join(options.keep, `log-${seed}.json`), JSON.stringify(history.logs[0]!.map(readable)))
  }
  return report
}

function readable({
  data,
  headers,
  ...message
}: {
  data: Uint8Array
  headers: ReadonlyMap<string, string> | undefined
}) {
  return { ...message, headers: headers && [...headers], data: Buffer.from(data).toString('base64') }
}
