/** What a build would make of what another has stored: judged without running any of it. */

import { expect, test } from 'vitest'
import { assign, setup } from 'xstate'
import { task } from '../../../src/client/index.ts'
import type { AnyTaskDefinition } from '../../../src/client/task.ts'
import { fitOf } from '../../../src/runtime/tasks/fit.ts'
import { TaskLife } from './task-life.ts'

/** The task as the log has it, once it is parked. */
async function stored(definition: AnyTaskDefinition, ...events: { type: string }[]) {
  const life = new TaskLife(definition)
  for (const event of events) life.signal(event)
  life.start()
  await life.until(() => life.status === 'parked')
  const snapshot = life.snapshot as Uint8Array
  return { id: 'job', type: definition.type, status: 'parked', attempt: 1, snapshot, input: null } as const
}

let ran = 0
const door = (hall: 'hall' | 'lobby', entered = () => ran++) =>
  setup({ actions: { entered } }).createMachine({
    id: 'door',
    initial: 'open',
    states: {
      open: {
        initial: 'outside',
        states: { outside: { on: { ENTER: hall } }, [hall]: { entry: 'entered' }, last: { type: 'history' } },
        on: { CLOSE: 'closed' },
      },
      closed: { on: { OPEN: 'open.last' } },
    },
  })

test('a snapshot fits its own machine, and judging it runs no action', async () => {
  const inside = await stored(task('door', door('hall')), { type: 'ENTER' })
  const before = ran
  expect(await fitOf(task('door', door('hall')), inside)).toEqual({ fit: 'yes' })
  expect(ran).toBe(before)
})

test('states that are gone are named, also those that only the history knows', async () => {
  const inside = await stored(task('door', door('hall')), { type: 'ENTER' })
  const closed = await stored(task('door', door('hall')), { type: 'ENTER' }, { type: 'CLOSE' })
  for (const snapshot of [inside, closed]) {
    expect(await fitOf(task('door', door('lobby')), snapshot)).toMatchObject({
      fit: 'no',
      error: { code: 'TROUPE_SNAPSHOT_UNREADABLE', message: expect.stringContaining('hall') },
    })
  }
})

test('migrate is tried; what it throws is told with both versions', async () => {
  const inside = await stored(task('door', door('hall'), { version: '1' }), { type: 'ENTER' })
  const moved = task('door', door('lobby'), {
    version: '2',
    migrate: (_, snapshot) => ({ ...snapshot, value: { open: 'lobby' } }),
  })
  expect(await fitOf(moved, inside)).toEqual({ fit: 'yes' })
  const lost = task('door', door('lobby'), {
    version: '3',
    migrate: (from) => {
      throw new Error(`what is ${from.version}?`)
    },
  })
  expect(await fitOf(lost, inside)).toMatchObject({
    fit: 'no',
    error: { code: 'TROUPE_MIGRATION_FAILED', message: expect.stringMatching(/version 1 to version 3: what is 1\?/) },
  })
})

test('a machine does not go on from the steps of a function, nor the other way round', async () => {
  const waiting = task('door', async (_: unknown, ctx) => ctx.waitFor('GO'))
  const machine = task('door', door('hall'))
  expect(await fitOf(machine, await stored(waiting))).toMatchObject({ error: { code: 'TROUPE_SNAPSHOT_UNREADABLE' } })
  expect(await fitOf(waiting, await stored(machine))).toMatchObject({ error: { code: 'TROUPE_SNAPSHOT_UNREADABLE' } })
})

test('a function fits in part: its order is known only when it runs, its checkpoint needs a migrate', async () => {
  const saving = (version: string) =>
    task(
      'saving',
      async (_: unknown, { step, checkpoint, waitFor }) => {
        await checkpoint({ at: 1 })
        await step('pay', () => 1)
        await waitFor('GO')
      },
      { version },
    )
  const first = await stored(saving('1'))
  expect(await fitOf(saving('1'), first)).toMatchObject({
    fit: 'partly',
    why: expect.stringContaining('"pay", "an event GO"'),
  })
  expect(await fitOf(saving('2'), first)).toMatchObject({ fit: 'no', error: { code: 'TROUPE_MIGRATION_MISSING' } })
})

test('the input of a task that has not begun is compared with the schema', async () => {
  const definition = task('strict', async () => 1, {
    input: { '~standard': { version: 1, vendor: 'test', validate: () => ({ issues: [{ message: 'never' }] }) } },
  })
  const waiting = { id: 'a', type: 'strict', status: 'ready', attempt: 1, snapshot: null, input: '1' } as const
  expect(await fitOf(definition, waiting)).toMatchObject({ fit: 'no', error: { code: 'TROUPE_INVALID_INPUT' } })
})

test('a context of another shape is the business of migrate alone', async () => {
  const counter = (start: object) =>
    task(
      'counter',
      setup({ actions: { set: assign(() => start) } }).createMachine({
        context: start,
        on: { GO: { actions: 'set' } },
      }),
    )
  const definition = counter({ count: 1 })
  expect(await fitOf(counter({ counts: [1] }), await stored(definition))).toEqual({ fit: 'yes' })
})
