/**
 * A handle is a task as its submitter sees it: an id, and what can be asked of it or done to it. It is light, because
 * there is one per submitted task; nothing is waited for until it is asked for.
 */
import type { Bus, Log } from '../nats/bus.ts'
import { TroupeError } from '../protocol/errors.ts'
import type { HistoryEntry, LifecycleEvent, TaskAnswer } from '../protocol/messages.ts'
import { systemTaskId } from '../protocol/names.ts'
import { type Duration, durationMs } from '../protocol/options.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { appendDurably } from './append.ts'
import type { AskOptions } from './ask.ts'
import type { AnyTaskEvent } from './context.ts'
import { type Keyring, openedAnswer } from './encryption.ts'
import type { Ending } from './ending.ts'
import { failureOf } from './failures.ts'
import type { Outcomes } from './outcomes.ts'
import { packEvent } from './payloads.ts'
import { unknownType } from './unknown-type.ts'
import { watchTask } from './watch.ts'

/** What handles need from their connection. */
export interface HandleHost {
  readonly bus: Bus
  /** Of the partition in which the task is, as far as it is known. */
  readonly subjects: Subjects
  /** Of each partition. */
  readonly logs: readonly Log[]
  readonly outcomes: Outcomes
  readonly isClosed: () => boolean
  readonly randomId: () => string
  /** The result; a promise when it has to be fetched. */
  readonly resultOf: (ending: Ending & { status: 'completed' }) => unknown
  readonly keyring: Keyring | undefined
  /** Asks about a task; while the log is read up to `sequence` (0: no matter), an unknown id is not yet an error. */
  readonly askTask: <Answer>(subject: string, sequence: number, body?: unknown, options?: AskOptions) => Promise<Answer>
}

export interface ResultOptions {
  /** Longest wait; then result() rejects with TROUPE_NO_ANSWER and the task goes on. Default: none. */
  readonly timeout?: Duration
}

export interface SignalOptions {
  /** Signals with the same id count once for a task. Default: random. */
  readonly id?: string
}

/** For what is nice to know. */
const quickly: AskOptions = { timeoutMs: 1_000, patienceMs: 0 }

const finished = new Set<string>(['completed', 'failed', 'cancelled', 'expired'])

export class TaskHandle<Output = unknown, Events extends { readonly type: string } = AnyTaskEvent> {
  private readonly host: HandleHost
  private readonly sequence: number
  private readonly index: number
  private name: string | undefined
  private ending: Promise<Ending> | undefined

  /** `sequence` 0: only the id is known. Handles come from `submit` and `handle(id)`. */
  constructor(host: HandleHost, name: string | undefined, sequence: number, index: number) {
    this.host = host
    this.name = name
    this.sequence = sequence
    this.index = index
  }

  get id(): string {
    this.name ??= systemTaskId(this.host.subjects.partition, this.sequence, this.index)
    return this.name
  }

  /**
   * Resolves with the task's result. Rejects with TaskFailed, TaskCancelled or TaskExpired (the task's own error is the
   * `cause`), with the reason if the submission was refused (TROUPE_ID_CONFLICT, TROUPE_INVALID_INPUT, …), with
   * TROUPE_UNKNOWN_TASK, TROUPE_NO_ANSWER after `timeout` (TROUPE_UNKNOWN_TYPE if no node has its type), or TROUPE_CLOSED.
   */
  async result(options: ResultOptions = {}): Promise<Output> {
    const { timeout } = options
    this.ending ??= this.ended()
    const timeoutMs = timeout === undefined ? undefined : durationMs('timeout', timeout)
    const ending = timeoutMs === undefined ? await this.ending : await before(this.ending, timeoutMs)
    if (ending === undefined) throw await this.late(timeoutMs!)
    if (ending.status !== 'completed') throw failureOf(ending.id, ending.status, ending.error, this.host.keyring)
    return (await this.host.resultOf(ending)) as Output
  }

  /** Says what the task is doing instead of ending, as far as somebody answers. */
  private async late(timeoutMs: number): Promise<TroupeError> {
    const { bus, subjects } = this.host
    const asking = this.host.askTask<TaskAnswer>(subjects.task(this.id), 0, undefined, quickly)
    const state = await asking.catch(() => undefined)
    const unknown = state?.status === 'ready' ? await unknownType(bus, subjects, state.type) : undefined
    const why = unknown?.message ?? state?.waiting
    const now = state === undefined ? '' : `; it is ${state.status}${why === undefined ? '' : `: ${why}`}`
    return new TroupeError(
      unknown?.code ?? 'TROUPE_NO_ANSWER',
      `task "${this.id}" did not end within ${timeoutMs} ms and goes on${now}`,
      { details: { timeoutMs, ...(state && { status: state.status }) } },
    )
  }

  private ended(): Promise<Ending> {
    return new Promise((onEnding, reject) => {
      const { partition } = this.host.subjects
      const reference = this.sequence === 0 ? undefined : systemTaskId(partition, this.sequence, this.index)
      const stopListening = reference === undefined ? this.listenForEnd() : undefined
      this.host.outcomes.wait(this.id, reference, this.sequence, {
        onEnding: (ending) => {
          stopListening?.()
          onEnding(ending)
        },
        onError: (error) => {
          stopListening?.()
          // A wait that failed may be tried again; one that succeeded stays.
          this.ending = undefined
          reject(error)
        },
      })
    })
  }

  /** Nobody tells about a task that this client did not submit, so its lifecycle events say when to ask. */
  private listenForEnd(): () => void {
    const events = this.host.bus.subscribe(this.host.subjects.event('*', this.id, '>'), (message) => {
      const what = message.subject.slice(message.subject.lastIndexOf('.') + 1)
      if (finished.has(what)) this.host.outcomes.askAbout(this.id)
    })
    return () => events.unsubscribe()
  }

  /** Resolves with the task's state. Rejects with TROUPE_UNKNOWN_TASK or TROUPE_NO_ANSWER. */
  async state(): Promise<TaskAnswer> {
    const { keyring, subjects } = this.host
    const answer = await this.host.askTask<TaskAnswer>(subjects.task(this.id), this.sequence)
    return openedAnswer(keyring, answer)
  }

  /** Cancels the task unless it has ended, and resolves with its state. */
  cancel(reason?: string): Promise<TaskAnswer> {
    const body = reason === undefined ? undefined : { reason }
    return this.host.askTask(this.host.subjects.cancel(this.id), this.sequence, body)
  }

  /**
   * Makes a failed task ready again, from its last snapshot and with fresh attempts; with `skipEvent` without the event on
   * which it failed. Rejects with TROUPE_NOT_FAILED, and with TROUPE_INVALID_OPTION when there is no event to skip.
   */
  async retry(options: { readonly skipEvent?: boolean } = {}): Promise<TaskAnswer> {
    const body = options.skipEvent ? { skipEvent: true } : undefined
    const answer = await this.host.askTask<TaskAnswer>(this.host.subjects.retry(this.id), this.sequence, body)
    this.ending = undefined
    return answer
  }

  /** Resolves with what the log holds about the task, in order. */
  async history(): Promise<readonly HistoryEntry[]> {
    const answer = await this.host.askTask<{ entries: HistoryEntry[] }>(
      this.host.subjects.history(this.id),
      this.sequence,
    )
    return answer.entries
  }

  /**
   * Sends a durable event to the task; resolves once it is in the log, where it waits until the task takes it. Rejects
   * with TROUPE_UNKNOWN_TASK, TROUPE_TASK_FINISHED, TROUPE_REFUSED (log full) or TROUPE_NO_ANSWER. With no scheduler up,
   * the event is stored unchecked.
   */
  async signal(event: Events, options: SignalOptions = {}): Promise<void> {
    const { subjects, logs, isClosed, randomId } = this.host
    const { data, headers } = packEvent(event, this.id, this.host.keyring)
    // Unchecked, it goes where the task should be; from there it is brought to where it is.
    const partition = (await this.checkSignallable()) ?? subjects.partition
    const signalId = options.id ?? randomId()
    await appendDurably({
      log: logs[partition] ?? logs[0]!,
      partitions: subjects.partitions,
      subject: subjects.of(partition).signal(this.id),
      data,
      headers: { ...headers, 'Troupe-Id': signalId },
      messageId: randomId(),
      what: `the signal to task "${this.id}"`,
      isClosed,
    })
  }

  /** Resolves with the partition that the task is in, if somebody says so. */
  private async checkSignallable(): Promise<number | undefined> {
    let state: TaskAnswer
    try {
      state = await this.host.askTask(this.host.subjects.task(this.id), this.sequence, undefined, { patienceMs: 500 })
    } catch (error) {
      if (error instanceof TroupeError && error.code === 'TROUPE_NO_ANSWER') return undefined
      throw error
    }
    if (finished.has(state.status)) {
      throw new TroupeError(
        'TROUPE_TASK_FINISHED',
        `task "${this.id}" has ended (${state.status}) and takes no signals`,
      )
    }
    return state.partition
  }

  /** Yields the task's present state and then each change, until it has ended. Leaving the loop stops watching. */
  watch(): AsyncGenerator<LifecycleEvent, void, undefined> {
    return watchTask(this.host, this.id, () => this.state())
  }
}

/** Resolves with undefined when the promise has not settled in time. */
async function before<T>(promise: Promise<T>, timeoutMs: number): Promise<T | undefined> {
  const { promise: timeout, resolve } = Promise.withResolvers<undefined>()
  const timer = setTimeout(() => resolve(undefined), timeoutMs)
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
