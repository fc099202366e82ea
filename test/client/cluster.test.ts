/** The SDK against a real scheduler and node in this process. */
import pino from 'pino'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { assign, setup } from 'xstate'
import { connect } from '../../src/client/connect.ts'
import { task } from '../../src/client/task.ts'
import type { Troupe } from '../../src/client/troupe.ts'
import { TroupeProcess } from '../../src/runtime/process.ts'
import { freshNamespace, openTest, until, useServer } from '../harness/server.ts'

const server = useServer()

const square = task('square', async (n: number) => n * n)
const echo = task('echo', async (value: unknown) => value)
const fail = task('fail', async () => Promise.reject(new RangeError('boom')), { retry: { attempts: 1 } })
const approval = task(
  'approval',
  setup({
    types: { events: {} as { type: 'APPROVE'; by: string }, context: {} as { by: string }, output: {} as string },
  }).createMachine({
    context: { by: '' },
    initial: 'waiting',
    states: {
      waiting: { on: { APPROVE: { target: 'done', actions: assign({ by: ({ event }) => event.by }) } } },
      done: { type: 'final' },
    },
    output: ({ context }) => context.by,
  }),
)

let namespace: string
let cluster: TroupeProcess
let troupe: Troupe

beforeEach(async () => {
  namespace = freshNamespace()
  await (await openTest(server, namespace)).close()
  cluster = await TroupeProcess.start({
    servers: server.url,
    namespace,
    roles: ['scheduler', 'supervisor', 'node'],
    definitions: [square, echo, fail, approval],
    logger: pino({ level: 'silent' }),
  })
  troupe = await connect({ servers: server.url, namespace })
})

afterEach(async () => {
  await troupe.close()
  await cluster.stop()
})

test('submit, submitMany, map and flow give results of the types that the definition has', async () => {
  const one: number = await (await troupe.submit(square, 4)).result()
  expect(one).toBe(16)
  expect(await troupe.map(square, [1, 2, 3])).toEqual([1, 4, 9])
  const many = await troupe.submitMany(square, [5, 6], { id: (n) => `n-${n}` })
  expect(many.map(({ id }) => id)).toEqual(['n-5', 'n-6'])
  expect(await Promise.all(many.map((handle) => handle.result()))).toEqual([25, 36])
  const flow = await troupe.flow([
    { id: 'b', task: square, input: 3, after: ['a'] },
    { id: 'a', task: square, input: 2 },
  ])
  expect(await flow.get('b')!.result()).toBe(9)
  expect((await flow.get('a')!.state()).status).toBe('completed')
})

test('a result asked for by id is what was told: types are kept, and large values come whole', async () => {
  const value = { at: new Date(5), map: new Map([['a', 1]]) }
  await (await troupe.submit(echo, value, { id: 'typed' })).result()
  expect(await troupe.handle('typed').result()).toEqual(value)
  const large = 'x'.repeat(300_000)
  expect(await (await troupe.submit(echo, large, { id: 'large' })).result()).toBe(large)
  expect(await troupe.handle('large').result()).toBe(large)
  await (await troupe.submit(echo, undefined, { id: 'nothing' })).result()
  expect(await troupe.handle('nothing').result()).toBeUndefined()
})

test('a failed task, and the same id with another input, reject by told and by asked alike', async () => {
  const handle = await troupe.submit(fail, undefined, { id: 'f' })
  const expected = { code: 'TROUPE_TASK_FAILED', cause: { message: 'boom', details: { name: 'RangeError' } } }
  await expect(handle.result()).rejects.toMatchObject(expected)
  await expect(troupe.handle('f').result()).rejects.toMatchObject(expected)
  await expect((await troupe.submit(echo, 1, { id: 'f' })).result()).rejects.toMatchObject({
    code: 'TROUPE_ID_CONFLICT',
  })
  expect(await (await troupe.submit(square, 2, { id: 's' })).result()).toBe(4)
  expect(await (await troupe.submit(square, 2, { id: 's' })).result()).toBe(4)
})

test('a submission whose id is taken is refused, and not given the outcome of the other, when the tell was lost', async () => {
  await (await troupe.submit(echo, 1, { id: 'taken' })).result()
  // It keeps no outcome that comes before somebody waits for it, so it has to ask.
  const late = await connect({ servers: server.url, namespace, keepOutcomes: { count: 0 }, askEvery: '50ms' })
  try {
    const [other, same] = [await late.submit(echo, 2, { id: 'taken' }), await late.submit(echo, 1, { id: 'taken' })]
    await until(async () => (await late.stats()).totals.setAside === 1, 'the log was read')
    await expect(other.result()).rejects.toMatchObject({ code: 'TROUPE_ID_CONFLICT' })
    expect(await same.result()).toBe(1)
  } finally {
    await late.close()
  }
})

test('a machine takes a signal, and a watcher sees it end', async () => {
  const handle = await troupe.submit(approval, undefined, { id: 'order' })
  const seen: string[] = []
  const watching = (async () => {
    for await (const change of handle.watch()) seen.push(change.status)
  })()
  await until(async () => ['running', 'parked'].includes((await handle.state()).status), 'it waits')
  await handle.signal({ type: 'APPROVE', by: 'ann' })
  expect(await handle.result()).toBe('ann')
  await watching
  expect(seen.at(-1)).toBe('completed')
})

test('a task that waits is cancelled', async () => {
  const handle = await troupe.submit(square, 2, { delay: '1h' })
  expect((await handle.state()).status).toBe('delayed')
  expect((await handle.cancel()).status).toBe('cancelled')
  await expect(handle.result()).rejects.toMatchObject({ code: 'TROUPE_TASK_CANCELLED', name: 'TaskCancelled' })
})

test('a failed task is a dead letter until it is retried or removed', async () => {
  const handle = await troupe.submit(fail, undefined)
  await handle.result().catch(() => {})
  expect((await troupe.dead()).dead.map(({ id }) => id)).toEqual([handle.id])
  await handle.retry()
  await expect(handle.result()).rejects.toMatchObject({ code: 'TROUPE_TASK_FAILED' })
  expect((await handle.history()).map(({ what }) => what)).toContain('failed')
  await troupe.removeDead(handle.id)
  expect((await troupe.dead()).dead).toEqual([])
  await expect(troupe.dead({ after: handle.id })).rejects.toMatchObject({ code: 'TROUPE_UNKNOWN_TASK' })
  await expect(troupe.tasks({ after: 'nobody' })).rejects.toMatchObject({ code: 'TROUPE_UNKNOWN_TASK' })
  await expect(handle.state()).rejects.toMatchObject({ code: 'TROUPE_UNKNOWN_TASK' })
})

test('nodes, stats and tasks can be listed', async () => {
  await troupe.map(square, [1, 2, 3])
  expect(await troupe.nodes()).toMatchObject([{ status: 'ready', types: expect.arrayContaining(['square']) }])
  expect(await troupe.stats()).toMatchObject({ tasks: { completed: 3 }, totals: { submitted: 3 } })
  const page = await troupe.tasks({ type: 'square', limit: 2 })
  expect(page).toMatchObject({ more: true, tasks: [{ type: 'square' }, { type: 'square' }] })
  expect((await troupe.tasks({ type: 'square', after: page.tasks[1]!.id })).tasks).toHaveLength(1)
})
