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

  /** When the next start is allowed: `nowMs` or before if now. */
  openAtMs(nowMs: number): number {
    this.refill(nowMs)
    return this.tokens >= 1 ? nowMs : nowMs + Math.ceil(((1 - this.tokens) * this.periodMs) / this.starts)
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
