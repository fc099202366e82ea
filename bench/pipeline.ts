/**
 * The whole path, one process each: nats-server, scheduler with supervisor, node, client. Prints tasks/s and CPU per task
 * of each process, for bulk, single and one-at-a-time submission.
 *   node bench/pipeline.ts [--tasks 60000] [--rounds 3] [--sync] [--replicas 3] [--partitions 1] [--only bulk|single|one]
 *     [--warm 5000] [--profile DIR]
 */
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect, task } from '../src/client/index.ts'
import { createLogger } from '../src/runtime/logger.ts'
import { type Role, TroupeProcess } from '../src/runtime/process.ts'
import { cpuMs, endChild, profiled, startChild } from './processes.ts'
import { startServers } from './servers.ts'

const script = fileURLToPath(import.meta.url)

const pad = 'x'.repeat(184)

if (process.send === undefined) await measure()
else await beChild()

async function beChild(): Promise<void> {
  const [servers, roles, types = '1', replicas = '1'] = process.argv.slice(2) as [string, string, string?, string?]
  const partitions = process.argv.find((arg) => arg.startsWith('partitions='))?.split('=')[1] ?? '1'
  const noop = (input: { i: number }) => ({ i: input.i, ok: true })
  const names = Array.from({ length: Number(types) }, (_, i) => (i === 0 ? 'noop' : `noop-${i}`))
  const troupe = await TroupeProcess.start({
    servers,
    // Also 'standby' may stand there.
    replicas: Number(replicas) || 1,
    roles: roles.split(',') as Role[],
    slots: 1_000,
    partitions: Number(partitions),
    definitions: names.map((name) => task(name, noop)),
    logger: createLogger('warn', false),
  })
  if (!process.argv.includes('standby')) await troupe.led(60_000)
  process.send?.('ready')
  process.on('message', () => void troupe.stop().then(() => process.exit(0)))
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: {
      tasks: { type: 'string', default: '60000' },
      rounds: { type: 'string', default: '3' },
      sync: { type: 'boolean', default: false },
      replicas: { type: 'string', default: '1' },
      only: { type: 'string' },
      partitions: { type: 'string', default: '1' },
      profile: { type: 'string' },
      warm: { type: 'string', default: '0' },
    },
  })
  const count = Number(values.tasks)
  const servers = await startServers(Number(values.replicas), values.sync)
  const profile = profiled(values.profile)
  const how = ['1', values.replicas, `partitions=${values.partitions}`]
  const scheduler = await startChild(script, [servers.url, 'scheduler,supervisor', ...how], profile)
  const node = await startChild(script, [servers.url, 'node', ...how], profile)
  const troupe = await connect({ servers: servers.url })
  const pids = { client: [process.pid], scheduler: [scheduler.pid ?? 0], node: [node.pid ?? 0], server: servers.pids }
  const inputs = Array.from({ length: count }, (_, i) => ({ i, ms: 0, pad }))

  const bulk = async () => {
    const handles = await troupe.submitMany('noop', inputs)
    await Promise.all(handles.map((handle) => handle.result()))
  }
  const single = async () => {
    let next = 0
    const lane = async () => {
      while (next < count / 3) await (await troupe.submit('noop', inputs[next++])).result()
    }
    await Promise.all(Array.from({ length: 200 }, lane))
  }
  const oneByOne = async () => {
    const times: number[] = []
    for (let i = 0; i < 2_000; i++) {
      const start = performance.now()
      await (await troupe.submit('noop', inputs[i])).result()
      times.push(performance.now() - start)
    }
    times.sort((a, b) => a - b)
    console.log(`  one at a time: p50 ${times[1_000]?.toFixed(2)} ms, p99 ${times[1_980]?.toFixed(2)} ms`)
  }
  const warm = inputs.slice(0, Number(values.warm))
  if (warm.length > 0) await Promise.all((await troupe.submitMany('noop', warm)).map((handle) => handle.result()))
  for (let round = 1; round <= Number(values.rounds); round++) {
    const { only = '' } = values
    if ('bulk'.startsWith(only)) await timed(`bulk ${count}`, count, pids, bulk)
    if ('single'.startsWith(only))
      await timed(`single, 200 in flight, ${Math.round(count / 3)}`, count / 3, pids, single)
    if ('one'.startsWith(only)) await timed('one at a time, 2,000', 2_000, pids, oneByOne)
  }
  await troupe.close()
  await Promise.all([endChild(node), endChild(scheduler)])
  await servers.stop()
}

async function timed(
  what: string,
  count: number,
  pids: Record<string, readonly number[]>,
  run: () => Promise<void>,
): Promise<void> {
  const used = (of: readonly number[]) => of.reduce((sum, pid) => sum + cpuMs(pid), 0)
  const before = Object.entries(pids).map(([name, of]) => ({ name, of, cpuMs: used(of) }))
  const start = performance.now()
  await run()
  const ms = performance.now() - start
  const perTask = before.map(({ name, of, cpuMs: was }) => `${name} ${(((used(of) - was) * 1_000) / count).toFixed(1)}`)
  console.log(
    `${what}: ${Math.round((count / ms) * 1_000).toLocaleString('en')}/s; CPU µs per task: ${perTask.join(', ')}`,
  )
}
