/**
 * Timers by absolute log time: never early, and right beyond the 2³¹ ms that Node's own timers can count. The process is
 * kept alive by its node, not by an alarm.
 */

const longestMs = 2 ** 31 - 1

/** Runs `ring` once when `clock.nowMs()` has reached `dueAtMs`, at the next macrotask if it has already. */
export class Alarm {
  readonly dueAtMs: number
  readonly #clock: { nowMs(): number }
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(clock: { nowMs(): number }, dueAtMs: number, ring: () => void) {
    this.#clock = clock
    this.dueAtMs = dueAtMs
    this.#arm(ring)
  }

  cancel(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(ring: () => void): void {
    const leftMs = this.dueAtMs - this.#clock.nowMs()
    // A timer of Node may ring up to 1 ms before its time by another clock, so the time is looked at again.
    const waitMs = Math.min(longestMs, Math.max(0, Math.ceil(leftMs)))
    this.#timer = setTimeout(() => (this.#clock.nowMs() >= this.dueAtMs ? ring() : this.#arm(ring)), waitMs)
    this.#timer.unref?.()
  }
}
