/** Tells clients which queues are full, while this scheduler leads: at once when that changes, and again while any is. */
import { fullTypes } from '../../actors/ledger/admission.ts'
import type { LedgerState } from '../../actors/ledger/state.ts'
import type { Bus } from '../../nats/bus.ts'
import { type QueueHint, queueHintTtlMs } from '../../protocol/queue-hint.ts'

const lookEveryMs = 100
const sayEveryMs = 1_000

export class QueueHints {
  private readonly bus: Bus
  private readonly subject: string
  private readonly state: () => LedgerState
  private timer: NodeJS.Timeout | undefined
  private said = ''
  private untilNext = 0

  constructor(bus: Bus, subject: string, state: () => LedgerState) {
    this.bus = bus
    this.subject = subject
    this.state = state
  }

  start(): void {
    this.stop()
    this.timer = setInterval(() => this.look(), lookEveryMs)
  }

  stop(): void {
    clearInterval(this.timer)
    this.said = ''
  }

  private look(): void {
    const types = fullTypes(this.state())
    const text = types.join(' ')
    this.untilNext -= lookEveryMs
    if (text === this.said && (types.length === 0 || this.untilNext > 0)) return
    this.said = text
    this.untilNext = sayEveryMs
    const hint: QueueHint = { types, ttlMs: queueHintTtlMs }
    this.bus.publish(this.subject, new TextEncoder().encode(JSON.stringify(hint)))
  }
}
