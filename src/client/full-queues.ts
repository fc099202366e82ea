/** Which queues are full, as a leading scheduler says now and then; a hint that is old says nothing. */
import type { Bus, Subscription } from '../nats/bus.ts'
import { TroupeError } from '../protocol/errors.ts'
import { parseJson } from '../protocol/json.ts'
import { allTypes } from '../protocol/options.ts'
import type { QueueHint } from '../protocol/queue-hint.ts'

export class FullQueues {
  private types: ReadonlySet<string> = new Set()
  private untilMs = 0

  /** Returns the subscription that keeps it up to date. */
  listen(bus: Bus, subject: string): Subscription {
    return bus.subscribe(subject, ({ data }) => {
      try {
        const { types, ttlMs } = parseJson(data) as QueueHint
        this.types = new Set(types)
        this.untilMs = performance.now() + ttlMs
      } catch {
        // Not from a scheduler of ours: what was known holds for its time.
      }
    })
  }

  /** Whether a submission of this type would not be taken. */
  isFull(type: string): boolean {
    if (this.types.size === 0 || performance.now() >= this.untilMs) return false
    return this.types.has(type) || this.types.has(allTypes)
  }

  /** Throws TROUPE_QUEUE_FULL if a submission of this type would not be taken. */
  check(type: string): void {
    if (!this.isFull(type)) return
    throw new TroupeError('TROUPE_QUEUE_FULL', `the queue of the type "${type}" is full: nothing was submitted`, {
      details: { type, mayBeAccepted: false },
    })
  }
}
