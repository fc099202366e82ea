/**
 * What an async function of a task is given besides its input. Types only: `runtime/tasks` implements them. Everything
 * durable here is kept by name or by order, so that a restart on another node goes on where the last one stopped.
 */
import type { Logger } from 'pino'
import type { Duration, SubmissionOptions } from '../protocol/options.ts'
import type { SubmitOptions } from './submit-options.ts'
import type { TaskDefinition } from './task.ts'

/** An event as a task receives it. */
export interface TaskEvent {
  readonly type: string
}

/** Any event; what a task takes that does not name its events. */
export interface AnyTaskEvent extends TaskEvent {
  readonly [key: string]: unknown
}

/** What a step's function is given. */
export interface StepContext {
  /** From 1; grows with each try of this step in this turn. */
  readonly attempt: number
  /** Equal across tries, attempts and nodes. */
  readonly idempotencyKey: string
  /** Aborted with the task's signal, and when the step's own timeout has passed. */
  readonly signal: AbortSignal
}

export interface StepOptions {
  /** Tries of the step within one attempt of the task. Default 1: the first error is thrown. */
  readonly retry?: {
    readonly attempts: number
    /** Delay before the second try; default '1s'. */
    readonly backoff?: Duration
    /** Growth of the delay per try, 1 to 10; default 2. */
    readonly factor?: number
    /** Longest delay; default '1m'. */
    readonly max?: Duration
  }
  /** Longest time of one try; then it fails with TROUPE_TIMEOUT. Default: none. */
  readonly timeout?: Duration
}

/** What a task may say about a child: as in a submission, but the id is `<parent>:<n>` and given by the system. */
export type ChildOptions = Omit<
  SubmissionOptions,
  'id' | 'delayMs' | 'deadlineAtMs' | 'startWithinMs' | 'unique' | 'group'
> & {
  readonly unique?: SubmitOptions['unique']
  readonly group?: SubmitOptions['group']
  readonly startWithin?: Duration
  readonly delay?: Duration
  readonly deadline?: Date | number
}

export interface MapOptions extends ChildOptions {
  /** Children at a time, 1 to 10,000. Default: all of them. Each batch starts when the one before has ended. */
  readonly concurrency?: number
}

export interface ChildHandle<Output> {
  readonly id: string
  /**
   * Resolves with the child's result; the task is parked until then. Throws TROUPE_TASK_FAILED, TROUPE_TASK_CANCELLED or
   * TROUPE_TASK_EXPIRED with the child's error as cause.
   */
  result(): Promise<Output>
}

/**
 * The context of an async function. Methods may be taken off it (`({ step, sleep })`). A call that waits durably never
 * returns in a turn that is parked or handed back: the function starts again from its top in a later turn, and every
 * finished call answers at once with what it answered before. So keep side effects inside steps, and race only against
 * steps: work outside of `ctx` is not seen, and does not keep a task from being parked.
 */
export interface TaskContext<Events extends TaskEvent = AnyTaskEvent> {
  readonly id: string
  /** From 1; grows when the function failed, not when its node did. */
  readonly attempt: number
  /** A text that is equal across attempts and nodes, for this task or one step of it. */
  idempotencyKey(step?: string): string
  /** Aborted, with a TroupeError as reason, when the turn is cancelled, timed out, fenced, or has to drain at once. */
  readonly signal: AbortSignal
  /** A pino child with the task's id and type. */
  readonly log: Logger

  /**
   * Runs `fn` once per task and resolves with its result after the result is stored; later turns skip it. Names are unique
   * within a run of the function: a name used twice fails the task with TROUPE_STEP_NAME_TWICE, steps that come in another
   * order than before with TROUPE_STEP_MISMATCH. Steps may run in parallel. After the last try the error is thrown as it is
   * stored: with its name, message, code, own fields and cause, without its class.
   */
  step<T>(name: string, fn: (step: StepContext) => T, options?: StepOptions): Promise<Awaited<T>>
  /** Resolves after the duration, counted from the first call; frees the slot when it is long (1 s or more by default). */
  sleep(duration: Duration): Promise<void>
  /** Resolves at the instant (a Date, ms since 1970, or an ISO 8601 text). */
  sleepUntil(instant: Date | number | string): Promise<void>
  /**
   * Resolves with the next event of this type that was sent to the task and not yet taken, oldest first. With a timeout,
   * resolves with undefined when none has come in time.
   */
  waitFor<Type extends Events['type']>(type: Type, options?: { timeout?: undefined }): Promise<EventOf<Events, Type>>
  waitFor<Type extends Events['type']>(
    type: Type,
    options: { timeout: Duration },
  ): Promise<EventOf<Events, Type> | undefined>
  /** Tells watchers how far the task is: a fraction from 0 to 1 and a note. Coalesced; returns at once. */
  progress(fraction: number, note?: string): void
  /**
   * Stores a value and resolves when it is stored. It stands for all that was done since the checkpoint before: steps in
   * between are forgotten, and the next turn finds the value in `restored`.
   */
  checkpoint(value: unknown): Promise<void>
  /** The value of the last checkpoint when this turn began; undefined if there was none. */
  readonly restored: unknown
  /** Submits a child task in the same block as this task's state, and resolves when that is stored. */
  submit<Input, Output>(
    task: TaskDefinition<Input, Output, never> | TaskDefinition<Input, Output>,
    input: Input,
    options?: ChildOptions,
  ): Promise<ChildHandle<Output>>
  submit(type: string, input?: unknown, options?: ChildOptions): Promise<ChildHandle<unknown>>
  /** Runs one child per input and resolves with their results in order. Throws the first failure by order. */
  map<Input, Output>(
    task: TaskDefinition<Input, Output, never> | TaskDefinition<Input, Output>,
    inputs: readonly Input[],
    options?: MapOptions,
  ): Promise<Output[]>
  map(type: string, inputs: readonly unknown[], options?: MapOptions): Promise<unknown[]>
}

export type EventOf<Events extends TaskEvent, Type extends string> = [Extract<Events, { type: Type }>] extends [never]
  ? Events & { readonly type: Type }
  : Extract<Events, { type: Type }>
