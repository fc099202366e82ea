/**
 * Preloaded into every thread of a process under chaos: its time of day can be set wrong from outside, while it runs. The
 * monotonic clock goes on, as it does on a machine whose clock is set.
 */
import { BroadcastChannel } from 'node:worker_threads'

let shiftMs = 0
const RealDate = Date

class ShiftedDate extends RealDate {
  constructor(...given: unknown[]) {
    if (given.length === 0) super(ShiftedDate.now())
    else super(...(given as [number]))
  }

  static override now(): number {
    return RealDate.now() + shiftMs
  }
}

globalThis.Date = ShiftedDate as DateConstructor

const threads = new BroadcastChannel('chaos-clock')
threads.unref()
threads.onmessage = (message) => {
  shiftMs = Number((message as { data: unknown }).data)
}

// Whoever listens first gets what is kept for the process: that is its program, not this.
process.on('newListener', function listen(event: string) {
  if (event !== 'message') return
  process.off('newListener', listen)
  queueMicrotask(() => process.on('message', hear))
})

function hear(message: { clockShiftMs?: number } | null): void {
  if (typeof message?.clockShiftMs !== 'number') return
  shiftMs = message.clockShiftMs
  threads.postMessage(shiftMs)
}
