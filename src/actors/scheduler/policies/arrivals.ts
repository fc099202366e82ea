/** How many tasks arrive per ms, of all types, over the last moments: two counts of submissions and the time between them. */

const windowMs = 200

export class Arrivals {
  private count = 0
  private atMs = Number.NEGATIVE_INFINITY
  private rate = 0

  /** Tells the number of submissions until now. Returns how many there are per ms. */
  perMs(submitted: number, nowMs: number): number {
    const pastMs = nowMs - this.atMs
    if (pastMs < windowMs) return this.rate
    this.rate = (submitted - this.count) / pastMs
    this.count = submitted
    this.atMs = nowMs
    return this.rate
  }
}
