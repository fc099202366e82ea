/**
 * An estimate of log time (the server's clock) from this process's own clock. Each message shows that the server's clock
 * was at its timestamp some latency ago; the smallest difference seen is skew plus the least latency, so the estimate is
 * a little behind and nothing is done early. What has to last for a while begins no earlier than `nowAtMostMs`: the server's
 * clock cannot be further than what it answered plus the time since it was asked. Old observations fade, so that a server's
 * clock that is set is followed; this process's own clock is the monotonic one, which nobody sets.
 */
const windowMs = 60_000

export class LogClock {
  private readonly monotonic: () => number
  private best = Number.POSITIVE_INFINITY
  private previousBest = Number.POSITIVE_INFINITY
  private bound = Number.NEGATIVE_INFINITY
  private previousBound = Number.NEGATIVE_INFINITY
  private windowStartMs = 0
  private latestMs = 0

  /** `monotonic` is a clock of this process in ms that nobody sets. */
  constructor(monotonic: () => number = () => performance.now()) {
    this.monotonic = monotonic
  }

  /**
   * A message with this timestamp has just arrived. `live` false: it is old, read during catch-up. `askedAtMs`: it answers a
   * question that was sent then, by the monotonic clock.
   */
  observe(timestampMs: number, live: boolean, askedAtMs = Number.NEGATIVE_INFINITY): void {
    if (timestampMs > this.latestMs) this.latestMs = timestampMs
    if (!live) return
    const nowMs = this.monotonic()
    if (nowMs - this.windowStartMs > windowMs || this.best === Number.POSITIVE_INFINITY) {
      this.windowStartMs = nowMs
      this.previousBest = this.best
      this.best = Number.POSITIVE_INFINITY
      this.previousBound = this.bound
      this.bound = Number.NEGATIVE_INFINITY
    }
    this.best = Math.min(this.best, nowMs - timestampMs)
    // Timestamps are rounded down.
    this.bound = Math.max(this.bound, askedAtMs - timestampMs - 1)
  }

  /** Log time now, in whole ms; never less than the latest timestamp seen. Before the first live one, the wall clock. */
  nowMs(): number {
    const offset = Math.min(this.best, this.previousBest)
    const estimate = Number.isFinite(offset) ? this.monotonic() - offset : Date.now()
    return Math.max(this.latestMs, Math.floor(estimate))
  }

  /** Log time is not later than this, in whole ms; as good as `nowMs` while nothing was asked. */
  nowAtMostMs(): number {
    const offset = Math.max(this.bound, this.previousBound)
    const bound = Number.isFinite(offset) ? Math.ceil(this.monotonic() - offset) : 0
    return Math.max(this.nowMs(), bound)
  }
}
