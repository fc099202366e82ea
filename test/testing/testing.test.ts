import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { assign, fromPromise, setup } from 'xstate'
import { task } from '../../src/client/index.ts'
import { expectDurable, runTask } from '../../src/testing/index.ts'

const trip = task('trip', async (input: { nights: number }, ctx) => {
  const flight = await ctx.step('flight', async () => {
    await sleep(300)
    return 'LH 1'
  })
  await ctx.sleep('2d')
  const hotel = await ctx.waitFor('HOTEL', { timeout: '1d' })
  const [taxi] = await ctx.map('taxi', [input.nights])
  return { flight, hotel: hotel?.name, taxi, today: new Date().toISOString().slice(0, 10) }
})

const order = setup({
  types: { context: {} as { paid?: string }, events: {} as { type: 'APPROVE' } | { type: 'SHIP' } },
  actors: { charge: fromPromise(async () => 'paid') },
}).createMachine({
  context: {},
  initial: 'reviewing',
  states: {
    reviewing: { on: { APPROVE: 'paying' } },
    paying: {
      invoke: { src: 'charge', onDone: { target: 'packing', actions: assign({ paid: ({ event }) => event.output }) } },
    },
    packing: { after: { 3600000: 'shipped' } },
    shipped: { type: 'final' },
  },
  output: ({ context }) => context.paid,
})

test('a function runs over days of virtual time, with events and children, and ends alike wherever it is killed', async () => {
  const run = await expectDurable(
    trip,
    { nights: 3 },
    { signals: [{ type: 'HOTEL', name: 'Ritz' }], tasks: { taxi: (nights: number) => `taxi ${nights}` } },
  )
  expect(run.result).toEqual({ flight: 'LH 1', hotel: 'Ritz', taxi: 'taxi 3', today: '2030-01-03' })
  expect(run.tookMs).toBeGreaterThanOrEqual(2 * 86_400_000 + 300)
  expect(run.tookMs).toBeLessThan(2 * 86_400_000 + 5_000)
  expect(run.children).toEqual([{ id: 'test:1', type: 'taxi', input: 3, status: 'completed', result: 'taxi 3' }])
  expect(run.commits.length).toBeGreaterThan(5)
})

test('a machine takes one line', async () => {
  const run = await expectDurable(task('order', order), undefined, { signals: [{ type: 'APPROVE' }] })
  expect(run.result).toBe('paid')
  expect(run.tookMs).toBeGreaterThanOrEqual(3_600_000)
  expect(run.tookMs).toBeLessThan(3_600_200)
})

test('a task that waits for others is told as it stands', async () => {
  const run = await runTask(task('order', order), undefined)
  expect(run).toMatchObject({ status: 'parked', waiting: 'waits for a signal', state: { value: 'reviewing' } })
  const early = await runTask(task('order', order), undefined, { signals: [{ at: '5s', event: { type: 'SHIP' } }] })
  expect(early.progress?.note).toContain('event SHIP came in state reviewing')
})

test('a task that is not durable is found out, with the commit', async () => {
  let calls = 0
  const counting = task('counting', async (_: undefined, ctx) => {
    const before = ++calls
    await ctx.step('one', () => 1)
    return before
  })
  const failure = await expectDurable(counting, undefined).catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'TROUPE_NOT_DURABLE' })
  expect(String(failure)).toContain(
    'killed before commit 1 (checkpointed test), the task came out another way: result is',
  )
})

test('retries, timeouts and deadlines pass in virtual time', async () => {
  let tries = 0
  const flaky = task(
    'flaky',
    async () => {
      if (++tries < 3) throw new Error('no luck')
      return tries
    },
    { retry: { backoff: '1h', jitter: 0, max: '1d' } },
  )
  expect(await runTask(flaky, undefined)).toMatchObject({ result: 3, attempts: 3, tookMs: 3 * 3_600_000 })
  const slow = task('slow', () => new Promise<void>(() => {}), { timeout: '1m', retry: { attempts: 1 } })
  expect(await runTask(slow, undefined)).toMatchObject({ status: 'failed', error: { code: 'TROUPE_TIMEOUT' } })
  const late = await runTask(
    task('late', async (_: undefined, ctx) => ctx.sleep('1d')),
    undefined,
    {
      options: { deadline: Date.UTC(2030, 0, 1, 1) },
    },
  )
  expect(late).toMatchObject({ status: 'expired', tookMs: 3_600_000 })
})

test('time stands still while code under test reads a file', async () => {
  const reading = task(
    'reading',
    async (_: undefined, ctx) => ctx.step('read', async () => (await readFile(import.meta.filename)).length),
    { timeout: '1s' },
  )
  const run = await runTask(reading, undefined)
  expect(run.status).toBe('completed')
  expect(run.tookMs).toBe(0)
})

test('the globals are as before after a run', async () => {
  const before = [setTimeout, setInterval, clearTimeout, clearInterval, Date]
  await runTask(trip, { nights: 1 }, { tasks: { taxi: () => 1 } })
  expect([setTimeout, setInterval, clearTimeout, clearInterval, Date]).toEqual(before)
})
