/** `bench`: throughput and latency of this installation. */
import { type ChildProcess, fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { extname } from 'node:path'
import { TroupeError } from '../../../protocol/errors.ts'
import type { BenchNodeStart } from '../../bench/bench-node.ts'
import { type Measurements, mayForget, measure, tasksOf } from '../../bench/measurements.ts'
import type { Invocation } from '../program.ts'
import { jsonArgument, withTroupe } from '../session.ts'
import { connectionOf, type GlobalOptions, present } from '../settings.ts'

interface BenchOptions extends GlobalOptions {
  readonly type?: string
  readonly input?: string
  readonly tasks: number
  readonly inFlight: number
  readonly payload: number
  readonly timeout: number
}

const nodeStartMsMax = 15_000

export async function bench(invocation: Invocation): Promise<number> {
  const { output } = invocation
  const options = invocation.options as BenchOptions
  const input = options.input === undefined ? 'x'.repeat(options.payload) : await jsonArgument(options.input)
  const type = options.type ?? `troupe-bench-${randomBytes(3).toString('hex')}`
  const found = await withTroupe(invocation, async (troupe) => {
    if (!(await mayForget(troupe))) {
      const left = `${whole(tasksOf(options.tasks))} tasks of type "${type}" stay until their results are dropped by age or number`
      output.note(`This user may not remove tasks: ${left}. An operator's credentials leave nothing behind.`)
    }
    const node = options.type === undefined ? await startNode(type, options) : undefined
    try {
      const { tasks, inFlight, timeout } = options
      return await measure(troupe, { type, input, tasks, inFlight, timeoutMs: timeout })
    } finally {
      if (node !== undefined) await leave(node)
    }
  })
  if (output.json) output.value(found)
  else output.fields(fieldsOf(found))
  return 0
}

function fieldsOf({ bulk, single, latencyMs }: Measurements): [string, string][] {
  const { p50, p99, max } = latencyMs
  return [
    ['many at once', `${whole(bulk.perSecond)} tasks/s end to end, accepted at ${whole(bulk.acceptedPerSecond)}/s`],
    [`singly, ${single.inFlight} in flight`, `${whole(single.perSecond)} tasks/s`],
    ['one at a time', `p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`],
  ]
}

function whole(count: number): string {
  return count.toLocaleString('en')
}

/** It connects as this command does. A node with credentials has the name that they say. */
async function startNode(type: string, options: BenchOptions): Promise<ChildProcess> {
  const { namespace, encryption, creds } = options
  const entry = new URL(`../../bench/bench-node${extname(import.meta.url)}`, import.meta.url)
  const node = fork(entry, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const answer = new Promise<unknown>((resolve) => {
    node.once('message', resolve)
    node.once('exit', (code) => resolve(`its process ended with ${code}`))
    setTimeout(() => resolve(`it has not joined within ${nodeStartMsMax} ms`), nodeStartMsMax).unref()
  })
  const name = creds === undefined ? type : undefined
  const start: BenchNodeStart = { type, namespace, ...connectionOf(options), ...present({ name, encryption }) }
  node.send(start)
  const said = await answer
  if (said === 'ready') return node
  await leave(node)
  throw new TroupeError('TROUPE_NO_ANSWER', `the node to measure with could not start: ${String(said)}`)
}

/** It drains by itself once it is let go. */
async function leave(node: ChildProcess): Promise<void> {
  if (node.exitCode !== null || node.signalCode !== null) return
  const gone = new Promise((resolve) => node.once('exit', resolve))
  const timer = setTimeout(() => node.kill('SIGKILL'), nodeStartMsMax)
  if (node.connected) node.disconnect()
  await gone
  clearTimeout(timer)
}
