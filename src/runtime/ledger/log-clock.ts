/**
 * An estimate of log time (the server's clock) from this process's own clock. Each message shows that the server's clock
 * was at its timestamp some latency ago; the smallest difference seen is skew plus the least latency, so the estimate is
 * a little behind and timers never fire early. Old observations fade, so that a server's clock that is set is followed;
 * this process's own clock is the monotonic one, which nobody sets.
 */
const windowMs = 60_000

export class LogClock {
  private readonly monotonic: () => number
  private best = Number.POSITIVE_INFINITY
  private previousBest = Number.POSITIVE_INFINITY
  private windowStartMs = 0
  private latestMs = 0

  /** `monotonic` is a clock of this process in ms that nobody sets. */
  constructor(monotonic: () => number = () => performance.now()) {
    this.monotonic = monotonic
  }

  /** A message with this timestamp has just arrived. `live` false: it is old, read during catch-up. */
  observe(timestampMs: number, live: boolean): void {
    if (timestampMs > this.latestMs) this.latestMs = timestampMs
    if (!live) return
    const nowMs = this.monotonic()
    if (nowMs - this.windowStartMs > windowMs || this.best === Number.POSITIVE_INFINITY) {
      this.windowStartMs = nowMs
      this.previousBest = this.best
      this.best = Number.POSITIVE_INFINITY
    }
    this.best = Math.min(this.best, nowMs - timestampMs)
  }

  /** Log time now, in whole ms; never less than the latest timestamp seen. Before the first live one, the wall clock. */
  nowMs(): number {
    const offset = Math.min(this.best, this.previousBest)
    const estimate = Number.isFinite(offset) ? this.monotonic() - offset : Date.now()
    return Math.max(this.latestMs, Math.floor(estimate))
  }
}
