/**
 * How long something that falls due waits for the main loop, from the lateness of a timer. The histogram of
 * `monitorEventLoopDelay` costs as much, forgets what was under way when it is reset, and counts a long block once.
 */

const everyMs = 50

export class LoopDelay {
  readonly #timer: NodeJS.Timeout
  #dueAtMs = performance.now() + everyMs
  #sumMs = 0
  #count = 0

  constructor() {
    this.#timer = setInterval(() => this.#fire(), everyMs).unref()
  }

  /** Returns the mean delay since the call before, ms. */
  take(): number {
    const meanMs = this.#count === 0 ? 0 : this.#sumMs / this.#count
    this.#sumMs = 0
    this.#count = 0
    return meanMs
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  /** A loop that stood still for long missed several turns: whatever fell due at each of them has waited, too. */
  #fire(): void {
    const nowMs = performance.now()
    for (let turn = 0; this.#dueAtMs <= nowMs && turn < 1_000; turn += 1) {
      this.#sumMs += nowMs - this.#dueAtMs
      this.#count += 1
      this.#dueAtMs += everyMs
    }
    this.#dueAtMs = nowMs + everyMs
  }
}
