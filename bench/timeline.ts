/**
 * Where the time of one task goes when tasks are submitted one at a time: when each process read and wrote what. A busy
 * machine lengthens every stage at random, so the tenth percentile says more about the program than the median does.
 *   node bench/timeline.ts [--tasks 6000]
 */
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect, task } from '../src/client/index.ts'
import { createLogger } from '../src/runtime/logger.ts'
import { type Role, TroupeProcess } from '../src/runtime/process.ts'
import { startEmbeddedServer } from '../src/runtime/server/embedded.ts'
import { startChild } from './processes.ts'
import { clockUs, type WireEvent, wireEvents } from './wire-clock.ts'

type Told = WireEvent & { readonly by: string }

const warmUp = 2_000
const pad = 'x'.repeat(184)

/** The stages of a task, each from the end of the one before: who did what, and on which subject. */
const stages: readonly [what: string, by: string, way: WireEvent['way'], subject: string][] = [
  ['client packs and writes', 'client', 'write', '.block.'],
  ['server stores, scheduler reads', 'scheduler', 'read', '.block.'],
  ['scheduler folds and awards', 'scheduler', 'write', '.node.'],
  ['node reads the award', 'node', 'read', '.node.'],
  ['node runs, writes its journal', 'node', 'write', '.journal.'],
  ['server stores, scheduler reads', 'scheduler', 'read', '.journal.'],
  ['scheduler folds and tells', 'scheduler', 'write', '.tell.'],
  ['client reads the outcome', 'client', 'read', '.tell.'],
]

if (process.send === undefined) await measure()
else await beChild()

async function beChild(): Promise<void> {
  const [servers, roles] = process.argv.slice(2) as [string, string]
  const noop = task('noop', async (input: { i: number }) => ({ i: input.i, ok: true }))
  const troupe = await TroupeProcess.start({
    servers,
    roles: roles.split(',') as Role[],
    slots: 1_000,
    definitions: [noop],
    logger: createLogger('warn', false),
  })
  await troupe.led()
  process.send?.('ready')
  process.on('message', (what) => {
    if (what === 'begin') wireEvents.length = 0
    else process.send?.(wireEvents, () => void troupe.stop().then(() => process.exit(0)))
  })
}

async function measure(): Promise<void> {
  const { values } = parseArgs({ options: { tasks: { type: 'string', default: '6000' } } })
  const count = Number(values.tasks)
  const server = await startEmbeddedServer()
  const children = { scheduler: await child(server.url, 'scheduler,supervisor'), node: await child(server.url, 'node') }
  const troupe = await connect({ servers: server.url })
  const run = (i: number) => troupe.submit('noop', { i, ms: 0, pad }).then((handle) => handle.result())
  for (let i = 0; i < warmUp; i++) await run(i)
  for (const each of Object.values(children)) each.send('begin')
  wireEvents.length = 0
  const tasks: { fromUs: number; toUs: number }[] = []
  for (let i = 0; i < count; i++) {
    const fromUs = clockUs()
    await run(i)
    tasks.push({ fromUs, toUs: clockUs() })
  }
  const told: Told[] = wireEvents.map((event) => ({ ...event, by: 'client' }))
  for (const [by, each] of Object.entries(children))
    for (const event of await eventsOf(each)) told.push({ ...event, by })
  await troupe.close()
  await server.stop()
  print(tasks, told)
}

function print(tasks: readonly { fromUs: number; toUs: number }[], told: Told[]): void {
  const columns: number[][] = [...stages.map(() => []), [], []]
  told.sort((a, b) => a.atUs - b.atUs)
  let at = 0
  for (const { fromUs, toUs } of tasks) {
    while (at < told.length && told[at]!.atUs < fromUs) at++
    const lasted: number[] = []
    let sinceUs = fromUs
    for (let i = at; i < told.length && told[i]!.atUs <= toUs && lasted.length < stages.length; i++) {
      const { by, way, subject, atUs } = told[i]!
      const [, expectedBy, expectedWay, part] = stages[lasted.length]!
      if (by !== expectedBy || way !== expectedWay || !subject.includes(part)) continue
      lasted.push(atUs - sinceUs)
      sinceUs = atUs
    }
    // Something else came first in the same read.
    if (lasted.length < stages.length) continue
    for (const [stage, us] of [...lasted, toUs - sinceUs, toUs - fromUs].entries()) columns[stage]!.push(us)
  }
  const names = [...stages.map(([what]) => what), 'client resolves', 'all']
  console.log(`${columns[0]!.length} of ${tasks.length} tasks; µs at p10, p50, p90`)
  for (const [stage, name] of names.entries()) {
    const sorted = columns[stage]!.sort((a, b) => a - b)
    const [p10, p50, p90] = [0.1, 0.5, 0.9].map((part) => sorted[Math.floor(part * sorted.length)]?.toFixed(0) ?? '-')
    console.log(`${name.padEnd(32)} ${p10!.padStart(6)} ${p50!.padStart(6)} ${p90!.padStart(6)}`)
  }
}

function child(servers: string, roles: string): Promise<ChildProcess> {
  return startChild(fileURLToPath(import.meta.url), [servers, roles], { serialization: 'advanced' })
}

function eventsOf(process: ChildProcess): Promise<WireEvent[]> {
  return new Promise((resolve) => {
    process.once('message', (events) => resolve(events as WireEvent[]))
    process.send('end')
  })
}
