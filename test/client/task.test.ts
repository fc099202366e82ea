import { describe, expect, expectTypeOf, test } from 'vitest'
import { createActor, createMachine, fromPromise, fromTransition, setup } from 'xstate'
import { z } from 'zod'
import {
  type EventsOf,
  type InputOf,
  isTaskDefinition,
  type OutputOf,
  type TaskContext,
  task,
} from '../../src/client/index.ts'
import type { CommonTaskOptions } from '../../src/client/task-options.ts'

const idle = createMachine({ initial: 'a', states: { a: {} } })

describe('a definition', () => {
  test('is frozen, branded and resolved with defaults', () => {
    const definition = task('resize', async () => 1)
    expect(isTaskDefinition(definition)).toBe(true)
    expect(isTaskDefinition({ ...definition, type: 'x' })).toBe(true)
    expect(isTaskDefinition({ type: 'resize' })).toBe(false)
    expect(isTaskDefinition(null)).toBe(false)
    expect(Object.isFrozen(definition)).toBe(true)
    expect(definition.profile).toEqual({
      type: 'resize',
      logic: 'function',
      retry: { attempts: 3, backoffMs: 1_000, factor: 2, maxMs: 60_000, jitterPercent: 20 },
      restart: { intensity: 5, periodMs: 30_000 },
      timeoutMs: 0,
      resources: {},
      schema: false,
    })
    expect(definition).toMatchObject({ isolate: 'inline', memoryMb: 0, park: { afterMs: 1_000, lingerMs: 50 } })
  })

  test('keeps what is given', () => {
    const { profile, isolate } = task('t', idle, {
      retry: { attempts: 5, backoff: '2s', factor: 1.5, max: '10m', jitter: 0.05 },
      timeout: '30s',
      restart: { intensity: 1, period: '1m' },
      resources: { gpu: 1 },
      isolate: 'thread',
      version: '1.2.3',
      input: z.object({}),
    })
    expect(profile).toEqual({
      type: 't',
      logic: 'machine',
      retry: { attempts: 5, backoffMs: 2_000, factor: 1.5, maxMs: 600_000, jitterPercent: 5 },
      restart: { intensity: 1, periodMs: 60_000 },
      timeoutMs: 30_000,
      isolated: true,
      resources: { gpu: 1 },
      schema: true,
      version: '1.2.3',
    })
    expect(isolate).toBe('thread')
  })

  test.each([
    ['a name with a dot', () => task('a.b', () => 1), 'TROUPE_INVALID_NAME', 'a.b'],
    ['logic that is none', () => task('t', {} as never), 'TROUPE_INVALID_TASK', 'task "t": the logic must be'],
    ['an actor', () => task('t', createActor(idle) as never), 'TROUPE_INVALID_TASK', 'give the machine itself'],
    [
      'no attempts',
      () => task('t', () => 1, { retry: { attempts: 0 } }),
      'TROUPE_INVALID_RETRY',
      'task "t": retry.attempts 0',
    ],
    [
      'an unknown option',
      () => task('t', () => 1, { retries: 3 } as never),
      'TROUPE_UNKNOWN_OPTION',
      'no option "retries"; known are',
    ],
    [
      'an unknown inner option',
      () => task('t', () => 1, { retry: { times: 3 } as never }),
      'TROUPE_UNKNOWN_OPTION',
      'retry.times',
    ],
    [
      'a bad duration',
      () => task('t', () => 1, { timeout: 'soon' }),
      'TROUPE_INVALID_DURATION',
      'task "t": timeout "soon"',
    ],
    [
      'too much jitter',
      () => task('t', () => 1, { retry: { jitter: 20 } }),
      'TROUPE_INVALID_RETRY',
      'retry.jitter 20 is not between 0 and 1',
    ],
    [
      'a negative resource',
      () => task('t', () => 1, { resources: { cpu: -1 } }),
      'TROUPE_INVALID_OPTION',
      'resources.cpu',
    ],
    [
      'an unknown isolation',
      () => task('t', () => 1, { isolate: 'vm' as never }),
      'TROUPE_INVALID_OPTION',
      'isolate must be',
    ],
    [
      'a schema that is none',
      () => task('t', () => 1, { input: {} as never }),
      'TROUPE_INVALID_OPTION',
      'Standard Schema',
    ],
    [
      'a hedge after what is no time',
      () => task('t', () => 1, { hedge: { after: 'p96' } }),
      'TROUPE_INVALID_OPTION',
      'task "t": hedge.after must be a duration or one of "p50", "p75", "p90", "p95", "p99", not "p96"',
    ],
    [
      'a hedge with no budget',
      () => task('t', () => 1, { hedge: { budget: 0 } }),
      'TROUPE_INVALID_OPTION',
      'hedge.budget must be above 0',
    ],
    [
      'a hedge that is no object',
      () => task('t', () => 1, { hedge: 'yes' as never }),
      'TROUPE_INVALID_OPTION',
      'hedge must be an object',
    ],
    [
      'retry that is no object',
      () => task('t', () => 1, { retry: 3 as never }),
      'TROUPE_INVALID_OPTION',
      'retry must be an object',
    ],
  ])('%s is refused', (_name, define, code, message) => {
    expect(define).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }))
  })
})

test('a hedge is a time or a percentile, and a budget', () => {
  const hedgeOf = (hedge: CommonTaskOptions['hedge']) =>
    task('t', () => 1, hedge === undefined ? {} : { hedge }).profile.hedge
  expect(hedgeOf(undefined)).toBeUndefined()
  expect(hedgeOf(false)).toBeUndefined()
  expect(hedgeOf(true)).toEqual({ percentile: 95, budget: 0.05 })
  expect(hedgeOf({})).toEqual({ percentile: 95, budget: 0.05 })
  expect(hedgeOf({ after: 'p50', budget: 1 })).toEqual({ percentile: 50, budget: 1 })
  expect(hedgeOf({ after: '2s' })).toEqual({ afterMs: 2_000, budget: 0.05 })
})

describe('types are inferred', () => {
  test('from an async function and the events of its context', () => {
    const resize = task('resize', async (input: { url: string }, ctx: TaskContext<{ type: 'GO'; n: number }>) => {
      const go = await ctx.waitFor('GO')
      const perhaps = await ctx.waitFor('GO', { timeout: 5 })
      expectTypeOf(go.n).toEqualTypeOf<number>()
      expectTypeOf(perhaps).toEqualTypeOf<{ type: 'GO'; n: number } | undefined>()
      const length = await ctx.step('length', async () => input.url.length)
      expectTypeOf(length).toEqualTypeOf<number>()
      return { bytes: new Uint8Array() }
    })
    expectTypeOf<InputOf<typeof resize>>().toEqualTypeOf<{ url: string }>()
    expectTypeOf<OutputOf<typeof resize>>().toEqualTypeOf<{ bytes: Uint8Array<ArrayBuffer> }>()
    expectTypeOf<EventsOf<typeof resize>>().toEqualTypeOf<{ type: 'GO'; n: number }>()
    const parent = task('parent', async (_: undefined, ctx) => {
      const child = await ctx.submit(resize, { url: 'x' })
      expectTypeOf(await child.result()).toEqualTypeOf<{ bytes: Uint8Array<ArrayBuffer> }>()
      return ctx.map(resize, [{ url: 'y' }])
    })
    expectTypeOf<OutputOf<typeof parent>>().toEqualTypeOf<{ bytes: Uint8Array<ArrayBuffer> }[]>()
  })

  test('from a schema', () => {
    const strict = task('strict', async (input, _ctx) => input.n + 1, {
      input: z.object({ n: z.string().transform(Number) }),
    })
    expectTypeOf<InputOf<typeof strict>>().toEqualTypeOf<{ n: string }>()
    expectTypeOf<OutputOf<typeof strict>>().toEqualTypeOf<number>()
  })

  test('from actor logic', () => {
    const machine = setup({
      types: { input: {} as { total: number }, output: {} as { paid: boolean }, events: {} as { type: 'PAY' } },
    }).createMachine({ output: { paid: true } })
    const order = task('order', machine)
    expectTypeOf<InputOf<typeof order>>().toEqualTypeOf<{ total: number }>()
    expectTypeOf<OutputOf<typeof order>>().toEqualTypeOf<{ paid: boolean }>()
    expectTypeOf<EventsOf<typeof order>>().toEqualTypeOf<{ type: 'PAY' }>()
    const promise = task(
      'p',
      fromPromise(async ({ input }: { input: number }) => `${input}`),
    )
    expectTypeOf<InputOf<typeof promise>>().toEqualTypeOf<number>()
    expectTypeOf<OutputOf<typeof promise>>().toEqualTypeOf<string>()
    const counter = task(
      'c',
      fromTransition((n: number, event: { type: 'ADD'; by: number }) => n + event.by, 0),
    )
    expectTypeOf<EventsOf<typeof counter>>().toExtend<{ type: 'ADD'; by: number }>()
  })
})
