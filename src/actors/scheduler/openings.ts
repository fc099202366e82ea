/**
 * Nodes with credit left, where there are so many that not every one can be looked at for every task: in a heap by what a task
 * would cost there, nodes with the same task types together. The heap's order is that of the type placed last, which is about
 * right for any; of the few cheapest that it gives, a policy chooses by the exact cost. So the cost of an award hardly grows with
 * the number of nodes.
 */
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Offer, OffersWatcher } from './offers.ts'
import type { Candidate } from './placement.ts'
import { IndexedHeap, type Placed } from './policies/indexed-heap.ts'
import type { Room } from './room.ts'

/** A node in its place among those with credit left. */
export interface Opening extends Candidate, Placed {
  rank: number
}

interface Fleet {
  readonly types: ReadonlySet<string>
  readonly open: IndexedHeap<Opening>
  nodes: number
}

/** What the openings need to know. */
export interface OpeningsView {
  /** Credits that it has left now. */
  free(offer: Offer): number
  /** What a task costs there, about. */
  rank(opening: Opening): number
  accepts(task: TaskRecord, opening: Opening): boolean
  /** Those of them that accept the task, if all are to be looked at and not only the cheapest. */
  ofAll(task: TaskRecord, all: () => readonly Opening[]): Opening[] | undefined
}

/** As many of the cheapest are looked at closely. */
const cheapestMax = 16
/** As many are named for what is not placed one by one. */
const leftMax = 64

export class Openings implements OffersWatcher, Room {
  private readonly view: OpeningsView
  private readonly byOffer = new Map<Offer, { readonly opening: Opening; readonly fleet: Fleet }>()
  /** By their types, since most processes of an installation are alike. */
  private readonly fleets = new Map<string, Fleet>()
  private readonly byType = new Map<string, Fleet[]>()
  /** Those that have got something in this round; the last comes last. */
  private addressed: Opening[] = []

  constructor(view: OpeningsView) {
    this.view = view
  }

  /** No node has credit left. */
  get isEmpty(): boolean {
    for (const { open } of this.fleets.values()) if (open.length > 0) return false
    return true
  }

  /** Something about the offer has changed: what it says, or what its node has to do. */
  note(offer: Offer): void {
    let known = this.byOffer.get(offer)
    if (known === undefined) {
      const opening = { offer, free: 0, at: -1, rank: 0 }
      known = { opening, fleet: this.join(offer.member) }
      this.byOffer.set(offer, known)
    }
    const { opening, fleet } = known
    opening.free = this.view.free(offer)
    delete opening.paceOf
    if (opening.free === 0) fleet.open.remove(opening)
    else {
      opening.rank = this.view.rank(opening)
      fleet.open.place(opening)
    }
  }

  remove(offer: Offer): void {
    const known = this.byOffer.get(offer)
    if (known === undefined) return
    this.byOffer.delete(offer)
    const { fleet, opening } = known
    fleet.open.remove(opening)
    if (--fleet.nodes === 0) this.disband(fleet)
  }

  /** A round of placing begins. */
  begin(): void {
    for (const opening of this.addressed) delete opening.addressed
    this.addressed = []
  }

  /** The cheapest that can have the task, and the one that the last went to: an award that travels anyway costs no message. */
  candidates(task: TaskRecord): Opening[] {
    const fleets = this.byType.get(task.type)
    if (fleets === undefined) return []
    const all = this.view.ofAll(task, () => fleets.flatMap((fleet) => this.every(fleet)))
    if (all !== undefined) return all
    const count = Math.max(2, Math.ceil(cheapestMax / fleets.length))
    const found: Opening[] = []
    for (const fleet of fleets) this.search(fleet, task, found.length + count, found)
    const last = this.addressed.at(-1)
    if (last !== undefined && last.at >= 0 && !found.includes(last) && last.offer.member.types.has(task.type)) {
      last.free = this.view.free(last.offer)
      if (last.free > 0 && this.view.accepts(task, last)) found.push(last)
    }
    return found
  }

  left(): readonly Opening[] {
    const left: Opening[] = []
    for (const { open } of this.fleets.values()) {
      for (const opening of open) {
        if (!this.isClosed(opening) && left.push(opening) === leftMax) return left
      }
    }
    return left
  }

  spent(opening: Opening): void {
    if (opening.addressed) return
    opening.addressed = true
    this.addressed.push(opening)
  }

  private search({ open }: Fleet, task: TaskRecord, upTo: number, found: Opening[]): void {
    const closed: Opening[] = []
    for (const opening of open.inOrder()) {
      if (this.isClosed(opening)) closed.push(opening)
      else if (this.view.accepts(task, opening) && found.push(opening) >= upTo) break
    }
    for (const opening of closed) open.remove(opening)
  }

  private every({ open }: Fleet): Opening[] {
    const all = [...open]
    for (const opening of all) if (this.isClosed(opening)) open.remove(opening)
    return all.filter(({ free }) => free > 0)
  }

  /** Time alone ends a bid, and trust in a node changes with what others do. It comes back with its next bid. */
  private isClosed(opening: Opening): boolean {
    opening.free = this.view.free(opening.offer)
    return opening.free === 0
  }

  private join(member: Member): Fleet {
    const name = fleetName(member)
    let fleet = this.fleets.get(name)
    if (fleet === undefined) {
      fleet = { types: new Set(member.types.keys()), open: new IndexedHeap<Opening>(byRank), nodes: 0 }
      this.fleets.set(name, fleet)
      for (const type of fleet.types) {
        const fleets = this.byType.get(type)
        if (fleets === undefined) this.byType.set(type, [fleet])
        else fleets.push(fleet)
      }
    }
    fleet.nodes++
    return fleet
  }

  private disband(fleet: Fleet): void {
    for (const [name, other] of this.fleets) if (other === fleet) this.fleets.delete(name)
    for (const type of fleet.types) {
      const left = this.byType.get(type)?.filter((other) => other !== fleet) ?? []
      if (left.length > 0) this.byType.set(type, left)
      else this.byType.delete(type)
    }
  }
}

/** Types are names, which have no space. */
function fleetName({ types }: Member): string {
  return [...types.keys()].sort().join(' ')
}

/** Ties go to the node id, so that every leader chooses alike. */
function byRank(a: Opening, b: Opening): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.offer.member.node < b.offer.member.node)
}
