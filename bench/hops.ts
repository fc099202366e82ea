/**
 * What the way of a task costs by itself: the same hops with the NATS client alone, nothing packed, folded or decided. `direct`
 * is the least that a durable task can do (client, log, worker, log, client); `scheduled` is Troupe's way (client, log,
 * scheduler, node, log, scheduler, client). One message at a time; rounds in turn.
 *   node bench/hops.ts [--messages 3000] [--rounds 3]
 */
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { jetstreamManager } from '@nats-io/jetstream'
import { connect, type NatsConnection } from '@nats-io/transport-node'
import { endChild, startChild } from './processes.ts'
import { startServers } from './servers.ts'

type Way = 'direct' | 'scheduled'

const script = fileURLToPath(import.meta.url)
const stream = 'HOPS'
const size = 250

if (process.send === undefined) await measure()
else await beChild()

/** Calls back for every message that the stream has stored under this subject, as a push consumer delivers it. */
async function follow(nats: NatsConnection, subject: string, take: (data: Uint8Array) => void): Promise<void> {
  const inbox = `inbox.${process.pid}.${subject}`
  nats.subscribe(inbox, {
    callback: (_, message) => {
      if (message.reply?.startsWith('$JS.ACK')) take(message.data)
      else message.respond()
    },
  })
  const manager = await jetstreamManager(nats)
  const config = { deliver_subject: inbox, filter_subject: subject, ack_policy: 'none', mem_storage: true } as const
  await manager.consumers.add(stream, config)
}

/** One process between others: what comes in one way goes out another. */
async function beChild(): Promise<void> {
  const [url, what] = process.argv.slice(2) as [string, string]
  const nats = await connect({ servers: url })
  // Where the acknowledgements of the stream go, which nobody here waits for.
  nats.subscribe('acks', { callback: () => {} })
  const store = (subject: string, data: Uint8Array) => nats.publish(subject, data, { reply: 'acks' })
  if (what === 'worker') await follow(nats, 'log.direct.task', (data) => store('log.direct.result', data))
  else if (what === 'node') {
    nats.subscribe('award', { callback: (_, { data }) => store('log.scheduled.result', data) })
  } else {
    await follow(nats, 'log.scheduled.task', (data) => nats.publish('award', data))
    await follow(nats, 'log.scheduled.result', (data) => nats.publish('tell', data))
  }
  await nats.flush()
  process.send?.('ready')
  await once(process, 'message')
  await nats.close()
  process.exit(0)
}

async function measure(): Promise<void> {
  const { values } = parseArgs({
    options: { messages: { type: 'string', default: '3000' }, rounds: { type: 'string', default: '3' } },
  })
  const servers = await startServers(1, false)
  const nats = await connect({ servers: servers.url })
  const manager = await jetstreamManager(nats)
  await manager.streams.add({ name: stream, subjects: ['log.>'] })
  const children = []
  for (const what of ['worker', 'node', 'scheduler']) children.push(await startChild(script, [servers.url, what]))
  let back = () => {}
  nats.subscribe('acks', { callback: () => {} })
  nats.subscribe('tell', { callback: () => back() })
  await follow(nats, 'log.direct.result', () => back())
  const data = new Uint8Array(size)
  const send = (way: Way) =>
    new Promise<void>((resolve) => {
      back = resolve
      nats.publish(`log.${way}.task`, data, { reply: 'acks' })
    })
  const ways: readonly Way[] = ['direct', 'scheduled']
  for (const way of ways) for (let n = 0; n < 1_000; n++) await send(way)
  for (let round = 1; round <= Number(values.rounds); round++) {
    for (const way of ways) {
      const times: number[] = []
      for (let n = 0; n < Number(values.messages); n++) {
        const startMs = performance.now()
        await send(way)
        times.push(performance.now() - startMs)
      }
      times.sort((a, b) => a - b)
      const at = (share: number) => times[Math.floor(times.length * share)]!.toFixed(3)
      console.log(`${way}: p10 ${at(0.1)}, p50 ${at(0.5)}, p99 ${at(0.99)} ms`)
    }
  }
  await Promise.all(children.map(endChild))
  await nats.close()
  await servers.stop()
}
