/** What an async function waits for that survives its turn, and what that means for parking it. */
import { limits } from '../../protocol/limits.ts'
import type { Alarm } from './alarm.ts'
import type { Call } from './call-journal.ts'
import type { ParkedFor } from './logic.ts'

/** A call that waits for a time, an event, or the end of children. */
export interface Wait {
  readonly call: Call
  /** The type of event it waits for. */
  readonly event?: string
  /** The children whose end it waits for. */
  readonly children?: readonly string[]
  alarm?: Alarm | undefined
}

/** Children that can race: with more, the task is woken when all have ended. */
const raceChildrenMax = 100

const noWaits: ReadonlySet<Wait> = new Set()

export class Waiting {
  /** Made with the first wait. */
  #made: Set<Wait> | undefined

  get #waits(): ReadonlySet<Wait> {
    return this.#made ?? noWaits
  }

  get isEmpty(): boolean {
    return this.#waits.size === 0
  }

  /** True if children are waited for: that they have ended is told at once only to a task that is parked. */
  get forChildren(): boolean {
    return [...this.#waits].some((wait) => wait.children !== undefined)
  }

  get forEvents(): readonly Wait[] {
    return [...this.#waits].filter((wait) => wait.event !== undefined)
  }

  add(wait: Wait): void {
    this.#made ??= new Set()
    this.#made.add(wait)
  }

  end(wait: Wait): void {
    wait.alarm?.cancel()
    this.#made?.delete(wait)
  }

  cancelAll(): void {
    for (const wait of this.#waits) wait.alarm?.cancel()
  }

  has(call: Call): boolean {
    return [...this.#waits].some((wait) => wait.call === call)
  }

  /** The earliest time at which a wait is over; 0 for none. */
  wakeAtMs(): number {
    let earliest = 0
    for (const { call } of this.#waits) {
      if (call.dueAtMs > 0 && (earliest === 0 || call.dueAtMs < earliest)) earliest = call.dueAtMs
    }
    return earliest
  }

  parkedFor(): ParkedFor {
    const forChildren = [...this.#waits].filter((wait) => wait.children !== undefined)
    const children = [...new Set(forChildren.flatMap((wait) => wait.children ?? []))]
    return {
      wakeAtMs: this.wakeAtMs(),
      onSignal: this.forEvents.length > 0,
      children: children.slice(0, limits.afterMax),
      // Several calls may be a race. One call needs all of its children, and of many each would wake the task.
      anyChild: forChildren.length > 1 && children.length <= raceChildrenMax,
    }
  }
}
