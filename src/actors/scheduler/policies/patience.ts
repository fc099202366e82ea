/**
 * Whether a task does better to wait for other nodes than to start on a slow one now. A slow node is of use while much waits;
 * at the end of a batch it only makes everybody wait for its last tasks (stragglers).
 *
 *     T_i = price_i + slower_i × expected × max(1, (busy_i + 1) ÷ parallel_i)      when it ends if it starts on node i now
 *     D = (waiting + Σ busy_j) ÷ (Σ (parallel_j ÷ (slower_j × expected)) − λ)      when the others have done all that waits
 *     wait if T_i > D, and some node is at least twice as fast
 *
 * λ is the rate at which tasks of all types arrive. While some do, the nodes twice as fast must have slots for all that runs, too: else
 * the slow ones are needed, and whoever waited would only make the queue longer for everybody. It waits no longer than T_i,
 * within which it would have been done there after all. Like the heterogeneous earliest finish
 * time of Topcuoglu, Hariri and Wu (2002): what counts is when a task ends, not when it starts.
 */
import { busyOf, type Candidate, lastsMs, parallelOf, slownessOf } from '../placement.ts'

/** How many times as long it has to take. Less may be chance, and a slot in use beats one that idles. */
const factorMin = 2
/** With more that waits, every node has enough to do. */
const waitingMax = 1_000

export interface Outlook {
  /** Tasks of the type that wait, this one included. */
  readonly waiting: number
  /** How long the type takes on the fastest node. */
  readonly expectedMs: number
  /** Tasks of all types that arrive per ms, and that run. */
  readonly arrivalsPerMs: number
  readonly running: number
}

/**
 * Returns the ms that the task takes on the chosen node if it does better to wait for one of `nodes()`, whether these have
 * credits left or not; undefined if it is to start there.
 */
export function worthWaiting(
  chosen: Candidate,
  { waiting, expectedMs, arrivalsPerMs, running }: Outlook,
  nodes: () => Iterable<Candidate>,
): number | undefined {
  if (expectedMs <= 0 || waiting > waitingMax) return undefined
  const hereMs = chosen.offer.bid.priceMs + lastsMs(chosen, expectedMs)
  if (hereMs < factorMin * expectedMs) return undefined
  let quickestMs = Number.POSITIVE_INFINITY
  let ratePerMs = 0
  let busy = 0
  let quickSlots = 0
  for (const other of nodes()) {
    if (other.offer === chosen.offer || other.offer.bid.credits === 0) continue
    const otherMs = other.offer.bid.priceMs + slownessOf(other) * expectedMs
    quickestMs = Math.min(quickestMs, otherMs)
    ratePerMs += parallelOf(other) / (slownessOf(other) * expectedMs)
    busy += busyOf(other)
    if (otherMs * factorMin <= hereMs) quickSlots += Math.min(other.offer.bid.credits, other.offer.member.profile.slots)
  }
  if (quickestMs * factorMin > hereMs) return undefined
  if (arrivalsPerMs > 0 && quickSlots < running) return undefined
  const spare = ratePerMs - arrivalsPerMs
  return spare > 0 && hereMs > (waiting + busy) / spare ? hereMs : undefined
}
