/**
 * Publishes lifecycle events for whoever subscribes to `event.<type>.<id>.<what>`. They are news, not truth, and bounded:
 * beyond `eventsPerSecondMax` the rest of that second is left out, so that watching never slows the work. They leave some
 * milliseconds late and together, so that no award or outcome waits behind them.
 */
import type { Change } from '../../actors/ledger/change.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { Bus } from '../../nats/bus.ts'
import type { LifecycleEvent } from '../../protocol/messages.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { statusOf } from './answer-rows.ts'

export const eventsPerSecondMax = 5_000

/** How long events wait for others. */
const gatherMs = 10

const text = new TextEncoder()

export class EventPublisher {
  private readonly bus: Bus
  private readonly subjects: Subjects
  private second = 0
  private published = 0
  private waiting: LifecycleEvent[] = []
  private timer: NodeJS.Timeout | undefined

  constructor(bus: Bus, subjects: Subjects) {
    this.bus = bus
    this.subjects = subjects
  }

  publish(changes: readonly Change[], nowMs: number): void {
    const second = Math.floor(nowMs / 1_000)
    if (second !== this.second) {
      this.second = second
      this.published = 0
    }
    if (this.published >= eventsPerSecondMax) return
    const at = new Date(nowMs).toISOString()
    for (const change of changes) {
      if (this.published >= eventsPerSecondMax) return
      if (!('task' in change) || change.what === 'duplicate') continue
      this.published++
      const error = 'error' in change ? change.error : undefined
      this.waiting.push(eventOf(change.task, change.what, nowMs, at, error))
      this.timer ??= setTimeout(() => this.flush(), gatherMs)
    }
  }

  /** Sends what waits. */
  flush(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    const { waiting, bus, subjects } = this
    this.waiting = []
    for (const event of waiting) {
      bus.publish(subjects.event(event.type, event.id, event.what), text.encode(JSON.stringify(event)))
    }
  }
}

function eventOf(
  task: TaskRecord,
  what: string,
  nowMs: number,
  at: string,
  error: LifecycleEvent['error'],
): LifecycleEvent {
  const progress = task.rare?.progress
  return {
    id: task.id,
    type: task.type,
    what,
    status: statusOf(task, nowMs),
    at,
    attempt: task.attempt,
    turn: task.turn,
    ...(task.owner && { node: task.owner.node }),
    ...(progress && { progress }),
    ...(error && { error }),
  }
}
