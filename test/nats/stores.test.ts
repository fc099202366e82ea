import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StreamInfo } from '@nats-io/jetstream'
import { expect, test } from 'vitest'
import { StreamCheckpointStore } from '../../src/nats/checkpoints.ts'
import { openBus } from '../../src/nats/connect.ts'
import type { NatsBus } from '../../src/nats/connection.ts'
import { api } from '../../src/nats/jetstream-api.ts'
import { JetStreamObjectBucket } from '../../src/nats/object-bucket.ts'
import { BucketObjects } from '../../src/nats/objects.ts'
import { openNamespace } from '../../src/nats/setup.ts'
import { limits } from '../../src/protocol/limits.ts'
import { startEmbeddedServer } from '../../src/runtime/server/embedded.ts'
import { openProxy } from '../harness/proxy.ts'
import { freshNamespace, type OpenTest, openTest, until, useServer } from '../harness/server.ts'

const server = useServer()
const bytes = (text: string) => Buffer.from(text)
const text = (data: Uint8Array | undefined) => (data ? Buffer.from(data).toString() : undefined)

async function joined(parts: AsyncIterable<Uint8Array>): Promise<string[]> {
  const all: string[] = []
  for await (const part of parts) all.push(text(part)!)
  return all
}

// --- leases -----------------------------------------------------------------------------------------------------

test('of many who take a free lease at once one gets it', async () => {
  await using t = await openTest(server)
  const others = await Promise.all(Array.from({ length: 4 }, () => openTest(server, t.subjects.namespace)))
  const takes = await Promise.all([t, ...others].map(({ leases }, i) => leases.put('scheduler', bytes(`n${i}`), 0)))
  const winners = takes.flatMap((revision, i) => (revision === undefined ? [] : [{ revision, i }]))
  expect(winners).toHaveLength(1)
  const [winner] = winners
  expect(await t.leases.get('scheduler')).toMatchObject({ revision: winner!.revision })
  expect(text((await t.leases.get('scheduler'))?.value)).toBe(`n${winner!.i}`)
  const renewals = await Promise.all(
    [t, ...others].map(({ leases }, i) => leases.put('scheduler', bytes(`r${i}`), winner!.revision)),
  )
  expect(renewals.filter((revision) => revision !== undefined)).toHaveLength(1)
  expect(await t.leases.put('scheduler', bytes('late'), winner!.revision)).toBeUndefined()
  await Promise.all(others.map((other) => other.close()))
})

test('a lease that is not there is undefined', async () => {
  await using t = await openTest(server)
  expect(await t.leases.get('nobody')).toBeUndefined()
})

test('a watch tells the present value and each change, and a removal by any KV client as undefined', async () => {
  await using t = await openTest(server)
  const first = await t.leases.put('k', bytes('1'), 0)
  await t.leases.put('other', bytes('x'), 0)
  const seen: [string | undefined, number][] = []
  const watch = await t.leases.watch('k', (value, revision) => seen.push([text(value), revision]))
  await until(() => seen.length === 1, 'the present value')
  const second = await t.leases.put('k', bytes('2'), first!)
  await until(() => seen.length === 2, 'the change')
  t.bus.publish(`$KV.${t.subjects.leaseBucket}.k`, new Uint8Array(0), { headers: { 'KV-Operation': 'DEL' } })
  await until(() => seen.length === 3, 'the removal')
  expect(seen).toEqual([
    ['1', first],
    ['2', second],
    [undefined, second! + 1],
  ])
  expect(await t.leases.get('k')).toBeUndefined()
  watch.unsubscribe()
})

test('a watch misses no last value over a lost connection and repeats none', async () => {
  await using t = await openTest(server)
  await using proxy = await openProxy(server.url)
  const bus = await openBus({ servers: proxy.url, name: 'behind a proxy' })
  const { leases } = await openNamespace(bus, { namespace: t.subjects.namespace })
  const seen: string[] = []
  const watch = await leases.watch('k', (value) => seen.push(text(value)!))
  let revision = (await t.leases.put('k', bytes('1'), 0))!
  await until(() => seen.length === 1, 'the first value')
  proxy.cut()
  await until(() => !bus.connected, 'the loss is noticed')
  for (const value of ['2', '3']) revision = (await t.leases.put('k', bytes(value), revision))!
  proxy.heal()
  await until(() => seen.at(-1) === '3', 'the last value')
  proxy.cut()
  await until(() => !bus.connected, 'the loss is noticed')
  proxy.heal()
  await until(() => bus.connected, 'the connection is back')
  await t.leases.put('k', bytes('4'), revision)
  await until(() => seen.at(-1) === '4', 'the next value')
  expect(seen).toEqual(['1', '3', '4'])
  watch.unsubscribe()
  await bus.close()
})

test('a lease written while the answer is lost is TROUPE_NO_ANSWER', async () => {
  await using t = await openTest(server)
  await using proxy = await openProxy(server.url)
  const bus = await openBus({ servers: proxy.url, name: 'behind a proxy' })
  const { leases } = await openNamespace(bus, { namespace: t.subjects.namespace })
  proxy.freeze()
  const put = leases.put('k', bytes('x'), 0)
  put.catch(() => {})
  proxy.cut()
  await expect(put).rejects.toMatchObject({ code: 'TROUPE_NO_ANSWER' })
  proxy.heal()
  await bus.close()
})

test('a lease in a bucket that is not there, or has no leader, is no lost race', async () => {
  await using t = await openTest(server)
  await t.leases.put('k', bytes('x'), 0)
  await api(t.bus, `STREAM.DELETE.KV_${t.subjects.leaseBucket}`)
  await expect(t.leases.put('k', bytes('y'), 1)).rejects.toMatchObject({ code: 'TROUPE_NO_ANSWER' })
})

test('a watch tells what a store holds that was set back, whose revisions begin anew', async () => {
  await using t = await openTest(server)
  const stream = `KV_${t.subjects.leaseBucket}`
  for (let revision = 0; revision < 5; revision++) await t.leases.put('k', bytes('old'), revision)
  const seen: [string | undefined, number][] = []
  const watch = await t.leases.watch('k', (value, revision) => seen.push([text(value), revision]))
  await until(() => seen.length === 1, 'the present value')
  const { config } = await api<{ config: object }>(t.bus, `STREAM.INFO.${stream}`)
  await api(t.bus, `STREAM.DELETE.${stream}`)
  await api(t.bus, `STREAM.CREATE.${stream}`, config)
  await t.leases.put('k', bytes('new'), 0)
  await until(() => seen.length === 2, 'what the store holds now')
  expect(seen).toEqual([
    ['old', 5],
    ['new', 1],
  ])
  watch.unsubscribe()
})

// --- checkpoints ------------------------------------------------------------------------------------------------

test('checkpoints come newest first with their parts, and the newest few are kept', async () => {
  await using t = await openTest(server)
  for (let i = 1; i <= 5; i++) {
    async function* parts() {
      for (let part = 0; part < i * 10; part++) yield bytes(`${i}.${part}`)
    }
    await t.checkpoints.save(bytes(`m${i}`), parts(), 3)
  }
  const list = await t.checkpoints.list()
  expect(list.map(({ manifest }) => text(manifest))).toEqual(['m5', 'm4', 'm3'])
  expect(list[0]!.savedAtMs).toBeGreaterThan(Date.now() - 60_000)
  expect(await joined(list[1]!.parts())).toEqual(Array.from({ length: 40 }, (_, part) => `4.${part}`))
  const info = await api<{ state: { num_subjects: number } }>(
    t.bus,
    `STREAM.INFO.${t.subjects.checkpointStream(t.partition)}`,
  )
  expect(info.state.num_subjects).toBe(50 + 40 + 30 + 3)
})

test('a checkpoint without parts is one', async () => {
  await using t = await openTest(server)
  await t.checkpoints.save(bytes('alone'), [], 2)
  const [only] = await t.checkpoints.list()
  expect(await joined(only!.parts())).toEqual([])
})

test('a save that breaks off leaves no checkpoint and no parts', async () => {
  await using t = await openTest(server)
  async function* parts() {
    yield bytes('1')
    yield bytes('2')
    throw new Error('the disk is gone')
  }
  await expect(t.checkpoints.save(bytes('m'), parts(), 2)).rejects.toThrow('the disk is gone')
  await expect(
    t.checkpoints.save(bytes('m'), [bytes('1'), Buffer.alloc(limits.blockBytesMax + 1)], 2),
  ).rejects.toMatchObject({ code: 'TROUPE_TOO_LARGE' })
  expect(await t.checkpoints.list()).toEqual([])
  expect(await checkpointMessages(t)).toBe(0)
})

test('what a killed process has left of a checkpoint is no checkpoint, and is removed when it is old', async () => {
  await using t = await openTest(server)
  const torn = `${Date.now().toString(36).padStart(9, '0')}-killed`
  for (const part of ['0', '1']) {
    expect(await t.log.append(t.subjects.checkpoint(0, torn, part), bytes('x'))).toMatchObject({ outcome: 'stored' })
  }
  expect(await t.checkpoints.list()).toEqual([])
  await t.checkpoints.save(bytes('good'), [bytes('a')], 2)
  // It may still be being written.
  expect(await checkpointMessages(t)).toBe(4)
  const later = new StreamCheckpointStore(t.bus, t.subjects, 0, { now: () => Date.now() + 11 * 60_000 })
  await later.save(bytes('better'), [bytes('b')], 2)
  expect((await t.checkpoints.list()).map(({ manifest }) => text(manifest))).toEqual(['better', 'good'])
  expect(await checkpointMessages(t)).toBe(4)
})

test('a checkpoint that has lost a part says so when it is read', async () => {
  await using t = await openTest(server)
  await t.checkpoints.save(bytes('m'), [bytes('a'), bytes('b')], 2)
  await api(t.bus, `STREAM.PURGE.${t.subjects.checkpointStream(0)}`, { filter: t.subjects.checkpoint(0, '*', '1') })
  const [damaged] = await t.checkpoints.list()
  await expect(joined(damaged!.parts())).rejects.toMatchObject({ code: 'TROUPE_LOG_MISMATCH' })
})

const mebibyte = 1024 * 1024
const smallest = { logBytesMax: 16 * mebibyte }
const partsOf = (count: number) => Array.from({ length: count }, () => Buffer.alloc(mebibyte / 2))

async function checkpointMebibytes(t: OpenTest) {
  const info = await api<StreamInfo>(t.bus, `STREAM.INFO.${t.subjects.checkpointStream(0)}`)
  return info.config.max_bytes / mebibyte
}

test('checkpoints that outgrow their stream are given more', async () => {
  await using t = await openTest(server, freshNamespace(), smallest)
  expect(await checkpointMebibytes(t)).toBe(16)
  for (let i = 1; i <= 4; i++) await t.checkpoints.save(bytes(`m${i}`), partsOf(12), 3)
  expect((await t.checkpoints.list()).map(({ manifest }) => text(manifest))).toEqual(['m4', 'm3', 'm2'])
  expect(await checkpointMebibytes(t)).toBe(32)
})

test('where the server has no more room, older checkpoints make room for the newest; one that never fits leaves them', async () => {
  const storeDir = mkdtempSync(join(tmpdir(), 'troupe-no-room-'))
  // Four streams of 16 MiB, and little more.
  const small = await startEmbeddedServer({ storeDir, maxStoreBytes: 70 * mebibyte })
  try {
    const bus = await openBus({ servers: small.url, name: 'no room' })
    const { checkpoints } = await openNamespace(bus, smallest)
    const saved = async () => (await checkpoints.list()).map(({ manifest }) => text(manifest))
    for (let i = 1; i <= 4; i++) await checkpoints.save(bytes(`m${i}`), partsOf(12), 3)
    expect((await saved())[0]).toBe('m4')
    await expect(checkpoints.save(bytes('huge'), partsOf(40), 3)).rejects.toMatchObject({ code: 'TROUPE_REFUSED' })
    expect(await saved()).toEqual(['m4'])
    expect((await joined((await checkpoints.list())[0]!.parts())).length).toBe(12)
    await bus.close()
  } finally {
    await small.stop()
    rmSync(storeDir, { recursive: true, force: true, maxRetries: 3 })
  }
})

async function checkpointMessages(t: {
  bus: Parameters<typeof api>[0]
  subjects: { checkpointStream(p: number): string }
}) {
  const info = await api<{ state: { messages: number } }>(t.bus, `STREAM.INFO.${t.subjects.checkpointStream(0)}`)
  return info.state.messages
}

// --- objects ----------------------------------------------------------------------------------------------------

/** A store as another process has it, which has stored nothing recently; with the bucket that it is in. */
function another(t: Pick<Awaited<ReturnType<typeof openTest>>, 'bus' | 'subjects'>) {
  const bucket = new JetStreamObjectBucket(t.bus, t.subjects.objectBucket)
  return { bucket, objects: new BucketObjects(bucket) }
}

async function messagesOf(bus: NatsBus, bucket: string): Promise<number> {
  return (await api<{ state: { messages: number } }>(bus, `STREAM.INFO.OBJ_${bucket}`)).state.messages
}

test('an object is stored once under its hash and comes back whole', async () => {
  await using t = await openTest(server)
  const data = Buffer.alloc(3_000_000, 'troupe')
  const [name, again] = [await t.objects.put(data), await t.objects.put(data)]
  expect(name).toMatch(/^[0-9a-f]{64}$/)
  expect(again).toBe(name)
  expect(Buffer.from((await t.objects.get(name))!).equals(data)).toBe(true)
  expect(await t.objects.names()).toEqual([name])
  const found = await t.objects.find(name)
  expect(found).toEqual({ name, bytes: data.length, sequence: expect.any(Number), storedAtMs: expect.any(Number) })
  const { serverTimeMs, bytes, bytesMax } = await t.objects.usage()
  expect(found!.storedAtMs).toBeGreaterThan(serverTimeMs - 60_000)
  expect(bytes).toBeGreaterThan(3_000_000)
  expect(bytesMax).toBeGreaterThan(bytes)
})

test('an empty object is one', async () => {
  await using t = await openTest(server)
  const name = await t.objects.put(new Uint8Array(0))
  expect(await t.objects.get(name)).toHaveLength(0)
})

test('the same object stored by many at once is there afterwards, and what the others uploaded is a leftover', async () => {
  await using t = await openTest(server)
  const data = Buffer.alloc(500_000, 'x')
  const [name] = await Promise.all([t.objects.put(data), another(t).objects.put(data), another(t).objects.put(data)])
  expect(Buffer.from((await t.objects.get(name))!).equals(data)).toBe(true)
  expect(await t.objects.names()).toEqual([name])
  await t.objects.removeLeftovers(0)
  expect(await messagesOf(t.bus, t.subjects.objectBucket)).toBe(3 * 4 + 1)
  await t.objects.removeLeftovers(Number.MAX_SAFE_INTEGER)
  expect(await messagesOf(t.bus, t.subjects.objectBucket)).toBe(4 + 1)
  expect(Buffer.from((await t.objects.get(name))!).equals(data)).toBe(true)
})

test('an object that is absent, removed, or does not fit its name is undefined', async () => {
  await using t = await openTest(server)
  expect(await t.objects.get('0'.repeat(64))).toBeUndefined()
  expect(await t.objects.get('../etc')).toBeUndefined()
  const name = await t.objects.put(bytes('gone'))
  const found = (await t.objects.find(name))!
  expect([await t.objects.remove(found), await t.objects.remove(found)]).toEqual([true, false])
  expect([await t.objects.get(name), await t.objects.find(name)]).toEqual([undefined, undefined])
  expect(await messagesOf(t.bus, t.subjects.objectBucket)).toBe(0)
  expect(await t.objects.put(bytes('gone'))).toBe(name)
  expect(text(await t.objects.get(name))).toBe('gone')
  const damaged = await t.objects.put(Buffer.alloc(300_000, 'd'))
  const { config } = await api<{ config: { name: string } }>(t.bus, `STREAM.INFO.OBJ_${t.subjects.objectBucket}`)
  const { state } = await api<{ state: { last_seq: number } }>(t.bus, `STREAM.INFO.${config.name}`)
  await api(t.bus, `STREAM.MSG.DELETE.${config.name}`, { seq: state.last_seq - 2 })
  await expect(t.objects.get(damaged)).resolves.toBeUndefined()
})

test('an object that another process stores again is renewed, and is not removed by who found it before', async () => {
  await using t = await openTest(server)
  const name = await t.objects.put(bytes('wanted'))
  const found = (await t.objects.find(name))!
  await t.objects.put(bytes('wanted'))
  expect((await t.objects.find(name))!.sequence).toBe(found.sequence)
  await another(t).objects.put(bytes('wanted'))
  expect((await t.objects.find(name))!.sequence).toBeGreaterThan(found.sequence)
  expect(await t.objects.remove(found)).toBe(false)
  expect(text(await t.objects.get(name))).toBe('wanted')
  expect(await t.objects.removeLeftovers(0)).toBe(1)
  expect(await messagesOf(t.bus, t.subjects.objectBucket)).toBe(2)
})

test('of a put and a removal between whose steps the other comes one wins, and what was put is there', async () => {
  await using t = await openTest(server)
  const name = await t.objects.put(bytes('contested'))
  const found = (await t.objects.find(name))!
  // The removal comes after the put has found the object and before it renews it.
  const { bucket, objects } = another(t)
  const writeInfo = bucket.writeInfo.bind(bucket)
  let outcome: boolean | undefined
  bucket.writeInfo = async (info, expected) => {
    outcome ??= await t.objects.remove(found)
    return writeInfo(info, expected)
  }
  await objects.put(bytes('contested'))
  expect(outcome).toBe(true)
  expect(text(await t.objects.get(name))).toBe('contested')
  // The put comes after the removal has found the object, before it writes; and after it has written, before it purges.
  for (const step of ['writeInfo', 'removeUpload'] as const) {
    const remover = another(t)
    const original = remover.bucket[step].bind(remover.bucket) as (...args: unknown[]) => Promise<never>
    let isFirst = true
    remover.bucket[step] = async (...args: unknown[]) => {
      if (isFirst) await another(t).objects.put(bytes('contested'))
      isFirst = false
      return original(...args)
    }
    await remover.objects.remove((await t.objects.find(name))!)
    expect(text(await t.objects.get(name)), step).toBe('contested')
  }
  expect(await messagesOf(t.bus, t.subjects.objectBucket)).toBe(2)
})

test('what a removal that broke off has left goes with the leftovers', async () => {
  await using t = await openTest(server)
  const name = await t.objects.put(bytes('half gone'))
  const { bucket, objects } = another(t)
  bucket.removeUpload = () => Promise.reject(new Error('the process was killed'))
  await expect(objects.remove((await t.objects.find(name))!)).rejects.toThrow('was killed')
  expect([await t.objects.get(name), await t.objects.find(name)]).toEqual([undefined, undefined])
  expect(await t.objects.removeLeftovers(0)).toBe(2)
  expect(await messagesOf(t.bus, t.subjects.objectBucket)).toBe(0)
})

test('a store without any room left gives it back', async () => {
  await using t = await openTest(server)
  const stream = `OBJ_${t.subjects.objectBucket}`
  const name = await t.objects.put(Buffer.alloc(200_000, 'f'))
  const other = await t.objects.put(bytes('kept'))
  const { config, state } = await api<{ config: object; state: { bytes: number } }>(t.bus, `STREAM.INFO.${stream}`)
  await api(t.bus, `STREAM.UPDATE.${stream}`, { ...config, max_bytes: state.bytes + 10 })
  await expect(another(t).objects.put(bytes('more'))).rejects.toMatchObject({ code: 'TROUPE_REFUSED' })
  await expect(another(t).objects.put(bytes('kept'))).rejects.toMatchObject({ code: 'TROUPE_REFUSED' })
  expect(await t.objects.remove((await t.objects.find(name))!)).toBe(true)
  expect(await t.objects.get(name)).toBeUndefined()
  expect(text(await t.objects.get(other))).toBe('kept')
  expect(await messagesOf(t.bus, t.subjects.objectBucket)).toBe(2)
  await another(t).objects.put(bytes('more'))
})

test('what is refused above a share of the store is taken without one', async () => {
  await using t = await openTest(server)
  const stream = `OBJ_${t.subjects.objectBucket}`
  const there = Buffer.alloc(200_000, 'a')
  await t.objects.put(there)
  const { config, state } = await api<{ config: object; state: { bytes: number } }>(t.bus, `STREAM.INFO.${stream}`)
  await api(t.bus, `STREAM.UPDATE.${stream}`, { ...config, max_bytes: Math.ceil(state.bytes / 0.9) })
  const shareMax = 0.8
  await expect(t.objects.put(bytes('new'), { shareMax })).rejects.toMatchObject({ code: 'TROUPE_REFUSED' })
  await another(t).objects.put(there, { shareMax })
  await t.objects.put(bytes('new'))
})

// --- the namespace ----------------------------------------------------------------------------------------------

test('opening a namespace again, by many at once, changes nothing', async () => {
  await using t = await openTest(server)
  await t.log.append(t.subjects.submit('a'), bytes('x'))
  await t.log.setDoor(false)
  const before = await t.log.info()
  const others = await Promise.all(Array.from({ length: 4 }, () => openTest(server, t.subjects.namespace)))
  expect(await others[0]!.log.info()).toEqual({ ...before, serverTimeMs: expect.any(Number) })
  expect(before).toMatchObject({ doorOpen: false, messages: 1, replicas: 1, bytesMax: 64 * 1024 * 1024 })
  await Promise.all(others.map((other) => other.close()))
})

test('a limit is raised when asked for, and never lowered', async () => {
  await using t = await openTest(server)
  const mebibyte = 1024 * 1024
  const { namespace } = t.subjects
  expect((await (await openNamespace(t.bus, { namespace, logBytesMax: 128 * mebibyte })).log.info()).bytesMax).toBe(
    128 * mebibyte,
  )
  expect((await (await openNamespace(t.bus, { namespace, logBytesMax: 32 * mebibyte })).log.info()).bytesMax).toBe(
    128 * mebibyte,
  )
  expect((await (await openNamespace(t.bus, { namespace })).log.info()).bytesMax).toBe(128 * mebibyte)
})

test('a stream of that name which is none of ours is left alone', async () => {
  await using t = await openTest(server)
  const name = 'TROUPE_foreign_LOG_0'
  await api(t.bus, `STREAM.CREATE.${name}`, { name, subjects: ['foreign'], retention: 'workqueue', storage: 'file' })
  await expect(openNamespace(t.bus, { namespace: 'foreign' })).rejects.toMatchObject({ code: 'TROUPE_INVALID_OPTION' })
})

test('a log takes what room the server has', async () => {
  const small = await startEmbeddedServer({ maxStoreBytes: 1024 ** 3 })
  const bus = await openBus({ servers: small.url, name: 'small' })
  const { log } = await openNamespace(bus)
  const { bytesMax } = await log.info()
  expect(bytesMax).toBeGreaterThan(64 * 1024 ** 2)
  expect(bytesMax).toBeLessThanOrEqual(1024 ** 3)
  await bus.close()
  await small.stop()
})

test('a log that was given a size has it, may be given more, never less, and is refused what the server lacks', async () => {
  const small = await startEmbeddedServer({ maxStoreBytes: 512 * mebibyte })
  const bus = await openBus({ servers: small.url, name: 'small' })
  const sized = async (logBytesMax: number) => (await openNamespace(bus, { logBytesMax })).log.info()
  for (const [asked, has] of [
    [100, 100],
    [120, 120],
    [50, 120],
  ] as const) {
    expect((await sized(asked * mebibyte)).bytesMax).toBe(has * mebibyte)
  }
  await expect(sized(600 * mebibyte)).rejects.toMatchObject({ code: 'TROUPE_REFUSED' })
  await expect(openNamespace(bus, { namespace: 'other', logBytesMax: 600 * mebibyte })).rejects.toMatchObject({
    code: 'TROUPE_REFUSED',
  })
  await bus.close()
  await small.stop()
})

test('many processes that open a namespace at once on a server with little room all find room', async () => {
  for (let round = 0; round < 3; round++) {
    const small = await startEmbeddedServer({ maxStoreBytes: 1024 ** 3 })
    const buses = await Promise.all(Array.from({ length: 6 }, () => openBus({ servers: small.url, name: 'opener' })))
    const opened = await Promise.all(buses.map((bus) => openNamespace(bus)))
    await Promise.all(opened.map(({ log }) => log.info()))
    await Promise.all(buses.map((bus) => bus.close()))
    await small.stop()
  }
})

test('room that another gives back while a namespace is opened is found', async () => {
  const small = await startEmbeddedServer({ maxStoreBytes: 1024 ** 3 })
  const bus = await openBus({ servers: small.url, name: 'opener' })
  const other = { name: 'other', subjects: ['other'], storage: 'file', max_bytes: 1020 * 1024 ** 2 }
  await api(bus, 'STREAM.CREATE.other', other)
  // Every size is asked for and refused before the other stream goes.
  let asked = 0
  const refused = Promise.withResolvers<void>()
  const watch = bus.subscribe('$JS.API.STREAM.CREATE.>', () => {
    if (++asked === 10) refused.resolve()
  })
  const opening = openNamespace(bus)
  await refused.promise
  await api(bus, 'STREAM.DELETE.other')
  const { log } = await opening
  expect((await log.info()).bytesMax).toBeGreaterThan(0)
  watch.unsubscribe()
  await bus.close()
  await small.stop()
})
