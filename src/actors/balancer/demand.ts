/**
 * What the tasks of a node want of it: whether they compute or wait, and so how many get on at full speed at once. Pure.
 *
 *     C = time of turns ÷ time                                                 how many ran at once
 *     demand = (processors used + waited for, less the node's own) ÷ C         0: they wait; 1: they compute
 *     parallel = the least of slots, processors ÷ demand, C ÷ share of the main loop that is busy
 *     contention = C ÷ parallel, at least 1                                    by how much they slow each other down
 *
 * All are sums that fade, so that a burst counts by its length.
 */
import type { LoadSample } from './load.ts'

/** Milliseconds: of processors used or waited for, of turns, of a busy main loop, and of time. */
export interface Demand {
  readonly wantedMs: number
  readonly turnsMs: number
  readonly loopMs: number
  readonly passedMs: number
}

export const noDemand: Demand = { wantedMs: 0, turnsMs: 0, loopMs: 0, passedMs: 0 }

/** What is left of the sums after a measurement. */
const kept = 0.9
/** What a node needs for itself, of a processor and of its main loop: heartbeats, bids, its journal. */
const ownShare = 0.1
/** With less evidence nothing is known, ms of turns. */
const turnsMsMin = 50

/** `turnsMs`: how long turns lasted that ended since the measurement before; those that ran at once add up. */
export function demandAfter(before: Demand, load: LoadSample, turnsMs: number): Demand {
  const { passedMs } = load
  const cpus = Math.max(0, load.ownCpus - ownShare) * (1 + load.waitRatio)
  return {
    wantedMs: before.wantedMs * kept + cpus * passedMs,
    turnsMs: before.turnsMs * kept + turnsMs,
    loopMs: before.loopMs * kept + Math.max(0, load.loop - ownShare) * passedMs,
    passedMs: before.passedMs * kept + passedMs,
  }
}

/** Returns how many tasks get on at full speed at once, 1 to `slots`; one per processor while little is known. */
export function parallelOf({ wantedMs, turnsMs, loopMs }: Demand, cpus: number, slots: number): number {
  if (turnsMs < turnsMsMin) return Math.max(1, Math.min(slots, cpus))
  const [byProcessors, byLoop] = [(cpus * turnsMs) / wantedMs, turnsMs / loopMs]
  return Math.max(1, Math.min(slots, Math.max(cpus, byProcessors), Math.max(1, byLoop)))
}

/** Returns by how much the node's tasks slow each other down, at least 1. */
export function contentionOf(demand: Demand, cpus: number, slots: number): number {
  if (demand.turnsMs < turnsMsMin) return 1
  return Math.max(1, demand.turnsMs / demand.passedMs / parallelOf(demand, cpus, slots))
}
