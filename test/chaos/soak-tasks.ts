/** What an installation runs all day: a bit of everything that leaves something behind when it is not cleaned up. */
import { setTimeout as delay } from 'node:timers/promises'
import { assign, fromPromise, setup } from 'xstate'
import { task } from '../../src/client/index.ts'

export const quick = task('quick', async ({ pad }: { pad: string }) => pad.length)

/** Fails twice, then not. */
export const flaky = task(
  'flaky',
  async (_: unknown, ctx) => {
    if (ctx.attempt < 3) throw new Error('not yet')
    return ctx.attempt
  },
  { retry: { attempts: 5, backoff: '50ms' } },
)

export const doomed = task(
  'doomed',
  async () => {
    throw new Error('never')
  },
  { retry: { attempts: 2, backoff: '50ms' } },
)

/** Stores its steps, parks, and goes on. */
export const stepping = task('stepping', async ({ pad }: { pad: string }, ctx) => {
  const first = await ctx.step('first', async () => pad.slice(0, 50))
  await ctx.sleep('2s')
  return ctx.step('second', async () => first.length)
})

/** Waits for an event, or gives up. */
export const listening = task('listening', async (_: unknown, ctx) => {
  const event = await ctx.waitFor('go', { timeout: '5s' }).catch(() => undefined)
  return event === undefined ? 'nobody came' : 'gone'
})

/** Has children. */
export const parent = task('parent', async (_: unknown, ctx) => {
  const sizes = await ctx.map(quick, [{ pad: 'a' }, { pad: 'bb' }, { pad: 'ccc' }])
  return sizes.length
})

/** Takes and returns more than a log entry holds. */
export const large = task('large', async ({ pad }: { pad: string }) => pad)

const counting = setup({
  types: { context: {} as { count: number } },
  actors: { wait: fromPromise(async () => delay(100)) },
}).createMachine({
  context: { count: 0 },
  initial: 'waiting',
  output: ({ context }) => context.count,
  states: {
    waiting: {
      invoke: {
        src: 'wait',
        onDone: { target: 'counted', actions: assign({ count: ({ context }) => context.count + 1 }) },
      },
    },
    counted: {
      after: { 300: [{ guard: ({ context }) => context.count < 3, target: 'waiting' }, { target: 'over' }] },
    },
    over: { type: 'final' },
  },
})

export const machine = task('machine', counting)
