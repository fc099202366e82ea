/**
 * What tasks that wait cost: resident memory and CPU of a scheduler as its queue grows, how long its restart takes with
 * all of them live, and the cost of a task while the queue is drained.
 *   node bench/scale.ts [--tasks 1000000] [--batch 100000] [--types 1] [--priorities] [--delayed 0] [--rest 0] [--no-drain]
 */
import type { ChildProcess } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect } from '../src/client/index.ts'
import type { StatsAnswer } from '../src/protocol/messages.ts'
import { startEmbeddedServer } from '../src/runtime/server/embedded.ts'
import { cpuMs, endChild, residentMiB, startChild } from './processes.ts'

const pipeline = fileURLToPath(new URL('./pipeline.ts', import.meta.url))

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '1000000' },
    batch: { type: 'string', default: '100000' },
    types: { type: 'string', default: '1' },
    priorities: { type: 'boolean', default: false },
    delayed: { type: 'string', default: '0' },
    rest: { type: 'string', default: '0' },
    'no-drain': { type: 'boolean', default: false },
  },
})
const [tasks, batch, types, delayed] = [values.tasks, values.batch, values.types, values.delayed].map(Number) as [
  number,
  number,
  number,
  number,
]
const pad = 'x'.repeat(184)
const server = await startEmbeddedServer()
let scheduler = await child('scheduler,supervisor')
const troupe = await connect({ servers: server.url })

await queue(1, 0)
const emptyMiB = residentMiB(scheduler.pid!)
console.log(`nothing queued: ${emptyMiB} MiB`)
if (delayed > 0) {
  await troupe.submitMany('noop', inputs(delayed), { delay: '1d' })
  await queue(1, 0)
  console.log(`${delayed.toLocaleString('en')} delayed: ${residentMiB(scheduler.pid!)} MiB`)
}
for (let done = 1; done < tasks; done += batch) {
  const cpu = cpuMs(scheduler.pid!)
  await queue(batch, done)
  const mib = residentMiB(scheduler.pid!)
  const perTask = Math.round(((mib - emptyMiB) * 1_048_576) / (done + batch + delayed))
  const us = ((cpuMs(scheduler.pid!) - cpu) * 1_000) / batch
  console.log(
    `${(done + batch - 1).toLocaleString('en')} queued: ${mib} MiB, ${perTask} B per task; CPU ${us.toFixed(1)} µs per task`,
  )
}

if (values.rest !== '0') {
  await sleep(Number(values.rest) * 1_000)
  const mib = residentMiB(scheduler.pid!)
  const perTask = Math.round(((mib - emptyMiB) * 1_048_576) / (tasks + delayed))
  console.log(`${values.rest} s later: ${mib} MiB, ${perTask} B per task`)
}

const standby = await child('scheduler,supervisor', 1, 'standby')
console.log(`standby: ${residentMiB(standby.pid!)} MiB`)
await killed(scheduler)
const takeover = performance.now()
await stats()
console.log(`standby took over ${since(takeover)} after the leader was killed`)
await killed(standby)
const restart = performance.now()
scheduler = await child('scheduler,supervisor')
console.log(`restarted and caught up ${since(restart)} after both were killed: ${residentMiB(scheduler.pid!)} MiB`)
await stats()
console.log(
  `leads ${since(restart)} after both were killed, with ${(cpuMs(scheduler.pid!) / 1_000).toFixed(2)} s of CPU`,
)

if (!values['no-drain']) {
  const node = await child('node', types)
  let cpu = cpuMs(scheduler.pid!)
  let nodeCpu = cpuMs(node.pid!)
  let completed = 0
  let start = performance.now()
  for (let total = 0; total < tasks; ) {
    await sleep(200)
    total = (await stats()).totals.completed
    if (total - completed < batch && total < tasks) continue
    const count = total - completed
    const us = ((cpuMs(scheduler.pid!) - cpu) * 1_000) / count
    const nodeUs = ((cpuMs(node.pid!) - nodeCpu) * 1_000) / count
    const rate = Math.round((count / (performance.now() - start)) * 1_000)
    console.log(
      `${total.toLocaleString('en')} done: ${residentMiB(scheduler.pid!)} MiB; CPU scheduler ${us.toFixed(1)}, node ${nodeUs.toFixed(1)} µs per task; ${rate.toLocaleString('en')}/s`,
    )
    ;[cpu, nodeCpu, completed, start] = [cpuMs(scheduler.pid!), cpuMs(node.pid!), total, performance.now()]
  }
  await endChild(node)
}
await troupe.close()
await endChild(scheduler)
await server.stop()

/** Submits so many, and returns once the scheduler has them. */
async function queue(count: number, first: number): Promise<void> {
  const perType = Math.ceil(count / types)
  const before = first === 0 ? 0 : (await stats()).totals.submitted
  const submissions: Promise<unknown>[] = []
  for (let type = 0; type * perType < count; type++) {
    const some = inputs(Math.min(perType, count - type * perType))
    const name = type === 0 ? 'noop' : `noop-${type}`
    if (!values.priorities) submissions.push(troupe.submitMany(name, some))
    else
      for (let priority = 0; priority < 10; priority++)
        submissions.push(
          troupe.submitMany(
            name,
            some.filter((_, i) => i % 10 === priority),
            { priority },
          ),
        )
  }
  await Promise.all(submissions)
  while ((await stats()).totals.submitted < before + count) await sleep(20)
}

function inputs(count: number): { i: number; ms: number; pad: string }[] {
  return Array.from({ length: count }, (_, i) => ({ i, ms: 0, pad }))
}

/** A scheduler that reads a long log does not answer for a while. */
async function stats(): Promise<StatsAnswer> {
  for (;;) {
    try {
      return await troupe.stats()
    } catch {
      await sleep(10)
    }
  }
}

function since(atMs: number): string {
  return `${((performance.now() - atMs) / 1_000).toFixed(2)} s`
}

/** The process is ready: it has folded the log, or joined. */
function child(roles: string, typeCount = 1, ...more: string[]): Promise<ChildProcess> {
  return startChild(pipeline, [server.url, roles, String(typeCount), ...more])
}

function killed(process: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    process.once('exit', () => resolve())
    process.kill('SIGKILL')
  })
}
