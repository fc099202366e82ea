/**
 * Log time for a process that does not read the log, such as a node: asks the log's server for its time, often until it
 * has answered once, then now and then. Timers of tasks are due in log time, whatever the machine's own clock shows.
 */
import type { Log } from '../../nats/bus.ts'
import { LogClock } from './log-clock.ts'

const firstEveryMs = 500
/** The first answers come while much else happens, so a few are asked for soon; the quickest says most. */
const soonEveryMs = 200
const soonAnswers = 5
const everyMs = 10_000

export class LogTime {
  private readonly log: Log
  private readonly clock = new LogClock()
  private readonly first = Promise.withResolvers<void>()
  private timer: NodeJS.Timeout | undefined
  private answers = 0
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

  /** Log time is not later than this, ms: what is to last for some time counts from here. */
  nowAtMostMs(): number {
    return this.clock.nowAtMostMs()
  }

  private async ask(): Promise<void> {
    const askedAtMs = performance.now()
    const info = await this.log.info().catch(() => undefined)
    if (this.isStopped) return
    if (info !== undefined) {
      this.clock.observe(info.serverTimeMs, true, askedAtMs)
      this.answers++
      this.first.resolve()
    }
    const nextMs = this.answers === 0 ? firstEveryMs : this.answers < soonAnswers ? soonEveryMs : everyMs
    this.timer = setTimeout(() => void this.ask(), nextMs)
  }
}
