/**
 * The program of a thread or process that runs one turn at a time: imports the task's module, runs the logic as a node
 * would on its main thread, and passes what it says to the node. Modules stay imported from turn to turn.
 */
import { isMainThread, parentPort } from 'node:worker_threads'
import { type Logger, pino } from 'pino'
import type { TaskAnswer } from '../../protocol/messages.ts'
import { errorFromRecord, errorRecord } from '../../protocol/payload.ts'
import { redacted, strayError } from '../redaction.ts'
import { inlineRunner } from './inline-runner.ts'
import type { FromLane, IsolatedTask, ToLane } from './isolated-messages.ts'
import { loadTask } from './load.ts'
import type { LogicPort, LogicRunner, LogicStart, ParkedFor, TaskRequest } from './logic.ts'

const post = (message: FromLane): void => {
  if (parentPort !== null) parentPort.postMessage(message)
  else process.send?.(message)
}

class RemotePort implements LogicPort {
  readonly id: string
  readonly turn: number
  readonly attempt: number
  readonly namespace: string
  readonly run: number
  runner: LogicRunner | undefined
  /** Messages that came while the module was being imported. */
  readonly early: ToLane[] = []
  readonly #clockOffsetMs: number
  readonly #clockErrorMs: number
  readonly #logLevel: string
  #log: Logger | undefined
  readonly #stored = new Map<number, () => void>()
  readonly #asked = new Map<number, { resolve: (answer: TaskAnswer) => void; reject: (error: unknown) => void }>()
  #numbers = 0

  constructor(run: number, task: IsolatedTask) {
    this.run = run
    this.id = task.id
    this.turn = task.turn
    this.attempt = task.attempt
    this.namespace = task.namespace
    this.#clockOffsetMs = task.clockOffsetMs
    this.#clockErrorMs = task.clockErrorMs
    this.#logLevel = task.logLevel
  }

  get log(): Logger {
    this.#log ??= pino({ level: this.#logLevel }, { write: (line: string) => post(['log', this.run, line]) })
    return this.#log
  }

  nowMs(): number {
    return Date.now() + this.#clockOffsetMs
  }

  nowAtMostMs(): number {
    return this.nowMs() + this.#clockErrorMs
  }

  save(snapshot: Uint8Array, consumed: number, requests: readonly TaskRequest[], onStored?: () => void): void {
    const number = ++this.#numbers
    if (onStored !== undefined) this.#stored.set(number, onStored)
    post(['save', this.run, snapshot, consumed, requests, number])
  }

  progress(fraction: number, note: string): void {
    post(['progress', this.run, fraction, note])
  }

  park(snapshot: Uint8Array, consumed: number, until: ParkedFor): void {
    post(['park', this.run, snapshot, consumed, until])
  }

  handBack(snapshot: Uint8Array | null, consumed: number): void {
    post(['handed-back', this.run, snapshot, consumed])
  }

  done(result: Uint8Array | null): void {
    post(['done', this.run, result])
  }

  fault(error: Parameters<LogicPort['fault']>[0], retryable: boolean, event = 0): void {
    post(['fault', this.run, error, retryable, event])
  }

  ask(id: string): Promise<TaskAnswer> {
    const number = ++this.#numbers
    return new Promise((resolve, reject) => {
      this.#asked.set(number, { resolve, reject })
      post(['ask', this.run, number, id])
    })
  }

  hear(message: ToLane): void {
    const { runner } = this
    if (runner === undefined) {
      this.early.push(message)
      return
    }
    switch (message[0]) {
      case 'signal':
        runner.signal(message[2])
        break
      case 'hand-back':
        runner.handBack(message[2])
        break
      case 'stop':
        runner.stop(message[2] === null ? undefined : errorFromRecord(message[2]))
        // What the logic still does on its own in this macrotask belongs to this turn.
        setImmediate(() => post(['rested', this.run]))
        break
      case 'stored':
        this.#stored.get(message[2])?.()
        this.#stored.delete(message[2])
        break
      case 'answer':
        this.#answered(message[2], message[3], message[4])
        break
      default:
    }
  }

  #answered(question: number, answer: TaskAnswer | null, error: Parameters<typeof errorFromRecord>[0] | null): void {
    const asked = this.#asked.get(question)
    this.#asked.delete(question)
    if (answer !== null) asked?.resolve(answer)
    else if (error !== null) asked?.reject(errorFromRecord(error))
  }
}

let current: RemotePort | undefined

async function begin(run: number, task: IsolatedTask, from: LogicStart): Promise<void> {
  const port = new RemotePort(run, task)
  current = port
  try {
    const definition = await loadTask(task.url, task.type)
    port.runner = inlineRunner(definition, port)
    port.runner.start(from)
    for (const message of port.early.splice(0)) port.hear(message)
  } catch (error) {
    port.fault(errorRecord(error, 'TROUPE_INVALID_TASK'), false)
  }
}

function hear(message: ToLane): void {
  if (message[0] === 'run') void begin(message[1], message[2], message[3])
  else if (current?.run === message[1]) current.hear(message)
}

if (parentPort !== null) parentPort.on('message', hear)
else if (isMainThread && process.send !== undefined) {
  process.on('message', (message) => hear(message as ToLane))
  process.on('disconnect', () => process.exit(0))
  // Node would print what the error says, which may quote values.
  process.on('uncaughtException', (error) => {
    const line = {
      level: 50,
      time: Date.now(),
      stray: strayError(error),
      msg: 'an error outside of a task ends its process',
    }
    process.stderr.write(`${redacted(JSON.stringify(line))}\n`)
    process.exit(1)
  })
}
