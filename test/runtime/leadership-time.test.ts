/** A candidate over virtual time, with a store of leases that only stores: what it does when it was stopped or cut off. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { LeaseStore } from '../../src/nats/bus.ts'
import { Leadership } from '../../src/runtime/leadership.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

class Leases implements LeaseStore {
  revision = 0
  value: Uint8Array | undefined
  writes = 0
  /** Answers nobody who wants to watch. */
  isDeaf = false
  readonly #watchers: ((value: Uint8Array | undefined, revision: number) => void)[] = []

  async put(_: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    this.writes++
    if (expected !== this.revision) return undefined
    this.write(value)
    return this.revision
  }

  async get() {
    return this.value === undefined ? undefined : { value: this.value, revision: this.revision }
  }

  async watch(_: string, onValue: (value: Uint8Array | undefined, revision: number) => void) {
    if (this.isDeaf) throw new Error('no answer')
    this.#watchers.push(onValue)
    if (this.revision > 0) onValue(this.value, this.revision)
    return { unsubscribe: () => undefined }
  }

  write(value: Uint8Array): void {
    this.value = value
    this.revision++
    for (const tell of this.#watchers) tell(value, this.revision)
  }

  holdBy(holder: string, term: number): void {
    this.write(new TextEncoder().encode(JSON.stringify({ holder, term })))
  }
}

function candidate(leases: Leases) {
  const bus = { connected: true }
  const clock = { aheadMs: 0 }
  const stepDowns: string[] = []
  const leadership = new Leadership({
    leases,
    bus,
    key: 'scheduler-0',
    holder: 'me',
    onLeading: () => undefined,
    onStepDown: (reason) => stepDowns.push(reason),
    clock: () => performance.now() + clock.aheadMs,
  })
  leadership.start()
  return { leadership, bus, clock, stepDowns }
}

test('a process that was stopped does not act by the lease that it held, not even before it has noticed', async () => {
  const { leadership, clock, stepDowns } = candidate(new Leases())
  await vi.advanceTimersByTimeAsync(1_000)
  expect(leadership.leading).toBe(true)
  clock.aheadMs = 810
  expect(leadership.leading).toBe(false)
  expect(stepDowns).toEqual([])
  await leadership.stop()
})

test('who was cut off from the store counts the silence of the leader anew, whenever it is back', async () => {
  for (let awayMs = 2_000; awayMs < 4_000; awayMs += 150) {
    const leases = new Leases()
    leases.holdBy('other', 7)
    const { leadership, bus } = candidate(leases)
    await vi.advanceTimersByTimeAsync(500)
    bus.connected = false
    await vi.advanceTimersByTimeAsync(awayMs)
    bus.connected = true
    await vi.advanceTimersByTimeAsync(1_150)
    expect(leases.writes, `away for ${awayMs} ms`).toBe(0)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(leadership.leading).toBe(true)
    await leadership.stop()
  }
})

test('a candidate that could not watch the lease at first is one as soon as it can', async () => {
  const leases = new Leases()
  leases.isDeaf = true
  const { leadership } = candidate(leases)
  await vi.advanceTimersByTimeAsync(3_000)
  expect(leases.writes).toBe(0)
  leases.isDeaf = false
  await vi.advanceTimersByTimeAsync(3_000)
  expect(leadership.leading).toBe(true)
  await leadership.stop()
})

test('without a connection a leader writes nothing that would renew a lost lease with the next one', async () => {
  const leases = new Leases()
  const { leadership, bus, stepDowns } = candidate(leases)
  await vi.advanceTimersByTimeAsync(1_000)
  bus.connected = false
  const before = leases.writes
  await vi.advanceTimersByTimeAsync(3_000)
  expect(leases.writes).toBe(before)
  expect(stepDowns).toEqual(['the lease could not be renewed in time'])
  await leadership.stop()
})
