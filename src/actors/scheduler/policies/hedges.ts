/**
 * When a turn is a straggler, and how many of these get a second turn: hedged requests, Dean and Barroso, "The Tail at Scale"
 * (2013). A turn is hedged once it has lasted longer than
 *
 *     after                                          if its type says a time
 *     max(50 ms, e^(μ + z σ))                        else: the percentile of its type's durations, as learned from ≥ 10 that ended
 *
 * with μ and σ of ln(duration) as in `Estimates`, over about forty tasks (α = 0.05). The budget is a token bucket by count: each
 * first turn adds `budget` tokens, a second turn takes one, at most 10 are saved, and each type begins with one. So second turns
 * add at most that share to the load, whatever goes wrong; when everything is slow at once, hedging stops by itself.
 */
import { limits } from '../../../protocol/limits.ts'
import { defaultHedge, type HedgePercentile, type HedgePolicy } from '../../../protocol/options.ts'
import { Estimates } from './estimates.ts'

/** Standard normal deviates. */
const deviations: Readonly<Record<HedgePercentile, number>> = { 50: 0, 75: 0.6745, 90: 1.2816, 95: 1.6449, 99: 2.3263 }
/** A second turn costs some messages and a write; what takes less than this is not worth them. */
const shortestMs = 50
/** Durations known before a percentile means anything. */
const knownMin = 10
const weight = 0.05
const savedMax = 10

export class Hedges {
  private readonly estimates = new Estimates(weight)
  private readonly tokens = new Map<string, number>()

  /** How long a turn of the type lasts before it is a straggler, ms; undefined while that is not known. */
  afterMs(type: string, { afterMs, percentile = defaultHedge.percentile }: HedgePolicy): number | undefined {
    if (afterMs !== undefined) return afterMs
    if (this.estimates.count(type) < knownMin) return undefined
    const learnedMs = this.estimates.quantileMs(type, deviations[percentile])
    return learnedMs === undefined ? undefined : Math.max(shortestMs, learnedMs)
  }

  /** The sentence for people. */
  reason(type: string, policy: HedgePolicy, lastedMs: number): string {
    const afterMs = Math.round(this.afterMs(type, policy) ?? 0)
    const than =
      policy.afterMs === undefined ? `the p${policy.percentile ?? defaultHedge.percentile} of its type, ` : ''
    return `it had run for ${Math.round(lastedMs)} ms, longer than ${than}${afterMs} ms`
  }

  /** A first turn of the type began. */
  started(type: string, { budget }: HedgePolicy): void {
    const known = this.tokens.get(type)
    if (known === undefined && this.tokens.size === limits.typesPerNodeMax) return
    this.tokens.set(type, Math.min(savedMax, (known ?? 1) + budget))
  }

  ended(type: string, lastedMs: number): void {
    this.estimates.ended(type, lastedMs)
  }

  /** Whether the budget allows one more. */
  allows(type: string): boolean {
    // A sum of many shares is off by a hair.
    return (this.tokens.get(type) ?? 0) >= 1 - 1e-9
  }

  spend(type: string): void {
    this.tokens.set(type, (this.tokens.get(type) ?? 0) - 1)
  }
}
