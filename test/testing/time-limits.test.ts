/** Every limit on time ends what it is about with an error of its own, at its time. */
import { expect, test } from 'vitest'
import { setup } from 'xstate'
import { task } from '../../src/client/index.ts'
import { runTask } from '../../src/testing/index.ts'

const never = () => new Promise<void>(() => {})
const work = task('work', async () => 1)
const once = { attempts: 1 }

test('from submission to start: it expires when no node takes it', async () => {
  // The child's type is nowhere.
  const parent = task('parent', async (_: undefined, ctx) => {
    const child = await ctx.submit('nowhere', undefined, { startWithin: '5m' })
    return child
      .result()
      .catch((error: Error & { code: string; cause?: { code?: string } }) => [error.code, error.cause?.code])
  })
  const run = await runTask(parent, undefined)
  expect(run.result).toEqual(['TROUPE_TASK_EXPIRED', 'TROUPE_START_TIMEOUT'])
  expect(run.tookMs).toBe(300_000)
})

test('it counts from when the task may start, and not once it has started', async () => {
  const delayed = await runTask(work, undefined, { options: { delay: '1h', startWithin: '1m' } })
  expect(delayed).toMatchObject({ status: 'completed', tookMs: 3_600_000 })
  const long = task('long', async (_: undefined, ctx) => ctx.sleep('1h'))
  expect(await runTask(long, undefined, { options: { startWithin: '1m' } })).toMatchObject({ status: 'completed' })
  const chain = task('chain', async (_: undefined, ctx) => {
    const first = await ctx.submit(long, undefined)
    const second = await ctx.submit('nowhere', undefined, { after: [first.id], startWithin: '1m' })
    return second.result().catch((error: Error) => (error.cause as Error).message)
  })
  const blocked = await runTask(chain, undefined, { tasks: [long] })
  expect(blocked.result).toBe('it did not start within 60000 ms')
  expect(blocked.tookMs).toBeGreaterThanOrEqual(3_660_000)
})

test('from start to close: the attempt fails', async () => {
  const run = await runTask(task('slow', never, { timeout: '1m', retry: once }), undefined)
  expect(run).toMatchObject({ status: 'failed', error: { code: 'TROUPE_TIMEOUT' }, tookMs: 60_000 })
})

test('without a sign of progress: the attempt fails; with one it goes on', async () => {
  const silent = await runTask(task('silent', never, { heartbeat: '10s', retry: once }), undefined)
  expect(silent).toMatchObject({ status: 'failed', error: { code: 'TROUPE_HEARTBEAT_TIMEOUT' }, tookMs: 10_000 })
  const talking = task(
    'talking',
    async (_: undefined, ctx) => {
      for (let done = 0; done < 5; done++) {
        ctx.progress(done / 5)
        await new Promise((resolve) => setTimeout(resolve, 9_000))
      }
      return 'done'
    },
    { heartbeat: '10s', retry: once },
  )
  expect(await runTask(talking, undefined)).toMatchObject({ result: 'done', tookMs: 45_000 })
  const machine = setup({}).createMachine({
    initial: 'a',
    states: { a: { after: { 60000: 'b' } }, b: { type: 'final' } },
  })
  const parked = await runTask(task('machine', machine, { heartbeat: '10s' }), undefined)
  expect(parked.status).toBe('completed')
})

test('until a deadline: it expires, whatever it does', async () => {
  const run = await runTask(task('late', never), undefined, { options: { deadline: Date.UTC(2030, 0, 1, 1) } })
  expect(run).toMatchObject({ status: 'expired', error: { code: 'TROUPE_TASK_EXPIRED' }, tookMs: 3_600_000 })
})

test('a heartbeat below what progress can tell is refused', () => {
  expect(() => task('quick', never, { heartbeat: 500 })).toThrow(/task "quick": heartbeat must be at least 1 s/)
})
