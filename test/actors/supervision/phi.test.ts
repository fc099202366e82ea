import { describe, expect, test } from 'vitest'
import { defaultPhi, PhiDetector, phiOf, silenceForPhi } from '../../../src/actors/supervision/phi.ts'

function beating(beats: number, beatMs: number, options = defaultPhi): { detector: PhiDetector; atMs: number } {
  const detector = new PhiDetector(options, 0)
  let atMs = 0
  for (let beat = 0; beat < beats; beat += 1) {
    atMs += beatMs
    detector.beat(atMs)
  }
  return { detector, atMs }
}

describe('the detection time', () => {
  // Evaluated from Pekko's formula: beat, pause, sigma floor, threshold → silence.
  test.each([
    [1_000, 3_000, 100, 8, 4_520],
    [500, 1_500, 100, 8, 2_520],
    [250, 750, 50, 8, 1_260],
    [200, 500, 40, 8, 910],
    [250, 750, 50, 12, 1_320],
  ])(
    'with beats of %i ms, a pause of %i ms and sigma %i at phi %i is about %i ms',
    (beatMs, pauseMs, sigmaMs, phi, expected) => {
      expect(Math.abs(silenceForPhi(phi, beatMs + pauseMs, sigmaMs) - expected)).toBeLessThan(25)
    },
  )
})

describe('phi', () => {
  test('is small at the mean, and grows with every further millisecond', () => {
    expect(phiOf(1_000, 1_000, 50)).toBeCloseTo(Math.log10(2), 5)
    for (let silenceMs = 0; silenceMs < 1_600; silenceMs += 10) {
      expect(phiOf(silenceMs + 10, 1_000, 50)).toBeGreaterThanOrEqual(phiOf(silenceMs, 1_000, 50))
    }
  })

  test('becomes infinite rather than undefined after a very long silence', () => {
    expect(phiOf(1e9, 1_000, 50)).toBe(Number.POSITIVE_INFINITY)
    expect(phiOf(0, 1e9, 50)).toBeGreaterThanOrEqual(0)
  })
})

describe('a detector', () => {
  test('reaches its threshold 1.26 s after the last of even beats', () => {
    const { detector, atMs } = beating(100, 250)
    expect(detector.phi(atMs + 1_240)).toBeLessThan(8)
    expect(detector.phi(atMs + 1_280)).toBeGreaterThan(8)
    expect(Math.abs(detector.limitMs() - 1_261)).toBeLessThan(10)
  })

  test('suspects a node that was never heard', () => {
    const detector = new PhiDetector(defaultPhi, 10_000)
    expect(detector.phi(10_500)).toBeLessThan(1)
    expect(detector.phi(11_500)).toBeGreaterThan(8)
  })

  test('becomes patient with a node that beats unevenly', () => {
    const detector = new PhiDetector(defaultPhi, 0)
    let atMs = 0
    for (let beat = 0; beat < 200; beat += 1) {
      atMs += beat % 2 === 0 ? 50 : 600
      detector.beat(atMs)
    }
    expect(detector.limitMs()).toBeGreaterThan(2_000)
    expect(detector.limitMs()).toBeLessThan(3_000)
  })

  test('does not learn the interval that ends an outage', () => {
    const { detector, atMs } = beating(100, 250)
    const before = detector.limitMs()
    detector.beat(atMs + 60_000)
    expect(detector.limitMs()).toBe(before)
    expect(detector.silenceMs(atMs + 60_100)).toBe(100)
  })

  test('forgets intervals beyond its window', () => {
    const { detector } = beating(300, 500)
    const { detector: fresh } = beating(defaultPhi.windowMax, 500)
    expect(detector.limitMs()).toBe(fresh.limitMs())
  })

  test('does not count the time in which the observer itself was stopped', () => {
    const { detector, atMs } = beating(100, 250)
    detector.excuse(5_000, atMs + 5_200)
    expect(detector.silenceMs(atMs + 5_200)).toBe(200)
    detector.excuse(60_000, atMs + 5_300)
    expect(detector.silenceMs(atMs + 5_300)).toBe(0)
  })

  test('is silent only after a grace, which a beat ends', () => {
    const { detector, atMs } = beating(100, 250)
    detector.restart(atMs + 3_000)
    expect(detector.silenceMs(atMs + 2_900)).toBe(0)
    expect(detector.silenceMs(atMs + 3_400)).toBe(400)
    detector.restart(atMs + 1_000)
    expect(detector.silenceMs(atMs + 3_400)).toBe(400)
    detector.restart(atMs + 9_000)
    detector.beat(atMs + 4_000)
    expect(detector.silenceMs(atMs + 4_500)).toBe(500)
  })
})
