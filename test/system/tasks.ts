/** Tasks that the system tests run. Loaded by every node process of a test. */
import { setTimeout as delay } from 'node:timers/promises'
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

/** Burns a processor for so long. */
export const burning = task('burning', async ({ ms }: { ms: number }) => {
  const endMs = performance.now() + ms
  let sum = 0
  while (performance.now() < endMs) for (let i = 0; i < 10_000; i++) sum += Math.sqrt(i)
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
