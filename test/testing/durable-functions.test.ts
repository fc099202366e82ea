/** What async functions see is the same in the turn in which it happens and in every later one. */
import { setTimeout as passing } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { TaskFailed, task } from '../../src/client/index.ts'
import { expectDurable } from '../../src/testing/index.ts'

class CardDeclined extends Error {
  override name = 'CardDeclined'
  readonly code = 'E_DECLINED'
  readonly cents = 1200
  readonly at = new Date(7)
}

test('the error of a step has its name, code, fields and cause, and what was thrown instead of an error stays what it is', async () => {
  const failing = task('failing', async (_: undefined, ctx) => {
    const caught: unknown[] = []
    const thrown = [
      new CardDeclined('no', { cause: new RangeError('limit') }),
      new TypeError('kind'),
      'text',
      undefined,
      { status: 404 },
    ]
    for (const [index, error] of thrown.entries()) {
      try {
        await ctx.step(`step ${index}`, () => Promise.reject(error))
      } catch (error) {
        const { name, code, cents, at, cause } = (error ?? {}) as CardDeclined
        caught.push(error instanceof Error ? [name, code, cents, at, cause instanceof RangeError] : error)
        if (error instanceof TypeError) caught.push('a TypeError')
        if (error instanceof CardDeclined) caught.push('never: classes are code')
      }
      await ctx.sleep('1h')
    }
    return caught
  })
  expect((await expectDurable(failing, undefined)).result).toEqual([
    ['CardDeclined', 'E_DECLINED', 1200, new Date(7), true],
    ['TypeError', undefined, undefined, undefined, false],
    'a TypeError',
    'text',
    undefined,
    { status: 404 },
  ])
})

const nap = task('nap', async (hours: number, ctx) => {
  await ctx.sleep(hours * 3_600_000)
  return hours
})
const bad = task('bad', async () => Promise.reject(new Error('bad luck')), { retry: { attempts: 1 } })

test('the error of a child is a TaskFailed in later turns too', async () => {
  const parent = task('parent', async (_: undefined, ctx) => {
    const child = await ctx.submit(bad, undefined)
    const error = await child.result().catch((error: unknown) => error)
    await ctx.sleep('1h')
    return error instanceof TaskFailed && [error.task, (error.cause as Error).message]
  })
  expect((await expectDurable(parent, undefined, { tasks: [bad] })).result).toEqual(['test:1', 'bad luck'])
})

test('a child wins a race against another, against a short sleep and against a long step', async () => {
  const race = task('race', async (_: undefined, ctx) => {
    const slow = await ctx.submit(nap, 9)
    const quick = await ctx.submit(nap, 1)
    const first = await Promise.race([slow.result(), quick.result()])
    const soon = await ctx.submit('soon')
    const second = await Promise.race([soon.result(), ctx.sleep(900).then(() => 'sleep')])
    if ((await quick.result()) !== first) throw new Error('asked for again, it is the same')
    const third = await ctx.submit(nap, 1)
    const long = ctx.step('long', () => passing(6 * 3_600_000, 'step'))
    return [first, second, await Promise.race([third.result(), long])]
  })
  const soon = task('soon', async (_: undefined, ctx) => ctx.sleep(100).then(() => 'soon'))
  const run = await expectDurable(race, undefined, { tasks: [nap, soon] })
  expect(run.result).toEqual([1, 'soon', 1])
  expect(run.tookMs).toBeLessThan(3 * 3_600_000)
})

test('many steps and large values', async () => {
  const many = task('many', async (_: undefined, ctx) => {
    let sum = 0
    for (let step = 0; step < 20; step++) sum += await ctx.step(`step ${step}`, () => step)
    const text = await ctx.step('large', () => 'x'.repeat(200_000))
    await ctx.sleep('1h')
    return sum + text.length
  })
  expect((await expectDurable(many, undefined)).result).toBe(200_190)
})
