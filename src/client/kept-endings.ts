/**
 * Endings that nobody has asked for yet, bounded in number and bytes: the oldest are dropped. The order stands in a list of
 * its own, because finding the oldest key of a large map that loses its oldest keys takes longer and longer.
 */
import type { Ending } from './ending.ts'

/** References that may stand in the list after their endings were taken, before it is written anew. */
const slack = 1_024

export class KeptEndings {
  private readonly countMax: number
  private readonly bytesMax: number
  private readonly endings = new Map<string, Ending>()
  private order: string[] = []
  private head = 0
  private bytesKept = 0

  constructor(countMax: number, bytesMax: number) {
    this.countMax = countMax
    this.bytesMax = bytesMax
  }

  get size(): number {
    return this.endings.size
  }

  get bytes(): number {
    return this.bytesKept
  }

  add(reference: string, ending: Ending): void {
    if (this.endings.has(reference)) return
    // A payload is a view of the whole message, which would be kept with it.
    const kept =
      'payload' in ending && ending.payload instanceof Uint8Array
        ? { ...ending, payload: ending.payload.slice() }
        : ending
    this.endings.set(reference, kept)
    this.order.push(reference)
    this.bytesKept += bytesOf(kept)
    while (this.endings.size > this.countMax || this.bytesKept > this.bytesMax) this.take(this.order[this.head++]!)
    if (this.order.length > 2 * this.endings.size + slack) {
      this.order = [...this.endings.keys()]
      this.head = 0
    }
  }

  /** Returns the ending and keeps it no longer. */
  take(reference: string): Ending | undefined {
    const ending = this.endings.get(reference)
    if (ending === undefined) return undefined
    this.endings.delete(reference)
    this.bytesKept -= bytesOf(ending)
    return ending
  }

  clear(): void {
    this.endings.clear()
    this.order = []
    this.head = 0
    this.bytesKept = 0
  }
}

function bytesOf(ending: Ending): number {
  if (ending.status !== 'completed') return 256 + ending.error.message.length
  const payload = 'payload' in ending ? ending.payload : null
  return 128 + (payload instanceof Uint8Array || typeof payload === 'string' ? payload.length : 0)
}
