/** How long tasks take on this node: a moving mean per type, and one over the present mix of types; and how long turns last in all. */
import { limits } from '../../protocol/limits.ts'

const typeWeight = 0.2
const mixWeight = 0.05

/** Called for every task that ends, so it is a plain store and not a machine. */
export class Durations {
  readonly #byType = new Map<string, number>()
  #mixMs: number | undefined
  #turnsMs = 0

  ended(type: string, lastedMs: number): void {
    this.#turnsMs += lastedMs
    const before = this.#byType.get(type)
    const meanMs = before === undefined ? lastedMs : before + typeWeight * (lastedMs - before)
    if (before !== undefined || this.#byType.size < limits.typesPerNodeMax) this.#byType.set(type, meanMs)
    // The type's mean and not this one's duration: one outlier must not move the price of everything.
    this.#mixMs = this.#mixMs === undefined ? meanMs : this.#mixMs + mixWeight * (meanMs - this.#mixMs)
  }

  /** How long turns lasted that ended since the call before, ms; those that ran at once add up. */
  takeTurnsMs(): number {
    const turnsMs = this.#turnsMs
    this.#turnsMs = 0
    return turnsMs
  }

  /** Undefined before the first task of the type has ended. */
  ofType(type: string): number | undefined {
    return this.#byType.get(type)
  }

  /** Mean over what ended lately, whatever its type; undefined before anything has. */
  get meanMs(): number | undefined {
    return this.#mixMs
  }
}
