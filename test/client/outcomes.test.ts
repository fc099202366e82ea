import { expect, test } from 'vitest'
import type { Ending } from '../../src/client/ending.ts'
import { TaskFailed } from '../../src/client/failures.ts'
import { Outcomes } from '../../src/client/outcomes.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { packValue } from '../../src/protocol/payload.ts'
import { until } from '../harness/server.ts'
import { useStages } from './setup.ts'

const stages = useStages()

test('a failed task rejects with TaskFailed, whose cause is the error of the task', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  await stage.scheduler()
  const handle = await troupe.submit('fail', 1, { id: 'bad' })
  const error = await handle.result().catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(TaskFailed)
  expect(error).toMatchObject({ code: 'TROUPE_TASK_FAILED', task: 'bad', cause: { message: 'boom' } })
})

test('a refused submission rejects with its own code', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  await stage.scheduler()
  await expect((await troupe.submit('clash', 1, { id: 'x' })).result()).rejects.toMatchObject({
    code: 'TROUPE_ID_CONFLICT',
  })
})

test('a result can be asked for twice, late, and by several', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  await stage.scheduler()
  const handle = await troupe.submit('echo', 7)
  expect(await Promise.all([handle.result(), handle.result()])).toEqual([7, 7])
  expect(await handle.result()).toBe(7)
})

test('an outcome whose tell was lost is asked for', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client({ askEvery: 10 })
  await stage.scheduler()
  expect(await (await troupe.submit('silent', 7)).result()).toBe(7)
  const value = { at: new Date(5) }
  expect(await (await troupe.submit('silent', value)).result()).toEqual(value)
})

test('a new leader makes a client ask about every task that it waits for', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client({ askEvery: '1h' })
  const scheduler = await stage.scheduler()
  const handles = await troupe.submitMany(
    'silent',
    Array.from({ length: 300 }, (_, n) => n),
  )
  const results = Promise.all(handles.map((handle) => handle.result()))
  expect(scheduler.asked).toEqual([])
  scheduler.lead()
  expect(await results).toHaveLength(300)
})

test('a result that does not come in time rejects, and can be waited for again', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const handle = await troupe.submit('echo', 7)
  await expect(handle.result({ timeout: 20 })).rejects.toMatchObject({ code: 'TROUPE_NO_ANSWER' })
  await stage.scheduler()
  expect(await handle.result()).toBe(7)
})

test('a handle made from an id gets the result of a task that somebody else submitted', async () => {
  const stage = await stages.stage()
  const scheduler = await stage.scheduler()
  const submitter = await stage.client()
  await submitter.submit('hold', undefined, { id: 'h1' })
  await until(() => scheduler.tasks.has('h1'), 'the scheduler knows it')
  const other = await stage.client({ askEvery: '1h' })
  const handle = other.handle('h1')
  const result = handle.result()
  await handle.signal({ type: 'GO', n: 1 })
  expect(await result).toEqual({ type: 'GO', n: 1 })
})

test('an unknown id is an error, not silence', async () => {
  const stage = await stages.stage()
  await stage.scheduler()
  const handle = (await stage.client()).handle('nobody')
  await expect(handle.result()).rejects.toMatchObject({ code: 'TROUPE_UNKNOWN_TASK' })
  await expect(handle.state()).rejects.toMatchObject({ code: 'TROUPE_UNKNOWN_TASK' })
  await expect(handle.signal({ type: 'GO' })).rejects.toMatchObject({ code: 'TROUPE_UNKNOWN_TASK' })
})

test('a finished task takes no signals', async () => {
  const stage = await stages.stage()
  await stage.scheduler()
  const handle = await (await stage.client()).submit('echo', 1)
  await handle.result()
  await expect(handle.signal({ type: 'GO' })).rejects.toMatchObject({ code: 'TROUPE_TASK_FINISHED' })
})

test('with no scheduler up, a signal is stored and taken later', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const handle = await troupe.submit('hold', 1)
  await handle.signal({ type: 'GO' })
  await stage.scheduler()
  expect(await handle.result()).toEqual({ type: 'GO' })
})

test('watch yields the state, then the changes, and ends with the task', async () => {
  const stage = await stages.stage()
  const troupe = await stage.client()
  const scheduler = await stage.scheduler()
  const handle = await troupe.submit('hold', 1, { id: 'w' })
  const seen: string[] = []
  for await (const change of handle.watch()) {
    seen.push(`${change.what} ${change.status}`)
    if (seen.length === 1) scheduler.publishEvent({ id: 'w', type: 'hold', status: 'running' }, 'accepted')
    if (seen.length === 2) await handle.signal({ type: 'GO' })
  }
  expect(seen).toEqual(['state ready', 'accepted running', 'completed completed'])
})

test('outcomes that nobody asks for are bounded in number and bytes, and the oldest go first', () => {
  const outcomes = new Outcomes({
    askEnding: () => Promise.reject(new Error()),
    keepCount: 3,
    keepBytes: 1_000,
    askEveryMs: 10,
  })
  for (let n = 0; n < 5; n++) outcomes.onTell([[`0-${n}-0`, `t${n}`, 'completed', packValue(n)]])
  expect(outcomes.sizes).toMatchObject({ kept: 3 })
  outcomes.onTell([['0-9-0', 't9', 'completed', new Uint8Array(600)]])
  expect(outcomes.sizes.keptBytes).toBeLessThanOrEqual(1_000)
  outcomes.onTell([['0-10-0', 't10', 'completed', new Uint8Array(2_000)]])
  expect(outcomes.sizes).toMatchObject({ kept: 0, keptBytes: 0 })
  outcomes.close()
})

test('a tell is for the submission that it names, not for others who wait for the task of that id', () => {
  const askEnding = () => new Promise<undefined>(() => undefined)
  const outcomes = new Outcomes({ askEnding, keepCount: 10, keepBytes: 10_000, askEveryMs: 60_000 })
  const told: string[] = []
  const waiter = (name: string) => ({
    onEnding: (ending: Ending) => told.push(`${name} ${ending.status}`),
    onError: () => undefined,
  })
  outcomes.wait('one', undefined, 0, waiter('by id'))
  outcomes.wait('one', '0-5-0', 5, waiter('first'))
  outcomes.wait('one', '0-6-0', 6, waiter('second'))
  outcomes.onTell([['0-6-0', 'one', 'refused', { code: 'TROUPE_ID_CONFLICT', message: 'another input' }]])
  expect(told).toEqual(['second refused'])
  outcomes.onTell([['0-5-0', 'one', 'completed', null]])
  expect(told).toEqual(['second refused', 'first completed'])
  outcomes.close()
})

test('that nobody answers is no outcome: it is asked again', async () => {
  let asked = 0
  const askEnding = async (id: string): Promise<Ending | undefined> => {
    if (++asked <= 20) throw new TroupeError('TROUPE_NO_ANSWER', 'nobody leads just now')
    return { id, status: 'completed', value: 7 }
  }
  const outcomes = new Outcomes({ askEnding, keepCount: 10, keepBytes: 10_000, askEveryMs: 60_000 })
  const told: string[] = []
  const onError = (error: unknown) => told.push(String(error))
  outcomes.wait('one', undefined, 0, { onEnding: ({ status }) => told.push(status), onError })
  while (told.length === 0) {
    outcomes.askAbout('one')
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(told).toEqual(['completed'])
  outcomes.close()
})
