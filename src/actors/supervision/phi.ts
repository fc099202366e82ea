/**
 * How unlikely it is that a silent node is still beating: the phi-accrual detector of Hayashibara et al. (2004), with the
 * logistic approximation of the normal distribution that Akka and Pekko use. It knows intervals between beats and nothing
 * else: no clock, no node, no verdict.
 */

export interface PhiOptions {
  /** Expected interval between beats, ms; what a detector believes before it has heard any. */
  readonly beatMs: number
  /**
   * Silence that is tolerated on top of the mean interval, ms. It shifts detection one to one; it is the knob between
   * false alarms and slow detection.
   */
  readonly pauseMs: number
  /** Floor of the standard deviation, ms: very even beats must not make the detector nervous. */
  readonly sigmaMsMin: number
  /** Intervals remembered. */
  readonly windowMax: number
  /** Phi from which a node counts as dead. 8: one false alarm in 10^8 beats, if intervals were normally distributed. */
  readonly threshold: number
}

/** With these a node counts as dead 1.26 s after its last beat. */
export const defaultPhi: PhiOptions = { beatMs: 250, pauseMs: 750, sigmaMsMin: 50, windowMax: 200, threshold: 8 }

/**
 * Returns phi = −log10(P(the next beat comes even later)), 0 to Infinity, for a silence in ms against the mean and the
 * standard deviation of the intervals. Rises without bound; 1 means a chance of 10 %, 8 one of 10^-8.
 */
export function phiOf(silenceMs: number, meanMs: number, sigmaMs: number): number {
  const y = (silenceMs - meanMs) / sigmaMs
  const e = Math.exp(-y * (1.5976 + 0.070566 * y * y))
  // Two forms of the same, each exact where the other cancels.
  return y > 0 ? -Math.log10(e / (1 + e)) : -Math.log10(1 - 1 / (1 + e))
}

/** Returns the silence in ms at which phi reaches `threshold`: the detection time that the options buy. */
export function silenceForPhi(threshold: number, meanMs: number, sigmaMs: number): number {
  let low = meanMs
  let high = meanMs + 40 * sigmaMs
  for (let step = 0; step < 60; step += 1) {
    const middle = (low + high) / 2
    if (phiOf(middle, meanMs, sigmaMs) < threshold) low = middle
    else high = middle
  }
  return high
}

/** The beats of one incarnation. All instants are of one monotonic clock, the caller's. */
export class PhiDetector {
  readonly #options: PhiOptions
  /** A ring of intervals with running sums; whole milliseconds, so that the sums stay exact. */
  readonly #intervals: number[] = []
  #next = 0
  #sum = 0
  #squares = 0
  #lastAtMs: number

  /** Starts as if a beat had come at `nowMs`: a node that is never heard becomes suspect like one that fell silent. */
  constructor(options: PhiOptions, nowMs: number) {
    this.#options = options
    this.#lastAtMs = nowMs
    // Two intervals at ±25 % of the expected one, as Pekko does: a cautious start.
    this.#record(Math.round(options.beatMs * 0.75))
    this.#record(Math.round(options.beatMs * 1.25))
  }

  /** A beat came. The interval that ends an outage is not recorded: it would make the next outage harder to see. */
  beat(nowMs: number): void {
    const intervalMs = nowMs - this.#lastAtMs
    if (intervalMs > 0 && this.phi(nowMs) < this.#options.threshold) this.#record(Math.round(intervalMs))
    this.#lastAtMs = nowMs
  }

  /**
   * Silence counts from `fromMs` at the earliest, and nothing is learned about intervals. At the present instant: life
   * was shown otherwise than by a beat. Ahead of it: a grace, which the next beat ends.
   */
  restart(fromMs: number): void {
    this.#lastAtMs = Math.max(this.#lastAtMs, fromMs)
  }

  /** The observer itself did not look for this long: that time is not silence of the node. */
  excuse(pausedMs: number, nowMs: number): void {
    this.#lastAtMs = Math.max(this.#lastAtMs, Math.min(nowMs, this.#lastAtMs + pausedMs))
  }

  /** Milliseconds since the last sign of life; 0 while a grace lasts. */
  silenceMs(nowMs: number): number {
    return Math.max(0, nowMs - this.#lastAtMs)
  }

  phi(nowMs: number): number {
    return phiOf(this.silenceMs(nowMs), this.#meanMs() + this.#options.pauseMs, this.#sigmaMs())
  }

  /** Silence in ms at which this node will count as dead, from what was learned about it. */
  limitMs(): number {
    return silenceForPhi(this.#options.threshold, this.#meanMs() + this.#options.pauseMs, this.#sigmaMs())
  }

  #record(intervalMs: number): void {
    const gone = this.#intervals[this.#next]
    if (gone !== undefined) {
      this.#sum -= gone
      this.#squares -= gone * gone
    }
    this.#intervals[this.#next] = intervalMs
    this.#next = (this.#next + 1) % this.#options.windowMax
    this.#sum += intervalMs
    this.#squares += intervalMs * intervalMs
  }

  #meanMs(): number {
    return this.#sum / this.#intervals.length
  }

  #sigmaMs(): number {
    const meanMs = this.#meanMs()
    const variance = Math.max(0, this.#squares / this.#intervals.length - meanMs * meanMs)
    return Math.max(this.#options.sigmaMsMin, Math.sqrt(variance))
  }
}
