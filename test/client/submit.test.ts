import { expect, test } from 'vitest'
import { z } from 'zod'
import { task } from '../../src/client/task.ts'
import { limits } from '../../src/protocol/limits.ts'
import { openTest, until } from '../harness/server.ts'
import { useStages } from './setup.ts'

const stages = useStages()

test('a task submitted while no Troupe process runs is in the log, and its result arrives once one does', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const handle = await troupe.submit('echo', { n: 1 })
  expect(handle.id).toMatch(/^0-\d+-0$/)
  await stage.scheduler()
  expect(await handle.result()).toEqual({ n: 1 })
})

test('a given id is the task id, and options travel', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const scheduler = await stage.scheduler()
  const handle = await troupe.submit('echo', 1, {
    id: 'img-1',
    priority: 5,
    delay: '10s',
    key: 'customer-7',
    after: ['x'],
  })
  expect(handle.id).toBe('img-1')
  expect(await handle.result()).toBe(1)
  expect(scheduler.submissions[0]![2]).toEqual({
    id: 'img-1',
    priority: 5,
    delayMs: 10_000,
    key: 'customer-7',
    after: ['x'],
  })
})

test('values keep their types on the way', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  await stage.scheduler()
  const value = { at: new Date(5), map: new Map([['a', 1n]]), bytes: new Uint8Array([1, 2]), none: null }
  expect(await (await troupe.submit('echo', value)).result()).toEqual(value)
  expect(await (await troupe.submit('echo')).result()).toBeUndefined()
})

test('tasks submitted in the same turn of the event loop travel in one block', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const scheduler = await stage.scheduler()
  const handles = await Promise.all(Array.from({ length: 100 }, (_, n) => troupe.submit('echo', n)))
  expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(Array.from({ length: 100 }, (_, n) => n))
  expect(scheduler.blocks).toEqual([100])
})

test('60,000 tasks are submitted in blocks of at most 512, and their results keep the order of the inputs', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const scheduler = await stage.scheduler()
  const inputs = Array.from({ length: 60_000 }, (_, n) => n)
  const handles = await troupe.submitMany('echo', inputs)
  expect(new Set(handles.map((handle) => handle.id)).size).toBe(60_000)
  expect(await Promise.all(handles.map((handle) => handle.result()))).toEqual(inputs)
  expect(Math.max(...scheduler.blocks)).toBe(512)
})

test('a block stays within its bytes whatever the sizes of its tasks', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const scheduler = await stage.scheduler()
  const text = 'x'.repeat(100_000)
  expect(
    await troupe.map<string>(
      'echo',
      Array.from({ length: 40 }, () => text),
    ),
  ).toHaveLength(40)
  await Promise.all(Array.from({ length: 40 }, async () => (await troupe.submit('echo', text)).result()))
  expect(Math.max(...scheduler.blocks)).toBe(Math.floor(limits.blockBytesMax / 100_100))
})

test('map gives results in order and rejects with the first failure', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  await stage.scheduler()
  expect(await troupe.map('echo', new Set([3, 2, 1]))).toEqual([3, 2, 1])
  await expect(troupe.map('fail', [1, 2])).rejects.toMatchObject({ code: 'TROUPE_TASK_FAILED' })
})

test('a large input is kept as an object and named by its hash', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const scheduler = await stage.scheduler()
  await troupe.submit('later', 'x'.repeat(limits.inlineBytesMax + 1))
  await until(() => scheduler.submissions.length === 1, 'the submission arrives')
  expect(scheduler.submissions[0]![1]).toEqual([expect.stringMatching(/^[0-9a-f]{64}$/), limits.inlineBytesMax + 6, 1])
})

test('what cannot be sent is refused before anything is sent', async () => {
  const troupe = await (await stages.stage()).client()
  const refused = [
    [troupe.submit('a b', 1), 'TROUPE_INVALID_NAME'],
    [troupe.submit('echo', 1, { id: '0-7' }), 'TROUPE_RESERVED_ID'],
    [troupe.submit('echo', 1, { id: 'a.b' }), 'TROUPE_INVALID_NAME'],
    [troupe.submit('echo', 1, { priority: 10 }), 'TROUPE_INVALID_PRIORITY'],
    [troupe.submit('echo', 1, { delay: 'soon' }), 'TROUPE_INVALID_DURATION'],
    [troupe.submit('echo', 1, { deadline: 'soon' }), 'TROUPE_INVALID_INSTANT'],
    [troupe.submit('echo', 1, { prioritty: 1 } as never), 'TROUPE_UNKNOWN_OPTION'],
    [troupe.submit('echo', { run: () => 1 }), 'TROUPE_NOT_SERIALIZABLE'],
    [troupe.submitMany('echo', [1, () => 1]), 'TROUPE_NOT_SERIALIZABLE'],
  ] as const
  for (const [promise, code] of refused) await expect(promise).rejects.toMatchObject({ code })
})

test('an input is checked against the schema of its definition, and travels as it was given', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const scheduler = await stage.scheduler()
  const echo = task('echo', async (input: { width: number }) => input.width, {
    input: z.object({ width: z.string().transform(Number) }),
  })
  await expect(troupe.submit(echo, { width: 5 as never })).rejects.toMatchObject({
    code: 'TROUPE_INVALID_INPUT',
    details: { issues: [{ path: 'width' }] },
  })
  expect(await (await troupe.submit(echo, { width: '5' })).result()).toEqual({ width: '5' })
  expect(scheduler.submissions).toHaveLength(1)
})

test('a flow is one block in dependency order, with handles by id', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const scheduler = await stage.scheduler()
  const handles = await troupe.flow([
    { id: 'c', task: 'echo', input: 3, after: ['a', 'b'] },
    { id: 'a', task: 'echo', input: 1 },
    { id: 'b', task: 'echo', input: 2, after: ['a', 'outside'], priority: 7 },
  ])
  expect(await handles.get('c')!.result()).toBe(3)
  expect(scheduler.blocks).toEqual([3])
  expect(scheduler.submissions.map((submission) => submission[2]!.id)).toEqual(['a', 'b', 'c'])
})

test('a flow that waits for itself, or has an id twice, is refused', async () => {
  const troupe = await (await stages.stage()).client()
  const circle = [
    { id: 'a', task: 'echo', after: ['b'] },
    { id: 'b', task: 'echo', after: ['a'] },
  ]
  await expect(troupe.flow(circle)).rejects.toMatchObject({ code: 'TROUPE_FLOW_CYCLE', message: /"a", "b"/ })
  const twice = [
    { id: 'a', task: 'echo' },
    { id: 'a', task: 'echo' },
  ]
  await expect(troupe.flow(twice)).rejects.toMatchObject({ code: 'TROUPE_DUPLICATE_ID' })
})

test('what is submitted after close is refused, and who waits is told', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const handle = await troupe.submit('later', 1)
  const result = handle.result()
  const told = expect(result).rejects.toMatchObject({ code: 'TROUPE_CLOSED' })
  await troupe.close()
  await told
  await expect(troupe.submit('echo', 1)).rejects.toMatchObject({ code: 'TROUPE_CLOSED' })
  await troupe.close()
})

test('a server that is not there is named with what to do', async () => {
  await expect((await stages.stage()).client({ servers: 'nats://127.0.0.1:1' })).rejects.toMatchObject({
    code: 'TROUPE_NO_SERVER',
    message: /127\.0\.0\.1:1/,
  })
})

test('a submission made while the server is down is accepted once it is back, and once only', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  await stages.server.kill()
  const submitted = troupe.submit('echo', 5)
  await stages.server.restart()
  const handle = await submitted
  const scheduler = await stage.scheduler()
  expect(await handle.result()).toBe(5)
  expect(scheduler.submissions).toHaveLength(1)
})

test('a full log refuses at once', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  await using open = await openTest(stages.server, stage.namespace)
  await open.log.setDoor(false)
  await expect(troupe.submit('echo', 5)).rejects.toMatchObject({ code: 'TROUPE_REFUSED', message: /full/ })
  await open.log.setDoor(true)
  await troupe.submit('echo', 5)
})
