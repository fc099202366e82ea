/**
 * How long the start of a turn keeps the main loop, and so how many more turns a node can start soon. Tasks that await
 * cost microseconds; tasks that compute keep the loop until they end, and must not queue here while others are idle.
 */

/** Turns that start within this time count as starting soon. */
const soonMs = 200
const weight = 0.2
/**
 * One start counts for at most so many times the mean, and a bit: a processor that was taken away for a moment is no task
 * that computes. Starts that really take longer raise the mean by more than a half each.
 */
const outlierFactor = 4
const outlierMs = 0.05

export class StartPace {
  private meanMs: number | undefined

  started(tookMs: number): void {
    // The code of the very first start is not compiled yet, so it counts no more than any other.
    if (this.meanMs === undefined) this.meanMs = weight * tookMs
    else this.meanMs += weight * (Math.min(tookMs, outlierFactor * this.meanMs + outlierMs) - this.meanMs)
  }

  /** Turns that can start soon, at least one; no bound before the first start. */
  get room(): number {
    if (this.meanMs === undefined) return Number.POSITIVE_INFINITY
    return Math.max(1, Math.floor(soonMs / Math.max(this.meanMs, 0.001)))
  }
}
