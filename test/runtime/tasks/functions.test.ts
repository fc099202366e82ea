import { describe, expect, test } from 'vitest'
import { type TaskContext, task } from '../../../src/client/index.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { killAtEveryCommit, TaskLife } from './task-life.ts'

const kinds = (life: TaskLife) => life.entries.map((entry) => entry[0])

describe('an async function', () => {
  test('that returns a value has ended when startTurn returns', () => {
    const life = new TaskLife(
      task('double', (n: number) => n * 2),
      { input: 21 },
    )
    life.start()
    expect(life.value).toBe(42)
    expect(life.ended).toBe(1)
    expect(kinds(life)).toEqual([kind.completed])
  })

  test('completes with what its promise resolves with', async () => {
    const life = new TaskLife(
      task('later', async (name: string) => ({ hello: name, at: new Date(5) })),
      { input: 'Ada' },
    )
    await life.run()
    expect(life.value).toEqual({ hello: 'Ada', at: new Date(5) })
  })

  test('that throws fails the attempt, retryable unless the error says otherwise', async () => {
    const life = new TaskLife(
      task('bad', async () => Promise.reject(new TypeError('no luck')), { retry: { attempts: 2 } }),
    )
    await life.run()
    expect(life.attempt).toBe(2)
    expect(life.error).toMatchObject({ code: 'TROUPE_TASK_FAILED', message: 'no luck' })
    const final = new TaskLife(
      task('bad', () => Promise.reject(Object.assign(new Error('never'), { retryable: false }))),
    )
    await final.run()
    expect(final.attempt).toBe(1)
  })

  test('keeps the results of its steps over turns', async () => {
    let downloads = 0
    let crashes = 0
    const definition = task('steps', async (_: undefined, ctx) => {
      const first = await ctx.step('download', async () => ++downloads)
      const second = await ctx.step('resize', () => first + 10)
      if (crashes++ < 2) throw new Error('crash')
      return [first, second]
    })
    const life = await new TaskLife(definition).run()
    expect(life.value).toEqual([1, 11])
    expect(downloads).toBe(1)
    expect(life.attempt).toBe(3)
  })

  test('ends alike wherever its node is killed', async () => {
    const { outcomes, whole, commits } = await killAtEveryCommit((options) => {
      const definition = task('shop', async (input: number, ctx: TaskContext) => {
        const { step } = ctx
        const [a, b] = await Promise.all([step('a', () => input + 1), step('b', async () => input + 2)])
        await ctx.sleep(5)
        const c = await step('c', async () => a * b)
        const chains = await Promise.all(
          [1, 2].map(async (n) => (await step(`x${n}`, () => n)) + (await step(`y${n}`, () => n * 10))),
        )
        await ctx.checkpoint({ c })
        const restored = (ctx.restored as { c: number } | undefined)?.c ?? c
        return [a, b, restored, chains, await step('last', () => 'end')]
      })
      const life = new TaskLife(definition, { ...options, input: 1 })
      return { life, run: () => life.run() }
    })
    expect(whole).toEqual([2, 3, 6, [11, 22], 'end'])
    expect(commits).toBeGreaterThan(5)
    for (const outcome of outcomes) expect(outcome).toEqual(whole)
  })
})
