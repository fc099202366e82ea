/**
 * Uneven nodes on real processes: one that is fine, one whose processor three others use, one four times as slow. The same work
 * by several placements, in turn in the same run, so that whatever else the machine does hits all alike.
 *   node bench/scheduling/uneven.ts [--kind inline|thread|process] [--rounds 8] [--tasks 24] [--every 0] [--ms 20] [--seconds 120]
 *     [--placements least-delay,random,round-robin]
 * `--every`: ms between two submissions; 0: a batch. `--ms`: what a task takes of a processor that is its own. `--seconds`: when
 * no further round begins. It needs Linux's `taskset` and two processors of which nobody else wants much: four processes for each
 * placement share them.
 */
import { type ChildProcess, fork, spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { placementsNamed } from '../../src/actors/scheduler/policies/named.ts'
import { connect, type Troupe } from '../../src/client/index.ts'
import { createLogger } from '../../src/runtime/logger.ts'
import { type Role, TroupeProcess } from '../../src/runtime/process.ts'
import { startEmbeddedServer } from '../../src/runtime/server/embedded.ts'
import { loadTasks } from '../../src/runtime/tasks/load.ts'
import { meanOf } from './statistics.ts'

interface Start {
  readonly servers: string
  readonly namespace: string
  readonly name: string
  readonly roles: Role[]
  readonly placement: string
}

interface Round {
  readonly meanMs: number
  readonly waitMs: number
  readonly makespanMs: number
  readonly nodes: readonly string[]
}

const names = ['fine', 'loaded', 'slow'] as const
/** After so long without the end of a task the measurement fails, and says what the task does instead. */
const taskTimeout = '60s'
/** Rounds that do not count. */
const warmUp = 2
const file = fileURLToPath(new URL('./uneven-tasks.ts', import.meta.url))

if (process.send === undefined) await measure()
else process.once('message', (start: Start) => void beChild(start))

async function beChild({ roles, name, ...start }: Start): Promise<void> {
  const loaded = roles.includes('node') ? await loadTasks([file]) : []
  const troupe = await TroupeProcess.start({
    ...start,
    roles,
    name,
    slots: 4,
    definitions: loaded.map(({ definition }) => definition),
    logger: createLogger('error', false),
  })
  await troupe.led()
  process.on('disconnect', () => process.exit())
  process.send?.('ready')
}

/** Keeps a processor busy as long as this process lives. */
function startHog(): ChildProcess {
  const burn =
    "process.on('disconnect', () => process.exit()); setImmediate(function burn() { for (let i = 0; i < 1e7; i++); setImmediate(burn) })"
  return spawn('taskset', ['-c', '0', process.execPath, '-e', burn], { stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
}

async function child(start: Start, processor: number, children: ChildProcess[], env = {}): Promise<void> {
  const how = { execPath: 'taskset', execArgv: ['-c', `${processor}`, process.execPath] }
  const started = fork(fileURLToPath(import.meta.url), { ...how, env: { ...process.env, ...env } })
  children.push(started)
  started.send(start)
  await new Promise((resolve, reject) => {
    started.once('message', resolve)
    started.once('exit', (code) => reject(new Error(`${start.name} ended with ${code}`)))
  })
}

/** An installation of its own for each placement. What it starts is added to `children` at once. */
async function open(servers: string, placement: string, children: ChildProcess[]): Promise<Troupe> {
  const namespace = `uneven-${placement.replace(/\W/g, '-')}`
  const start = { servers, namespace, placement }
  await child({ ...start, name: 'leader', roles: ['scheduler', 'supervisor'] }, 1, children)
  for (const name of names) {
    const env = name === 'slow' ? { UNEVEN_SLOW: '4' } : {}
    await child({ ...start, name, roles: ['node'] }, name === 'loaded' ? 0 : 1, children, env)
  }
  return connect({ servers, namespace })
}

async function round(troupe: Troupe, kind: string, count: number, everyMs: number, rounds: number): Promise<Round> {
  const handles = []
  for (let i = 0; i < count; i++) {
    if (i > 0 && everyMs > 0) await sleep(everyMs)
    handles.push(troupe.submit(kind, { rounds }))
  }
  const all = await Promise.all(handles)
  await Promise.all(all.map((handle) => handle.result({ timeout: taskTimeout })))
  const states = await Promise.all(all.map((handle) => handle.state()))
  const at = (time: string | undefined) => Date.parse(time ?? '')
  return {
    meanMs: meanOf(states.map((one) => at(one.finishedAt) - at(one.submittedAt))),
    waitMs: meanOf(states.map((one) => at(one.startedAt) - at(one.submittedAt))),
    makespanMs:
      Math.max(...states.map((one) => at(one.finishedAt))) - Math.min(...states.map((one) => at(one.submittedAt))),
    nodes: states.map((one) => one.placement?.node ?? ''),
  }
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: {
      kind: { type: 'string', default: 'inline' },
      rounds: { type: 'string', default: '8' },
      tasks: { type: 'string', default: '24' },
      every: { type: 'string', default: '0' },
      ms: { type: 'string', default: '20' },
      seconds: { type: 'string', default: '120' },
      placements: { type: 'string', default: 'least-delay,random,round-robin' },
    },
  })
  const policies = values.placements.split(',')
  for (const policy of policies) placementsNamed(policy)
  checkMachine()
  const endsAtMs = performance.now() + Number(values.seconds) * 1_000
  const storeDir = mkdtempSync(join(tmpdir(), 'troupe-bench-'))
  const server = await startEmbeddedServer({ storeDir })
  const measured = policies.map((): Round[] => [])
  const [count, everyMs, rounds] = [Number(values.tasks), Number(values.every), Number(values.ms) * 100]
  const troupes: Troupe[] = []
  const children: ChildProcess[] = []
  try {
    for (const policy of policies) {
      say(`starting a leader and three nodes: ${policy}`)
      troupes.push(await open(server.url, policy, children))
    }
    for (let i = 0; i < 3; i++) children.push(startHog())
    // In the first, everything is compiled and nothing is known of the nodes.
    for (let n = 0; n < Number(values.rounds) + warmUp && performance.now() < endsAtMs; n++) {
      for (const [i, troupe] of troupes.entries()) {
        const measuredNow = await round(troupe, values.kind, count, everyMs, rounds)
        if (n >= warmUp) measured[i]!.push(measuredNow)
        const { meanMs, makespanMs } = measuredNow
        const which = n < warmUp ? 'warm-up' : `round ${n - warmUp + 1}`
        say(`${which}, ${policies[i]}: mean ${Math.round(meanMs)} ms, makespan ${makespanMs} ms`)
      }
    }
    const { length } = measured.at(-1)!
    if (length === 0)
      throw new Error(`no round that counts was done within ${values.seconds} s: give it more --seconds`)
    if (length < Number(values.rounds)) say(`${length} of ${values.rounds} rounds were done within ${values.seconds} s`)
    print(policies, measured)
  } finally {
    for (const troupe of troupes) await troupe.close()
    for (const each of children) each.kill('SIGKILL')
    await server.stop()
    rmSync(storeDir, { recursive: true, force: true })
  }
}

function checkMachine(): void {
  if (['0', '1'].every((processor) => spawnSync('taskset', ['-c', processor, 'true']).status === 0)) return
  throw new Error('this needs `taskset` (util-linux) and the processors 0 and 1')
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function print(policies: readonly string[], measured: readonly Round[][]): void {
  const rows = policies.map((policy, i) => {
    const all = measured[i]!
    const mean = (of: 'meanMs' | 'waitMs' | 'makespanMs') => Math.round(meanOf(all.map((one) => one[of])))
    const nodes = all.flatMap((one) => one.nodes)
    const share = (name: string) => Math.round((100 * nodes.filter((node) => node === name).length) / nodes.length)
    const shares = Object.fromEntries(names.map((name) => [`${name} %`, share(name)]))
    const row = { 'wait ms': mean('waitMs'), 'mean ms': mean('meanMs'), 'makespan ms': mean('makespanMs'), ...shares }
    return [policy, row] as const
  })
  console.table(Object.fromEntries(rows))
}
