/**
 * The delayed events of one machine task, by absolute due time: what is armed, what is stored, and what is armed again
 * after a restart. Actors are known by their path (the ids from the root down), because session ids change with the
 * process. Knows nothing of XState: whoever owns the actors gives it their paths and takes the events that are due.
 */
import { limits } from '../../protocol/limits.ts'
import { Alarm } from './alarm.ts'
import type { LogicPort } from './logic.ts'

export type ActorPath = readonly string[]

/** A delayed event as it is stored. */
export type StoredTimer = readonly [source: ActorPath, target: ActorPath, event: unknown, id: string, dueAtMs: number]

interface ArmedTimer {
  readonly stored: StoredTimer
  readonly alarm: Alarm
}

export class DurableTimers {
  readonly #clock: Pick<LogicPort, 'nowMs' | 'nowAtMostMs'>
  readonly #armed = new Map<string, ArmedTimer>()
  readonly #fire: (timer: StoredTimer) => void
  /** Number of the next timer that has no id of its own. */
  nextId: number

  constructor(clock: Pick<LogicPort, 'nowMs' | 'nowAtMostMs'>, nextId: number, fire: (timer: StoredTimer) => void) {
    this.#clock = clock
    this.nextId = nextId
    this.#fire = fire
  }

  /** Arms an event for `delayMs` from now; one of the same source and id is replaced. */
  schedule(source: ActorPath, target: ActorPath, event: unknown, delayMs: number, id: string | undefined): void {
    const delay = Number.isNaN(delayMs) ? 0 : Math.min(limits.delayMsMax, Math.max(0, delayMs))
    this.arm([source, target, event, id ?? `troupe.${this.nextId++}`, this.#clock.nowAtMostMs() + Math.ceil(delay)])
  }

  /** Arms a stored event again; an overdue one fires at the next macrotask. */
  arm(timer: StoredTimer): void {
    const [source, , , id, dueAtMs] = timer
    this.cancel(source, id)
    const key = keyOf(source, id)
    const alarm = new Alarm(this.#clock, dueAtMs, () => {
      this.#armed.delete(key)
      this.#fire(timer)
    })
    this.#armed.set(key, { stored: timer, alarm })
  }

  cancel(source: ActorPath, id: string): void {
    const key = keyOf(source, id)
    this.#armed.get(key)?.alarm.cancel()
    this.#armed.delete(key)
  }

  /** Cancels all events of one actor, or of all actors. */
  cancelAll(source?: ActorPath): void {
    for (const { stored } of this.#armed.values()) {
      if (source === undefined || samePath(stored[0], source)) this.cancel(stored[0], stored[3])
    }
  }

  /** All armed events, the earliest first. */
  stored(): StoredTimer[] {
    return [...this.#armed.values()].map(({ stored }) => stored).sort((a, b) => a[4] - b[4])
  }

  /** The earliest due time; 0 for none. */
  earliestMs(): number {
    let earliest = 0
    for (const { stored } of this.#armed.values()) if (earliest === 0 || stored[4] < earliest) earliest = stored[4]
    return earliest
  }
}

function keyOf(source: ActorPath, id: string): string {
  return JSON.stringify([source, id])
}

function samePath(a: ActorPath, b: ActorPath): boolean {
  return a.length === b.length && a.every((id, index) => id === b[index])
}
