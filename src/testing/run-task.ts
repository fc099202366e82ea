/**
 * Runs one task, and the children that it submits, to the end on virtual time, without a server: `runTask` once,
 * `expectDurable` once more for every commit at which its node could be killed.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Logger } from 'pino'
import type { TaskRecord } from '../actors/ledger/task-record.ts'
import { resolveOptions, type SubmitOptions } from '../client/submit-options.ts'
import {
  type AnyTaskDefinition,
  type EventsOf,
  type InputOf,
  isTaskDefinition,
  type OutputOf,
  task,
} from '../client/task.ts'
import type { JournalEntry } from '../protocol/entries.ts'
import { type ErrorRecord, TroupeError } from '../protocol/errors.ts'
import type { TaskStatus } from '../protocol/messages.ts'
import { type Duration, durationMs } from '../protocol/options.ts'
import { unpackValue } from '../protocol/payload.ts'
import { busyNow, untilIdle, VirtualTime } from './virtual-time.ts'
import { type CrashPoint, World, type WorldHistory } from './world.ts'

/** Where virtual time begins. */
const startAtMs = Date.UTC(2030, 0, 1)
/** More timers than this in one run: the task goes round in circles. */
const ringsMax = 100_000

/**
 * An event for the task. By itself it is sent when the task waits for events and all that could happen without it and
 * without time passing has happened; with `at`, that long after the submission.
 */
export type TestSignal<Event> = Event | { readonly at: Duration; readonly event: Event }

export interface RunOptions<Event = { readonly type: string }> {
  /** Sent in this order. */
  readonly signals?: readonly TestSignal<Event>[]
  /** Other tasks: definitions, which run for real, or functions that stand in for a type, by its name. */
  // biome-ignore lint/suspicious/noExplicitAny: a stand-in takes whatever its parent sends
  readonly tasks?: readonly AnyTaskDefinition[] | Readonly<Record<string, (input: any) => unknown>>
  /** As in `troupe.submit`. Default id: `test`. */
  readonly options?: SubmitOptions
  /** The run ends when so much virtual time has passed. Default: when nothing is left but to wait for others. */
  readonly until?: Duration
  /** Where the node is killed. Default: nowhere. */
  readonly crash?: CrashPoint
  /** A pino logger for what the task logs. Default: silent. */
  readonly log?: Logger
}

/** A child that the task has submitted. */
export interface ChildRun {
  readonly id: string
  readonly type: string
  readonly input: unknown
  readonly status: TaskStatus
  readonly result: unknown
}

export interface TaskRun<Output = unknown> {
  /** A terminal status, or what the task waits in when nothing more can happen by itself. */
  readonly status: TaskStatus
  readonly result: Output | undefined
  readonly error: ErrorRecord | undefined
  /** Why it is not running, in a sentence, if it has not ended. */
  readonly waiting: string | undefined
  /** For XState logic that has not ended: the state value and the context that are stored. */
  readonly state: { readonly value: unknown; readonly context: unknown } | undefined
  /** Virtual milliseconds from the submission to the end. */
  readonly tookMs: number
  readonly turns: number
  readonly attempts: number
  /** Notes of events that the task could not take, and of its progress: the latest. */
  readonly progress: { readonly fraction: number; readonly note: string } | undefined
  readonly children: readonly ChildRun[]
  /** What the journal holds about the task. */
  readonly entries: readonly JournalEntry[]
  /** Each commit in words: the points at which a node can be killed. */
  readonly commits: readonly string[]
}

/** A run that stopped at a crash, and can be gone on with in another process. */
export interface RunHistory {
  readonly world: WorldHistory
  readonly nowMs: number
  readonly signalsSent: number
}

/**
 * Resolves with what became of the task. Rejects with TROUPE_INVALID_INPUT or TROUPE_INVALID_OPTION as a submission would,
 * and with TROUPE_TIMEOUT when it does not come to rest.
 */
export async function runTask<Definition extends AnyTaskDefinition>(
  definition: Definition,
  input: InputOf<Definition>,
  options: RunOptions<EventsOf<Definition>> = {},
): Promise<TaskRun<OutputOf<Definition>>> {
  const run = new Run(definition, input, options as RunOptions)
  return (await run.toTheEnd()) as TaskRun<OutputOf<Definition>>
}

/**
 * Runs the task once without a fault, and then once for each of its commits with its node killed right before that commit
 * is stored, and once right after; resolves with the first run if all came out alike. Rejects with an AssertionError-like
 * TROUPE_NOT_DURABLE that names the first commit after which the outcome, the state or the children differ.
 */
export async function expectDurable<Definition extends AnyTaskDefinition>(
  definition: Definition,
  input: InputOf<Definition>,
  options: RunOptions<EventsOf<Definition>> = {},
): Promise<TaskRun<OutputOf<Definition>>> {
  const whole = await runTask(definition, input, options)
  for (let commit = 1; commit <= whole.commits.length; commit++) {
    for (const side of ['before', 'after'] as const) {
      const broken = await runTask(definition, input, { ...options, crash: { commit, side } })
      compare(whole, broken, `killed ${side} commit ${commit} (${whole.commits[commit - 1]})`)
    }
  }
  return whole
}

/** What must not depend on where a node was killed. */
function compare(whole: TaskRun, broken: TaskRun, where: string): void {
  const seen = (run: TaskRun) => ({
    status: run.status,
    result: run.result,
    error: run.error === undefined ? undefined : { code: run.error.code, message: run.error.message },
    state: run.state,
    children: run.children,
  })
  const [expected, actual] = [seen(whole), seen(broken)]
  for (const name of ['status', 'result', 'error', 'state', 'children'] as const) {
    if (isDeepStrictEqual(expected[name], actual[name])) continue
    throw new TroupeError(
      'TROUPE_NOT_DURABLE',
      `${where}, the task came out another way: ${name} is ${shown(actual[name])} instead of ${shown(expected[name])}`,
      { details: { expected, actual } },
    )
  }
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 300 ? `${text.slice(0, 300)}…` : text
}

/** One run of a task in a world of its own. */
export class Run {
  readonly #definition: AnyTaskDefinition
  readonly #input: unknown
  readonly #options: RunOptions
  readonly #time: VirtualTime
  readonly #timed: { atMs: number; event: unknown }[] = []
  readonly #plain: unknown[] = []
  readonly #endAtMs: number
  readonly #from: RunHistory | undefined
  #sent = 0

  constructor(definition: AnyTaskDefinition, input: unknown, options: RunOptions, from?: RunHistory) {
    this.#definition = definition
    this.#input = input
    this.#options = options
    this.#from = from
    this.#time = new VirtualTime(from?.nowMs ?? startAtMs)
    for (const signal of options.signals ?? []) {
      if (isTimed(signal)) this.#timed.push({ atMs: startAtMs + durationMs('at', signal.at), event: signal.event })
      else this.#plain.push(signal)
    }
    this.#timed.sort((a, b) => a.atMs - b.atMs)
    this.#endAtMs = options.until === undefined ? Infinity : startAtMs + durationMs('until', options.until)
  }

  async toTheEnd(): Promise<TaskRun> {
    return this.#time.during(async () => {
      const { world, root } = this.#begin()
      await this.#live(world, root, () => root.ended)
      return this.#outcome(world, root)
    })
  }

  /** Stops when the node has been killed at its crash point, and hands out what outlives it. */
  async toTheCrash(): Promise<RunHistory> {
    return this.#time.during(async () => {
      const { world, root } = this.#begin()
      await this.#live(world, root, () => world.crashed > 0)
      return { world: world.history, nowMs: this.#time.nowMs, signalsSent: this.#sent }
    })
  }

  #begin(): { world: World; root: TaskRecord } {
    const { crash, log, options } = this.#options
    const definitions = [this.#definition, ...standIns(this.#options.tasks)]
    const history = this.#from?.world
    const world = new World({ definitions, time: this.#time, crash, log, ...(history && { history }) })
    const { id = 'test', ...submission } = resolveOptions(options) ?? {}
    for (; this.#sent < (this.#from?.signalsSent ?? 0); this.#sent++) this.#shiftSignal()
    const root = history?.lives
      ? (world.ledger.state.tasks.get(id) as TaskRecord)
      : world.submit(id, this.#definition.type, this.#input, submission)
    return { world, root }
  }

  /** Signals that an earlier life has sent are not sent again. */
  #shiftSignal(): void {
    if (this.#plain.length > 0) this.#plain.shift()
    else this.#timed.shift()
  }

  async #live(world: World, root: TaskRecord, isOver: () => boolean): Promise<void> {
    const busy = busyNow()
    for (let rings = 0; ; rings++) {
      await untilIdle(this.#time, busy)
      if (isOver()) return
      if (this.#sendPlain(world, root)) continue
      const nextMs = this.#nextMs(world)
      if (nextMs > this.#endAtMs) return
      if (nextMs === Infinity) {
        if (this.#plain.length === 0) return
        this.#send(world, root, this.#plain.shift())
      } else this.#moveTo(world, root, nextMs)
      if (rings > ringsMax) throw endless(root)
    }
  }

  #sendPlain(world: World, root: TaskRecord): boolean {
    if (this.#plain.length === 0 || root.status !== 'parked' || root.rare?.onSignal !== true) return false
    this.#send(world, root, this.#plain.shift())
    return true
  }

  #send(world: World, root: TaskRecord, event: unknown): void {
    this.#sent++
    world.signal(root.id, event)
  }

  #nextMs(world: World): number {
    const timerMs = this.#time.nextDueMs() ?? Infinity
    return Math.min(timerMs, world.nextAlarmMs(), this.#timed[0]?.atMs ?? Infinity)
  }

  #moveTo(world: World, root: TaskRecord, atMs: number): void {
    this.#time.moveTo(atMs)
    while (this.#timed[0] !== undefined && this.#timed[0].atMs <= this.#time.nowMs) {
      this.#send(world, root, this.#timed.shift()?.event)
    }
    if (world.nextAlarmMs() <= this.#time.nowMs) world.alarm()
  }

  #outcome(world: World, root: TaskRecord): TaskRun {
    const { id, status } = world.row(root)
    const row = world.row(root)
    const isOver = root.ended
    return {
      status,
      result: status === 'completed' ? world.resultOf(root) : undefined,
      error: status === 'completed' ? undefined : root.rare?.lastError,
      waiting: isOver ? undefined : row.waiting,
      state: isOver ? undefined : this.#state(world, root),
      tookMs: (isOver ? root.finishedAtMs : this.#time.nowMs) - root.submittedAtMs,
      turns: root.turn,
      attempts: root.attempt,
      progress: root.rare?.progress,
      children: childrenOf(world, root),
      entries: world.entriesOf(id),
      commits: world.commits,
    }
  }

  #state(world: World, root: TaskRecord): TaskRun['state'] {
    if (this.#definition.logic.kind === 'function') return undefined
    const packed = world.snapshotOf(root)
    if (!(packed instanceof Uint8Array)) return undefined
    const { snapshot } = unpackValue(packed) as { snapshot: Uint8Array }
    const { value, context } = unpackValue(snapshot) as { value?: unknown; context?: unknown }
    return { value, context }
  }
}

function childrenOf(world: World, root: TaskRecord): ChildRun[] {
  const children: ChildRun[] = []
  for (const child of world.ledger.state.tasks.values()) {
    if (child.rare?.parent !== root.id) continue
    const { id, type, status } = world.row(child)
    const result = status === 'completed' ? world.resultOf(child) : undefined
    children.push({ id, type, input: world.inputOf(child), status, result })
  }
  return children
}

function standIns(tasks: RunOptions['tasks']): AnyTaskDefinition[] {
  if (tasks === undefined) return []
  if (Array.isArray(tasks)) return tasks.filter(isTaskDefinition)
  return Object.entries(tasks as Record<string, (input: unknown) => unknown>).map(([type, answer]) =>
    task(type, async (input: unknown) => answer(input), { retry: { attempts: 1 } }),
  )
}

function isTimed(signal: TestSignal<{ readonly type: string }>): signal is {
  readonly at: Duration
  readonly event: { readonly type: string }
} {
  return 'at' in signal && 'event' in signal && !('type' in signal)
}

function endless(root: TaskRecord): TroupeError {
  return new TroupeError('TROUPE_TIMEOUT', `task "${root.id}" is still ${root.status} after ${ringsMax} timers`)
}
