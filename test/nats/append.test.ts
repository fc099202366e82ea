import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ackResult } from '../../src/nats/append.ts'
import { freshNamespace, openTest, until, useServer } from '../harness/server.ts'

const server = useServer()
const bytes = (text: string) => Buffer.from(text)

test('a write is stored at the next sequence', async () => {
  await using t = await openTest(server)
  const subject = t.subjects.journal(0, 'n', 'i')
  expect(await t.log.append(subject, bytes('1'))).toEqual({ outcome: 'stored', sequence: 1, duplicate: false })
  expect(await t.log.append(subject, bytes('2'))).toEqual({ outcome: 'stored', sequence: 2, duplicate: false })
})

test('an expectation that does not hold is refused as wrong-sequence', async () => {
  await using t = await openTest(server)
  const subject = t.subjects.journal(0, 'n', 'i')
  const first = await t.log.append(subject, bytes('1'), { expectedLastSubjectSequence: 0 })
  expect(first).toMatchObject({ outcome: 'stored', sequence: 1 })
  const again = await t.log.append(subject, bytes('2'), { expectedLastSubjectSequence: 0 })
  expect(again).toMatchObject({ outcome: 'refused', reason: 'wrong-sequence', code: 10071 })
  expect(await t.log.append(subject, bytes('2'), { expectedLastSubjectSequence: 1 })).toMatchObject({ sequence: 2 })
})

test('the same message id is stored once and says so', async () => {
  await using t = await openTest(server)
  const subject = t.subjects.submit('mail')
  const first = await t.log.append(subject, bytes('x'), { messageId: 'm1' })
  const again = await t.log.append(subject, bytes('x'), { messageId: 'm1' })
  expect(first).toMatchObject({ outcome: 'stored', duplicate: false, sequence: 1 })
  expect(again).toMatchObject({ outcome: 'stored', duplicate: true, sequence: 1 })
})

test('a closed door refuses submissions with no-responders and takes journals', async () => {
  await using t = await openTest(server)
  await t.log.setDoor(false)
  await t.log.setDoor(false)
  expect((await t.log.info()).doorOpen).toBe(false)
  for (const subject of [t.subjects.submit('mail'), t.subjects.block('c'), t.subjects.signal('x')]) {
    expect(await t.log.append(subject, bytes('x'))).toMatchObject({ outcome: 'refused', reason: 'no-responders' })
  }
  expect(await t.log.append(t.subjects.journal(0, 'n', 'i'), bytes('x'))).toMatchObject({ outcome: 'stored' })
  await t.log.setDoor(true)
  await t.log.setDoor(true)
  expect((await t.log.info()).doorOpen).toBe(true)
  expect(await t.log.append(t.subjects.submit('mail'), bytes('x'))).toMatchObject({ outcome: 'stored' })
})

test('a full log refuses with full', async () => {
  await using t = await openTest(server, freshNamespace(), { logBytesMax: 16 * 1024 * 1024 })
  const block = Buffer.alloc(512 * 1024)
  let last = await t.log.append(t.subjects.submit('mail'), block)
  for (let i = 0; i < 64 && last.outcome === 'stored'; i++) last = await t.log.append(t.subjects.submit('mail'), block)
  expect(last).toMatchObject({ outcome: 'refused', reason: 'full' })
})

test('what is larger than the server takes is refused as too-large', async () => {
  await using t = await openTest(server)
  const result = await t.log.append(t.subjects.submit('mail'), Buffer.alloc(t.bus.maxPayloadBytes + 1))
  expect(result).toMatchObject({ outcome: 'refused', reason: 'too-large' })
  expect(await t.log.append(t.subjects.submit('mail'), bytes('x'))).toMatchObject({ outcome: 'stored' })
})

test('many writes at once are each answered with their own sequence', async () => {
  await using t = await openTest(server)
  const results = await Promise.all(
    Array.from({ length: 2_000 }, (_, i) => t.log.append(t.subjects.submit('mail'), bytes(String(i)))),
  )
  expect(results.map((r) => (r.outcome === 'stored' ? r.sequence : 0))).toEqual(
    Array.from({ length: 2_000 }, (_, i) => i + 1),
  )
})

test('a write without an answer in time is unknown', async () => {
  await using t = await openTest(server)
  const subscription = t.bus.subscribe(`${t.subjects.root}.silent`, () => {})
  const result = await t.log.append(`${t.subjects.root}.silent`, bytes('x'), { timeoutMs: 50 })
  subscription.unsubscribe()
  expect(result).toMatchObject({ outcome: 'unknown', message: 'no acknowledgement in time' })
})

test('a write under way when the connection is lost is unknown, and its journal tells what became of it', async () => {
  await using t = await openTest(server)
  const subject = t.subjects.journal(0, 'n', 'i')
  expect(await t.log.append(subject, bytes('first'))).toMatchObject({ outcome: 'stored' })
  const { pid } = server.process
  process.kill(pid, 'SIGSTOP')
  await until(() => / T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8')), 'the server has stopped')
  const underWay = t.log.append(subject, bytes('second'), { expectedLastSubjectSequence: 1 })
  await t.bus.flush(20).catch(() => {})
  await server.kill()
  expect(await underWay).toMatchObject({ outcome: 'unknown' })
  expect(t.bus.connected).toBe(false)
  // Waits for the connection.
  const resent = t.log.append(subject, bytes('second'), { expectedLastSubjectSequence: 1, timeoutMs: 20_000 })
  await server.restart()
  expect(await resent).toMatchObject({ outcome: 'stored', sequence: 2 })
  expect(t.bus.connected).toBe(true)
  expect(await t.log.lastOf(subject)).toMatchObject({ sequence: 2, data: bytes('second') })
})

test('a write that waited for the connection past its deadline is never sent', async () => {
  await using t = await openTest(server)
  await server.kill()
  await until(() => !t.bus.connected, 'the loss is noticed')
  const result = await t.log.append(t.subjects.submit('mail'), bytes('late'), { timeoutMs: 30 })
  expect(result).toMatchObject({ outcome: 'unknown' })
  await server.restart()
  await until(() => t.bus.connected, 'the connection is back')
  expect(await t.log.append(t.subjects.submit('mail'), bytes('next'))).toMatchObject({ outcome: 'stored', sequence: 1 })
})

test('a closed bus throws TROUPE_CLOSED', async () => {
  const t = await openTest(server)
  await t.close()
  await expect(t.log.append(t.subjects.submit('mail'), bytes('x'))).rejects.toMatchObject({ code: 'TROUPE_CLOSED' })
  await expect(t.bus.request('x', bytes('x'))).rejects.toMatchObject({ code: 'TROUPE_CLOSED' })
  t.bus.publish('x', bytes('x'))
})

const ack = (fields: object) => ackResult(bytes(JSON.stringify(fields)))
const failed = (code: number, errCode: number, description = 'x') =>
  ack({ error: { code, err_code: errCode, description }, stream: 'S', seq: 0 })

test('an acknowledgement is read in every form', () => {
  const stored = { outcome: 'stored', sequence: 9007199254740991, duplicate: false }
  expect(ack({ stream: 'TROUPE_main_LOG_0', seq: 9007199254740991 })).toEqual(stored)
  expect(ack({ stream: 'S', seq: 9007199254740991, domain: 'hub' })).toEqual(stored)
  expect(ack({ seq: 9007199254740991, stream: 'S' })).toEqual(stored)
  expect(ack({ stream: 'S', seq: 7, duplicate: true })).toEqual({ outcome: 'stored', sequence: 7, duplicate: true })
  expect(ack({ stream: 'S', seq: 7, domain: 'd', duplicate: true })).toMatchObject({ sequence: 7, duplicate: true })
})

test('an answer that is no acknowledgement is unknown', () => {
  for (const answer of [
    '',
    '{}',
    '{"stream":"S","seq":',
    '{"stream":"S","seq":}',
    '{"stream":"S","seq":0}',
    'hello',
    '[]',
    '7',
  ]) {
    expect(ackResult(bytes(answer))).toMatchObject({ outcome: 'unknown' })
  }
})

test.each([
  [400, 10071, 'wrong last sequence: 3', 'refused', 'wrong-sequence'],
  [503, 10077, 'maximum bytes exceeded', 'refused', 'full'],
  [503, 10077, 'maximum messages exceeded', 'refused', 'full'],
  [503, 10077, 'raft: something', 'unknown', undefined],
  [500, 10158, 'x', 'unknown', undefined],
  [400, 10158, 'x', 'unknown', undefined],
  [400, 10164, 'x', 'unknown', undefined],
  [400, 10002, 'x', 'refused', 'full'],
  [503, 10023, 'x', 'refused', 'full'],
  [500, 10047, 'x', 'refused', 'full'],
  [400, 10054, 'x', 'refused', 'too-large'],
  [400, 10060, 'expected stream does not match', 'refused', 'other'],
  [503, 10008, 'system temporarily unavailable', 'unknown', undefined],
  [500, 19999, 'of a later version', 'unknown', undefined],
])('the answer %i %i "%s" is %s %s', (code, errCode, description, outcome, reason) => {
  expect(failed(code, errCode, description)).toMatchObject({ outcome, code: errCode, ...(reason ? { reason } : {}) })
})
