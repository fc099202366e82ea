import { expect, test } from 'vitest'
import { openBus } from '../../src/nats/connect.ts'
import { type Delivery, readDelivery } from '../../src/nats/delivery.ts'
import { openNamespace } from '../../src/nats/setup.ts'
import { startEmbeddedServer } from '../../src/runtime/server/embedded.ts'
import { until } from '../harness/server.ts'

const fresh = (): Delivery => ({ prefix: '-', streamSequence: 0, consumerSequence: 0, timestampMs: 0, pending: 0 })
const values = ({ streamSequence, consumerSequence, timestampMs, pending }: Delivery) => [
  streamSequence,
  consumerSequence,
  timestampMs,
  pending,
]

test('a reply subject of nine tokens is read', () => {
  const delivery = fresh()
  expect(readDelivery('$JS.ACK.TROUPE_main_LOG_0.c1.1.42.7.1795232345678999999.3', delivery)).toBe(true)
  expect(values(delivery)).toEqual([42, 7, 1795232345678, 3])
  expect(readDelivery('$JS.ACK.TROUPE_main_LOG_0.c1.1.9007199254740991.8.1795232345679000000.0', delivery)).toBe(true)
  expect(values(delivery)).toEqual([9007199254740991, 8, 1795232345679, 0])
})

test('a reply subject with domain and account, with or without a token at the end, is read', () => {
  for (const end of ['', '.r4nd0m']) {
    const delivery = fresh()
    expect(readDelivery(`$JS.ACK._.h4sh.S.c1.1.42.7.1795232345678999999.3${end}`, delivery)).toBe(true)
    expect(values(delivery)).toEqual([42, 7, 1795232345678, 3])
  }
})

test('another consumer of another form is told by its prefix', () => {
  const delivery = fresh()
  readDelivery('$JS.ACK.S.c1.1.42.7.1795232345678999999.3', delivery)
  expect(readDelivery('$JS.ACK.hub.h4sh.S.c1.1.43.8.1795232345678999999.4.x', delivery)).toBe(true)
  expect(values(delivery)).toEqual([43, 8, 1795232345678, 4])
})

test('any other reply subject is none', () => {
  for (const reply of ['', '_INBOX.x', '$JS.ACK.', '$JS.ACK.a.b.c', '$JS.FC.S.c1.x']) {
    expect(readDelivery(reply, fresh())).toBe(false)
  }
})

test('a server that uses the longer form is read', async () => {
  const server = await startEmbeddedServer({ config: 'feature_flags { js_ack_fc_v2: true }' })
  const bus = await openBus({ servers: server.url, name: 'long' })
  const { log, subjects } = await openNamespace(bus, { logBytesMax: 64 * 1024 * 1024 })
  const data = Buffer.alloc(1_000)
  await Promise.all(Array.from({ length: 20_000 }, () => log.append(subjects.submit('a'), data)))
  let next = 1
  const reading = await log.read({
    from: 1,
    onMessages: (messages) => {
      for (const message of messages) if (message.sequence === next) next++
    },
    onGap: () => {},
  })
  await until(() => next === 20_001, 'all is read')
  await reading.stop()
  await bus.close()
  await server.stop()
})
