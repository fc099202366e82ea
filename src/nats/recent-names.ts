/**
 * Names that were added a short while ago; bounded. By two clocks: one that does not step back, and one that counts the time
 * in which the machine slept.
 */
const namesMax = 1_000

export class RecentNames {
  readonly #youngMs: number
  readonly #addedAtMs = new Map<string, { readonly wall: number; readonly steady: number }>()

  constructor(youngMs: number) {
    this.#youngMs = youngMs
  }

  add(name: string): void {
    this.#addedAtMs.delete(name)
    this.#addedAtMs.set(name, { wall: Date.now(), steady: performance.now() })
    for (const oldest of this.#addedAtMs.keys()) {
      if (this.#addedAtMs.size <= namesMax) break
      this.#addedAtMs.delete(oldest)
    }
  }

  has(name: string): boolean {
    const added = this.#addedAtMs.get(name)
    if (added === undefined) return false
    const ageMs = Date.now() - added.wall
    return ageMs >= 0 && ageMs < this.#youngMs && performance.now() - added.steady < this.#youngMs
  }
}
