/**
 * `npm run power-loss -- [--rounds N] [--seed S] [--sync default|always]`: cuts the power of the server's disk under load, with the server's default
 * sync and with `sync_interval: always`, and counts what each has lost. What was acknowledged must survive the second.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { historyOf } from '../chaos/record.ts'
import { Workload } from '../chaos/workload.ts'
import { Cluster } from '../harness/cluster.ts'
import { freePort } from '../harness/free-port.ts'
import { connectPlain } from '../harness/plain-client.ts'
import { freshNamespace, lasting } from '../harness/server.ts'
import { check, explain } from '../simulation/checker/check.ts'
import { Random } from '../simulation/random.ts'
import { Disk } from './disk.ts'
import { Server, type Sync } from './server.ts'

interface Loss {
  readonly acknowledged: number
  readonly lost: number
  /** Of those that a client was told to have ended: how many have not, or otherwise. */
  readonly told: number
  readonly untold: number
  readonly violations: readonly string[]
}

/** The image lies in memory where it can: what counts is what was synced, not how long a busy disk takes to do it. */
const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
const rate = 100
const settleMs = 20_000
const tasks = fileURLToPath(new URL('../chaos/tasks.ts', import.meta.url))

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seed: { type: 'string', default: '1' },
    sync: { type: 'string' },
  },
})

const syncs = values.sync === undefined ? (['default', 'always'] as const) : [values.sync as Sync]
let failed = false
for (const sync of syncs) {
  const losses: Loss[] = []
  for (let round = 0; round < Number(values.rounds); round++) losses.push(await lose(sync, Number(values.seed) + round))
  const sum = (of: 'acknowledged' | 'lost' | 'told' | 'untold') => losses.reduce((total, loss) => total + loss[of], 0)
  const broken = losses.flatMap(({ violations }) => violations)
  process.stdout.write(
    `${sync} sync, ${losses.length} power cuts: ${sum('acknowledged')} submissions were acknowledged, ${sum('lost')} of them lost ` +
      `(${losses.map(({ lost, acknowledged }) => `${lost} of ${acknowledged}`).join(', ')}); ` +
      `${sum('told')} tasks were told to have ended, ${sum('untold')} of them had not\n`,
  )
  if (sync === 'default') continue
  failed ||= sum('lost') + sum('untold') + broken.length > 0
  for (const line of broken) process.stdout.write(`${line}\n`)
}
process.exitCode = failed ? 1 : 0

/** One installation on one server, under load, whose disk loses its power at some moment and comes back. */
async function lose(sync: Sync, seed: number): Promise<Loss> {
  const place = mkdtempSync(join(memory, 'troupe-power-'))
  const effectsFolder = join(place, 'effects')
  mkdirSync(effectsFolder)
  const disk = Disk.create(place)
  const server = new Server(sync, disk.folder, place, await freePort())
  await server.start()
  const namespace = freshNamespace()
  const cluster = new Cluster(server.url, namespace, await connectPlain(server.url, namespace))
  try {
    const env = { TROUPE_CHAOS_EFFECTS: effectsFolder }
    await cluster.start({ roles: ['scheduler', 'supervisor'] }, { roles: ['node'], files: [tasks], env })
    const workload = new Workload({ client: cluster.client, seed, rate })
    const working = workload.run()
    await lasting(1_000)
    disk.leaveTraces()
    await lasting(new Random(seed, 'power').integer(500, 6_000))
    // What is answered from here on was answered before the power was cut, or never.
    const called = workload.events.length
    disk.cutPower()
    await server.kill()
    workload.stop()
    disk.unplug()
    disk.plugIn()
    if (!disk.hasLostPower) throw new Error('the power was not cut: what was not synced is still there')
    await server.start()
    await working
    await workload.settle(settleMs)
    const log = await cluster.client.log()
    const healedAtMs = Date.now()
    const recording = { effectsFolder, log, healedAtMs, endedAtMs: healedAtMs, waiting: workload.waiting.size }
    const none = { faults: [], planned: [], strayEnds: [], clockErrorMs: 1_000 }
    const { violations } = check(historyOf({ ...recording, ...none, called: workload.events }))
    const before = historyOf({ ...recording, ...none, called: workload.events.slice(0, called), waiting: 0 })
    return { ...lossOf(before), violations: violations.map(explain) }
  } finally {
    await cluster.end()
    await server.kill()
    disk.unplug()
    rmSync(place, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Of what clients knew when the power was cut: what the log does not know afterwards. */
function lossOf(history: Parameters<typeof check>[0]): Omit<Loss, 'violations'> {
  const places = (name: string) => check(history).violations.find(({ predicate }) => predicate === name)?.count ?? 0
  const count = (what: string) => history.events.filter((event) => event.what === what).length
  return {
    acknowledged: count('accepted'),
    lost: places('kept'),
    told: count('told'),
    untold: places('told-the-truth'),
  }
}
