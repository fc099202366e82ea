import { describe, expect, test } from 'vitest'
import { createActor } from 'xstate'
import { type BidEffect, balancerMachine } from '../../../src/actors/balancer/balancer.ts'
import { Durations } from '../../../src/actors/balancer/durations.ts'
import { idleLoad, type LoadSample } from '../../../src/actors/balancer/load.ts'

function balancer(slots = 8) {
  const bids: BidEffect[] = []
  const durations = new Durations()
  const actor = createActor(balancerMachine, {
    input: { slots, durations, ask: (effect) => bids.push(effect) },
  }).start()
  const measured = (part: Partial<LoadSample>, times = 20) => {
    for (let i = 0; i < times; i += 1) actor.send({ type: 'sampled', load: { ...idleLoad, cpus: 2, ...part } })
  }
  const quote = (running = 0, held = 0) => {
    actor.send({ type: 'quote', running, held })
    return bids.at(-1)!
  }
  return { actor, durations, measured, quote }
}

describe('a balancer', () => {
  test('bids its slots before anything was measured', () => {
    expect(balancer().quote().bid).toEqual({ credits: 8, priceMs: 0, slowdown: 1, parallel: 1, ttlMs: 1_500 })
  })

  test('shows what it measured with each bid', () => {
    const { measured, quote } = balancer()
    measured({ loop: 0.5, loopDelayMs: 7, cpu: 0.9, memory: 0.3, rssBytes: 1e8 })
    const { load } = quote()
    for (const [key, value] of Object.entries({ loop: 0.5, loopDelayMs: 7, cpu: 0.9, memory: 0.3, rssBytes: 1e8 })) {
      expect(load[key as keyof typeof load]).toBeCloseTo(value, 3)
    }
  })

  test('beside a hog on its processor is dearer than one that is left alone', () => {
    const [hogged, free] = [balancer(), balancer()]
    hogged.measured({ cpus: 1, otherCpus: 1 })
    free.measured({ cpus: 1 })
    const [dear, cheap] = [hogged.quote().bid, free.quote().bid]
    expect(dear.priceMs).toBeGreaterThan(cheap.priceMs)
    expect(dear.slowdown).toBeGreaterThan(cheap.slowdown)
  })

  test('halves its credits while its loop lags, and gives them back only when that is well over', () => {
    const { actor, measured, quote } = balancer()
    measured({ loopDelayMs: 60 })
    expect(actor.getSnapshot().value).toBe('eased')
    expect(quote().bid.credits).toBe(4)
    measured({ loopDelayMs: 40 })
    expect(quote().bid.credits).toBe(4)
    measured({ loopDelayMs: 10 })
    expect(quote().bid.credits).toBe(8)
  })

  test('takes nothing while memory is full, but one task when it is idle', () => {
    const { actor, measured, quote } = balancer()
    measured({ memory: 0.95 })
    expect(actor.getSnapshot().value).toBe('full')
    expect(quote(3).bid.credits).toBe(0)
    expect(quote(0).bid.credits).toBe(1)
    measured({ memory: 0.88 })
    expect(quote(3).bid.credits).toBe(0)
    measured({ memory: 0.8 })
    expect(quote(3).bid.credits).toBe(8)
  })

  test('bids on top of its slots for short tasks', () => {
    const { durations, quote } = balancer()
    for (let i = 0; i < 50; i += 1) durations.ended('t', 1)
    expect(quote().bid.credits).toBe(24)
  })

  test('that drains takes nothing any more, whatever is measured', () => {
    const { actor, measured, quote } = balancer()
    actor.send({ type: 'drain' })
    measured({})
    expect(quote().bid.credits).toBe(0)
    expect(actor.getSnapshot().value).toBe('closed')
  })
})
