/** Log time as a process knows it: never ahead of the server's clock, and never so far behind that a wait ends early. */
import { expect, test } from 'vitest'
import { LogClock } from '../../../src/runtime/ledger/log-clock.ts'
import { Random } from '../../simulation/random.ts'

const skewMs = 1_700_000_000_000

test('the server’s clock is between the two estimates, whatever the latency, and whole waits are never short', () => {
  const random = new Random(5, 'log-clock')
  for (let round = 0; round < 200; round++) {
    let localMs = random.next() * 1_000
    const clock = new LogClock(() => localMs)
    const serverMs = () => localMs + skewMs
    const waits: { dueAtMs: number; begunAtMs: number; forMs: number }[] = []
    for (let asked = 0; asked < 30; asked++) {
      const askedAtMs = localMs
      localMs += random.next() * 40
      const timestampMs = Math.floor(serverMs())
      localMs += random.next() * 40
      clock.observe(timestampMs, true, askedAtMs)
      expect(clock.nowMs()).toBeLessThanOrEqual(serverMs())
      expect(clock.nowAtMostMs()).toBeGreaterThanOrEqual(serverMs())
      expect(clock.nowAtMostMs() - clock.nowMs()).toBeLessThan(83)
      const forMs = random.integer(1, 500)
      waits.push({ dueAtMs: clock.nowAtMostMs() + forMs, begunAtMs: localMs, forMs })
      localMs += random.next() * 5_000
      for (const { dueAtMs, begunAtMs, forMs } of waits) {
        if (clock.nowMs() >= dueAtMs) expect(localMs - begunAtMs).toBeGreaterThanOrEqual(forMs)
      }
    }
  }
})

test('without an answer to a question both are the same, and old messages say nothing of the present', () => {
  let localMs = 10
  const clock = new LogClock(() => localMs)
  clock.observe(skewMs, false)
  clock.observe(skewMs + 100, true)
  localMs += 5
  expect(clock.nowMs()).toBe(skewMs + 105)
  expect(clock.nowAtMostMs()).toBe(skewMs + 105)
})
