/**
 * Which running task is moved from a node on which it suffers to one that is clearly better. Bids place what waits; this is for
 * what runs already, when a machine has become slow under it.
 *
 *     slower = max(1 + wait, min(running, 1 ÷ (1 − loop)))        how many times as long turns take on the node that has them
 *     wait: for a processor, per ms of run; loop: use of the main loop, by other turns at most
 *     worse if   slower_here ≥ ratio × slowdown_there × max(1, (busy_there + 1) ÷ parallel_there)       for one task more there
 *           or   delay_here ≥ ratio × delay_there + lagMs         each step waits so long for the main loop
 *     lasts ≥ afterMs without a break; then one task moves, and it is looked anew
 *     moved: of the tasks that have run for ≥ ageMinMs, the one with most left; each at most every pauseMs
 *
 * What is left of a task is what its submitter said, else as much as it has had: lifetimes have a long tail, so the oldest are the
 * ones worth moving (Harchol-Balter and Downey, "Exploiting process lifetime distributions for dynamic load balancing", 1997).
 */
import type { TaskRecord } from '../../ledger/task-record.ts'
import type { Offer } from '../offers.ts'
import { lastsMs } from '../placement.ts'

export interface RebalancingPolicy {
  /** How many times worse it must be here than there; from 1 on, default 2. */
  readonly ratio: number
  /** By how much longer steps wait for the main loop, ms; default 250. */
  readonly lagMs: number
  /** For how long, ms; default 10,000. */
  readonly afterMs: number
  /** Least age of a task that is moved, ms; default 10,000. */
  readonly ageMinMs: number
  /** Between two moves of one task, ms; default 60,000. */
  readonly pauseMs: number
}

export const defaultRebalancing: RebalancingPolicy = {
  ratio: 2,
  lagMs: 250,
  afterMs: 10_000,
  ageMinMs: 10_000,
  pauseMs: 60_000,
}

/** How many times as long as on an idle machine the turns take that the node has. */
export function suffered({ load, member }: Offer): number {
  const byOthers = 1 / Math.max(0.001, 1 - load.loop)
  return Math.max(1 + (load.wait ?? 0), Math.min(member.running.size, byOthers))
}

/** In words, why turns are clearly better off there than here; undefined if they are not. */
export function whyBetter(here: Offer, there: Offer, { ratio, lagMs }: RebalancingPolicy): string | undefined {
  const slower = suffered(here)
  const names = `${here.member.node} than on ${there.member.node}`
  const promised = lastsMs({ offer: there, free: 0 }, 1)
  if (slower >= ratio * promised) {
    return `tasks took ${slower.toFixed(1)} times as long on ${names}, which bid ${promised.toFixed(1)}`
  }
  const [hereMs, thereMs] = [here.load.loopDelayMs, there.load.loopDelayMs]
  if (hereMs < ratio * thereMs + lagMs) return undefined
  return `each step waited longer on ${names}: ${Math.round(hereMs)} instead of ${Math.round(thereMs)} ms`
}

/** How long the task has run in all its turns, ms. */
export function ageMs(task: TaskRecord, nowMs: number): number {
  return (task.rare?.attainedMs ?? 0) + Math.max(0, nowMs - task.turnAtMs)
}

export function leftMs(task: TaskRecord, nowMs: number): number {
  const age = ageMs(task, nowMs)
  const hintMs = task.rare?.expectedMs ?? 0
  return hintMs > age ? hintMs - age : age
}

/** Whether the task stops at boundaries as far as is known: machines do, functions that have stored something do again. */
export function hasBoundaries({ profile, snapshot }: TaskRecord): boolean {
  return profile?.logic === 'machine' || snapshot !== undefined
}
