/** Delayed events by their absolute time, over virtual time: in order, once, and the same after a restart. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type ActorPath, DurableTimers, type StoredTimer } from '../../../src/runtime/tasks/durable-timers.ts'

const advance = (ms: number) => vi.advanceTimersByTimeAsync(ms)
const clock = { nowMs: () => Date.now(), nowAtMostMs: () => Date.now() }
const root: ActorPath = []
const child: ActorPath = ['child']

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
})
afterEach(() => {
  vi.useRealTimers()
})

function timersOf(stored: readonly StoredTimer[] = []): { timers: DurableTimers; fired: unknown[] } {
  const fired: unknown[] = []
  const timers = new DurableTimers(clock, 1, ([, , event]) => fired.push(event))
  for (const timer of stored) timers.arm(timer)
  return { timers, fired }
}

test('events fire in the order of their time, also those that came due while nobody was there', async () => {
  const before = timersOf()
  for (const [event, delayMs] of [
    ['third', 9_000],
    ['first', 1_000],
    ['late', 60_000],
    ['second', 5_000],
  ] as const) {
    before.timers.schedule(root, root, event, delayMs, undefined)
  }
  await advance(1_000)
  expect(before.fired).toEqual(['first'])
  const stored = before.timers.stored()
  expect(stored.map((timer) => timer[4])).toEqual([1_005_000, 1_009_000, 1_060_000])
  before.timers.cancelAll()
  await advance(20_000)
  const after = timersOf(stored)
  await advance(1)
  expect(after.fired).toEqual(['second', 'third'])
  expect(after.timers.earliestMs()).toBe(1_060_000)
  await advance(60_000)
  expect(after.fired).toEqual(['second', 'third', 'late'])
  expect([before.fired, after.timers.stored(), after.timers.earliestMs()]).toEqual([['first'], [], 0])
})

test('an event takes the place of the one with the same source and id, and of no other', async () => {
  const { timers, fired } = timersOf()
  timers.schedule(root, root, 'old', 1_000, 'tick')
  timers.schedule(child, root, 'of another', 1_500, 'tick')
  timers.schedule(root, root, 'new', 2_000, 'tick')
  expect(timers.stored().length).toBe(2)
  await advance(10_000)
  expect(fired).toEqual(['of another', 'new'])
})

test('cancelled events never fire: one, or all of one actor', async () => {
  const { timers, fired } = timersOf()
  timers.schedule(root, root, 'a', 1_000, 'a')
  timers.schedule(root, root, 'b', 1_000, 'b')
  timers.schedule(child, root, 'c', 1_000, 'a')
  timers.schedule(['child', 'below'], root, 'd', 1_000, 'a')
  timers.cancel(root, 'a')
  timers.cancelAll(child)
  await advance(10_000)
  expect(fired).toEqual(['b', 'd'])
})
