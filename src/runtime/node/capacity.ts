/**
 * What a node process can run at once: its slots, its named quantities, and the time of its main loop. One for a process,
 * whatever the number of partitions that it is a member of; it starts what they hold, the neediest first.
 */
import { Quantities } from '../../actors/node/quantities.ts'
import type { Share } from '../../actors/node/shares.ts'
import type { Slots } from '../../actors/node/slots.ts'
import { StartPace } from '../../actors/node/start-pace.ts'

/** The turns of one partition, which share the capacity. */
export interface CapacityUser {
  readonly slots: Pick<Slots<unknown>, 'running' | 'heldCount' | 'reserved'>
  /** Starts the next turn that it holds; false if it holds none that may start. */
  startNext(nowMs: number): boolean
  /** The event loop had its chance. */
  sliceEnded(): void
}

/** Turns started in one go, and for how long, before the event loop gets a chance. */
const startsAtOnce = 256
const sliceMs = 10

export class Capacity {
  readonly slots: number
  readonly quantities: Quantities
  readonly pace = new StartPace()
  private readonly users: CapacityUser[] = []
  private pumping = false
  private sliceEnd: number | undefined

  constructor(slots: number, resources: Readonly<Record<string, number>>) {
    this.slots = slots
    this.quantities = new Quantities(resources)
  }

  add(user: CapacityUser): void {
    this.users.push(user)
  }

  get free(): number {
    let free = this.slots
    for (const { slots } of this.users) free -= slots.running.size + slots.reserved
    return free
  }

  /** What all have of it, but for this one. */
  used(except?: CapacityUser): Share {
    let running = 0
    let held = 0
    let reserved = 0
    for (const user of this.users) {
      if (user === except) continue
      running += user.slots.running.size
      held += user.slots.heldCount
      reserved += user.slots.reserved
    }
    return { running, held, reserved }
  }

  private get holding(): boolean {
    for (const { slots } of this.users) if (slots.heldCount > 0) return true
    return false
  }

  /**
   * Starts what is held while slots are free, a few hundred at a time and for a few milliseconds: tasks that use the main
   * loop at length must not keep it from sending what the node has accepted and done, nor the rest from going elsewhere.
   */
  pump(): void {
    if (this.pumping || !this.holding) return
    const endMs = this.sliceEndMs()
    this.pumping = true
    const nowMs = performance.now()
    for (let started = 0; started < startsAtOnce && performance.now() < endMs && this.free > 0; started++) {
      if (!this.startNext(nowMs)) break
    }
    this.pumping = false
  }

  /** Whoever has the least goes first. */
  private startNext(nowMs: number): boolean {
    const { users } = this
    if (users.length === 1) return users[0]!.startNext(nowMs)
    const needy = users.filter(({ slots }) => slots.heldCount > 0)
    return needy.sort((a, b) => a.slots.running.size - b.slots.running.size).some((user) => user.startNext(nowMs))
  }

  /** Until when turns may be started before the event loop gets a chance; then the rest follows. */
  private sliceEndMs(): number {
    if (this.sliceEnd !== undefined) return this.sliceEnd
    this.sliceEnd = performance.now() + sliceMs
    setImmediate(() => {
      this.sliceEnd = undefined
      for (const user of this.users) user.sliceEnded()
      // Without a free slot it would come back here at once, for as long as its turns last; a turn that ends pumps.
      if (this.free > 0) this.pump()
    })
    return this.sliceEnd
  }
}
