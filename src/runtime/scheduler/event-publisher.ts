/**
 * Publishes lifecycle events for whoever subscribes to `event.<type>.<id>.<what>`. They are news, not truth, and bounded, so
 * that watching never slows the work: `eventsPerSecondMax` are sent, `ordinaryPerSecondMax` of them ordinary ones (tasks that
 * come, run and complete). After a second with more than that, only a sample of the ordinary ones is sent: whoever waits for
 * failures hears of them under load as well. They leave some milliseconds late and together, so that no award or outcome
 * waits behind them.
 */
import type { Change } from '../../actors/ledger/change.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { Bus } from '../../nats/bus.ts'
import type { LifecycleEvent } from '../../protocol/messages.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { statusOf } from './answer-rows.ts'

export const eventsPerSecondMax = 5_000
/** Of these, so many are for ordinary events: in the first second of a burst failures find room as well. */
export const ordinaryPerSecondMax = 4_000
/** Of ordinary events, while there are more than the bound. Each costs the scheduler some 15 µs, whether anybody listens or not. */
export const sampledPerSecond = 1_000

const ordinary: ReadonlySet<string> = new Set(['submitted', 'ready', 'running', 'completed'])

/** How long events wait for others. */
const gatherMs = 10

const text = new TextEncoder()

export class EventPublisher {
  private readonly bus: Bus
  private readonly subjects: Subjects
  private second = 0
  /** In this second: how many there were, how many were sent, and how many ordinary ones may be. */
  private happened = 0
  private published = 0
  private ordinaryLeft = ordinaryPerSecondMax
  private waiting: LifecycleEvent[] = []
  private timer: NodeJS.Timeout | undefined

  constructor(bus: Bus, subjects: Subjects) {
    this.bus = bus
    this.subjects = subjects
  }

  publish(changes: readonly Change[], nowMs: number): void {
    this.turnTo(Math.floor(nowMs / 1_000))
    this.happened += changes.length
    const at = new Date(nowMs).toISOString()
    for (const change of changes) {
      if (this.published >= eventsPerSecondMax) return
      if (!('task' in change) || change.what === 'duplicate') continue
      if (ordinary.has(change.what)) {
        if (this.ordinaryLeft === 0) continue
        this.ordinaryLeft--
      }
      this.published++
      const error = 'error' in change ? change.error : undefined
      this.waiting.push(eventOf(change.task, change.what, nowMs, at, error))
      this.timer ??= setTimeout(() => this.flush(), gatherMs)
    }
  }

  private turnTo(second: number): void {
    if (second === this.second) return
    const isTooMuch = second === this.second + 1 && this.happened > eventsPerSecondMax
    this.ordinaryLeft = isTooMuch ? sampledPerSecond : ordinaryPerSecondMax
    this.second = second
    this.happened = 0
    this.published = 0
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
