/**
 * Starts and keeps the heartbeat thread of a node's process, and shows it that the main loop turns. Decides nothing but
 * when to start a thread that died again.
 */
import { Worker } from 'node:worker_threads'
import type { Bus, Subscription } from '../../nats/bus.ts'
import type { BusOptions } from '../../nats/connect.ts'
import { packBlock } from '../../protocol/blocks.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { machineMs, pulse, type ThreadOrder, type ThreadStart } from './words.ts'

export interface HeartbeatOptions {
  /** As for the main connection; the name gets "-heartbeat" appended. */
  readonly connection: BusOptions
  readonly subjects: Subjects
  readonly node: string
  /** The main connection, which answers probes as well: both must be gone before nobody answers. */
  readonly bus?: Pick<Bus, 'subscribe' | 'publish'>
  /** Default 250. */
  readonly beatMs?: number
  /** The thread ended unasked; it is started again. */
  readonly onTrouble?: (error: unknown) => void
}

export interface RunningHeartbeat {
  /** Beats for this incarnation from now on, in these partitions (default: the first); undefined: for none. */
  setIncarnation(incarnation: string | undefined, partitions?: readonly number[]): void
  /** The connection of the thread is closed and the thread has ended, after 2 s at the latest. */
  stop(): Promise<void>
}

const pulseMs = 100
const stopMsMax = 2_000
const startAgainMs = 500
/** Plenty for one connection; its size is what a node pays for its thread. */
const resourceLimits = { maxOldGenerationSizeMb: 48, maxYoungGenerationSizeMb: 4, stackSizeMb: 1 }
const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'

/** Returns at once; the thread connects by itself, again and again. Nothing is beaten before `setIncarnation`. */
export function startHeartbeat(options: HeartbeatOptions): RunningHeartbeat {
  const { subjects, node, bus } = options
  const start: ThreadStart = {
    connection: { ...options.connection, name: `${options.connection.name}-heartbeat` },
    namespace: subjects.namespace,
    partitions: subjects.partitions,
    node,
    beatMs: options.beatMs ?? 250,
    pulse: new SharedArrayBuffer(8 * pulse.length),
  }
  const shared = new BigInt64Array(start.pulse)
  let incarnation: string | undefined
  let partitions: readonly number[] = []
  let probes: Subscription[] = []
  let stopping = false
  let again: NodeJS.Timeout | undefined
  let worker = launch()

  const turn = () => {
    Atomics.add(shared, pulse.tick, 1n)
    Atomics.store(shared, pulse.tickAtMs, machineMs())
  }
  turn()
  // Not what keeps a process alive.
  const timer = setInterval(turn, pulseMs).unref()

  function answerProbe({ reply }: { readonly reply: string | undefined }): void {
    const tick = Number(Atomics.load(shared, pulse.tick))
    if (reply !== undefined) bus?.publish(reply, packBlock([0, tick, 0]))
  }

  function launch(): Worker {
    const launched = new Worker(new URL(`./thread.${extension}`, import.meta.url), {
      workerData: start,
      resourceLimits,
      name: 'troupe-heartbeat',
    })
    launched.unref()
    launched.on('error', (error) => options.onTrouble?.(error))
    launched.on('exit', () => {
      if (stopping) return
      again = setTimeout(() => {
        worker = launch()
        tell({ order: 'beat', incarnation, partitions })
      }, startAgainMs).unref()
    })
    return launched
  }

  function tell(order: ThreadOrder): void {
    worker.postMessage(order)
  }

  return {
    setIncarnation(next, joined = [0]) {
      incarnation = next
      partitions = joined
      tell({ order: 'beat', incarnation, partitions })
      for (const probe of probes) probe.unsubscribe()
      if (!bus || next === undefined) probes = []
      else probes = partitions.map((partition) => bus.subscribe(subjects.of(partition).probe(node, next), answerProbe))
    },
    async stop() {
      if (stopping) return
      stopping = true
      clearInterval(timer)
      clearTimeout(again)
      for (const probe of probes) probe.unsubscribe()
      await ended(worker, tell)
    },
  }
}

async function ended(worker: Worker, tell: (order: ThreadOrder) => void): Promise<void> {
  if (worker.threadId === -1) return
  const exit = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
  const late = setTimeout(() => void worker.terminate(), stopMsMax)
  worker.ref()
  tell({ order: 'stop' })
  await exit
  clearTimeout(late)
}
