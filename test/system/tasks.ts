/** Tasks that the system tests run. Loaded by every node process of a test. */
import { setTimeout as delay } from 'node:timers/promises'
import { assign, setup } from 'xstate'
import { task } from '../../src/client/index.ts'

export const double = task('double', async (input: { n: number }) => ({ doubled: input.n * 2 }))

/** A checkpoint after each step; its result tells where each turn that got so far went on. */
export const counting = task('counting', async ({ steps, everyMs }: { steps: number; everyMs: number }, ctx) => {
  const restored = ctx.restored as { at: number; starts: number[] } | undefined
  let at = restored?.at ?? 0
  const starts = [...(restored?.starts ?? []), at]
  while (at < steps) {
    await delay(everyMs, undefined, { signal: ctx.signal })
    at++
    await ctx.checkpoint({ at, starts })
  }
  return { at, starts, pid: process.pid }
})

/** Fails until its last attempt. */
export const stubborn = task(
  'stubborn',
  async (_: unknown, ctx) => {
    if (ctx.attempt < 3) throw new Error(`attempt ${ctx.attempt}`)
    return { attempt: ctx.attempt }
  },
  { retry: { attempts: 3, backoff: '100ms', jitter: 0 } },
)

export const hopeless = task(
  'hopeless',
  async () => {
    throw new Error('never')
  },
  { retry: { attempts: 2, backoff: '50ms' } },
)

export const endless = task('endless', async (_: unknown, ctx) => delay(600_000, undefined, { signal: ctx.signal }), {
  timeout: '300ms',
  retry: { attempts: 2, backoff: '50ms' },
})

/** Ends when it is told to. */
export const patient = task('patient', async (_: unknown, ctx) => {
  const event = await ctx.waitFor('GO')
  return { told: event.with }
})

/** Computes: a round takes about a hundredth of a millisecond of a processor, whoever else uses it. */
export const burning = task('burning', async ({ rounds }: { rounds: number }) => {
  let sum = 0
  for (let i = 0; i < rounds * 10_000; i++) sum += Math.sqrt(i)
  return sum > 0
})

/** What its process's Object.prototype has. */
export const prototypes = task('prototypes', async () => ({
  own: Object.getOwnPropertyNames(Object.prototype),
  inherited: Object.keys({}).length + Object.keys([]).length,
  polluted: ({} as { polluted?: unknown }).polluted !== undefined,
}))

/** Fails with as much to say as is kept. */
export const verbose = task(
  'verbose',
  async () => {
    throw new Error('so many words '.repeat(1_000))
  },
  { retry: { attempts: 1 } },
)

/** Steps, a sleep that parks, children, a signal: whatever a turn can do, one after the other. */
export const journey = task('journey', async ({ n }: { n: number }, ctx) => {
  const first = await ctx.step('first', async () => n + 1)
  await ctx.sleep('1200ms')
  const doubled = await ctx.map(double, [{ n: first }, { n: first + 1 }])
  await ctx.progress(0.5, 'children are done')
  const event = await ctx.waitFor('GO')
  const last = await ctx.step('last', async () => {
    await delay(50)
    return doubled.reduce((sum, one) => sum + one.doubled, 0)
  })
  return { sum: last, told: event.with }
})

/** A machine with durable delays that needs an event, whenever that comes. */
export const trafficLight = task(
  'traffic-light',
  setup({
    types: { context: {} as { seen: number }, events: {} as { type: 'GO' }, output: {} as { seen: number } },
    actions: { see: assign({ seen: ({ context }) => context.seen + 1 }) },
  }).createMachine({
    id: 'light',
    initial: 'red',
    context: { seen: 0 },
    output: ({ context }) => ({ seen: context.seen }),
    states: {
      red: { after: { 300: 'amber' }, on: { GO: { target: 'green', actions: 'see' } } },
      amber: { on: { GO: { target: 'green', actions: 'see' } } },
      green: { after: { 1500: 'done' } },
      done: { type: 'final' },
    },
  }),
)

/** Sleeps until an instant, and tells how late it woke. */
export const dozing = task('dozing', async ({ untilMs }: { untilMs: number }, ctx) => {
  await ctx.sleepUntil(untilMs)
  return Date.now() - untilMs
})
