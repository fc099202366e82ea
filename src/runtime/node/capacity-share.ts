/**
 * The share of one partition in the capacity of a process that is a member of several: how much of it to bid, and what was
 * awarded beyond it.
 */
import { creditsOf } from '../../actors/node/shares.ts'
import type { AwardedTask } from '../../protocol/messages.ts'
import type { Capacity } from './capacity.ts'
import type { Turns } from './turns.ts'

/** What found no place goes elsewhere so long before its invitation lapses. */
const lapsingMs = 1_000
/** After that, no more is taken than there is place for. */
const noPressMs = 2_000

export class CapacityShare {
  private readonly capacity: Capacity
  private readonly turns: Turns
  private readonly partitions: number
  private mayPressFromMs = 0

  constructor(capacity: Capacity, turns: Turns, partitions: number) {
    this.capacity = capacity
    this.turns = turns
    this.partitions = partitions
  }

  /** Of so many tasks that the node takes in all, those that this partition may have here. */
  creditsOf(capacity: number): number {
    const { slots } = this.turns
    const own = { running: slots.running.size, held: slots.heldCount, reserved: slots.reserved }
    const mayPress = performance.now() >= this.mayPressFromMs
    return creditsOf(capacity, own, this.capacity.used(this.turns), this.partitions, mayPress)
  }

  /** Takes back what is held beyond that. */
  takeExcess(capacity: number): AwardedTask[] {
    const { slots } = this.turns
    const keep = Math.max(0, this.creditsOf(capacity) - slots.running.size)
    return slots.heldCount > keep ? slots.takeHeld(keep) : []
  }

  /** Takes back what has waited for a place too long. */
  takeLapsing(): AwardedTask[] {
    const lapsing = this.turns.slots.takeLapsing(performance.now() + lapsingMs)
    if (lapsing.length > 0) this.mayPressFromMs = performance.now() + noPressMs
    return lapsing
  }
}
