/** When a task does better to wait for a faster node. */
import { describe, expect, test } from 'vitest'
import type { Candidate } from '../../../../src/actors/scheduler/placement.ts'
import { worthWaiting } from '../../../../src/actors/scheduler/policies/patience.ts'
import { candidateOf } from './tasks.ts'

const slow: Candidate = { ...candidateOf('slow', { slots: 4, credits: 4 }), pace: 10 }
const fast: Candidate = { ...candidateOf('fast', { slots: 4, credits: 4 }), free: 0 }
const waits = (waiting: number, here = slow, expectedMs = 100, arrivalsPerMs = 0, running = 4) =>
  worthWaiting(here, { waiting, expectedMs, arrivalsPerMs, running }, () => [fast, slow])

describe('a task', () => {
  test('waits for the fast node when that does all that waits before the slow one has done this one', () => {
    expect(waits(1)).toBe(1_000)
    expect(waits(39)).toBe(1_000)
    expect(waits(40)).toBeUndefined()
  })

  test('starts at once on a node that is not twice as slow, on the fastest, and where nothing is known', () => {
    expect(waits(1, { ...slow, pace: 1.9 })).toBeUndefined()
    expect(waits(1, fast)).toBeUndefined()
    expect(waits(1, slow, 0)).toBeUndefined()
  })

  test('starts on the slow node while so many arrive that the fast one cannot do them all', () => {
    expect(waits(1, slow, 100, 0.03)).toBe(1_000)
    expect(waits(1, slow, 100, 0.04)).toBeUndefined()
    expect(waits(1, slow, 100, 0.001, 5)).toBeUndefined()
    expect(waits(1, slow, 100, 0, 5)).toBe(1_000)
  })

  test('waits for an even share: also behind others on a node that is no slower', () => {
    const queued = candidateOf('queued', { slots: 4, credits: 8, parallel: 1 })
    const view = { waiting: 1, expectedMs: 100, arrivalsPerMs: 0, running: 4 }
    queued.offer.awarded = 5
    expect(worthWaiting(queued, view, () => [fast, queued])).toBe(600)
    fast.offer.awarded = 30
    expect(worthWaiting(queued, view, () => [fast, queued])).toBeUndefined()
    fast.offer.awarded = 0
  })

  test('does not wait for a node that is faster but stands still', () => {
    const view = { waiting: 1, expectedMs: 100, arrivalsPerMs: 0, running: 4 }
    const busy = candidateOf('busy', { slots: 4, credits: 4, priceMs: 5_000 })
    expect(worthWaiting(slow, view, () => [busy, slow])).toBeUndefined()
  })
})
