/** The programs of docs/durable-tasks.md do what the page says, also with their node killed at every commit. */
import { expect, test } from 'vitest'
import { approval } from '../../examples/durable/approval.ts'
import { encode } from '../../examples/durable/limits.ts'
import { site } from '../../examples/durable/pages.ts'
import { trip } from '../../examples/durable/trip.ts'
import { invoice } from '../../examples/durable/versions.ts'
import { expectDurable, runTask } from '../../src/testing/index.ts'
import { run } from '../harness/programs.ts'

test('a function sleeps, waits and ends', async () => {
  const rated = await expectDurable(trip, { traveller: 'Ada', days: 3 }, { signals: [{ type: 'RATED', stars: 5 }] })
  expect(rated.result).toEqual({ flight: expect.stringContaining('flight for Ada (test:test:book flight)'), stars: 5 })
  expect((await runTask(trip, { traveller: 'Ada', days: 3 })).result).toMatchObject({ stars: 'none' })
})

test('the program that tests it prints its result', async () => {
  const { code, stdout, stderr } = await run(['examples/durable/test-trip.ts'])
  expect(stderr).toBe('')
  expect(stdout).toMatch(/stars: 5/)
  expect(code).toBe(0)
})

test('a machine waits for a decision, a week at most', async () => {
  const tasks = { mail: () => 'sent' }
  const input = { invoice: 'i-1' }
  const approved = await expectDurable(approval, input, { tasks, signals: [{ type: 'APPROVE' }] })
  expect(approved.result).toEqual({ approved: true })
  expect((await runTask(approval, input, { tasks })).result).toEqual({ approved: false })
})

test('children come back in order', async () => {
  const tasks = { mail: ({ total }: { total: number }) => `${total} letters`, page: (url: string) => url.length }
  const { result } = await expectDurable(site, ['a', 'bbb', 'cc'], { tasks })
  expect(result).toEqual({ sizes: [1, 3, 2], mail: '6 letters' })
})

test('a migration takes what version 1 has stored, and nothing else', () => {
  const stored = { value: 'open', context: { euros: 2 } }
  expect(invoice.migrate?.({ version: '1' }, stored)).toMatchObject({ value: 'unpaid', context: { cents: 200 } })
  expect(() => invoice.migrate?.({ version: '0' }, stored)).toThrow('version 0 is not known')
})

test('limits are part of the definition', () => {
  expect(encode).toMatchObject({
    isolate: 'process',
    memoryMb: 512,
    profile: { timeoutMs: 600_000, heartbeatMs: 30_000 },
  })
})
