/**
 * Log time for a process that does not read the log, such as a node: asks the log's server for its time, often until it
 * has answered once, then now and then. Timers of tasks are due in log time, whatever the machine's own clock shows.
 */
import type { Log } from '../../nats/bus.ts'
import { LogClock } from './log-clock.ts'

const firstEveryMs = 500
const everyMs = 10_000

export class LogTime {
  private readonly log: Log
  private readonly clock = new LogClock()
  private readonly first = Promise.withResolvers<void>()
  private timer: NodeJS.Timeout | undefined
  private isKnown = false
  private isStopped = false

  constructor(log: Log) {
    this.log = log
  }

  start(): void {
    void this.ask()
  }

  stop(): void {
    this.isStopped = true
    clearTimeout(this.timer)
    this.first.resolve()
  }

  /** Resolves once the server has said what time it is, or when this was stopped. */
  get known(): Promise<void> {
    return this.first.promise
  }

  nowMs(): number {
    return this.clock.nowMs()
  }

  private async ask(): Promise<void> {
    const info = await this.log.info().catch(() => undefined)
    if (this.isStopped) return
    if (info !== undefined) {
      this.clock.observe(info.serverTimeMs, true)
      this.isKnown = true
      this.first.resolve()
    }
    this.timer = setTimeout(() => void this.ask(), this.isKnown ? everyMs : firstEveryMs)
  }
}
