/**
 * Runs a turn's logic in a thread or process of its own. Whatever happens there, a crash, an endless loop, too much
 * memory, fails this attempt and nothing else. When the turn is over for the logic it has a second to come to rest; then
 * it is ended.
 */
import type { AnyTaskDefinition } from '../../client/task.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { errorRecord } from '../../protocol/payload.ts'
import type { FromLane } from './isolated-messages.ts'
import { type Lane, type LaneKind, lanes } from './lanes.ts'
import { originOf } from './load.ts'
import type { ArrivedSignal, LogicPort, LogicRunner, LogicStart } from './logic.ts'

/** How long stopped logic may take to come to rest. */
export const restMs = 1_000

export class IsolatedRunner implements LogicRunner {
  readonly #definition: AnyTaskDefinition
  readonly #kind: LaneKind
  readonly #port: LogicPort
  readonly #begins: () => void
  #lane: Lane | undefined
  #run = 0
  #giveUpWaiting: (() => void) | undefined
  #early: ArrivedSignal[] = []
  #over = false

  /** `begins` is called when a thread or process is free for the task. */
  constructor(definition: AnyTaskDefinition, kind: LaneKind, port: LogicPort, begins: () => void) {
    this.#definition = definition
    this.#kind = kind
    this.#port = port
    this.#begins = begins
  }

  start(from: LogicStart): void {
    const { type, memoryMb } = this.#definition
    const url = originOf(this.#definition)
    if (url === undefined) {
      const error = new TroupeError(
        'TROUPE_INVALID_TASK',
        `task "${type}" is to run in a ${this.#kind}, which needs a file that exports it; load it with loadTasks`,
      )
      this.#port.fault(errorRecord(error), false)
      return
    }
    this.#giveUpWaiting = lanes.acquire(this.#kind, memoryMb, (lane) => this.#take(lane, url, from))
  }

  signal(signal: ArrivedSignal): void {
    if (this.#lane === undefined) this.#early.push(signal)
    else this.#lane.post(['signal', this.#run, signal])
  }

  handBack(graceMs: number): void {
    if (this.#lane === undefined) this.#port.handBack(null, 0)
    else this.#lane.post(['hand-back', this.#run, graceMs])
    // Logic that does not listen is handed back from its last saved state all the same.
    const timer = setTimeout(() => {
      if (!this.#over) this.#port.handBack(null, 0)
    }, graceMs + restMs)
    timer.unref?.()
  }

  stop(error: TroupeError | undefined): void {
    this.#over = true
    this.#giveUpWaiting?.()
    const lane = this.#lane
    if (lane === undefined) return
    const run = this.#run
    const deadline = setTimeout(() => void lanes.discard(lane), restMs)
    lane.onMessage = (message) => {
      if (message[0] !== 'rested' || message[1] !== run) return
      clearTimeout(deadline)
      lanes.release(lane)
    }
    lane.onGone = () => {
      clearTimeout(deadline)
      void lanes.discard(lane)
    }
    lane.post(['stop', run, error === undefined ? null : errorRecord(error)])
  }

  #take(lane: Lane, url: string, from: LogicStart): void {
    const { id, turn, attempt, namespace, log } = this.#port
    this.#lane = lane
    this.#begins()
    this.#run = ++lane.runs
    lane.onMessage = (message) => this.#hear(message)
    lane.onGone = (reason) => this.#crashed(lane, reason)
    const nowMs = this.#port.nowMs()
    const clock = { clockOffsetMs: nowMs - Date.now(), clockErrorMs: this.#port.nowAtMostMs() - nowMs }
    const about = { url, type: this.#definition.type, id, turn, attempt, namespace, ...clock, logLevel: log.level }
    lane.post(['run', this.#run, about, { ...from, signals: [...from.signals, ...this.#early] }])
  }

  #crashed(lane: Lane, reason: string): void {
    this.#over = true
    void lanes.discard(lane)
    this.#lane = undefined
    const error = new TroupeError('TROUPE_TASK_CRASHED', `${reason} under task "${this.#port.id}"`)
    this.#port.fault(errorRecord(error), true)
  }

  #hear(message: FromLane): void {
    if (message[1] !== this.#run || this.#over) return
    const port = this.#port
    switch (message[0]) {
      case 'save': {
        const [, run, snapshot, consumed, children, save] = message
        port.save(snapshot, consumed, children, () => this.#lane?.post(['stored', run, save]))
        break
      }
      case 'progress':
        port.progress(message[2], message[3])
        break
      case 'park':
        port.park(message[2], message[3], message[4])
        break
      case 'handed-back':
        port.handBack(message[2], message[3])
        break
      case 'done':
        port.done(message[2])
        this.stop(undefined)
        break
      case 'fault':
        port.fault(message[2], message[3], message[4])
        break
      case 'ask':
        this.#answer(message[2], message[3])
        break
      case 'log':
        relog(port, message[2])
        break
      case 'rested':
        break
      default:
        message satisfies never
    }
  }

  #answer(question: number, id: string): void {
    this.#port.ask(id).then(
      (answer) => this.#lane?.post(['answer', this.#run, question, answer, null]),
      (error: unknown) => this.#lane?.post(['answer', this.#run, question, null, errorRecord(error)]),
    )
  }
}

/** Writes a line that a thread logged to the log of this process. */
function relog(port: LogicPort, line: string): void {
  const { level, msg, time: _time, pid: _pid, hostname: _host, ...rest } = JSON.parse(line) as Record<string, unknown>
  const names: Record<string, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'> = {
    10: 'trace',
    20: 'debug',
    30: 'info',
    40: 'warn',
    50: 'error',
    60: 'fatal',
  }
  port.log[names[String(level)] ?? 'info'](rest, msg as string)
}
