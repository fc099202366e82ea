/** Traces of tasks for the simulations: arrivals, durations, keys, deadlines; the same from the same seed. */
import { type Random, seededRandom } from '../../src/actors/scheduler/policies/random.ts'

export interface Job {
  readonly atMs: number
  readonly durationMs: number
  readonly type: string
  readonly key?: string
  readonly priority?: number
  readonly deadlineAtMs?: number
  /** What its submitter says that it takes. */
  readonly expectedMs?: number
}

export interface TraceOptions {
  readonly seed: number
  readonly jobs: number
  readonly slots: number
  /** Work that arrives per slot, 0 to 1. */
  readonly load: number
  readonly hints?: boolean
}

/** Mean and share of the two types of the standard mix: nine in ten are short. */
const shortMs = 50
const longMs = 550
const longShare = 0.1

/** Poisson arrivals of two types with exponential durations: 90 % with a mean of 50 ms, 10 % with 550 ms. */
export function mixedTrace({ seed, jobs, slots, load, hints = false }: TraceOptions): Job[] {
  const random = seededRandom(seed)
  const meanMs = shortMs * (1 - longShare) + longMs * longShare
  let atMs = 0
  return Array.from({ length: jobs }, () => {
    atMs += exponential(random, meanMs / (load * slots))
    const long = random() < longShare
    const durationMs = Math.max(1, exponential(random, long ? longMs : shortMs))
    return { atMs, durationMs, type: long ? 'long' : 'short', ...(hints && { expectedMs: durationMs }) }
  })
}

export function exponential(random: Random, mean: number): number {
  return -Math.log(1 - random()) * mean
}
