import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import {
  assign,
  createMachine,
  fromCallback,
  fromObservable,
  fromPromise,
  fromTransition,
  raise,
  sendTo,
  setup,
} from 'xstate'
import { task } from '../../../src/client/index.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { packValue, unpackValue } from '../../../src/protocol/payload.ts'
import { killAtEveryCommit, live, TaskLife } from './task-life.ts'

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const kinds = (life: TaskLife) => life.entries.map((entry) => entry[0])

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
})
afterEach(() => {
  vi.useRealTimers()
})

const order = setup({
  types: {
    context: {} as { total: number; tags: Set<string>; at: Map<string, Date>; paid?: string },
    input: {} as { total: number },
    events: {} as { type: 'APPROVE'; by: string } | { type: 'SHIP' },
    output: {} as { paid: string | undefined; tags: string[] },
  },
  actors: {
    charge: fromPromise(async ({ input }: { input: number }) => `paid ${input}`),
    reminder: createMachine({
      id: 'reminder',
      initial: 'waiting',
      states: { waiting: { after: { 5000: 'rung' } }, rung: { type: 'final' } },
    }),
  },
}).createMachine({
  id: 'order',
  context: ({ input }) => ({ total: input.total, tags: new Set(['new']), at: new Map([['made', new Date(7)]]) }),
  initial: 'reviewing',
  states: {
    reviewing: {
      invoke: { src: 'reminder', id: 'reminder', onDone: { actions: ({ context }) => context.tags.add('reminded') } },
      on: { APPROVE: { target: 'paying', actions: ({ context, event }) => context.tags.add(event.by) } },
    },
    paying: {
      invoke: {
        src: 'charge',
        input: ({ context }) => context.total,
        onDone: { target: 'packing', actions: assign({ paid: ({ event }) => event.output }) },
      },
    },
    packing: { after: { 3600000: 'shipped' }, on: { SHIP: 'shipped' } },
    shipped: { type: 'final' },
  },
  output: ({ context }) => ({ paid: context.paid, tags: [...context.tags] }),
})

describe('a machine', () => {
  test('lives through events, promises, children and delays, parked while it only waits', async () => {
    const life = new TaskLife(task('order', order), { input: { total: 5 } })
    await live(life, 1_000, advance)
    expect(life.status).toBe('parked')
    expect(life.parked?.wakeAtMs).toBe(1_005_000)
    await live(life, 6_000, advance)
    life.signal({ type: 'APPROVE', by: 'Ada' })
    await live(life, 1_000, advance)
    expect(life.status).toBe('parked')
    const packedAtMs = life.parked?.wakeAtMs ?? 0
    expect(packedAtMs - 3_600_000).toBeGreaterThanOrEqual(1_007_000)
    await live(life, packedAtMs - Date.now() - 20, advance, 1_000)
    expect(life.status).toBe('parked')
    await live(life, 2_000, advance)
    expect(life.value).toEqual({ paid: 'paid 5', tags: ['new', 'reminded', 'Ada'] })
  })

  test('ends alike wherever its node is killed', async () => {
    const { outcomes, whole, commits } = await killAtEveryCommit((options) => {
      const life = new TaskLife(task('order', order), { ...options, input: { total: 5 } })
      const run = async () => {
        await live(life, 6_000, advance)
        life.signal({ type: 'APPROVE', by: 'Ada' })
        await live(life, 1_000, advance)
        life.signal({ type: 'SHIP' })
        await live(life, 1_000, advance)
      }
      return { life, run }
    })
    expect(whole).toEqual({ paid: 'paid 5', tags: ['new', 'reminded', 'Ada'] })
    expect(commits).toBeGreaterThan(5)
    for (const outcome of outcomes) expect(outcome).toEqual(whole)
  })

  test('an event that it cannot take is told and counted', async () => {
    const life = new TaskLife(task('order', order), { input: { total: 5 } })
    life.start()
    await live(life, 200, advance)
    life.signal({ type: 'SHIP' })
    await live(life, 200, advance)
    const note = life.entries.find((entry) => entry[0] === kind.progressed)
    expect(note?.[4]).toBe('event SHIP came in state reviewing, which does not take it')
    expect(life.consumed).toBe(11)
  })

  test('what a state invokes starts once that state is stored', async () => {
    let charges = 0
    const machine = setup({
      actors: {
        charge: fromPromise(async () => {
          charges++
        }),
      },
    }).createMachine({
      initial: 'idle',
      states: {
        idle: { on: { PAY: 'paying' } },
        paying: { invoke: { src: 'charge', onDone: 'paid' } },
        paid: { type: 'final' },
      },
    })
    const life = new TaskLife(task('pay', machine), { killAtCommit: 2 })
    life.start()
    await live(life, 20, advance)
    life.signal({ type: 'PAY' })
    await live(life, 200, advance)
    expect(life.kills).toBe(1)
    expect(life.status).toBe('completed')
    expect(charges).toBe(1)
  })

  test('children without an id keep apart over restarts, and nested ones keep their delays', async () => {
    const leaf = createMachine({ initial: 'x', states: { x: { after: { 4000: 'y' } }, y: { type: 'final' } } })
    const middle = setup({ actors: { leaf } }).createMachine({
      invoke: { src: 'leaf', id: 'leaf', onDone: '.out' },
      initial: 'in',
      states: { in: {}, out: { type: 'final' } },
    })
    const machine = setup({
      actors: { middle },
      types: { context: {} as { ids: string[]; done: number } },
    }).createMachine({
      context: { ids: [], done: 0 },
      on: {
        ADD: { actions: assign({ ids: ({ context, spawn }) => [...context.ids, spawn('middle').id] }) },
        'xstate.done.actor.*': { actions: assign({ done: ({ context }) => context.done + 1 }) },
      },
      initial: 'on',
      states: { on: { always: { guard: ({ context }) => context.done === 3, target: 'off' } }, off: { type: 'final' } },
      output: ({ context }) => context.ids,
    })
    const life = new TaskLife(task('spawning', machine))
    for (let count = 0; count < 3; count++) {
      await live(life, 100, advance)
      expect(life.status).toBe('parked')
      life.signal({ type: 'ADD' })
    }
    await live(life, 3_500, advance)
    expect(life.status).toBe('parked')
    await live(life, 2_000, advance)
    expect(new Set(life.value as string[]).size).toBe(3)
    for (const id of life.value as string[]) expect(id).toMatch(/^x:t\d+$/)
  })

  test('a drained machine is handed back at its next step, or after the grace', async () => {
    const work = setup({
      actors: { slow: fromPromise(() => new Promise((resolve) => setTimeout(resolve, 1_000))) },
    }).createMachine({
      initial: 'a',
      states: {
        a: { invoke: { src: 'slow', onDone: 'b' } },
        b: { invoke: { src: 'slow', onDone: 'c' } },
        c: { type: 'final' },
      },
    })
    const life = new TaskLife(task('work', work))
    const turn = life.start()
    await advance(500)
    turn.yield(5_000)
    await advance(600)
    expect(life.entries.at(-1)?.[0]).toBe(kind.yielded)
    const second = life.start()
    await advance(500)
    second.yield(100)
    await advance(150)
    expect(life.ended).toBe(2)
    await live(life, 2_000, advance)
    expect(life.status).toBe('completed')
  })

  test('delays above 2³¹ ms are kept by their absolute time', async () => {
    const month = createMachine({
      initial: 'a',
      states: { a: { after: { [30 * 86_400_000]: 'b' } }, b: { type: 'final' } },
    })
    const life = new TaskLife(task('month', month))
    await live(life, 1_000, advance)
    expect(life.parked?.wakeAtMs).toBe(1_000_000 + 30 * 86_400_000)
    await live(life, 29 * 86_400_000, advance, 3_600_000)
    expect(life.status).toBe('parked')
    await live(life, 2 * 86_400_000, advance, 3_600_000)
    expect(life.status).toBe('completed')
  })

  test('a delayed raise and sendTo are cancelled, replaced and kept over a restart', async () => {
    const bell = setup({
      types: { context: {} as { rung: string[] } },
      actors: { echo: fromTransition((state: string[], event: { type: string }) => [...state, event.type], []) },
    }).createMachine({
      context: { rung: [] },
      initial: 'on',
      invoke: { src: 'echo', id: 'echo' },
      entry: [
        raise({ type: 'ONE' }, { delay: 2_000, id: 'one' }),
        raise({ type: 'LATE' }, { delay: 3_000, id: 'one' }),
        sendTo('echo', { type: 'PING' }, { delay: 1_500 }),
        raise({ type: 'END' }, { delay: 9_000 }),
      ],
      states: { on: { on: { END: 'off' } }, off: { type: 'final' } },
      on: {
        ONE: { actions: ({ context }) => context.rung.push('one') },
        LATE: { actions: assign({ rung: ({ context }) => [...context.rung, 'late'] }) },
      },
      output: ({ context }) => context.rung,
    })
    const life = new TaskLife(task('bell', bell))
    await live(life, 700, advance)
    expect(life.turns).toBe(1)
    await live(life, 9_500, advance)
    expect(life.turns).toBeGreaterThan(2)
    expect(life.value).toEqual(['late'])
  })
})

test('parallel regions, history and transient states end alike wherever the node is killed', async () => {
  const player = setup({
    types: { context: {} as { log: string[]; left: number } },
    actors: { count: fromTransition((count: number) => count + 1, 0) },
    guards: { isDone: ({ context }) => context.left === 0 },
  }).createMachine({
    id: 'player',
    type: 'parallel',
    context: { log: [], left: 2 },
    invoke: { src: 'count', id: 'count' },
    states: {
      deck: {
        initial: 'off',
        states: {
          off: { on: { POWER: 'on' } },
          on: {
            initial: 'stopped',
            on: { POWER: 'off', PAUSE: 'paused' },
            states: {
              stopped: { on: { PLAY: 'playing' } },
              playing: {
                entry: [
                  sendTo('count', { type: 'PLAYED' }),
                  assign({ log: ({ context }) => [...context.log, 'playing'] }),
                ],
                after: { 1200: 'stopped' },
              },
              hist: { type: 'history', history: 'deep' },
            },
          },
          paused: { after: { 1500: 'on.hist' } },
        },
      },
      countdown: {
        initial: 'ticking',
        states: {
          ticking: {
            after: { 2000: { target: 'check', actions: assign({ left: ({ context }) => context.left - 1 }) } },
          },
          check: { always: [{ guard: 'isDone', target: 'done' }, { target: 'ticking' }] },
          done: { entry: raise({ type: 'POWER' }) },
        },
      },
    },
  })
  const { outcomes, whole, commits } = await killAtEveryCommit((options) => {
    const life = new TaskLife(task('player', player, { linger: 20 }), options)
    const run = async () => {
      for (const type of ['POWER', 'PLAY', 'PAUSE', 'NOTHING']) {
        await live(life, 300, advance)
        life.signal({ type })
      }
      await live(life, 6_000, advance)
      life.result = packValue(stateOf(life))
      life.status = 'completed'
    }
    return { life, run }
  })
  expect(whole).toEqual({
    value: { deck: 'off', countdown: 'done' },
    context: { log: ['playing', 'playing'], left: 0 },
    count: 2,
  })
  expect(commits).toBeGreaterThan(8)
  for (const outcome of outcomes) expect(outcome).toEqual(whole)
})

/** What the last stored snapshot of a machine says. */
function stateOf(life: TaskLife): unknown {
  const { snapshot } = unpackValue(life.snapshot as Uint8Array) as { snapshot: Uint8Array }
  const { value, context, children } = unpackValue(snapshot) as {
    value: unknown
    context: unknown
    children: { count: { snapshot: { context: number } } }
  }
  return { value, context, count: children.count.snapshot.context }
}

describe('other actor logic', () => {
  test('a promise is run again after a crash and completes with its value', async () => {
    let runs = 0
    const life = new TaskLife(
      task(
        'promise',
        fromPromise(async ({ input }: { input: number }) => {
          runs++
          return input + 1
        }),
      ),
      { input: 1, killAtCommit: 1 },
    )
    await live(life, 100, advance)
    expect(life.value).toBe(2)
    expect(runs).toBe(2)
  })

  test('an error that nothing handles fails the attempt, and the next goes on from the last snapshot', async () => {
    let tries = 0
    const flaky = setup({
      actors: {
        work: fromPromise(async () => {
          if (++tries === 1) throw new Error('no luck')
        }),
      },
    }).createMachine({
      initial: 'a',
      states: { a: { after: { 10: 'b' } }, b: { invoke: { src: 'work', onDone: 'c' } }, c: { type: 'final' } },
    })
    const life = new TaskLife(task('flaky', flaky))
    await live(life, 500, advance)
    expect([life.status, life.attempt, tries]).toEqual(['completed', 2, 2])
    expect(life.error).toMatchObject({ code: 'TROUPE_TASK_FAILED', message: 'no luck' })
  })

  test('a transition function keeps its state and is parked between events', async () => {
    const counter = fromTransition((count: number, event: { type: 'ADD'; by: number }) => count + event.by, 0)
    const life = new TaskLife(task('counter', counter))
    await live(life, 200, advance)
    life.signal({ type: 'ADD', by: 3 })
    await live(life, 200, advance)
    life.signal({ type: 'ADD', by: 4 })
    await live(life, 200, advance)
    expect(life.status).toBe('parked')
    expect(life.turns).toBe(3)
    expect(life.consumed).toBe(12)
  })

  test('callbacks and observables run as children and at the root', async () => {
    const ticking = setup({
      actors: {
        tick: fromCallback(({ sendBack }) => {
          const timer = setInterval(() => sendBack({ type: 'TICK' }), 100)
          return () => clearInterval(timer)
        }),
      },
    }).createMachine({
      context: { ticks: 0 },
      invoke: { src: 'tick' },
      initial: 'on',
      states: { on: { always: { guard: ({ context }) => context.ticks >= 3, target: 'off' } }, off: { type: 'final' } },
      on: { TICK: { actions: assign({ ticks: ({ context }) => context.ticks + 1 }) } },
      output: ({ context }) => context.ticks,
    })
    const life = new TaskLife(task('ticking', ticking), { killAtCommit: 3 })
    await live(life, 2_000, advance)
    expect(life.value).toBe(3)
    const once = fromObservable(() => ({
      subscribe: (observer: unknown) => {
        const { next, complete } = observer as { next?: (value: number) => void; complete?: () => void }
        setTimeout(() => {
          next?.(1)
          complete?.()
        }, 20)
        return { unsubscribe: () => {} }
      },
    }))
    const observed = new TaskLife(task('observed', once))
    await live(observed, 200, advance)
    expect(kinds(observed)).toEqual([kind.completed])
  })
})

describe('what cannot be restored is refused with its place', () => {
  class Money {
    amount = 1
  }
  const cyclic: Record<string, unknown> = {}
  cyclic.self = cyclic
  const idle = { initial: 'a', states: { a: {} } } as const
  const child = createMachine({ initial: 'x', states: { x: {} } })

  test.each([
    [
      'a class instance',
      createMachine({ ...idle, context: { price: new Money() } }),
      'TROUPE_CLASS_INSTANCE',
      /context\.price.*Money/,
    ],
    ['a function', createMachine({ ...idle, context: { f: () => 1 } }), 'TROUPE_NOT_SERIALIZABLE', /context\.f/],
    ['a cycle', createMachine({ ...idle, context: { cyclic } }), 'TROUPE_CYCLIC_VALUE', /context\.cyclic/],
    [
      'an inline child',
      createMachine({ ...idle, context: ({ spawn }) => ({ ref: spawn(child, { id: 'kid' }) }) }),
      'TROUPE_INLINE_CHILD',
      /child "kid".*inline/,
    ],
  ])('%s', async (_name, machine, code, message) => {
    const life = new TaskLife(task('wrong', machine))
    await live(life, 100, advance)
    expect(life.error?.code).toBe(code)
    expect(life.error?.message).toMatch(message)
    expect(life.retryable).toBe(false)
  })

  test('a snapshot that names an unknown state or actor, unless migrate helps', async () => {
    const make = (state: string, actors: Record<string, typeof child>) =>
      setup({ actors: actors as { kid: typeof child } }).createMachine({
        id: 'm',
        initial: 'on',
        context: ({ spawn }) => ({ kid: actors.kid === undefined ? null : spawn('kid', { id: 'kid' }) }),
        states: {
          on: { initial: state, states: { [state]: { on: { GO: '#end' } } } },
          end: { id: 'end', type: 'final' },
        },
      })
    const life = new TaskLife(task('m', make('old', { kid: child }), { version: '1' }))
    await live(life, 200, advance)
    expect(life.status).toBe('parked')
    const before = life.snapshot
    life.definition = task('m', make('new', {}), { version: '2' })
    life.signal({ type: 'GO' })
    await live(life, 200, advance)
    expect(life.error?.code).toBe('TROUPE_SNAPSHOT_UNREADABLE')
    expect(life.error?.message).toContain('state "on.old" of machine "m", actor "kid" (child "kid") of machine "m"')
    expect(life.snapshot).toBe(before)
    life.definition = task('m', make('new', {}), {
      version: '2',
      migrate: (from, snapshot) => ({ ...snapshot, value: { on: from.version === '1' ? 'new' : '?' }, children: {} }),
    })
    life.status = 'ready'
    await live(life, 200, advance)
    expect(life.status).toBe('completed')
    life.definition = task('m', make('new', {}), { version: '3', migrate: () => ({ value: 'nonsense' }) })
    life.snapshot = before
    life.status = 'ready'
    await live(life, 200, advance)
    expect(life.error?.code).toBe('TROUPE_SNAPSHOT_UNREADABLE')
    life.definition = task('m', make('new', {}), { version: '3', migrate: () => ({ value: 'end', status: 'active' }) })
    life.status = 'ready'
    await live(life, 200, advance)
    expect(life.error).toMatchObject({
      code: 'TROUPE_SNAPSHOT_UNREADABLE',
      message: expect.stringContaining('cannot be restored'),
    })
  })
})
