/**
 * Which place a key belongs to: highest random weight (Thaler and Ravishankar 1998), with weights after Mosharaf and others:
 * score = −weight ÷ ln(hash(place, key)). A place that joins takes only its share of the keys; one that leaves gives only its
 * own away. With bounded load (Mirrokni and others 2018) a place takes no more than c times its share, and a key whose place
 * is full goes to the next in its order; max ÷ mean ≤ c, up to one task, for a few more moved keys.
 */
import { inputHash } from '../../../protocol/input-hash.ts'

export interface WeightedPlace {
  readonly id: string
  /** More than 0; a place of weight 2 gets twice as many keys. */
  readonly weight: number
  /** What it has at present. */
  readonly load: number
}

const hashes = 2 ** 52

/** Greater is preferred; never equal for two places but by chance. */
function rendezvousScore(key: string, { id, weight }: { readonly id: string; readonly weight: number }): number {
  const share = (inputHash(`${id} ${key}`) + 1) / (hashes + 1)
  return -weight / Math.log(share)
}

export interface BoundedLoad {
  /** c: how many times its fair share a place takes at most, 1 or more; Infinity: plain rendezvous. Default 1.25. */
  readonly bound?: number
  /** All keys that there will be, if known. Default: those there are, and this one. */
  readonly total?: number
}

/**
 * Returns the best place for the key that is below its bound, ⌈c × all keys × its share of the weights⌉; the best of all if
 * none is. Undefined for no places.
 */
export function preferredPlace<P extends WeightedPlace>(
  key: string,
  places: readonly P[],
  { bound = 1.25, total }: BoundedLoad = {},
): P | undefined {
  let weights = 0
  let load = 1
  for (const place of places) {
    weights += place.weight
    load += place.load
  }
  load = total ?? load
  let best: P | undefined
  let bestScore = Number.NEGATIVE_INFINITY
  let fallback: P | undefined
  let fallbackScore = Number.NEGATIVE_INFINITY
  for (const place of places) {
    const score = rendezvousScore(key, place)
    if (score > fallbackScore) {
      fallback = place
      fallbackScore = score
    }
    if (score > bestScore && place.load < Math.ceil((bound * load * place.weight) / weights)) {
      best = place
      bestScore = score
    }
  }
  return best ?? fallback
}
