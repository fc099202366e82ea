/**
 * How long a task takes from submission to its outcome while tasks arrive at a steady rate, whatever the answers do (open
 * loop), and what each process spends on it: CPU per task, longest pause of the garbage collector, longest wait of the
 * event loop. Shapes of load:
 *   plain    tasks of 200 bytes that do nothing
 *   sizes    inputs of 200 bytes to 100 kB, as many of each order of magnitude
 *   types    1,000 types, in turn
 *   bursts   all tasks of a second at once
 *   lengths  one in a hundred takes 200 ms; its own time is not counted
 * `--bulk N` submits N tasks at once instead, and waits for all.
 *   node bench/steady.ts [--shape plain] [--rate 6000] [--seconds 8] [--warm 1] [--bulk N] [--rounds 1] [--sync]
 *     [--replicas 3] [--partitions 1] [--profile DIR]
 */
import { monitorEventLoopDelay, PerformanceObserver } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { connect, type Troupe, task } from '../src/client/index.ts'
import { createLogger } from '../src/runtime/logger.ts'
import { type Role, TroupeProcess } from '../src/runtime/process.ts'
import { cpuMs, endChild, profiled, startChild } from './processes.ts'
import { startServers } from './servers.ts'

interface Arrival {
  readonly type: string
  readonly input: { readonly i: number; readonly ms: number; readonly pad: string }
}
type Shape = (i: number) => Arrival

const script = fileURLToPath(import.meta.url)
const pad = 'x'.repeat(184)
const typeCount = 1_000

const plain: Shape = (i) => ({ type: 'work', input: { i, ms: 0, pad } })
const shapes: Readonly<Record<string, Shape>> = {
  plain,
  bursts: plain,
  // The fractional part of multiples of the golden ratio: every order of magnitude equally often, in no order.
  sizes: (i) => ({ type: 'work', input: { i, ms: 0, pad: 'x'.repeat(200 * 500 ** ((i * 0.618_033_988_75) % 1)) } }),
  types: (i) => ({ type: `work-${i % typeCount}`, input: { i, ms: 0, pad } }),
  lengths: (i) => ({ type: 'work', input: { i, ms: i % 100 === 99 ? 200 : 0, pad } }),
}

if (process.send === undefined) await measure()
else await beChild()

/** The longest pauses of this process since it was asked last. */
function watchPauses(): () => string {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  let longestMs = 0
  let count = 0
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      longestMs = Math.max(longestMs, duration)
      if (duration > 5) count++
    }
  }).observe({ entryTypes: ['gc'] })
  delay.enable()
  return () => {
    const loop = `loop p99 ${(delay.percentile(99) / 1e6).toFixed(1)} max ${(delay.max / 1e6).toFixed(1)} ms`
    const text = `${loop}, gc max ${longestMs.toFixed(1)} ms, ${count} over 5 ms`
    delay.reset()
    longestMs = 0
    count = 0
    return text
  }
}

async function beChild(): Promise<void> {
  const [servers, roles, replicas, partitions, shape] = process.argv.slice(2) as [
    string,
    string,
    string,
    string,
    string,
  ]
  const names = shape === 'types' ? Array.from({ length: typeCount }, (_, i) => `work-${i}`) : ['work']
  const pauses = watchPauses()
  const troupe = await TroupeProcess.start({
    servers,
    replicas: Number(replicas),
    partitions: Number(partitions),
    roles: roles.split(',') as Role[],
    slots: 1_000,
    definitions: names.map((name) =>
      task(name, ({ i, ms }: Arrival['input']) => (ms === 0 ? { i } : sleep(ms).then(() => ({ i })))),
    ),
    logger: createLogger('warn', false),
  })
  await troupe.led(60_000)
  process.send?.('ready')
  process.on('message', (what) => {
    if (what === 'pauses') process.send?.(pauses())
    else void troupe.stop().then(() => process.exit(0))
  })
}

/** Resolves with how long each task took, ms, without its own time. */
async function load(troupe: Troupe, shape: Shape, rate: number, seconds: number, burst: boolean): Promise<number[]> {
  const took: number[] = []
  const open: Promise<unknown>[] = []
  const count = Math.ceil(rate * seconds)
  const startMs = performance.now()
  const submit = async (i: number) => {
    const { type, input } = shape(i)
    const submittedMs = performance.now()
    await (await troupe.submit(type, input)).result()
    took.push(performance.now() - submittedMs - input.ms)
  }
  for (let i = 0; i < count; ) {
    const elapsedMs = performance.now() - startMs
    const due = burst ? rate * Math.ceil(elapsedMs / 1_000) : (rate * elapsedMs) / 1_000
    for (; i < due && i < count; i++) open.push(submit(i))
    await sleep(1)
  }
  await Promise.all(open)
  return took.sort((a, b) => a - b)
}

/** Resolves with what became of so many tasks that were submitted at once, in words. */
async function bulk(troupe: Troupe, shape: Shape, count: number): Promise<string> {
  const arrivals = Array.from({ length: count }, (_, i) => shape(i))
  const byType = Map.groupBy(arrivals, ({ type }) => type)
  const bytes = arrivals.reduce((sum, { input }) => sum + input.pad.length, 0)
  const startMs = performance.now()
  const handles = await Promise.all(
    [...byType].map(([type, list]) =>
      troupe.submitMany(
        type,
        list.map(({ input }) => input),
      ),
    ),
  )
  await Promise.all(handles.flat().map((handle) => handle.result()))
  const seconds = (performance.now() - startMs) / 1_000
  return `${count} at once: ${Math.round(count / seconds)}/s, ${Math.round(bytes / 1e6 / seconds)} MB/s`
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: {
      shape: { type: 'string', default: 'plain' },
      rate: { type: 'string', default: '6000' },
      seconds: { type: 'string', default: '8' },
      warm: { type: 'string', default: '1' },
      bulk: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      sync: { type: 'boolean', default: false },
      replicas: { type: 'string', default: '1' },
      partitions: { type: 'string', default: '1' },
      profile: { type: 'string' },
    },
  })
  const shape = shapes[values.shape]
  if (shape === undefined) throw new Error(`no shape ${values.shape}; there are ${Object.keys(shapes).join(', ')}`)
  const servers = await startServers(Number(values.replicas), values.sync)
  const options = profiled(values.profile)
  const how = [values.replicas, values.partitions, values.shape]
  const scheduler = await startChild(script, [servers.url, 'scheduler,supervisor', ...how], options)
  const node = await startChild(script, [servers.url, 'node', ...how], options)
  const children = { scheduler, node }
  const pauses = watchPauses()
  const troupe = await connect({ servers: servers.url })
  const pids = { client: [process.pid], scheduler: [scheduler.pid!], node: [node.pid!], server: servers.pids }
  const used = (of: readonly number[]) => of.reduce((sum, pid) => sum + cpuMs(pid), 0)
  const rate = Number(values.rate)
  const burst = values.shape === 'bursts'
  const longest = async () => {
    const ask = (name: keyof typeof children) =>
      new Promise<string>((resolve) => {
        children[name].once('message', (text) => resolve(`  ${name}: ${String(text)}`))
        children[name].send('pauses')
      })
    return [`  client: ${pauses()}`, await ask('scheduler'), await ask('node')]
  }
  await load(troupe, shape, rate / 3, Number(values.warm), burst)
  await longest()
  for (let round = 1; round <= Number(values.rounds); round++) {
    if (values.bulk !== undefined) {
      console.log(`${values.shape}, ${await bulk(troupe, shape, Number(values.bulk))}`)
      continue
    }
    const before = Object.entries(pids).map(([name, of]) => ({ name, of, was: used(of) }))
    const took = await load(troupe, shape, rate, Number(values.seconds), burst)
    const cost = before.map(({ name, of, was }) => `${name} ${(((used(of) - was) * 1_000) / took.length).toFixed(0)}`)
    const at = (share: number) => took[Math.floor(took.length * share)]!.toFixed(1)
    console.log(`${values.shape}, ${rate}/s: p50 ${at(0.5)}, p95 ${at(0.95)}, p99 ${at(0.99)}, max ${at(0.99999)} ms`)
    console.log(`  CPU µs per task: ${cost.join(', ')}`)
    console.log((await longest()).join('\n'))
  }
  await troupe.close()
  await Promise.all([endChild(node), endChild(scheduler)])
  await servers.stop()
}
