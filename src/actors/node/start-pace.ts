/**
 * How long the start of a turn keeps the main loop, and so how many more turns a node can start soon. Tasks that await
 * cost microseconds; tasks that compute keep the loop until they end, and must not queue here while others are idle.
 */

/** Turns that start within this time count as starting soon. */
const soonMs = 200
const weight = 0.2

export class StartPace {
  private meanMs: number | undefined

  started(tookMs: number): void {
    this.meanMs = this.meanMs === undefined ? tookMs : this.meanMs + weight * (tookMs - this.meanMs)
  }

  /** Turns that can start soon, at least one; no bound before the first start. */
  get room(): number {
    if (this.meanMs === undefined) return Number.POSITIVE_INFINITY
    return Math.max(1, Math.floor(soonMs / Math.max(this.meanMs, 0.001)))
  }
}
