import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { openBus } from '../../src/nats/connect.ts'
import { startEmbeddedServer } from '../../src/runtime/server/embedded.ts'
import { openProxy } from '../harness/proxy.ts'
import { until, useServer } from '../harness/server.ts'

const server = useServer()
const bytes = (text: string) => Buffer.from(text)
const text = (data: Uint8Array) => Buffer.from(data).toString()

test('an absent server is TROUPE_NO_SERVER, and the message hides passwords', async () => {
  const error = await openBus({ servers: 'nats://joe:secret@127.0.0.1:1', name: 'x' }).catch((e: Error) => e)
  expect(error).toMatchObject({ code: 'TROUPE_NO_SERVER' })
  expect(String(error)).not.toContain('secret')
})

test.each([
  ['before 2.14', '2.13.9', 1_048_576, 'TROUPE_SERVER_TOO_OLD'],
  ['that takes small messages only', '2.14.0', 65_536, 'TROUPE_PAYLOAD_LIMIT'],
])('a server %s is refused', async (_, version, maxPayload, code) => {
  const info = { server_id: 'x', version, proto: 1, headers: true, max_payload: maxPayload, host: '', port: 0 }
  const old = createServer((socket) => {
    socket.on('error', () => {})
    socket.write(`INFO ${JSON.stringify(info)}\r\n`)
    socket.on('data', (data) => data.includes('PING') && socket.write('PONG\r\n'))
  })
  await new Promise<void>((done) => old.listen(0, '127.0.0.1', done))
  const { port } = old.address() as { port: number }
  await expect(openBus({ servers: `nats://127.0.0.1:${port}`, name: 'x' })).rejects.toMatchObject({ code })
  await new Promise((done) => old.close(done))
})

test('a server without JetStream is TROUPE_NO_JETSTREAM', async () => {
  const plain = await startEmbeddedServer({ jetstream: false })
  await expect(openBus({ servers: plain.url, name: 'x' })).rejects.toMatchObject({ code: 'TROUPE_NO_JETSTREAM' })
  await plain.stop()
})

test('a wrong password is TROUPE_NOT_ALLOWED, a right one connects', async () => {
  const guarded = await startEmbeddedServer({
    config: `accounts { A { jetstream: enabled, users: [{ user: joe, password: right }] } }`,
  })
  const servers = guarded.url
  await expect(openBus({ servers, name: 'x', user: 'joe', password: 'wrong' })).rejects.toMatchObject({
    code: 'TROUPE_NOT_ALLOWED',
  })
  const bus = await openBus({ servers, name: 'x', user: 'joe', password: 'right' })
  expect(bus.connected).toBe(true)
  await bus.close()
  await guarded.stop()
})

test('what a user may not do is TROUPE_NOT_ALLOWED at once', async () => {
  const guarded = await startEmbeddedServer({
    config: `accounts { A { jetstream: enabled, users: [{ user: joe, password: joe, permissions: {
      publish: ["may.>", "$JS.API.INFO"], subscribe: ["_INBOX_joe.>"] } }] } }`,
  })
  const login = { servers: guarded.url, name: 'x', user: 'joe', password: 'joe' }
  await expect(openBus(login)).rejects.toMatchObject({ code: 'TROUPE_NOT_ALLOWED' })
  const bus = await openBus({ ...login, inboxPrefix: '_INBOX_joe' })
  await expect(bus.request('may.not', bytes(''))).rejects.toMatchObject({ details: { noResponders: true } })
  await expect(bus.request('must.not', bytes(''))).rejects.toMatchObject({ code: 'TROUPE_NOT_ALLOWED' })
  await bus.close()
  await guarded.stop()
})

test('a missing credentials file is TROUPE_INVALID_OPTION', async () => {
  await expect(openBus({ servers: server.url, name: 'x', creds: '/none/there' })).rejects.toMatchObject({
    code: 'TROUPE_INVALID_OPTION',
  })
})

test('a request is answered by one of a queue; nobody listening and no answer in time are told apart', async () => {
  const bus = await server.connect()
  const asked: string[] = []
  for (const who of ['a', 'b']) {
    bus.subscribe(
      'ask.*',
      (message) => {
        asked.push(who)
        bus.publish(message.reply!, message.data, { headers: { Who: who, 'X-Subject': message.subject } })
      },
      { queue: 'q' },
    )
  }
  const answer = await bus.request('ask.me', bytes('hi'), { headers: { Any: 'thing' } })
  expect(text(answer.data)).toBe('hi')
  expect(asked).toHaveLength(1)
  expect(answer.headers?.get('who')).toBe(asked[0])
  expect(answer.headers?.get('x-subject')).toBe('ask.me')
  await expect(bus.request('nobody', bytes(''))).rejects.toMatchObject({
    code: 'TROUPE_NO_ANSWER',
    details: { noResponders: true },
  })
  const silent = bus.subscribe('silent', () => {})
  await expect(bus.request('silent', bytes(''), { timeoutMs: 40 })).rejects.toMatchObject({
    code: 'TROUPE_NO_ANSWER',
    details: { noResponders: false },
  })
  silent.unsubscribe()
  await bus.close()
})

test('messages without reply or headers have none', async () => {
  const bus = await server.connect()
  const seen: unknown[] = []
  bus.subscribe('plain', (message) => seen.push([message.subject, message.reply, message.headers, text(message.data)]))
  bus.publish('plain', bytes('x'))
  bus.publish('plain', bytes(''), { reply: 'back', headers: { A: '1' } })
  await bus.flush()
  expect(seen).toEqual([
    ['plain', undefined, undefined, 'x'],
    ['plain', 'back', new Map([['a', '1']]), ''],
  ])
  await bus.close()
})

test('a header that would end its line early is refused', async () => {
  const bus = await server.connect()
  expect(() => bus.publish('x', bytes(''), { headers: { a: 'b\r\nc: d' } })).toThrow(/line break/)
  expect(() => bus.publish('x', bytes(''), { headers: { 'a: b\r\nc': 'd' } })).toThrow(/line break/)
  await bus.close()
})

test('what is published while disconnected arrives in order after the connection is back', async () => {
  await using proxy = await openProxy(server.url)
  const near = await openBus({ servers: proxy.url, name: 'near' })
  const far = await server.connect('far')
  const got: string[] = []
  far.subscribe('later', (message) => got.push(text(message.data)))
  await far.flush()
  const states: string[] = []
  near.onConnection((state) => states.push(state))
  proxy.cut()
  await until(() => !near.connected, 'the loss is noticed')
  for (let i = 0; i < 100; i++) near.publish('later', bytes(String(i)))
  const asked = near.request('answer', bytes('?'), { timeoutMs: 10_000 })
  far.subscribe('answer', (message) => far.publish(message.reply!, bytes('!')))
  await far.flush()
  proxy.heal()
  expect(text((await asked).data)).toBe('!')
  await until(() => got.length === 100, 'all have arrived')
  expect(got).toEqual(Array.from({ length: 100 }, (_, i) => String(i)))
  expect(states).toEqual(['disconnected', 'connected'])
  await Promise.all([near.close(), far.close()])
})

test('what is kept while disconnected is bounded', async () => {
  await using proxy = await openProxy(server.url)
  const bus = await openBus({ servers: proxy.url, name: 'near' })
  proxy.cut()
  await until(() => !bus.connected, 'the loss is noticed')
  for (let i = 0; i < 100; i++) bus.publish('later', Buffer.alloc(100_000))
  expect(bus.droppedMessages).toBeGreaterThan(50)
  await bus.close()
})

test('subscriptions live on after the connection was lost', async () => {
  await using proxy = await openProxy(server.url)
  const near = await openBus({ servers: proxy.url, name: 'near' })
  const far = await server.connect('far')
  let got = 0
  near.subscribe('again', () => got++)
  proxy.cut()
  await until(() => !near.connected, 'the loss is noticed')
  proxy.heal()
  await until(() => near.connected, 'the connection is back')
  await near.flush()
  far.publish('again', bytes('x'))
  await until(() => got === 1, 'the message has come')
  await Promise.all([near.close(), far.close()])
})

test('close ends what waits with TROUPE_CLOSED, sends what was published, and works while disconnected', async () => {
  await using proxy = await openProxy(server.url)
  const far = await server.connect('far')
  let got = 0
  far.subscribe('last', () => got++)
  far.subscribe('silent', () => {})
  await far.flush()
  const near = await openBus({ servers: proxy.url, name: 'near' })
  const waiting = near.request('silent', bytes(''))
  waiting.catch(() => {})
  near.publish('last', bytes('x'))
  await Promise.all([near.close(), near.close()])
  await expect(waiting).rejects.toMatchObject({ code: 'TROUPE_CLOSED' })
  await until(() => got === 1, 'the last message has come')

  const cut = await openBus({ servers: proxy.url, name: 'cut' })
  proxy.cut()
  await until(() => !cut.connected, 'the loss is noticed')
  await cut.close()
  proxy.heal()
  await expect(cut.flush()).rejects.toMatchObject({ code: 'TROUPE_CLOSED' })
  expect(() => cut.subscribe('x', () => {})).toThrow(/closed/)
  await far.close()
  await until(async () => (await server.connections()).length === 0, 'no connection comes back')
})

test('a connection that is stuck with much to send is given up, and comes back elsewhere', async () => {
  await using proxy = await openProxy(server.url)
  const bus = await openBus({ servers: proxy.url, name: 'stuck', pingIntervalMs: 100 })
  proxy.freeze()
  for (let i = 0; i < 80; i++) bus.publish('x', Buffer.alloc(500_000))
  await until(() => !bus.connected, 'the silence is noticed')
  proxy.heal()
  await until(() => bus.connected, 'the connection is back')
  await bus.flush()
  await bus.close()
})

test('a handler that throws is warned of, and does not stop the connection', async () => {
  const bus = await server.connect()
  const warned = once(process, 'warning')
  let got = 0
  bus.subscribe('throws', () => {
    got++
    throw new Error('a defect of a handler')
  })
  bus.publish('throws', bytes('1'))
  bus.publish('throws', bytes('2'))
  await bus.flush()
  expect(got).toBe(2)
  expect(String((await warned)[0])).toContain('a defect of a handler')
  await bus.close()
})
