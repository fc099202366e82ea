/**
 * An estimate of log time (the server's clock) from this process's own clock. Each message shows that the server's clock
 * was at its timestamp some latency ago; the smallest difference seen is skew plus the least latency, so the estimate is
 * a little behind and timers never fire early. Old observations fade, so that a clock that is set is followed.
 */
const windowMs = 60_000

export class LogClock {
  private readonly now: () => number
  private best = Number.POSITIVE_INFINITY
  private previousBest = Number.POSITIVE_INFINITY
  private windowStartMs = 0
  private latestMs = 0

  /** `now` is this process's wall clock, in ms. */
  constructor(now: () => number = Date.now) {
    this.now = now
  }

  /** A message with this timestamp has just arrived. `live` false: it is old, read during catch-up. */
  observe(timestampMs: number, live: boolean): void {
    if (timestampMs > this.latestMs) this.latestMs = timestampMs
    if (!live) return
    const nowMs = this.now()
    if (nowMs - this.windowStartMs > windowMs || nowMs < this.windowStartMs) {
      this.windowStartMs = nowMs
      this.previousBest = this.best
      this.best = Number.POSITIVE_INFINITY
    }
    this.best = Math.min(this.best, nowMs - timestampMs)
  }

  /** Log time now, in whole ms; never less than the latest timestamp seen. */
  nowMs(): number {
    const offset = Math.min(this.best, this.previousBest)
    const estimate = Number.isFinite(offset) ? this.now() - offset : this.now()
    return Math.max(this.latestMs, Math.floor(estimate))
  }
}
