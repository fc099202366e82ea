/**
 * Which awarded tasks a node runs and which it holds until a slot is free. Awards beyond the slots are the credits that
 * cover the round trip of short tasks; they are held unaccepted, in order, and dropped when their invitation has lapsed.
 */
import type { AwardedTask } from '../../protocol/messages.ts'

export interface Held {
  readonly awarded: AwardedTask
  readonly expiresAtMs: number
}

/** Slots that are shared with others. */
export interface Room {
  readonly slots: number
  /** Those that nobody uses or keeps. */
  readonly free: number
}

export class Slots<Turn> {
  readonly slots: number
  private readonly shared: Room | undefined
  /** Kept free for a call for bids. */
  reserved = 0
  /** By task id. */
  readonly running = new Map<string, Turn>()
  private held: Held[] = []
  private head = 0

  constructor(room: Room | number) {
    this.shared = typeof room === 'number' ? undefined : room
    this.slots = typeof room === 'number' ? room : room.slots
  }

  get heldCount(): number {
    return this.held.length - this.head
  }

  get free(): number {
    return this.shared === undefined ? this.slots - this.running.size - this.reserved : this.shared.free
  }

  hold(awarded: AwardedTask, expiresAtMs: number): void {
    this.held.push({ awarded, expiresAtMs })
  }

  /** The next held award whose invitation stands, when a slot is free. Lapsed ones are forgotten: others have them. */
  next(nowMs: number): AwardedTask | undefined {
    while (this.head < this.held.length && this.free > 0) {
      const next = this.held[this.head++]!
      this.compact()
      if (next.expiresAtMs > nowMs) return next.awarded
    }
    return undefined
  }

  /** Takes back the held awards whose invitation lapses before this instant. */
  takeLapsing(beforeMs: number): AwardedTask[] {
    const taken: AwardedTask[] = []
    for (
      let next = this.held[this.head];
      next !== undefined && next.expiresAtMs < beforeMs;
      next = this.held[this.head]
    ) {
      this.head++
      taken.push(next.awarded)
    }
    this.compact()
    return taken
  }

  /** Takes back one held award; true if it was there. */
  drop(id: string, turn: number): boolean {
    for (let i = this.head; i < this.held.length; i++) {
      const { awarded } = this.held[i]!
      if (awarded[0] !== id || awarded[2] !== turn) continue
      this.held.splice(i, 1)
      return true
    }
    return false
  }

  /** Takes back what is held beyond the first `keep`. */
  takeHeld(keep = 0): AwardedTask[] {
    const kept = this.held.slice(this.head, this.head + keep)
    const taken = this.held.slice(this.head + keep).map(({ awarded }) => awarded)
    this.held = kept
    this.head = 0
    return taken
  }

  private compact(): void {
    if (this.head === this.held.length) {
      this.held = []
      this.head = 0
    } else if (this.head > 1_024 && this.head * 2 > this.held.length) {
      this.held = this.held.slice(this.head)
      this.head = 0
    }
  }
}
