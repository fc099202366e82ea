/**
 * Which objects the messages of a log refer to: of each name the newest message that does, oldest first. It knows only what
 * it was shown; from `completeFrom` on that is every message. Whether a message counted does not matter: what is in the log
 * may be read.
 */
import { limits } from '../../protocol/limits.ts'

const rowsPerPage = 4_000

export type ObjectRow = readonly [name: string, sequence: number]

export class ObjectReferences {
  /** Every reference in a message from here on is known; older ones may not be. */
  completeFrom: number
  private readonly latest: Map<string, number>

  constructor(rows: readonly ObjectRow[] = [], completeFrom = 1) {
    this.latest = new Map(rows)
    this.completeFrom = completeFrom
  }

  note(names: readonly string[], sequence: number): void {
    if (names.length === 0) return
    for (const name of names) {
      this.latest.delete(name)
      this.latest.set(name, sequence)
    }
    for (const [oldest, at] of this.latest) {
      if (this.latest.size <= limits.objectsReferredMax) break
      this.latest.delete(oldest)
      this.completeFrom = at + 1
    }
  }

  /** True if a message from this sequence on refers to the object. */
  has(name: string, from: number): boolean {
    return (this.latest.get(name) ?? 0) >= from
  }

  /** The log begins here now. */
  forgetBefore(sequence: number): void {
    for (const [oldest, at] of this.latest) {
      if (at >= sequence) return
      this.latest.delete(oldest)
    }
  }

  /** All of it as it is now, in order, so many in each. */
  pages(): ObjectRow[][] {
    const rows = [...this.latest]
    return Array.from({ length: Math.ceil(rows.length / rowsPerPage) }, (_, page) =>
      rows.slice(page * rowsPerPage, (page + 1) * rowsPerPage),
    )
  }
}
