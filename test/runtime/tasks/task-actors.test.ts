/** Machines that run other tasks as actors, submit tasks, and signal them; each also killed at every commit. */
import { describe, expect, test } from 'vitest'
import { assign, createActor, type DoneActorEvent, setup } from 'xstate'
import { fromTask, signalTask, submitTask, task } from '../../../src/client/index.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { expectDurable, runTask } from '../../../src/testing/index.ts'

const resize = task('resize', async (input: { width: number }, ctx) => {
  await ctx.sleep(input.width * 1_000)
  if (input.width > 90) throw Object.assign(new Error('too wide'), { retryable: false })
  return `${input.width} px`
})
const listener = task('listener', async (_: undefined, ctx) => {
  const heard: unknown[] = []
  for (let event = ''; event !== 'END'; ) {
    const next = await ctx.waitFor<'SAY'>('SAY')
    event = String((next as { text?: unknown }).text)
    heard.push(event)
  }
  return heard
})

describe('a task as an actor', () => {
  const album = setup({
    types: { context: {} as { done: string[] }, output: {} as string[] },
    actors: { resize: fromTask(resize) },
  }).createMachine({
    context: { done: [] },
    type: 'parallel',
    states: {
      small: {
        initial: 'on',
        states: {
          on: {
            invoke: {
              src: 'resize',
              input: { width: 20 },
              onDone: {
                target: 'off',
                actions: assign({ done: ({ context, event }) => [...context.done, event.output] }),
              },
            },
          },
          off: { type: 'final' },
        },
      },
      large: {
        initial: 'on',
        states: {
          on: {
            invoke: {
              src: 'resize',
              input: { width: 60 },
              onDone: {
                target: 'off',
                actions: assign({ done: ({ context, event }) => [...context.done, event.output] }),
              },
            },
          },
          off: { type: 'final' },
        },
      },
    },
    output: ({ context }) => context.done,
  })

  test('runs as a child, side by side with others, while the machine is parked; its result is the done event', async () => {
    const run = await expectDurable(task('album', album), undefined, { tasks: [resize] })
    expect(run.result).toEqual(['20 px', '60 px'])
    expect(run.children.map(({ id, input }) => [id, input])).toEqual([
      ['test:1', { width: 20 }],
      ['test:2', { width: 60 }],
    ])
    const parked = run.entries.filter((entry) => entry[0] === kind.parked)
    expect(parked.map((entry) => [entry[7], entry[8]])).toEqual([
      [['test:1', 'test:2'], true],
      [['test:2'], true],
    ])
    expect(run.tookMs).toBeGreaterThanOrEqual(60_000)
    expect(run.tookMs).toBeLessThan(60_500)
  })

  test('that fails is the error event, with the cause', async () => {
    const machine = setup({
      types: { context: {} as { error?: unknown } },
      actors: { resize: fromTask(resize, { priority: 9 }) },
    }).createMachine({
      context: {},
      initial: 'on',
      states: {
        on: {
          invoke: {
            src: 'resize',
            input: { width: 91 },
            onError: { target: 'off', actions: assign({ error: ({ event }) => event.error }) },
          },
        },
        off: { type: 'final' },
      },
      output: ({ context }) => (context.error as { code: string; cause: Error }).cause.message,
    })
    const run = await expectDurable(task('wide', machine), undefined, { tasks: [resize] })
    expect(run.result).toBe('too wide')
  })

  test('is cancelled when its state is left, and is another task when it is entered again', async () => {
    const machine = setup({
      types: { events: {} as { type: 'AGAIN' } },
      actors: { resize: fromTask(resize) },
    }).createMachine({
      initial: 'on',
      states: {
        on: {
          invoke: { src: 'resize', id: 'it', input: { width: 50 }, onDone: 'off' },
          on: { AGAIN: { target: 'on', reenter: true } },
        },
        off: { type: 'final' },
      },
    })
    const run = await expectDurable(task('again', machine), undefined, {
      tasks: [resize],
      signals: [{ type: 'AGAIN' }],
    })
    expect(run.status).toBe('completed')
    expect(run.children.map(({ id, status }) => [id, status])).toEqual([
      ['test:1', 'cancelled'],
      ['test:2', 'completed'],
    ])
  })

  test('hears what the machine sends to it, in order and once', async () => {
    const machine = setup({
      types: {
        events: {} as { type: 'PASS'; text: string } | DoneActorEvent<unknown[]>,
        context: {} as { heard: unknown },
      },
      actors: { listener: fromTask(listener) },
    }).createMachine({
      context: { heard: undefined },
      initial: 'on',
      invoke: {
        src: 'listener',
        id: 'listener',
        onDone: { target: '.off', actions: assign({ heard: ({ event }) => event.output }) },
      },
      on: {
        PASS: {
          actions: [
            ({ system: _system, self, event }) => {
              const ref = self.getSnapshot().children.listener
              ref?.send({ type: 'SAY', text: event.text })
              ref?.send({ type: 'SAY', text: `${event.text}!` })
              if (event.text === 'c') ref?.send({ type: 'SAY', text: 'END' })
            },
          ],
        },
      },
      states: { on: {}, off: { type: 'final' } },
      output: ({ context }) => context.heard,
    })
    const signals = ['a', 'b', 'c'].map((text) => ({ type: 'PASS' as const, text }))
    const run = await expectDurable(task('passing', machine), undefined, { tasks: [listener], signals })
    expect(run.result).toEqual(['a', 'a!', 'b', 'b!', 'c', 'c!', 'END'])
  })

  test('spawned with an id, finds its outcome while a promise of the machine is at work', async () => {
    const machine = setup({
      types: { context: {} as { at: string[] } },
      actors: { resize: fromTask(resize) },
    }).createMachine({
      context: ({ spawn }) => {
        spawn('resize', { id: 'kid', input: { width: 3 } })
        return { at: [] }
      },
      on: {
        'xstate.done.actor.kid': {
          actions: assign({ at: ({ context, event }) => [...context.at, String(event.output)] }),
        },
      },
      initial: 'on',
      states: { on: { after: { 9000: 'off' } }, off: { type: 'final' } },
      output: ({ context }) => context.at,
    })
    const run = await expectDurable(task('kid', machine, { parkAfter: '1h' }), undefined, { tasks: [resize] })
    expect(run.result).toEqual(['3 px'])
    expect(run.entries.some((entry) => entry[0] === kind.parked)).toBe(false)
  })
})

test('actions submit tasks and signal them, with the state and before the end', async () => {
  const machine = setup({ types: { context: {} as { n: number }, events: {} as { type: 'GO' } } }).createMachine({
    context: { n: 7 },
    initial: 'on',
    entry: submitTask(listener, undefined),
    states: {
      on: { on: { GO: 'off' } },
      off: {
        type: 'final',
        entry: [
          signalTask('test:1', ({ context }) => ({ type: 'SAY', text: `n is ${context.n}` })),
          signalTask('test:1', { type: 'SAY', text: 'END' } as { type: 'SAY' }),
          submitTask('resize', ({ context }) => ({ width: context.n })),
        ],
      },
    },
  })
  const options = { tasks: [listener, resize], signals: [{ type: 'GO' as const }] }
  const run = await expectDurable(task('acting', machine), undefined, options)
  expect(run.status).toBe('completed')
  expect(run.children.map(({ id, type }) => [id, type])).toEqual([
    ['test:1', 'listener'],
    ['test:2', 'resize'],
  ])
  const signalled = run.entries.filter((entry) => entry[0] === kind.signalled)
  expect(signalled.map((entry) => [entry[3], entry[4]])).toEqual([
    ['test:1', 'test:1'],
    ['test:1', 'test:2'],
  ])
})

test('a function that waits for more children than one entry can name waits for all of them', async () => {
  const wide = task('wide', async (count: number, ctx) => {
    const numbers = await ctx.map(
      'number',
      Array.from({ length: count }, (_, index) => index),
    )
    return (numbers as number[]).reduce((a, b) => a + b, 0)
  })
  const run = await runTask(wide, 1_500, { tasks: { number: (n: number) => n } })
  expect(run.result).toBe((1_499 * 1_500) / 2)
})

test('outside of a task such a machine says what is wrong', () => {
  const machine = setup({}).createMachine({ entry: submitTask('x', undefined) })
  const errors: unknown[] = []
  const actor = createActor(machine)
  actor.subscribe({ error: (error) => errors.push(error) })
  actor.start()
  expect(errors).toMatchObject([{ code: 'TROUPE_INVALID_TASK' }])
})
