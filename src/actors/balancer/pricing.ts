/**
 * What a task costs here, in milliseconds of delay. Pure.
 *
 *     cost of a task = priceMs + (slowdown − 1) × how long its type takes        (the scheduler adds the second part)
 *
 * `priceMs` is the delay before its first step: the main loop's delay, plus the wait for a slot if none is free, plus the
 * wait for a processor that others use. `slowdown` is by how much longer it then takes than on an idle machine.
 *
 * Both are rounded down to coarse steps. Schedulers take the cheapest bid, so a difference that is only noise would send
 * everything to one node; equal bids are spread evenly.
 */
import { idleLoad, type LoadSample, type Occupancy } from './load.ts'

/** What every further thread that wants the same processor costs before one gets its turn: two or three time slices. */
const turnMs = 8
const priceStepMs = 5
const slowdownStep = 0.25
const slowdownMax = 32

/** Returns by how much longer a task takes here than on an idle machine: at least 1, in steps of 0.25, at most 32. */
export function slowdownOf(load: LoadSample, { running }: Occupancy): number {
  const slowdown = Math.max(processorShare(load), 1 + load.waitRatio, loopShare(load, running))
  return Math.min(slowdownMax, Math.max(1, Math.floor((slowdown + 0.05) / slowdownStep) * slowdownStep))
}

/** Fair shares: with one more thread that wants a processor, everybody gets this much less. */
function processorShare({ cpus, ownCpus, otherCpus }: LoadSample): number {
  return (ownCpus + otherCpus + Math.min(1, cpus)) / cpus
}

/**
 * A loop that is busy for a share ρ of its time leaves 1 − ρ. When its own tasks keep it busy, one more of them makes it
 * share among running + 1 at worst.
 */
function loopShare({ loop }: LoadSample, running: number): number {
  return Math.min(running + 1, 1 / Math.max(0.001, 1 - loop))
}

/** Returns the delay in ms that the node expects before a task's first step; `meanMs`: how long its tasks take. */
export function priceMsOf(load: LoadSample, occupancy: Occupancy, slots: number, meanMs: number): number {
  const waiting = occupancy.running + occupancy.held + 1 - slots
  const slowdown = slowdownOf(load, occupancy)
  const slotMs = waiting > 0 ? (waiting * meanMs * slowdown) / slots : 0
  const processorMs = (Math.max(1, processorShare(load), 1 + load.waitRatio) - 1) * turnMs
  const priceMs = load.loopDelayMs + slotMs + processorMs
  return Math.floor(priceMs / priceStepMs) * priceStepMs
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
