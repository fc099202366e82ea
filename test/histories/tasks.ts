/** A user's tasks. What they do goes into a file, line by line, so that it stays known when their process is killed. */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TaskContext, task } from '../../src/client/index.ts'
import { attemptsMax } from './judge.ts'

interface Input {
  readonly value: number
}

const file = join(process.env.HISTORIES_EFFECTS ?? '.', `${process.pid}.jsonl`)

function effect(ctx: { id: string; attempt: number }, step: string, key: string): void {
  const atMs = performance.timeOrigin + performance.now()
  appendFileSync(file, `${JSON.stringify({ id: ctx.id, step, key, attempt: ctx.attempt, atMs })}\n`)
}

export const plain = task('plain', ({ value }: Input, ctx) => {
  effect(ctx, 'only', ctx.idempotencyKey())
  return { value, steps: ['only'] }
})

export const sleeper = task('sleeper', async ({ value }: Input, ctx) => {
  const ms = 100 + (value % 900)
  const before = `before:${ms}`
  await ctx.step(before, ({ idempotencyKey }) => effect(ctx, before, idempotencyKey))
  await ctx.sleep(ms)
  await ctx.step('after', ({ idempotencyKey }) => effect(ctx, 'after', idempotencyKey))
  return { value, steps: [before, 'after'] }
})

export const flaky = task(
  'flaky',
  async ({ value }: Input, ctx) => {
    await ctx.step('try', ({ idempotencyKey }) => {
      effect(ctx, 'try', idempotencyKey)
      if (ctx.attempt <= value % (attemptsMax + 1)) throw new Error(`attempt ${ctx.attempt} fails`)
    })
    return { value, steps: ['try'] }
  },
  { retry: { attempts: attemptsMax, backoff: 50, max: 200 } },
)

export const listener = task('listener', async ({ value }: Input, ctx: TaskContext<{ type: 'go'; value: number }>) => {
  const heard: number[] = []
  while (heard.length < 2) heard.push((await ctx.waitFor('go')).value)
  return { value, heard, steps: [] }
})
