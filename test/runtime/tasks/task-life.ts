/**
 * The life of one task over many turns, with a ledger, a journal and a scheduler of a few lines each: enough to park it,
 * wake it, signal it, run its children by hand, and kill its node at any commit. Time is whatever Date.now says, so that
 * tests run it on vitest's virtual clock.
 */
import { pino } from 'pino'
import type { AnyTaskDefinition } from '../../../src/client/task.ts'
import { type JournalEntry, kind, type Payload } from '../../../src/protocol/entries.ts'
import { type ErrorRecord, TroupeError } from '../../../src/protocol/errors.ts'
import type { SignalItem, TaskAnswer } from '../../../src/protocol/messages.ts'
import { packValue, unpackValue } from '../../../src/protocol/payload.ts'
import { startTurn, type Turn, type TurnHost } from '../../../src/runtime/tasks/turn.ts'

const log = pino({ level: 'silent' })

export interface LifeOptions {
  /** The node is killed when it hands over its commit of this number (from 1): it and all that follows are lost. */
  readonly killAtCommit?: number
  readonly input?: unknown
  readonly host?: Partial<TurnHost>
  readonly id?: string
}

interface Parked {
  readonly wakeAtMs: number
  readonly onSignal: boolean
  readonly children: readonly string[]
}

export class TaskLife {
  readonly entries: JournalEntry[] = []
  readonly objects = new Map<string, Uint8Array>()
  readonly children = new Map<string, TaskAnswer>()
  readonly submitted: { id: string; type: string; input: unknown }[] = []
  status: 'ready' | 'running' | 'parked' | 'completed' | 'failed' = 'ready'
  turns = 0
  kills = 0
  attempt = 1
  commits = 0
  current: Turn | undefined
  ended = 0
  result: Payload = null
  error: ErrorRecord | undefined
  retryable: boolean | undefined
  snapshot: Payload = null
  consumed = 0
  parked: Parked | undefined
  readonly signals: SignalItem[] = []
  definition: AnyTaskDefinition
  readonly #options: LifeOptions
  readonly #input: Payload
  #sequence = 10

  constructor(definition: AnyTaskDefinition, options: LifeOptions = {}) {
    this.definition = definition
    this.#options = options
    this.#input = packValue(options.input)
  }

  get value(): unknown {
    return unpackValue(this.result as Uint8Array | null)
  }

  /** Starts the next turn. */
  start(): Turn {
    const id = this.#options.id ?? 'job'
    const number = ++this.turns
    this.status = 'running'
    this.parked = undefined
    const waiting = this.signals.filter(([sequence]) => sequence > this.consumed)
    const host = this.#host(number)
    const turn = startTurn(
      this.definition,
      [
        id,
        this.definition.type,
        number,
        this.attempt,
        this.#input,
        this.snapshot,
        waiting.length ? waiting : null,
        null,
      ],
      host,
    )
    this.current = turn
    return turn
  }

  signal(event: unknown): void {
    const item: SignalItem = [++this.#sequence, this.signals.at(-1)?.[0] ?? 0, packValue(event)]
    this.signals.push(item)
    if (this.status === 'running') this.current?.signal(item)
  }

  /** Starts turns until the task has ended or waits for something that only the test can do. */
  async run(deadlineMs = 30_000): Promise<this> {
    for (const until = realNow() + deadlineMs; realNow() < until; ) {
      if (this.isOver) return this
      if (!this.startIfDue()) await nextMacrotask()
    }
    throw new Error(`the task is still ${this.status}`)
  }

  get isOver(): boolean {
    return this.status === 'completed' || this.status === 'failed'
  }

  /** Starts a turn if the task is ready, or parked and due. */
  startIfDue(): boolean {
    const due = this.status === 'ready' || (this.status === 'parked' && this.#due())
    if (due) this.start()
    return due
  }

  /** Waits for a fact. */
  async until(fact: () => boolean, deadlineMs = 30_000): Promise<void> {
    for (const until = realNow() + deadlineMs; !fact(); await nextMacrotask()) {
      if (realNow() > until) throw new Error(`waited in vain; the task is ${this.status}`)
    }
  }

  /** The node dies: nothing that the turn still does counts. */
  kill(): void {
    this.kills++
    const dead = this.current
    this.status = 'ready'
    this.current = undefined
    dead?.abort(new TroupeError('TROUPE_FENCED', 'the test killed the node'))
  }

  #due(): boolean {
    const { parked } = this
    if (parked === undefined) return false
    if (parked.wakeAtMs > 0 && parked.wakeAtMs <= Date.now()) return true
    if (parked.onSignal && this.signals.some(([sequence]) => sequence > this.consumed)) return true
    return parked.children.length > 0 && parked.children.every((id) => this.children.has(id))
  }

  #host(number: number): TurnHost {
    const alive = () => this.turns === number && this.status === 'running'
    return {
      namespace: 'test',
      nowMs: () => Date.now(),
      nowAtMostMs: () => Date.now(),
      log,
      commit: (entries, onStored) => {
        if (!alive()) return
        this.commits++
        if (this.commits === this.#options.killAtCommit) {
          queueMicrotask(() => this.kill())
          this.status = 'ready'
          return
        }
        for (const entry of entries) this.#fold(entry)
        if (onStored) setImmediate(() => alive() && onStored())
      },
      ended: () => {
        this.ended++
      },
      storeObject: async (data) => {
        const name = `object-${this.objects.size}`
        this.objects.set(name, data)
        return name
      },
      loadObject: async (name) => this.objects.get(name) as Uint8Array,
      ask: async (id) => {
        const answer = this.children.get(id)
        if (answer !== undefined) return answer
        return { id, type: 'child', status: 'ready', attempt: 1, turn: 0, priority: 4, submittedAt: '' }
      },
      ...this.#options.host,
    }
  }

  #fold(entry: JournalEntry): void {
    this.entries.push(entry)
    switch (entry[0]) {
      case kind.checkpointed:
        this.snapshot = entry[3]
        this.consumed = entry[4]
        break
      case kind.parked:
        this.snapshot = entry[3]
        this.consumed = entry[4]
        this.parked = { wakeAtMs: entry[5], onSignal: entry[6], children: entry[7] }
        this.status = 'parked'
        break
      case kind.yielded:
        if (entry[3] !== null) {
          this.snapshot = entry[3]
          this.consumed = entry[4]
        }
        this.status = 'ready'
        break
      case kind.completed:
        this.result = entry[3]
        this.status = 'completed'
        break
      case kind.failed:
        this.error = entry[3]
        this.retryable = entry[4]
        if (entry[4] && this.attempt < this.definition.profile.retry.attempts) {
          this.attempt++
          this.status = 'ready'
        } else this.status = 'failed'
        break
      case kind.submitted:
        this.submitted.push({
          id: entry[5].id as string,
          type: entry[3],
          input: unpackValue(entry[4] as Uint8Array | null),
        })
        break
      default:
    }
  }

  /** A child has ended. */
  childEnded(id: string, outcome: { result?: unknown; error?: ErrorRecord }): void {
    const status = outcome.error === undefined ? 'completed' : 'failed'
    const about = { id, type: 'child', attempt: 1, turn: 1, priority: 4, submittedAt: '' }
    this.children.set(id, { ...about, status, ...outcome })
  }
}

const realNow = performance.now.bind(performance)
const realImmediate = setImmediate

function nextMacrotask(): Promise<void> {
  return new Promise((resolve) => realImmediate(resolve))
}

/** Runs a task to its end without a fault, and then once for each of its commits with its node killed there. */
export async function killAtEveryCommit(
  make: (options: LifeOptions) => { life: TaskLife; run: () => Promise<unknown> },
): Promise<{ outcomes: unknown[]; whole: unknown; commits: number }> {
  const { life, run } = make({})
  await run()
  const whole = life.status === 'completed' ? life.value : life.error
  const outcomes: unknown[] = []
  for (let at = 1; at <= life.commits; at++) {
    const broken = make({ killAtCommit: at })
    await broken.run()
    if (broken.life.kills !== 1) throw new Error(`commit ${at} was never reached`)
    outcomes.push(broken.life.status === 'completed' ? broken.life.value : broken.life.error)
  }
  return { outcomes, whole, commits: life.commits }
}

/** Lives through `ms` of vitest's virtual time in small steps, starting a turn whenever one is due. */
export async function live(
  life: TaskLife,
  ms: number,
  advance: (ms: number) => Promise<unknown>,
  stepMs = 10,
): Promise<void> {
  for (const until = Date.now() + ms; Date.now() < until; await advance(stepMs)) {
    if (life.isOver) return
    life.startIfDue()
  }
}
