import { cpSync, rmSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { LogReading } from '../../src/nats/bus.ts'
import { openBus } from '../../src/nats/connect.ts'
import { api } from '../../src/nats/jetstream-api.ts'
import { openNamespace } from '../../src/nats/setup.ts'
import type { LogMessage } from '../../src/protocol/entries.ts'
import { openProxy } from '../harness/proxy.ts'
import { type OpenTest, openTest, until, useServer } from '../harness/server.ts'

const server = useServer()

interface Collected {
  readonly sequences: number[]
  readonly messages: LogMessage[]
  readonly gaps: [number, number][]
  caughtUp: number
  reading: LogReading
}

async function collect(t: Pick<OpenTest, 'log'>, from = 1): Promise<Collected> {
  const collected: Collected = { sequences: [], messages: [], gaps: [], caughtUp: 0, reading: { stop: async () => {} } }
  collected.reading = await t.log.read({
    from,
    onMessages: (messages) => {
      for (const message of messages) {
        collected.sequences.push(message.sequence)
        collected.messages.push(message)
      }
    },
    onCaughtUp: () => {
      collected.caughtUp = collected.sequences.at(-1) ?? -1
    },
    onGap: (expected, first) => collected.gaps.push([expected, first]),
  })
  return collected
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

/** Appends until `count` are stored, over any loss of the server. */
async function write(t: OpenTest, count: number, data = 'x'): Promise<void> {
  for (let stored = 0; stored < count; ) {
    const batch = Array.from({ length: Math.min(200, count - stored) }, () =>
      t.log.append(t.subjects.submit('mail'), Buffer.from(data), { timeoutMs: 20_000 }),
    )
    stored += (await Promise.all(batch)).filter((result) => result.outcome === 'stored').length
  }
}

test('a reader gets every message once, in order, with subject, time, data and lower-cased headers', async () => {
  await using t = await openTest(server)
  const before = Date.now()
  const subject = t.subjects.submit('mail')
  await t.log.append(subject, Buffer.from('hello'), { headers: { 'X-One': 'eins' }, messageId: 'm' })
  await write(t, 5_000)
  const read = await collect(t)
  await until(() => read.sequences.length === 5_001, 'all is read')
  expect(read.sequences).toEqual(numbers(1, 5_001))
  const first = read.messages[0]!
  expect(first.subject).toBe(subject)
  expect(Buffer.from(first.data).toString()).toBe('hello')
  expect(first.headers?.get('x-one')).toBe('eins')
  expect(first.headers?.get('nats-msg-id')).toBe('m')
  expect(read.messages[1]!.headers).toBeUndefined()
  expect(Number.isInteger(first.timestampMs)).toBe(true)
  expect(first.timestampMs).toBeGreaterThanOrEqual(before)
  expect(first.timestampMs).toBeLessThanOrEqual(Date.now())
  expect(first.timestampMs).toBe((await t.log.get(1))?.timestampMs)
  expect((await t.log.lastOf(subject))?.timestampMs).toBe(read.messages.at(-1)!.timestampMs)
  await read.reading.stop()
})

test('of headers of the same name the first counts, however the message is read', async () => {
  await using t = await openTest(server)
  const headers = { 'Troupe-Id': 'first', 'TROUPE-ID': 'second', 'X-Spaced': '  a b  ', 'X-Empty': '' }
  await t.log.append(t.subjects.submit('mail'), Buffer.from('x'), { headers })
  const read = await collect(t)
  await until(() => read.sequences.length === 1, 'it is read')
  const any = await t.log.get(1)
  const leader = await t.log.lastOf(t.subjects.submit('mail'))
  const [ranged] = await t.log.getRange(1, 1, 1_000)
  for (const message of [read.messages[0], any, leader, ranged]) {
    expect([...message!.headers!].filter(([name]) => name.startsWith('troupe') || name.startsWith('x-'))).toEqual([
      ['troupe-id', 'first'],
      ['x-spaced', 'a b'],
      ['x-empty', ''],
    ])
  }
  await read.reading.stop()
})

test('onCaughtUp comes once, after everything that was there when reading began', async () => {
  await using t = await openTest(server)
  const empty = await collect(t)
  await until(() => empty.caughtUp === -1, 'caught up with nothing')
  await write(t, 300)
  const read = await collect(t, 100)
  await until(() => read.caughtUp > 0, 'caught up')
  expect(read.caughtUp).toBe(300)
  expect(read.sequences).toEqual(numbers(100, 300))
  await write(t, 10)
  await until(() => read.sequences.length === 211, 'what came later')
  expect(read.caughtUp).toBe(300)
  await Promise.all([read.reading.stop(), empty.reading.stop()])
})

test('a reader that starts behind the end gets what is written from then on', async () => {
  await using t = await openTest(server)
  await write(t, 10)
  const read = await collect(t, 11)
  await until(() => read.caughtUp !== 0, 'caught up')
  await write(t, 3)
  await until(() => read.sequences.length === 3, 'the new ones')
  expect(read.sequences).toEqual([11, 12, 13])
  await read.reading.stop()
})

test('nothing is delivered after stop, and the consumer is gone', async () => {
  await using t = await openTest(server)
  await write(t, 50)
  const read = await collect(t)
  await until(() => read.sequences.length === 50, 'all is read')
  await read.reading.stop()
  await write(t, 5)
  await t.bus.flush()
  expect(read.sequences.length).toBe(50)
  const { state } = await api<{ state: { consumer_count: number } }>(t.bus, `STREAM.INFO.${t.log.stream}`)
  expect(state.consumer_count).toBe(0)
})

test('stopping inside onMessages ends the delivery at once', async () => {
  await using t = await openTest(server)
  await write(t, 2_000)
  let calls = 0
  let reading: LogReading | undefined
  const opened = t.log.read({
    from: 1,
    onMessages: () => {
      calls++
      void reading?.stop()
    },
    onGap: () => {},
  })
  reading = await opened
  await write(t, 500)
  await until(() => calls > 0, 'a first batch')
  const callsThen = calls
  await write(t, 50)
  await t.bus.flush()
  expect(calls).toBeLessThanOrEqual(callsThen + 1)
})

test('a reader has no gap and no repetition over kill -9 and restart of the server', async () => {
  await using t = await openTest(server)
  const read = await collect(t)
  await write(t, 500)
  await until(() => read.sequences.length === 500, 'the first 500')
  for (let round = 1; round <= 2; round++) {
    const writing = write(t, 2_000)
    await server.kill()
    await server.restart()
    await writing
    const { lastSequence } = await t.log.info()
    await until(() => read.sequences.length === lastSequence, `all ${lastSequence} are read`)
    expect(read.sequences).toEqual(numbers(1, lastSequence))
  }
  expect(read.gaps).toEqual([])
  await read.reading.stop()
})

test('a reader goes on when only its consumer is lost', async () => {
  await using t = await openTest(server)
  const read = await collect(t)
  await write(t, 10)
  await until(() => read.sequences.length === 10, 'the first ten')
  const { consumers } = await api<{ consumers: string[] }>(t.bus, `CONSUMER.NAMES.${t.log.stream}`)
  await api(t.bus, `CONSUMER.DELETE.${t.log.stream}.${consumers[0]}`)
  await write(t, 10)
  await until(() => read.sequences.length === 20, 'the other ten')
  expect(read.sequences).toEqual(numbers(1, 20))
  expect(read.gaps).toEqual([])
  await read.reading.stop()
})

test('reading from what was trimmed is a gap', async () => {
  await using t = await openTest(server)
  await write(t, 10)
  await t.log.trim(6)
  const read = await collect(t, 3)
  await until(() => read.gaps.length > 0, 'the gap is told')
  expect(read.gaps).toEqual([[3, 6]])
  expect(read.sequences).toEqual([])
  const rest = await collect(t, 6)
  await until(() => rest.sequences.length === 5, 'the rest is read')
  await rest.reading.stop()
})

test('a trim of what a disconnected reader has not read is a gap when it is back', async () => {
  await using t = await openTest(server)
  await using proxy = await openProxy(server.url)
  const bus = await openBus({ servers: proxy.url, name: 'behind a proxy' })
  const { log } = await openNamespace(bus, { namespace: t.subjects.namespace })
  await write(t, 10)
  const read = await collect({ log })
  await until(() => read.sequences.length === 10, 'the first ten')
  proxy.cut()
  await until(() => !bus.connected, 'the loss is noticed')
  await write(t, 10)
  await t.log.trim(16)
  proxy.heal()
  await until(() => read.gaps.length > 0, 'the gap is told')
  expect(read.gaps).toEqual([[11, 16]])
  expect(read.sequences).toEqual(numbers(1, 10))
  await bus.close()
})

test('a log that lost its end and has grown again is a gap, even for a reader that missed both', async () => {
  await using t = await openTest(server)
  await write(t, 10)
  const { storeDir } = server.process
  const kept = `${storeDir}-kept`
  await server.kill()
  cpSync(storeDir, kept, { recursive: true })
  await server.restart()
  await write(t, 5)
  await using proxy = await openProxy(server.url)
  const bus = await openBus({ servers: proxy.url, name: 'behind a proxy' })
  const { log } = await openNamespace(bus, { namespace: t.subjects.namespace })
  const all = await collect({ log })
  const end = await collect({ log }, 16)
  await until(() => all.sequences.length === 15 && end.caughtUp !== 0, 'all is read')
  proxy.cut()
  await until(() => !bus.connected, 'the loss is noticed')
  await server.kill()
  rmSync(storeDir, { recursive: true })
  cpSync(kept, storeDir, { recursive: true })
  await server.restart()
  await write(t, 20, 'y')
  proxy.heal()
  await until(() => all.gaps.length > 0 && end.gaps.length > 0, 'the gap is told')
  expect(all.sequences).toEqual(numbers(1, 15))
  expect(end.sequences).toEqual([])
  await bus.close()
  rmSync(kept, { recursive: true })
})

test('a disconnected reader gets what it missed, once', async () => {
  await using t = await openTest(server)
  await using proxy = await openProxy(server.url)
  const bus = await openBus({ servers: proxy.url, name: 'behind a proxy' })
  const { log } = await openNamespace(bus, { namespace: t.subjects.namespace })
  const read = await collect({ log })
  for (let round = 1; round <= 3; round++) {
    const writing = write(t, 3_000)
    proxy.cut()
    await until(() => !bus.connected, 'the loss is noticed')
    proxy.heal()
    await writing
    await until(() => read.sequences.length === round * 3_000, 'all is read')
  }
  expect(read.sequences).toEqual(numbers(1, 9_000))
  expect(read.gaps).toEqual([])
  await bus.close()
})

test('a log that ends before what was read is a gap', async () => {
  await using t = await openTest(server)
  await write(t, 10)
  const read = await collect(t, 20)
  await until(() => read.gaps.length > 0, 'the gap is told')
  expect(read.gaps).toEqual([[20, 1]])
})

test('a trim that the consumer has passed over while everything is connected is a gap', async () => {
  await using t = await openTest(server)
  await using other = await openTest(server, t.subjects.namespace)
  const data = Buffer.alloc(100_000)
  await Promise.all(numbers(1, 150).map(() => other.log.append(t.subjects.submit('mail'), data)))
  let gap: [number, number] | undefined
  let last = 0
  const reading = await t.log.read({
    from: 1,
    onMessages: (messages) => {
      last = messages.at(-1)!.sequence
      // Stays behind, so that the server still has most of it to send.
      const untilMs = performance.now() + 20
      while (performance.now() < untilMs && last < 100);
    },
    onGap: (expected, first) => {
      gap = [expected, first]
    },
  })
  await other.log.trim(150)
  await until(() => gap || last === 150, 'gap or end')
  // The server may have sent all before the trim; what may not be is silence about what was passed over.
  if (gap) {
    expect(gap[0]).toBe(last + 1)
    expect(gap[1]).toBeGreaterThan(gap[0])
  } else expect(last).toBe(150)
  await reading.stop()
})

test('a message that is missing, in the middle or at the end, is a gap', async () => {
  await using t = await openTest(server)
  await write(t, 10)
  const remove = (seq: number) => api(t.bus, `STREAM.MSG.DELETE.${t.log.stream}`, { seq })
  await remove(10)
  const end = await collect(t)
  await until(() => end.gaps.length > 0, 'the gap at the end is told')
  expect(end.sequences).toEqual(numbers(1, 9))
  expect(end.gaps).toEqual([[10, 11]])
  await remove(5)
  const middle = await collect(t)
  await until(() => middle.gaps.length > 0, 'the gap in the middle is told')
  expect(middle.sequences).toEqual(numbers(1, 4))
  expect(middle.gaps).toEqual([[5, 6]])
})

test('a stream that was deleted, or made anew, is a gap', async () => {
  await using t = await openTest(server)
  await write(t, 10)
  const read = await collect(t)
  await until(() => read.sequences.length === 10, 'all is read')
  const { config } = await api<{ config: object }>(t.bus, `STREAM.INFO.${t.log.stream}`)
  await api(t.bus, `STREAM.DELETE.${t.log.stream}`)
  await api(t.bus, `STREAM.CREATE.${t.log.stream}`, config)
  await write(t, 20)
  await until(() => read.gaps.length > 0, 'the gap is told')
  expect(read.gaps[0]?.[0]).toBe(11)
  expect(read.sequences.length).toBe(10)
})

test('a handler that is slower than the writer gets everything all the same', async () => {
  await using t = await openTest(server)
  let count = 0
  const reading = await t.log.read({
    from: 1,
    onMessages: (messages) => {
      count += messages.length
      const untilMs = performance.now() + 5
      while (performance.now() < untilMs);
    },
    onGap: () => {
      count = Number.NEGATIVE_INFINITY
    },
  })
  await write(t, 3_000, 'y'.repeat(4_000))
  await until(() => count === 3_000, 'all is taken', 20_000)
  await reading.stop()
})

test('getRange gives what is there in order, within its bounds', async () => {
  await using t = await openTest(server)
  await write(t, 100, 'z'.repeat(1_000))
  await t.log.trim(11)
  const sequences = async (...args: [number, number, number]) => (await t.log.getRange(...args)).map((m) => m.sequence)
  expect(await sequences(1, 5, 1e6)).toEqual(numbers(11, 15))
  expect(await sequences(98, 50, 1e6)).toEqual(numbers(98, 100))
  expect(await sequences(101, 50, 1e6)).toEqual([])
  expect(await sequences(20, 0, 1e6)).toEqual([])
  const bounded = await sequences(20, 50, 5_000)
  expect(bounded.length).toBeGreaterThan(0)
  expect(bounded.length).toBeLessThan(10)
  expect(await t.log.get(5)).toBeUndefined()
  expect(await t.log.get(20)).toMatchObject({ sequence: 20, subject: t.subjects.submit('mail'), headers: undefined })
  expect(await t.log.lastOf(t.subjects.submit('nobody'))).toBeUndefined()
})

test('a reserve is given back when the door opens, however often it was taken', async () => {
  await using t = await openTest(server)
  const { bytesMax } = await t.log.info()
  for (let round = 0; round < 3; round++) {
    await t.log.takeReserve()
    const { reserveBytes } = await t.log.info()
    expect(reserveBytes).toBeGreaterThan(0)
    await t.log.takeReserve()
    expect(await t.log.info()).toMatchObject({ bytesMax, reserveBytes, doorOpen: false })
    await t.log.setDoor(true)
    expect(await t.log.info()).toMatchObject({ bytesMax, reserveBytes: 0, doorOpen: true })
  }
})

test('a trim removes what is before a sequence and never more', async () => {
  await using t = await openTest(server)
  await write(t, 10)
  await t.log.trim(1)
  expect(await t.log.info()).toMatchObject({ firstSequence: 1, lastSequence: 10, messages: 10 })
  await t.log.trim(4)
  expect(await t.log.info()).toMatchObject({ firstSequence: 4, lastSequence: 10, messages: 7 })
  await t.log.trim(2)
  await t.log.trim(1_000)
  expect(await t.log.info()).toMatchObject({ firstSequence: 11, lastSequence: 10, messages: 0 })
  await write(t, 1)
  expect(await t.log.info()).toMatchObject({ firstSequence: 11, lastSequence: 11 })
})
