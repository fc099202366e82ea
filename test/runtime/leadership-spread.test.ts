import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Bus, BusMessage } from '../../src/nats/bus.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { LeadershipSpread } from '../../src/runtime/leadership-spread.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const partitions = 8

/** Processes that hear each other; a partition that is given back is led by the next of those that may. */
class Processes {
  readonly leaderOf: string[]
  readonly spreads: LeadershipSpread[]
  handOvers = 0
  awaited = false
  private readonly handlers: ((message: BusMessage) => void)[] = []

  constructor(names: readonly string[]) {
    this.leaderOf = new Array(partitions).fill(names[0])
    this.spreads = names.map((name) => this.spreadOf(name, names))
    for (const spread of this.spreads) spread.start()
  }

  counts(): number[] {
    const names = [...new Set(this.leaderOf)]
    return names.map((name) => this.leaderOf.filter((leader) => leader === name).length).sort()
  }

  private spreadOf(name: string, names: readonly string[]): LeadershipSpread {
    const { leaderOf, handlers } = this
    const processes = this
    const schedulers = leaderOf.map((_, partition) => ({
      get leading() {
        return leaderOf[partition] === name
      },
      get teller() {
        return { awaited: processes.awaited }
      },
      async standBack(ms: number) {
        processes.handOvers++
        // The others need a moment to take it.
        if (ms < 2_000) return
        const others = names.filter((other) => other !== name)
        leaderOf[partition] = others[processes.handOvers % others.length]!
      },
    }))
    const bus = {
      publish: (subject: string, data: Uint8Array) => {
        for (const handler of handlers) handler({ subject, data, reply: undefined, headers: undefined })
      },
      subscribe: (_: string, handler: (message: BusMessage) => void) => {
        handlers.push(handler)
        return { unsubscribe: () => undefined }
      },
    } as unknown as Bus
    return new LeadershipSpread({ bus, subjects: new Subjects('main', 0, partitions), name, schedulers })
  }
}

test('processes come to lead the same number of partitions, and then keep them', async () => {
  const processes = new Processes(['a', 'b', 'c'])
  await vi.advanceTimersByTimeAsync(60_000)
  expect(processes.counts()).toEqual([2, 3, 3])
  const before = processes.handOvers
  await vi.advanceTimersByTimeAsync(60_000)
  expect(processes.handOvers).toBe(before)
  for (const spread of processes.spreads) spread.stop()
})

test('a process that says nothing any more is given nothing', async () => {
  const processes = new Processes(['a', 'b'])
  await vi.advanceTimersByTimeAsync(30_000)
  expect(processes.counts()).toEqual([4, 4])
  processes.spreads[1]!.stop()
  await vi.advanceTimersByTimeAsync(5_000)
  processes.leaderOf.fill('a')
  const before = processes.handOvers
  await vi.advanceTimersByTimeAsync(30_000)
  expect(processes.handOvers).toBe(before)
  processes.spreads[0]!.stop()
})

test('one that is alone, and one that somebody waits for, gives nothing back', async () => {
  const alone = new Processes(['a'])
  await vi.advanceTimersByTimeAsync(10_000)
  expect(alone.handOvers).toBe(0)
  const busy = new Processes(['a', 'b'])
  busy.awaited = true
  await vi.advanceTimersByTimeAsync(10_000)
  expect(busy.handOvers).toBe(0)
  for (const spread of [...alone.spreads, ...busy.spreads]) spread.stop()
})
