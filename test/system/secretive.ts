/** Tasks that handle secrets badly, for the test that none of them is logged. Each secret comes as input or environment. */
import { setTimeout as delay } from 'node:timers/promises'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { task } from '../../src/client/index.ts'

const once = { retry: { attempts: 1 } } as const

export const returns = task('returns', async (secret: string) => ({ secret }))

export const keeps = task('keeps', async ({ secret }: { secret: string }, ctx) => {
  await ctx.step('remember', async () => `${secret}-step`)
  await ctx.checkpoint({ secret })
  await ctx.progress(0.5, 'half')
  const event = await ctx.waitFor('GO')
  return { secret, event }
})

export const fails = task(
  'fails',
  async (secret: string) => {
    throw Object.assign(new Error(`cannot use ${secret}`, { cause: new TypeError(secret) }), { details: { secret } })
  },
  once,
)

export const failsInStep = task(
  'fails-in-step',
  async (secret: string, ctx) =>
    ctx.step('call', async () => {
      throw new Error(secret)
    }),
  once,
)

export const throwsText = task('throws-text', async (secret: string) => Promise.reject(secret), once)

export const strays = task('strays', async (secret: string) => {
  void Promise.reject(Object.assign(new Error(secret), { secret }))
  setTimeout(() => {
    throw new RangeError(secret)
  }, 1)
  await delay(20)
  return true
})

export const threaded = task('threaded', async (secret: string) => Promise.reject(new Error(secret)), {
  ...once,
  isolate: 'thread',
})

export const forked = task(
  'forked',
  async (secret: string) => {
    setTimeout(() => {
      throw new Error(secret)
    }, 1)
    await delay(60_000)
  },
  { ...once, isolate: 'process' },
)

export const strict = task('strict', async (input: { n: number }) => input, {
  ...once,
  input: z.object({ n: z.number() }).strict(),
})

export const unsaved = task('unsaved', async (secret: string) => ({ [secret]: () => secret }), once)

export const machine = task(
  'machine',
  createMachine({
    context: ({ input }) => ({ input }),
    initial: 'idle',
    states: {
      idle: { on: { GO: { actions: ({ event }) => Promise.reject(new Error(JSON.stringify(event))), target: 'end' } } },
      end: { type: 'final' },
    },
  }),
  once,
)

/** Logs credentials itself, in the forms that are known for what they are. */
export const talks = task('talks', async (secrets: string[], ctx) => {
  for (const secret of secrets) ctx.log.info({ secret: 'seen', about: secret }, `used ${secret}`)
  return secrets.length
})
