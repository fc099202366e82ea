import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AnyTaskDefinition } from '../../../src/client/task.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { TroupeError } from '../../../src/protocol/errors.ts'
import { type Lane, lanes } from '../../../src/runtime/tasks/lanes.ts'
import { loadTasks } from '../../../src/runtime/tasks/load.ts'
import { TaskLife } from './task-life.ts'

const definitions = new Map<string, AnyTaskDefinition>()
const fixture = (name: string) => `${import.meta.dirname}/fixtures/${name}.ts`
const lifeOf = (type: string, input?: unknown) => new TaskLife(definitions.get(type) as AnyTaskDefinition, { input })

function allLanes(): Lane[] {
  const held: Lane[] = []
  for (let taken = true; taken; ) {
    taken = false
    const giveUp = lanes.acquire('thread', 0, (lane) => {
      taken = true
      held.push(lane)
    })
    if (!taken) giveUp()
  }
  return held
}

beforeAll(async () => {
  for (const { definition } of await loadTasks([fixture('isolated')])) definitions.set(definition.type, definition)
})
afterAll(() => lanes.close())

describe('a task in a thread', () => {
  test('has the whole context: steps, signals, sleeps, progress', async () => {
    const life = lifeOf('sum', { a: 1 })
    life.start()
    await life.until(() => life.status === 'parked')
    life.signal({ type: 'GO' })
    await life.run()
    expect(life.value).toEqual({ sum: 3, event: { type: 'GO' }, key: 'test:job:x', id: 'job', at: new Date(3) })
    expect(life.entries.find((entry) => entry[0] === kind.progressed)).toEqual([kind.progressed, 'job', 1, 0.5, 'half'])
  })

  test('that loops for ever is stopped by its timeout', async () => {
    const life = lifeOf('endless')
    await life.run()
    expect(life.error?.code).toBe('TROUPE_TIMEOUT')
  })

  test('gets a thread though others hold all that there are, and do not let go', async () => {
    const held = allLanes()
    const life = lifeOf('sum', { a: 1 })
    life.start()
    await life.until(() => life.status === 'parked')
    for (const lane of held) lanes.release(lane)
  }, 60_000)

  test('that uses more memory than it may fails alone', async () => {
    const life = lifeOf('hungry')
    await life.run(20_000)
    expect(life.error).toMatchObject({ code: 'TROUPE_TASK_CRASHED', message: expect.stringContaining('16 MiB') })
    expect(life.retryable).toBe(true)
  }, 30_000)

  test('that crashes fails alone', async () => {
    const life = lifeOf('throws-later')
    await life.run()
    expect(life.error).toMatchObject({ code: 'TROUPE_TASK_CRASHED', message: expect.stringContaining('from a timer') })
  })

  test('can be a machine', async () => {
    const life = lifeOf('machine')
    life.start()
    await life.until(() => life.status === 'parked')
    life.signal({ type: 'GO' })
    await life.run()
    expect(life.value).toBe('gone')
  })

  test('hands back its last state when the node drains, and can be aborted', async () => {
    const life = lifeOf('sum', { a: 1 })
    const turn = life.start()
    await life.until(() => life.commits >= 2)
    turn.yield(0)
    await life.until(() => life.ended === 1)
    life.start().abort(new TroupeError('TROUPE_TASK_CANCELLED', 'cancelled'))
    expect(life.ended).toBe(2)
  })
})

describe('a task in a process', () => {
  test('runs outside of the node', async () => {
    const life = lifeOf('sum-process', { a: 4 })
    await life.run()
    expect(life.value).toMatchObject({ sum: 4 })
    expect((life.value as { pid: number }).pid).not.toBe(process.pid)
  })

  test('that ends its process fails alone', async () => {
    const life = lifeOf('exits')
    await life.run()
    expect(life.error).toMatchObject({ code: 'TROUPE_TASK_CRASHED', message: expect.stringContaining('code 3') })
  })

  test('that loops for ever is stopped by its timeout', async () => {
    const life = lifeOf('endless-process')
    await life.run()
    expect(life.error?.code).toBe('TROUPE_TIMEOUT')
  })
})

describe('loading task files', () => {
  test.each([
    ['a file that is not there', ['missing'], 'TROUPE_USAGE', /no file .*missing/],
    ['a file without tasks', ['none'], 'TROUPE_NO_TASKS', /exports no task/],
    ['a type that two files export', ['isolated', 'twice'], 'TROUPE_DUPLICATE_TASK', /"sum" is exported by/],
  ])('%s is refused', async (_name, files, code, message) => {
    const error = await loadTasks(files.map(fixture)).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) })
  })
})
