/**
 * A rate limit: at most `starts` in any `periodMs`, on average, with bursts of at most `starts` (token bucket). A bucket
 * begins with what its past leaves of it, so that a new leader does not grant a second burst.
 */
export class TokenBucket {
  private readonly starts: number
  private readonly periodMs: number
  private tokens: number
  private atMs: number

  /** `spent`: starts within the period before `nowMs`. */
  constructor(starts: number, periodMs: number, nowMs: number, spent = 0) {
    this.starts = starts
    this.periodMs = periodMs
    this.tokens = Math.max(0, starts - spent)
    this.atMs = nowMs
  }

  /**
   * When so many may start together: `nowMs` if now. More than a full bucket has never could; they may when it is full, and
   * those after them wait the longer.
   */
  openAtMs(nowMs: number, together = 1): number {
    this.refill(nowMs)
    const lacking = Math.min(together, this.starts) - this.tokens
    return lacking <= 0 ? nowMs : nowMs + Math.ceil((lacking * this.periodMs) / this.starts)
  }

  spend(nowMs: number): void {
    this.refill(nowMs)
    this.tokens -= 1
  }

  isFull(nowMs: number): boolean {
    this.refill(nowMs)
    return this.tokens >= this.starts
  }

  /** Time may step back between leaders; nothing is filled then. */
  private refill(nowMs: number): void {
    if (nowMs <= this.atMs) return
    this.tokens = Math.min(this.starts, this.tokens + ((nowMs - this.atMs) * this.starts) / this.periodMs)
    this.atMs = nowMs
  }
}
