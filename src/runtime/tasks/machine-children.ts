/**
 * The tasks that a machine has submitted, and the signals that it sends: numbers them, says what has to be stored with the
 * machine's state, and finds out what became of them. Actors made by `fromTask` are known by their path, as timers are.
 */
import type { EventObject } from 'xstate'
import type { ChildOptions } from '../../client/context.ts'
import { failureOf } from '../../client/failures.ts'
import { type TaskOutbox, taskDone, taskFailed } from '../../client/task-actors.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { checkName } from '../../protocol/names.ts'
import { packValue } from '../../protocol/payload.ts'
import { Alarm } from './alarm.ts'
import { submissionOptions } from './child-options.ts'
import type { ActorPath } from './durable-timers.ts'
import type { ChildSubmission, LogicPort, Packed, TaskRequest } from './logic.ts'
import type { OtherTask } from './other-task.ts'

/** An active actor that stands for a task. */
export interface TaskActor {
  readonly actor: object
  readonly path: ActorPath
  readonly type: string
  readonly options: ChildOptions
  readonly input: unknown
}

/** What the envelope of a snapshot keeps of all this. */
export interface StoredChildren {
  /** Children and signals numbered so far. */
  readonly given: number
  readonly signals: number
  /** Actors whose tasks have not ended, with their numbers. */
  readonly open: readonly (readonly [path: ActorPath, number: number])[]
  /** Signals that are to be sent with a later state. */
  readonly unsent: readonly (readonly [to: string, number: number, event: Packed])[]
}

interface Wanted {
  readonly to: string | object
  readonly number: number
  readonly event: Packed
}

/** Questions at a time, and how long until the next ones. */
const questionsAtOnce = 32
const askEveryMs = 1_000
const askAgainMs = 5_000

const endedStatus = new Set(['completed', 'failed', 'cancelled', 'expired'])

export class MachineChildren implements TaskOutbox {
  readonly #port: LogicPort
  readonly #changed: () => void
  readonly #tell: (actor: object, event: EventObject) => void
  /** By path, of actors that have not been seen since the restart. */
  readonly #restored = new Map<string, number>()
  readonly #open = new Map<object, { readonly path: ActorPath; readonly number: number }>()
  #given: number
  /** Of those numbers: in a block that was handed over, and in one that is stored. Nobody knows of the others yet. */
  #taken: number
  #known: number
  #signals: number
  #requests: TaskRequest[] = []
  #unsent: Wanted[]
  #alarm: Alarm | undefined
  #asking = false
  #over = false

  constructor(
    port: LogicPort,
    before: StoredChildren | undefined,
    changed: () => void,
    tell: (actor: object, event: EventObject) => void,
  ) {
    this.#port = port
    this.#changed = changed
    this.#tell = tell
    this.#given = before?.given ?? 0
    this.#taken = this.#given
    this.#known = this.#given
    this.#signals = before?.signals ?? 0
    this.#unsent = (before?.unsent ?? []).map(([to, number, event]) => ({ to, number, event }))
    for (const [path, number] of before?.open ?? []) this.#restored.set(JSON.stringify(path), number)
  }

  // --- what actors and actions ask for ----------------------------------------------------------------------------

  submit(type: string, input: unknown, options: ChildOptions): void {
    this.#requests.push(this.#submission(++this.#given, type, input, options))
    this.#changed()
  }

  signal(to: string, event: EventObject): void {
    this.#want(to, event)
  }

  forward(actor: object, event: EventObject): void {
    this.#want(actor, event)
  }

  #want(to: string | object, event: EventObject): void {
    this.#unsent.push({ to, number: ++this.#signals, event: packValue(event, 'event') })
    this.#changed()
  }

  // --- what is stored ---------------------------------------------------------------------------------------------

  /** Notes which actors there are now; returns whether anything has to be stored because of it. */
  look(actors: readonly TaskActor[]): boolean {
    const now = new Set<object>()
    for (const { actor, path, type, options, input } of actors) {
      now.add(actor)
      if (this.#open.has(actor)) continue
      const before = this.#restored.get(JSON.stringify(path))
      const number = before ?? ++this.#given
      if (before === undefined) this.#requests.push(this.#submission(number, type, input, options))
      this.#restored.delete(JSON.stringify(path))
      this.#open.set(actor, { path, number })
    }
    for (const number of this.#restored.values()) this.#requests.push({ dismissed: this.#id(number) })
    this.#restored.clear()
    for (const [actor, { number }] of this.#open) {
      if (now.has(actor)) continue
      this.#open.delete(actor)
      this.#requests.push({ dismissed: this.#id(number) })
    }
    return this.#requests.length > 0 || this.#unsent.length > 0
  }

  /** Takes what goes into the next block; of several signals for one task only the first, the others with later states. */
  take(): TaskRequest[] {
    const requests = this.#requests
    this.#requests = []
    this.#taken = this.#given
    const signalled = new Set<string>()
    this.#unsent = this.#unsent.filter(({ to, number, event }) => {
      const id = this.#idOf(to)
      if (id === undefined) return false
      if (signalled.has(id)) return true
      signalled.add(id)
      requests.push({ to: id, signalId: `${this.#port.id}:${number}`, event })
      return false
    })
    return requests
  }

  /** What was taken is stored. */
  kept(): void {
    this.#known = this.#taken
  }

  /** Undefined while there is nothing to keep. */
  stored(): StoredChildren | undefined {
    if (this.#given === 0 && this.#signals === 0) return undefined
    const unsent = this.#unsent.flatMap(({ to, number, event }) => {
      const id = this.#idOf(to)
      return id === undefined ? [] : [[id, number, event] as const]
    })
    const open = [...this.#open.values()].map(({ path, number }) => [path, number] as const)
    return { given: this.#given, signals: this.#signals, open, unsent }
  }

  get hasUnsent(): boolean {
    return this.#unsent.length > 0
  }

  /** Ids of the tasks behind actors that have not ended. */
  get openIds(): string[] {
    return [...this.#open.values()].map(({ number }) => this.#id(number))
  }

  // --- what became of them ----------------------------------------------------------------------------------------

  /** True while it is not known whether some have ended. */
  get isAsking(): boolean {
    return this.#asking
  }

  /** Asks for all that are open, and tells the actors of those that have ended, in their order. */
  ask(): void {
    if (this.#asking || this.#over || this.#open.size === 0) return
    this.#asking = true
    this.#alarm?.cancel()
    this.#alarm = undefined
    this.#askAll().then(
      () => {
        this.#asking = false
        if (!this.#over) this.#changed()
      },
      (error: unknown) => {
        if (this.#over) return
        this.#port.log.warn({ error }, 'the scheduler does not answer about children; asking again later')
        this.#alarm = new Alarm(this.#port, this.#port.nowMs() + askAgainMs, () => {
          this.#asking = false
          this.ask()
        })
      },
    )
  }

  /** Asks now and then, for as long as the machine is not parked. */
  askSoon(): void {
    if (this.#asking || this.#over || this.#open.size === 0 || this.#alarm !== undefined) return
    this.#alarm = new Alarm(this.#port, this.#port.nowMs() + askEveryMs, () => this.ask())
  }

  stop(): void {
    this.#over = true
    this.#alarm?.cancel()
  }

  async #askAll(): Promise<void> {
    const known = [...this.#open].filter(([, { number }]) => number <= this.#known)
    const open = known.sort(([, a], [, b]) => a.number - b.number)
    for (let from = 0; from < open.length && !this.#over; from += questionsAtOnce) {
      const some = open.slice(from, from + questionsAtOnce)
      const answers = await Promise.all(some.map(([, { number }]) => this.#port.ask(this.#id(number))))
      for (const [index, answer] of answers.entries()) this.#heard(some[index]![0], answer)
    }
  }

  #heard(actor: object, answer: OtherTask): void {
    if (this.#over || !endedStatus.has(answer.status) || !this.#open.delete(actor)) return
    if (answer.status === 'completed') this.#tell(actor, { type: taskDone, output: answer.result } as EventObject)
    else {
      const record = answer.error ?? { code: 'TROUPE_TASK_FAILED', message: `it is ${answer.status}` }
      const error = failureOf(answer.id, answer.status, record)
      this.#tell(actor, { type: taskFailed, error } as EventObject)
    }
  }

  #submission(number: number, type: string, input: unknown, options: ChildOptions): ChildSubmission {
    const packed = packValue(input, `input of task "${type}"`)
    const resolved = submissionOptions(options)
    return { type, input: packed, options: { ...resolved, id: this.#id(number) } }
  }

  #idOf(to: string | object): string | undefined {
    if (typeof to === 'string') return to
    const open = this.#open.get(to)
    return open === undefined ? undefined : this.#id(open.number)
  }

  #id(number: number): string {
    const id = `${this.#port.id}:${number}`
    if (id.length <= 128) return checkName('id of a child', id)
    throw new TroupeError('TROUPE_INVALID_NAME', `the id "${id}" of a child would be longer than 128 characters`)
  }
}
