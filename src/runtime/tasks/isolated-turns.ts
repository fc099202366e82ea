/**
 * What a thread or process does for its node: runs the logic of one turn at a time as a node would on its main thread, and
 * passes on what it says. Knows neither threads nor processes, only the messages between them and the node.
 */
import { type Logger, pino } from 'pino'
import type { AnyTaskDefinition } from '../../client/task.ts'
import { errorFromRecord, errorRecord } from '../../protocol/payload.ts'
import { inlineRunner } from './inline-runner.ts'
import type { FromLane, IsolatedTask, ToLane } from './isolated-messages.ts'
import type { LogicPort, LogicRunner, LogicStart, ParkedFor, TaskRequest } from './logic.ts'
import type { OtherTask } from './other-task.ts'

export type Post = (message: FromLane) => void

/** Imports the definition of a type from a module. */
export type LoadDefinition = (url: string, type: string) => Promise<AnyTaskDefinition>

class RemotePort implements LogicPort {
  readonly id: string
  readonly turn: number
  readonly attempt: number
  readonly namespace: string
  readonly run: number
  runner: LogicRunner | undefined
  /** Messages that came while the module was being imported. */
  readonly early: ToLane[] = []
  /** Log time when the turn began here, and by this thread's own clock, which nobody can set. */
  readonly #beganMs: number
  readonly #beganAtMs = performance.now()
  readonly #clockErrorMs: number
  readonly #logLevel: string
  #log: Logger | undefined
  readonly #stored = new Map<number, () => void>()
  readonly #asked = new Map<number, { resolve: (answer: OtherTask) => void; reject: (error: unknown) => void }>()
  readonly #post: Post
  #numbers = 0

  constructor(run: number, task: IsolatedTask, post: Post) {
    this.#post = post
    this.run = run
    this.id = task.id
    this.turn = task.turn
    this.attempt = task.attempt
    this.namespace = task.namespace
    this.#beganMs = Date.now() + task.clockOffsetMs
    this.#clockErrorMs = task.clockErrorMs
    this.#logLevel = task.logLevel
  }

  get log(): Logger {
    this.#log ??= pino({ level: this.#logLevel }, { write: (line: string) => this.#post(['log', this.run, line]) })
    return this.#log
  }

  nowMs(): number {
    return this.#beganMs + performance.now() - this.#beganAtMs
  }

  nowAtMostMs(): number {
    return this.nowMs() + this.#clockErrorMs
  }

  save(snapshot: Uint8Array, consumed: number, requests: readonly TaskRequest[], onStored?: () => void): void {
    const number = ++this.#numbers
    if (onStored !== undefined) this.#stored.set(number, onStored)
    this.#post(['save', this.run, snapshot, consumed, requests, number])
  }

  progress(fraction: number, note: string): void {
    this.#post(['progress', this.run, fraction, note])
  }

  park(snapshot: Uint8Array, consumed: number, until: ParkedFor): void {
    this.#post(['park', this.run, snapshot, consumed, until])
  }

  handBack(snapshot: Uint8Array | null, consumed: number): void {
    this.#post(['handed-back', this.run, snapshot, consumed])
  }

  done(result: Uint8Array | null): void {
    this.#post(['done', this.run, result])
  }

  fault(error: Parameters<LogicPort['fault']>[0], retryable: boolean, event = 0): void {
    this.#post(['fault', this.run, error, retryable, event])
  }

  ask(id: string): Promise<OtherTask> {
    const number = ++this.#numbers
    return new Promise((resolve, reject) => {
      this.#asked.set(number, { resolve, reject })
      this.#post(['ask', this.run, number, id])
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
        setImmediate(() => this.#post(['rested', this.run]))
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

  #answered(question: number, answer: OtherTask | null, error: Parameters<typeof errorFromRecord>[0] | null): void {
    const asked = this.#asked.get(question)
    this.#asked.delete(question)
    if (answer !== null) asked?.resolve(answer)
    else if (error !== null) asked?.reject(errorFromRecord(error))
  }
}

export class IsolatedTurns {
  readonly #post: Post
  readonly #load: LoadDefinition
  #current: RemotePort | undefined

  constructor(post: Post, load: LoadDefinition) {
    this.#post = post
    this.#load = load
  }

  hear(message: ToLane): void {
    if (message[0] === 'run') void this.#begin(message[1], message[2], message[3])
    else if (this.#current?.run === message[1]) this.#current.hear(message)
  }

  async #begin(run: number, task: IsolatedTask, from: LogicStart): Promise<void> {
    const port = new RemotePort(run, task, this.#post)
    this.#current = port
    try {
      const definition = await this.#load(task.url, task.type)
      port.runner = inlineRunner(definition, port)
      port.runner.start(from)
      for (const message of port.early.splice(0)) port.hear(message)
    } catch (error) {
      port.fault(errorRecord(error, 'TROUPE_INVALID_TASK'), false)
    }
  }
}
