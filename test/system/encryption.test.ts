/** Values encrypted between clients and nodes, on a real server: nothing of them is readable on its disk. */
import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import pino from 'pino'
import { afterEach, expect, test } from 'vitest'
import { assign, setup } from 'xstate'
import { connect } from '../../src/client/connect.ts'
import type { EncryptionOptions } from '../../src/client/encryption.ts'
import { task } from '../../src/client/task.ts'
import type { Troupe } from '../../src/client/troupe.ts'
import { type ProcessOptions, TroupeProcess } from '../../src/runtime/process.ts'
import { freshNamespace, openTest, until, useServer } from '../harness/server.ts'

const server = useServer()
const key = () => randomBytes(32).toString('base64')
const encryption: EncryptionOptions = { current: 'k1', keys: { k1: key() }, required: true }

const echo = task('echo', async (value: unknown) => value)
const fail = task(
  'fail',
  async (text: string) => Promise.reject(Object.assign(new Error(text), { details: { text } })),
  {
    retry: { attempts: 1 },
  },
)
const journey = task('journey', async (input: { secret: string }, ctx) => {
  await ctx.step('remember', async () => `${input.secret}-step`)
  await ctx.checkpoint({ kept: `${input.secret}-checkpoint` })
  const [child] = await ctx.map(echo, [`${input.secret}-child`])
  const event = await ctx.waitFor('GO')
  return { child, told: event.with }
})
const light = task(
  'light',
  setup({
    types: { events: {} as { type: 'GO'; secret: string }, context: {} as { seen: string }, output: {} as string },
  }).createMachine({
    context: { seen: '' },
    initial: 'red',
    states: {
      red: { on: { GO: { target: 'done', actions: assign({ seen: ({ event }) => event.secret }) } } },
      done: { type: 'final' },
    },
    output: ({ context }) => context.seen,
  }),
)
const definitions = [echo, fail, journey, light]

const open: (Troupe | TroupeProcess)[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await ('close' in one ? one.close() : one.stop())
})

async function start(namespace: string, roles: ProcessOptions['roles'], more: Partial<ProcessOptions> = {}) {
  const logger = pino({ level: 'silent' })
  const started = await TroupeProcess.start({ servers: server.url, namespace, roles, definitions, logger, ...more })
  open.push(started)
  return started
}

async function client(namespace: string, more: { encryption?: EncryptionOptions } = {}): Promise<Troupe> {
  const opened = await connect({ servers: server.url, namespace, ...more })
  open.push(opened)
  return opened
}

/** A namespace with small streams, and a scheduler that has no keys. */
async function namespaceWithControl(): Promise<string> {
  const namespace = freshNamespace()
  await (await openTest(server, namespace)).close()
  await start(namespace, ['scheduler', 'supervisor'])
  return namespace
}

/** Files of the server that hold this text. */
function filesWith(text: string): string[] {
  const found = (folder: string): string[] =>
    readdirSync(folder).flatMap((name) => {
      const path = join(folder, name)
      if (statSync(path).isDirectory()) return found(path)
      return readFileSync(path).includes(text) ? [path] : []
    })
  return found(server.process.storeDir)
}

test('inputs, results, snapshots, signals, children, large values, schedules and errors are readable by who has the key alone', {
  timeout: 60_000,
}, async () => {
  const namespace = await namespaceWithControl()
  await start(namespace, ['node'], { encryption })
  const troupe = await client(namespace, { encryption })
  const secret = `canary-${randomBytes(8).toString('hex')}`
  const plain = `visible-${randomBytes(8).toString('hex')}`
  expect(await (await troupe.submit(echo, { secret })).result()).toEqual({ secret })
  expect(await troupe.map(echo, [secret, `${secret}-2`])).toEqual([secret, `${secret}-2`])
  const again = { id: 'same' }
  await (await troupe.submit(echo, secret, again)).result()
  expect(await (await troupe.submit(echo, secret, again)).result()).toBe(secret)
  const large = secret.repeat(20_000)
  expect(await (await troupe.submit(echo, large)).result()).toBe(large)
  const walking = await troupe.submit(journey, { secret }, { id: plain })
  const lit = await troupe.submit(light, undefined, { id: 'light' })
  await walking.signal({ type: 'GO', with: `${secret}-signal` })
  await lit.signal({ type: 'GO', secret })
  expect(await walking.result()).toEqual({ child: `${secret}-child`, told: `${secret}-signal` })
  expect(await lit.result()).toBe(secret)
  await troupe.cron.set('often', { schedule: '* * * * * *', task: echo, input: { secret } })
  const fired = await until(
    async () =>
      (await troupe.tasks({ type: 'echo', status: 'completed' })).tasks.find(({ id }) => id.includes('often')),
    'the schedule has fired',
    30_000,
  )
  expect(await troupe.handle(fired.id).result()).toEqual({ secret })
  await troupe.cron.remove('often')
  const failed = await troupe.submit(fail, secret)
  const error = await failed.result().catch((thrown: Error) => thrown)
  expect(error).toMatchObject({ code: 'TROUPE_TASK_FAILED', message: expect.stringContaining(secret) })
  expect(await failed.state()).toMatchObject({ error: { message: secret, details: { details: { text: secret } } } })
  const blind = await client(namespace)
  await expect(blind.handle('same').result()).rejects.toMatchObject({ code: 'TROUPE_SEALED' })
  await expect(blind.handle(failed.id).result()).rejects.toMatchObject({ message: expect.not.stringContaining(secret) })
  expect(JSON.stringify([await blind.dead(), await blind.handle(plain).history()])).not.toContain(secret)
  // Written to disk for good before it is searched; what is not encrypted is found.
  await server.process.stop()
  expect(filesWith(plain)).not.toEqual([])
  expect(filesWith(secret)).toEqual([])
  await server.restart()
})

test('a node without the key, or with a wrong one, loses nothing: the task is set aside and goes on after the fix', {
  timeout: 60_000,
}, async () => {
  const namespace = await namespaceWithControl()
  const troupe = await client(namespace, { encryption })
  for (const wrong of [undefined, { current: 'k1', keys: { k1: key() } }, { current: 'k9', keys: { k9: key() } }]) {
    const node = await start(namespace, ['node'], wrong && { encryption: wrong })
    const handle = await troupe.submit(echo, { a: 1 })
    await expect(handle.result()).rejects.toMatchObject({ cause: { code: 'TROUPE_SEALED' } })
    await node.stop()
    open.splice(open.indexOf(node), 1)
    const fixed = await start(namespace, ['node'], { encryption })
    await handle.retry()
    expect(await handle.result()).toEqual({ a: 1 })
    await fixed.stop()
    open.splice(open.indexOf(fixed), 1)
  }
})

test('plain submissions run beside encrypted ones, or are refused where encryption is required', {
  timeout: 60_000,
}, async () => {
  const namespace = await namespaceWithControl()
  const lax = await start(namespace, ['node'], { encryption: { ...encryption, required: false } })
  const plain = await client(namespace)
  const reader = await client(namespace, { encryption })
  const handle = await plain.submit(echo, 'x', { id: 'plain' })
  await expect(reader.handle('plain').result()).resolves.toBe('x')
  await expect(handle.result()).rejects.toMatchObject({ code: 'TROUPE_SEALED' })
  await lax.stop()
  open.splice(open.indexOf(lax), 1)
  await start(namespace, ['node'], { encryption })
  const refused = await plain.submit(echo, 'x', { id: 'refused' })
  await expect(refused.result()).rejects.toMatchObject({ cause: { code: 'TROUPE_NOT_SEALED' } })
})
