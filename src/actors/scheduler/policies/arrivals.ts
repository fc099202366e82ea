/**
 * How many tasks keep arriving per ms, of all types: the least rate of the last three moments. What comes at once is a batch,
 * after which nothing may follow.
 */

const windowMs = 100
const windows = 3

export class Arrivals {
  private count = 0
  private atMs = Number.NEGATIVE_INFINITY
  private rates: readonly number[] = []
  private least = 0

  /** Tells the number of submissions until now. Returns how many there are per ms. */
  perMs(submitted: number, nowMs: number): number {
    const pastMs = nowMs - this.atMs
    if (pastMs < windowMs) return this.least
    this.rates = [...this.rates, (submitted - this.count) / pastMs].slice(-windows)
    this.least = this.rates.length < windows ? 0 : Math.min(...this.rates)
    this.count = submitted
    this.atMs = nowMs
    return this.least
  }
}
