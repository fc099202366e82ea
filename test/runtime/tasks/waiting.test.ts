import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type TaskContext, task } from '../../../src/client/index.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { TroupeError } from '../../../src/protocol/errors.ts'
import type { TaskAnswer } from '../../../src/protocol/messages.ts'
import { packValue } from '../../../src/protocol/payload.ts'
import { killAtEveryCommit, live, TaskLife } from './task-life.ts'

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms)

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
})
afterEach(() => {
  vi.useRealTimers()
})

describe('sleeping', () => {
  test('long sleeps park the task until their absolute time', async () => {
    let runs = 0
    const life = new TaskLife(
      task('nap', async (_: undefined, { sleep, sleepUntil }) => {
        runs++
        await sleep('10s')
        await sleepUntil(new Date(1_030_000))
        await sleepUntil('1970-01-01T00:17:20.000Z')
        return Date.now()
      }),
    )
    await live(life, 100, advance)
    expect(life.status).toBe('parked')
    expect(life.parked).toEqual({ wakeAtMs: 1_010_000, onSignal: false, children: [] })
    await live(life, 60_000, advance)
    expect(life.value).toBeGreaterThanOrEqual(1_040_000)
    expect(life.value).toBeLessThan(1_040_100)
    expect(runs).toBe(4)
  })

  test('a short sleep stays on the node and writes nothing', async () => {
    const life = new TaskLife(task('nap', async (_: undefined, ctx) => ctx.sleep(500)))
    await live(life, 2_000, advance)
    expect(life.entries.map((entry) => entry[0])).toEqual([kind.completed])
  })

  test('a task is not parked while a step is under way', async () => {
    const life = new TaskLife(
      task('both', async (_: undefined, ctx) => {
        const slow = ctx.step('slow', () => new Promise((resolve) => setTimeout(() => resolve('done'), 3_000)))
        await ctx.sleep('2s')
        return await slow
      }),
    )
    await live(life, 10_000, advance)
    expect(life.value).toBe('done')
    expect(life.turns).toBe(1)
  })

  test('a step races against a sleep', async () => {
    const life = new TaskLife(
      task('race', async (_: undefined, ctx) => {
        const never = ctx.step('never', () => new Promise(() => {}))
        return Promise.race([never, ctx.sleep('2s').then(() => 'too late')])
      }),
    )
    await live(life, 5_000, advance)
    expect(life.value).toBe('too late')
  })
})

describe('waiting for events', () => {
  type Events = { type: 'A'; n: number } | { type: 'B'; s: string }
  const collect = task('collect', async (_: undefined, ctx: TaskContext<Events>) => {
    const b = await ctx.waitFor('B')
    const first = await ctx.waitFor('A')
    const second = await ctx.waitFor('A')
    const none = await ctx.waitFor('B', { timeout: '5s' })
    return [b.s, first.n, second.n, none]
  })

  test('events are taken by type, in order, and kept until they are', async () => {
    const life = new TaskLife(collect)
    life.signal({ type: 'A', n: 1 })
    await live(life, 200, advance)
    life.signal({ type: 'A', n: 2 })
    await live(life, 200, advance)
    expect(life.parked).toMatchObject({ onSignal: true, wakeAtMs: 0 })
    life.signal({ type: 'B', s: 'b' })
    await live(life, 300, advance)
    expect(life.parked).toMatchObject({ onSignal: true })
    await live(life, 6_000, advance)
    expect(life.value).toEqual(['b', 1, 2, undefined])
  })

  test('a wait that timed out takes no event from the next one', async () => {
    const life = new TaskLife(
      task('patient', async (_: undefined, ctx: TaskContext) => {
        const none = await ctx.waitFor('A', { timeout: 20 })
        return [none, await ctx.waitFor('A', { timeout: '5s' })]
      }),
    )
    const turn = life.start()
    await live(life, 30, advance)
    turn.signal([11, 0, packValue({ type: 'A', n: 1 })])
    await live(life, 100, advance)
    expect(life.value).toEqual([undefined, { type: 'A', n: 1 }])
  })

  test('a task parks for what it waits for now, not for a time that is over', async () => {
    const life = new TaskLife(
      task('twice', async (_: undefined, ctx: TaskContext) => {
        await ctx.sleep(20)
        return ctx.waitFor('A')
      }),
    )
    await live(life, 1_000, advance)
    expect(life.parked).toMatchObject({ onSignal: true, wakeAtMs: 0 })
  })

  test('a signal that is missing is asked for, duplicates are dropped', async () => {
    const gaps: number[] = []
    const two = task('two', async (_: undefined, ctx: TaskContext) => [await ctx.waitFor('A'), await ctx.waitFor('A')])
    const life = new TaskLife(two, { host: { gap: (_turn, sequence) => gaps.push(sequence) } })
    life.signal({ type: 'B' })
    await live(life, 200, advance)
    expect([life.status, life.consumed]).toEqual(['parked', 11])
    const turn = life.start()
    const event = (n: number) => packValue({ type: 'A', n })
    turn.signal([14, 12, event(2)])
    turn.signal([11, 0, packValue({ type: 'B' })])
    expect(gaps).toEqual([11])
    turn.signal([12, 11, event(1)])
    turn.signal([14, 12, event(2)])
    await live(life, 20, advance)
    expect(life.value).toEqual([
      { type: 'A', n: 1 },
      { type: 'A', n: 2 },
    ])
  })

  test('the outcome is the same wherever the node is killed', async () => {
    const { outcomes, whole } = await killAtEveryCommit((options) => {
      const life = new TaskLife(collect, options)
      const run = async () => {
        await live(life, 200, advance)
        for (const event of [
          { type: 'A', n: 1 },
          { type: 'B', s: 'b' },
          { type: 'A', n: 2 },
        ]) {
          life.signal(event)
          await live(life, 200, advance)
        }
        await live(life, 6_000, advance)
      }
      return { life, run }
    })
    expect(whole).toEqual(['b', 1, 2, undefined])
    for (const outcome of outcomes) expect(outcome).toEqual(whole)
  })
})

describe('children', () => {
  const parent = task('parent', async (input: number[], ctx) => {
    const one = await ctx.submit('child', { n: 0 }, { priority: 7, delay: '1s' })
    const squares = (await ctx.map('child', input)) as number[]
    return [one.id, await one.result(), squares]
  })

  const endAll = (life: TaskLife) => {
    for (const { id, input } of life.submitted)
      if (!life.children.has(id)) life.childEnded(id, { result: square(input) })
  }
  const square = (input: unknown) => (typeof input === 'number' ? input * input : 'zero')

  test('are submitted with the state, waited for parked, and answered in order', async () => {
    const life = new TaskLife(parent, { input: [1, 2, 3] })
    await live(life, 100, advance)
    expect(life.submitted.map(({ id }) => id)).toEqual(['job:1', 'job:2', 'job:3', 'job:4'])
    expect(life.parked).toEqual({ wakeAtMs: 0, onSignal: false, children: ['job:2', 'job:3', 'job:4'] })
    const first = life.entries.find((entry) => entry[0] === kind.submitted)
    expect(first?.[5]).toEqual({ id: 'job:1', priority: 7, delayMs: 1_000 })
    endAll(life)
    await live(life, 100, advance)
    expect(life.value).toEqual(['job:1', 'zero', [1, 4, 9]])
  })

  test('have the same ids and outcome wherever the parent is killed', async () => {
    const { outcomes, whole } = await killAtEveryCommit((options) => {
      const life = new TaskLife(parent, { ...options, input: [1, 2, 3] })
      const run = async () => {
        for (let round = 0; round < 5; round++) {
          await live(life, 100, advance)
          endAll(life)
        }
      }
      return { life, run }
    })
    expect(whole).toEqual(['job:1', 'zero', [1, 4, 9]])
    for (const outcome of outcomes) expect(outcome).toEqual(whole)
  })

  test('run a few at a time, in batches', async () => {
    const life = new TaskLife(
      task('few', async (_: undefined, ctx) => ctx.map('child', [1, 2, 3, 4, 5], { concurrency: 2 })),
    )
    await live(life, 100, advance)
    expect(life.submitted).toHaveLength(2)
    for (let round = 0; round < 3; round++) {
      endAll(life)
      await live(life, 100, advance)
    }
    expect(life.value).toEqual([1, 4, 9, 16, 25])
  })

  test('10,000 of them are submitted in blocks', async () => {
    const inputs = Array.from({ length: 10_000 }, (_, index) => index)
    const life = new TaskLife(task('wide', async (_: undefined, ctx) => (await ctx.map('child', inputs)).length))
    await live(life, 300, advance)
    expect(life.submitted).toHaveLength(10_000)
    endAll(life)
    await live(life, 300, advance)
    expect(life.value).toBe(10_000)
  })

  test('of more blocks than were stored when the node died, the missing are submitted, none twice', async () => {
    const inputs = Array.from({ length: 1_200 }, (_, n) => n)
    const wide = task('wide', async (_: undefined, ctx) => (await ctx.map('child', inputs)).length)
    const life: TaskLife = new TaskLife(wide, {
      killAtCommit: 2,
      host: {
        ask: async (id) => {
          const known = life.submitted.some((child) => child.id === id)
          if (!known) throw new TroupeError('TROUPE_UNKNOWN_TASK', `task "${id}" is not known`)
          return { id, type: 'child', status: 'completed', result: 1 } as TaskAnswer
        },
      },
    })
    await live(life, 60_000, advance)
    expect([life.kills, life.status, life.value]).toEqual([1, 'completed', 1_200])
    expect(life.submitted.map(({ id }) => id)).toEqual(inputs.map((n) => `job:${n + 1}`))
  })

  test('a failed child fails the call with its error as cause', async () => {
    const life = new TaskLife(
      task('parent', async (_: undefined, ctx) => {
        const child = await ctx.submit('child')
        return child
          .result()
          .catch((error: Error & { code: string; cause?: Error }) => [error.code, error.cause?.message])
      }),
    )
    await live(life, 100, advance)
    life.childEnded('job:1', { error: { code: 'TROUPE_TASK_FAILED', message: 'broken' } })
    await live(life, 100, advance)
    expect(life.value).toEqual(['TROUPE_TASK_FAILED', 'broken'])
  })
})

describe('handing back', () => {
  test('a drained function goes on from its last step on another node', async () => {
    const ran: string[] = []
    const life = new TaskLife(
      task('chain', async (_: undefined, ctx) => {
        for (const name of ['a', 'b', 'c']) {
          await ctx.step(name, () => {
            ran.push(name)
            return new Promise<void>((resolve) => setTimeout(resolve, 100))
          })
        }
        return ran.length
      }),
    )
    life.start().yield(10_000)
    await live(life, 1_000, advance)
    expect(life.turns).toBe(2)
    expect(ran).toEqual(['a', 'b', 'c'])
  })

  test('after the grace it is handed back as it was stored, and its signal aborts', async () => {
    let reason: unknown
    const life = new TaskLife(
      task('deaf', async (_: undefined, ctx) => {
        if (life.turns > 1) return 'second'
        ctx.signal.addEventListener('abort', () => {
          reason = ctx.signal.reason
        })
        return new Promise(() => {})
      }),
    )
    life.start().yield(500)
    await advance(400)
    expect(life.ended).toBe(0)
    await live(life, 500, advance)
    expect(reason).toMatchObject({ code: 'TROUPE_DRAINING' })
    expect(life.value).toBe('second')
  })

  test('an aborted turn commits nothing more, and its calls are refused', async () => {
    const calls: string[] = []
    const life = new TaskLife(
      task('stubborn', async (_: undefined, ctx) => {
        await ctx.sleep(500).catch((error: TroupeError) => calls.push(error.code))
        await ctx.step('s', () => 1).catch((error: TroupeError) => calls.push(error.code))
        return 1
      }),
    )
    life.start().abort(new TroupeError('TROUPE_TASK_CANCELLED', 'cancelled'))
    await advance(2_000)
    expect(calls).toEqual(['TROUPE_TASK_CANCELLED', 'TROUPE_TASK_CANCELLED'])
    expect(life.entries).toEqual([])
    expect(life.ended).toBe(1)
  })

  test('the timeout fails the attempt and aborts the signal', async () => {
    let reason: unknown
    const life = new TaskLife(
      task(
        'slow',
        (_: undefined, ctx) =>
          new Promise(() => {
            ctx.signal.addEventListener('abort', () => {
              reason = ctx.signal.reason
            })
          }),
        { timeout: '2s', retry: { attempts: 1 } },
      ),
    )
    await live(life, 3_000, advance)
    expect(life.error).toMatchObject({ code: 'TROUPE_TIMEOUT' })
    expect(life.retryable).toBe(true)
    expect(reason).toMatchObject({ code: 'TROUPE_TIMEOUT' })
  })
})
