import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type TaskContext, task } from '../../../src/client/index.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { live, TaskLife } from './task-life.ts'

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Runs the first version until it sleeps, then goes on with the second. */
async function deploy(
  first: (ctx: TaskContext) => Promise<unknown>,
  second: (ctx: TaskContext) => Promise<unknown>,
): Promise<TaskLife> {
  const life = new TaskLife(task('v', async (_: undefined, ctx) => first(ctx)))
  await live(life, 100, advance)
  expect(life.status).toBe('parked')
  life.definition = task('v', async (_: undefined, ctx) => second(ctx))
  await live(life, 15_000, advance)
  return life
}

describe('steps', () => {
  test('two of one name are refused', async () => {
    const life = new TaskLife(
      task('twice', async (_: undefined, ctx) => {
        await ctx.step('a', () => 1)
        await ctx.step('a', () => 2)
      }),
    )
    await live(life, 100, advance)
    expect(life.error).toMatchObject({
      code: 'TROUPE_STEP_NAME_TWICE',
      message: expect.stringContaining('"a" was used twice'),
    })
    expect(life.retryable).toBe(false)
  })

  test('another order than before is refused', async () => {
    const life = await deploy(
      async ({ step, sleep }) => {
        await step('a', () => 1)
        await step('b', () => 2)
        await sleep('5s')
      },
      async ({ step, sleep }) => {
        await step('b', () => 2)
        await step('a', () => 1)
        await sleep('5s')
      },
    )
    expect(life.error).toMatchObject({
      code: 'TROUPE_STEP_MISMATCH',
      message: 'the function asked for "b", where an earlier run asked for "a" first',
    })
  })

  test('a renamed step is refused', async () => {
    const life = await deploy(
      async ({ step, sleep }) => {
        await step('a', () => 1)
        await sleep('5s')
      },
      async ({ step, sleep }) => {
        await step('renamed', () => 1)
        await sleep('5s')
      },
    )
    expect(life.error).toMatchObject({
      code: 'TROUPE_STEP_MISMATCH',
      details: { expected: 'a', asked: ['renamed'] },
    })
  })

  test('new steps after the old ones are welcome', async () => {
    const life = await deploy(
      async ({ step, sleep }) => {
        await step('a', () => 1)
        await sleep('5s')
      },
      async ({ step, sleep }) => {
        const a = await step('a', () => 10)
        await sleep('5s')
        return a + (await step('c', () => 2))
      },
    )
    expect(life.value).toBe(3)
  })

  test('chains that run side by side may end in any order, before and after a restart', async () => {
    const chains = async ({ step, sleep }: TaskContext) => {
      const chain = async (name: string, delays: number[]) => {
        let sum = 0
        for (const [index, ms] of delays.entries()) {
          sum += await step(
            `${name}${index}`,
            () => new Promise<number>((resolve) => setTimeout(() => resolve(ms), ms)),
          )
        }
        return sum
      }
      const sums = await Promise.all([chain('a', [10, 10, 10]), chain('b', [35]), chain('c', [5, 40])])
      await sleep('5s')
      return sums
    }
    const life = await deploy(chains, chains)
    expect(life.value).toEqual([30, 35, 45])
  })

  test('are tried again, time out, and get the same key every time', async () => {
    const keys = new Set<string>()
    const signals: AbortSignal[] = []
    const life = new TaskLife(
      task('tries', async (_: undefined, ctx) =>
        ctx.step(
          'pay',
          ({ attempt, idempotencyKey, signal }) => {
            keys.add(idempotencyKey)
            signals.push(signal)
            if (attempt === 1) throw new Error('refused')
            return attempt === 2 ? new Promise<number>(() => {}) : attempt
          },
          { retry: { attempts: 3, backoff: '1s' }, timeout: '2s' },
        ),
      ),
    )
    await live(life, 10_000, advance)
    expect(life.value).toBe(3)
    expect([...keys]).toEqual(['test:job:pay'])
    expect(signals[1]?.reason).toMatchObject({ code: 'TROUPE_TIMEOUT' })
  })

  test('an error that was caught stays caught; one that failed the attempt is tried again', async () => {
    let pays = 0
    let ships = 0
    const life = new TaskLife(
      task(
        'saga',
        async (_: undefined, { step }) => {
          const paid = await step('pay', () => Promise.reject(new Error(`no money ${++pays}`))).catch(
            (error: Error) => error.message,
          )
          await step('note', () => 1)
          return [
            paid,
            await step('ship', () => {
              if (++ships === 1) throw new Error('no ship')
              return 'shipped'
            }),
          ]
        },
        { retry: { attempts: 2 } },
      ),
    )
    await live(life, 1_000, advance)
    expect(life.value).toEqual(['no money 1', 'shipped'])
    expect([pays, ships]).toEqual([1, 2])
  })

  test('a result that cannot be stored is an error of the step', async () => {
    const life = new TaskLife(
      task('bad', async (_: undefined, ctx) => ctx.step('f', () => ({ f: () => 1 })), { retry: { attempts: 1 } }),
    )
    await live(life, 100, advance)
    expect(life.error).toMatchObject({ code: 'TROUPE_NOT_SERIALIZABLE', message: expect.stringContaining('step "f"') })
  })
})

describe('checkpoints', () => {
  test('a loop goes on where its last checkpoint was; the steps before it are kept', async () => {
    const done: string[] = []
    let loads = 0
    const make = (crashAt: number) =>
      task('loop', async (_: undefined, ctx) => {
        const rows = await ctx.step('load', () => {
          loads++
          return [0, 1, 2, 3, 4]
        })
        await ctx.sleep('2s')
        for (let index = (ctx.restored as number | undefined) ?? 0; index < rows.length; index++) {
          await ctx.step(`row-${index}`, () => done.push(`row-${index}`))
          if (index === crashAt && life.attempt === 1) throw new Error('crash')
          await ctx.sleep('1s')
          await ctx.checkpoint(index + 1)
        }
        return done
      })
    const life: TaskLife = new TaskLife(make(3))
    await live(life, 20_000, advance)
    expect(life.value).toEqual(['row-0', 'row-1', 'row-2', 'row-3', 'row-4'])
    expect(loads).toBe(1)
    expect(life.attempt).toBe(2)
  })

  test('migrate turns the checkpoint of an older version into a new one', async () => {
    const v1 = task('m', async (_: undefined, ctx) => {
      await ctx.checkpoint(5)
      await ctx.sleep('5s')
    })
    const life = new TaskLife(v1)
    await live(life, 100, advance)
    life.definition = task('m', async (_: undefined, ctx) => ctx.restored, {
      version: '2',
      migrate: (from, value: number) => ({ from, value }),
    })
    await live(life, 6_000, advance)
    expect(life.value).toEqual({ from: { version: undefined }, value: 5 })
  })
})

describe('values', () => {
  test('large inputs, results and snapshots travel as objects', async () => {
    const large = 'x'.repeat(200_000)
    const life = new TaskLife(
      task('large', async (input: string, ctx) => {
        const kept = await ctx.step('keep', () => input)
        await ctx.sleep('2s')
        return kept
      }),
      { input: large },
    )
    await live(life, 3_000, advance)
    const [name] = life.result as readonly [string, number, number]
    expect(life.objects.get(name)?.length).toBeGreaterThan(200_000)
    expect(life.objects.size).toBe(3)
    expect(life.entries.map((entry) => entry[0])).toEqual([kind.checkpointed, kind.parked, kind.completed])
  })

  test('an object store that fails makes the attempt fail, with nothing after it', async () => {
    const life = new TaskLife(
      task('large', async () => 'x'.repeat(200_000), { retry: { attempts: 1 } }),
      { host: { storeObject: () => Promise.reject(new Error('no store')) } },
    )
    await live(life, 100, advance)
    expect(life.error).toMatchObject({ message: 'no store' })
    expect(life.ended).toBe(1)
    expect(life.entries).toHaveLength(1)
  })

  test('an input that does not fit the schema fails for good, one that does is given as the schema gives it out', async () => {
    const { z } = await import('zod')
    const definition = task('strict', async (input, ctx) => [input.n, ctx.attempt], {
      input: z.object({ n: z.coerce.number() }),
    })
    const bad = new TaskLife(definition, { input: { n: 'x' } })
    await live(bad, 100, advance)
    expect(bad.error).toMatchObject({ code: 'TROUPE_INVALID_INPUT', message: expect.stringContaining('n: ') })
    expect(bad.attempt).toBe(1)
    const good = new TaskLife(definition, { input: { n: '5' } })
    await live(good, 100, advance)
    expect(good.value).toEqual([5, 1])
  })
})
