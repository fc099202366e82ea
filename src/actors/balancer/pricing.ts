/**
 * What a task costs here, in milliseconds of delay. Pure.
 *
 *     cost of a task = priceMs + slowdown × how long its type takes × tasks before it     (the scheduler knows the last two)
 *
 * `priceMs` is the delay before its first step: the main loop's delay, and the wait for a processor that others use. `slowdown`
 * is by how much longer it then takes than on a machine that does nothing else. What the node's own tasks do to each other is
 * in neither (see `demand.ts`): how many there are changes faster than bids are made, and the scheduler knows it.
 *
 * Both are rounded down to coarse steps. Schedulers take the cheapest bid, so a difference that is only noise would send
 * everything to one node; equal bids are spread evenly.
 */
import { idleLoad, type LoadSample } from './load.ts'

/** What every further thread that wants the same processor costs before one gets its turn: two or three time slices. */
const turnMs = 8
const priceStepMs = 5
const slowdownStep = 0.25
const slowdownMax = 32

/**
 * Returns by how much longer a task takes here than on a machine without others: at least 1, in steps of 0.25, at most 32.
 * `contention`: by how much the node's tasks slow each other down, which is no part of it.
 */
export function slowdownOf(load: LoadSample, contention: number): number {
  const slowdown = Math.max(processorShare(load), (1 + load.waitRatio) / contention)
  return Math.min(slowdownMax, Math.max(1, Math.floor((slowdown + 0.05) / slowdownStep) * slowdownStep))
}

/** Fair shares: beside others, one thread that wants a processor gets this much less. */
function processorShare({ cpus, otherCpus }: LoadSample): number {
  return (otherCpus + Math.min(1, cpus)) / cpus
}

/** Returns the delay in ms that the node expects before a task's first step. */
export function priceMsOf(load: LoadSample, contention: number): number {
  const processorMs = (Math.max(1, processorShare(load), (1 + load.waitRatio) / contention) - 1) * turnMs
  return Math.floor((load.loopDelayMs + processorMs) / priceStepMs) * priceStepMs
}

export interface CreditRules {
  readonly slots: number
  /** From a task's end here to the next award's arrival. */
  readonly roundTripMs: number
  /** `open`: all of them. `eased`: half. `full`: none, but one while idle. `closed`: none. */
  readonly mode: 'open' | 'eased' | 'full' | 'closed'
}

/**
 * Of tasks that last so many round trips or more, a slot loses little while the next award travels. What is held for it could
 * start elsewhere sooner: it waits for the end of a task here that may be far longer than the mean.
 */
const shortRoundTrips = 10
/** Most credits on top of each slot. */
const overCommitMax = 4

/**
 * Returns how many tasks the node takes at once, running and held together: its slots, and for short tasks as many on top
 * as it finishes during a round trip, so that no slot waits for an award. More would only take tasks from others.
 */
export function creditsOf({ slots, roundTripMs, mode }: CreditRules, meanMs: number | undefined, busy: number): number {
  const short = meanMs !== undefined && meanMs < shortRoundTrips * roundTripMs
  const extra = short ? Math.ceil(slots * Math.min(overCommitMax, roundTripMs / Math.max(meanMs, 0.001))) : 0
  switch (mode) {
    case 'open':
      return slots + extra
    case 'eased':
      return Math.ceil((slots + extra) / 2)
    case 'full':
      // A machine whose memory is always full would otherwise never do anything.
      return busy === 0 ? 1 : 0
    case 'closed':
      return 0
  }
}

/** Returns the mean of two measurements, the new one weighted by `weight`: one short burst must not move work about. */
export function smoothed(before: LoadSample | undefined, now: LoadSample, weight = 0.4): LoadSample {
  if (before === undefined) return now
  const mix = (key: keyof LoadSample) => before[key] + weight * (now[key] - before[key])
  const keys = Object.keys(idleLoad) as (keyof LoadSample)[]
  return { ...now, ...Object.fromEntries(keys.map((key) => [key, mix(key)])), cpus: now.cpus, rssBytes: now.rssBytes }
}
