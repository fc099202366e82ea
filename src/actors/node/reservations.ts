/**
 * Places that a node keeps free for one call for bids until a deadline: slots, and the quantities that the types ask for. What
 * is reserved is bid to nobody else, so an award that follows is certain to find its place; one that does not come costs
 * nothing but the time.
 */
import type { TypeCount } from '../../protocol/messages.ts'
import { countByType } from '../scheduler/tender.ts'
import type { Quantities } from './quantities.ts'

interface Place {
  readonly type: string
  /** Under which its quantities are taken. */
  readonly name: string
}

interface Reservation {
  untilMs: number
  readonly places: Place[]
}

/** What is reserved, and why not more. */
export interface Reserved {
  readonly places: readonly TypeCount[]
  readonly reason: string | undefined
}

/** Calls under which places are reserved at once. A scheduler has one open; another may have led before it. */
const reservationsMax = 8

export class Reservations {
  private readonly quantities: Quantities
  /** Tells its places from those of others who take of the same quantities. */
  private readonly owner: string
  private readonly byTender = new Map<string, Reservation>()
  private named = 0

  constructor(quantities: Quantities, owner = '') {
    this.quantities = quantities
    this.owner = owner
  }

  /** Slots that are kept free. */
  get count(): number {
    let count = 0
    for (const { places } of this.byTender.values()) count += places.length
    return count
  }

  /**
   * Keeps as many of the wanted places as there is room for, `freeSlots` beyond what is reserved already, and until
   * `untilMs`, also those that it had.
   */
  reserve(
    tender: string,
    wants: readonly TypeCount[],
    asked: (type: string) => Readonly<Record<string, number>> | undefined,
    freeSlots: number,
    untilMs: number,
  ): Reserved {
    let reservation = this.byTender.get(tender)
    if (reservation === undefined) {
      if (this.byTender.size >= reservationsMax) return { places: [], reason: 'it keeps places for too many calls' }
      this.byTender.set(tender, (reservation = { untilMs, places: [] }))
    }
    reservation.untilMs = untilMs
    let free = freeSlots
    let reason: string | undefined
    for (const [type, count] of wants) {
      const amounts = asked(type)
      if (amounts === undefined) continue
      let has = countOf(reservation.places, type)
      while (has < count) {
        const name = `${this.owner} ${tender} ${this.named++}`
        const short = free <= 0 ? 'its slots are in use' : this.quantities.take(name, amounts)
        if (short !== undefined) {
          reason ??= short
          break
        }
        reservation.places.push({ type, name })
        free--
        has++
      }
    }
    const places = countByType(reservation.places)
    if (places.length === 0) this.byTender.delete(tender)
    return { places, reason }
  }

  /** An award uses one of the places: gives it up for the turn to take. Returns whether there was one. */
  use(tender: string, type: string): boolean {
    const places = this.byTender.get(tender)?.places
    const at = places?.findIndex((place) => place.type === type) ?? -1
    if (places === undefined || at < 0) return false
    for (const { name } of places.splice(at, 1)) this.quantities.give(name)
    if (places.length === 0) this.byTender.delete(tender)
    return true
  }

  /** Gives up all but these. */
  release(tender: string, keep: readonly TypeCount[]): void {
    const reservation = this.byTender.get(tender)
    if (reservation === undefined) return
    const kept = new Map(keep)
    for (const type of new Set(reservation.places.map((place) => place.type))) {
      for (let over = countOf(reservation.places, type) - (kept.get(type) ?? 0); over > 0; over--)
        this.use(tender, type)
    }
  }

  /** Gives up what nobody has used in time. Returns whether there was any. */
  expire(nowMs: number): boolean {
    let any = false
    for (const [tender, { untilMs }] of this.byTender) {
      if (untilMs > nowMs) continue
      any = true
      this.release(tender, [])
    }
    return any
  }

  /** Gives up everything. */
  clear(): void {
    for (const tender of [...this.byTender.keys()]) this.release(tender, [])
  }
}

function countOf(places: readonly Place[], type: string): number {
  return places.reduce((count, place) => count + (place.type === type ? 1 : 0), 0)
}
