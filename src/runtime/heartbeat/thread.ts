/**
 * The heartbeat thread: beats for its node's process over a connection of its own, so that neither a busy main loop nor a
 * full socket can silence it. It says how old the main loop's last turn is; what that means, supervisors decide. It also
 * answers probes. It ends with its process: that silence is what supervisors detect.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { Bus, Subscription } from '../../nats/bus.ts'
import { openBus } from '../../nats/connect.ts'
import { packBlock } from '../../protocol/blocks.ts'
import { Subjects } from '../../protocol/subjects.ts'
import { machineMs, pulse, type ThreadOrder, type ThreadStart } from './words.ts'

const start = workerData as ThreadStart
const subjects = new Subjects(start.namespace, 0, start.partitions)
const shared = new BigInt64Array(start.pulse)
const connectAgainMs = 250
/**
 * A main loop that has not turned for so long, and not once over several beats, will not turn again. Its process is ended,
 * so that whoever watches over processes can start another. Supervisors have fenced it before.
 */
const hopelessMs = 45_000
const hopelessBeats = 8

let bus: Bus | undefined
let incarnation: string | undefined
/** Those in which it has joined. */
let partitions: readonly Subjects[] = []
let probes: Subscription[] = []
let beats = 0
let stopping = false
let hopeless = 0
let lastTick = -1n

parentPort?.on('message', (message: ThreadOrder) => {
  if (message.order === 'stop') void stop()
  else {
    partitions = message.partitions.map((partition) => subjects.of(partition))
    beatFor(message.incarnation)
  }
})
const timer = setInterval(beat, start.beatMs)
await connect()

async function connect(): Promise<void> {
  while (!stopping && !bus) {
    try {
      const opened = await openBus(start.connection)
      if (stopping) return void (await opened.close())
      bus = opened
    } catch {
      // The main thread has the same trouble, and reports it.
      await new Promise((done) => setTimeout(done, connectAgainMs))
    }
  }
  beatFor(incarnation)
}

function beatFor(next: string | undefined): void {
  incarnation = next
  for (const probe of probes) probe.unsubscribe()
  probes = []
  if (!bus || incarnation === undefined) return
  for (const own of partitions) {
    const probe = bus.subscribe(own.probe(start.node, incarnation), ({ reply }) => {
      if (reply !== undefined) bus?.publish(reply, heartbeat())
    })
    probes.push(probe)
  }
  beat()
}

function beat(): void {
  endIfHopeless()
  // While disconnected a beat would be kept and sent late, which is worse than none.
  if (!bus?.connected || incarnation === undefined) return
  const data = heartbeat()
  for (const own of partitions) bus.publish(own.heartbeat(start.node, incarnation), data)
}

function heartbeat(): Uint8Array {
  const tickAgeMs = machineMs() - Atomics.load(shared, pulse.tickAtMs)
  beats += 1
  return packBlock([beats, Number(Atomics.load(shared, pulse.tick)), Math.max(0, Number(tickAgeMs))])
}

function endIfHopeless(): void {
  const tick = Atomics.load(shared, pulse.tick)
  const ageMs = Number(machineMs() - Atomics.load(shared, pulse.tickAtMs))
  hopeless = tick === lastTick && ageMs > hopelessMs ? hopeless + 1 : 0
  lastTick = tick
  // At a debugger's breakpoint the loop stands still too.
  if (hopeless < hopelessBeats || process.execArgv.some((option) => option.startsWith('--inspect'))) return
  process.stderr.write(`troupe: the main loop of ${start.node} has not turned for ${ageMs} ms; its process is ended\n`)
  process.kill(process.pid, 'SIGKILL')
}

async function stop(): Promise<void> {
  stopping = true
  clearInterval(timer)
  await bus?.close().catch(() => {})
  parentPort?.close()
}
