/**
 * Returns task definitions: a type's name, its logic and its options, checked and frozen. Knows nothing of how or where a
 * task runs; nodes, the SDK and `troupe check` read what is decided here.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyActorLogic, EventFromLogic, InputFrom, OutputFrom } from 'xstate'
import { TroupeError } from '../protocol/errors.ts'
import { checkName } from '../protocol/names.ts'
import type { TaskProfile } from '../protocol/options.ts'
import type { BidHook } from './bid-hook.ts'
import type { AnyTaskEvent, TaskContext, TaskEvent } from './context.ts'
import { checkActors } from './machine-actors.ts'
import {
  type FunctionTaskOptions,
  type Isolation,
  type LogicTaskOptions,
  type Migrate,
  type ParkPolicy,
  resolveTaskOptions,
} from './task-options.ts'

const brand = Symbol.for('troupe.task')

/** An async function as the logic of a task. A value that is not a promise completes the task at once. */
export type TaskFunction<Input, Output, Events extends TaskEvent = AnyTaskEvent> = (
  input: Input,
  ctx: TaskContext<Events>,
) => Output | Promise<Output>

/**
 * A task type. `Input` is what a submitter gives, `Output` what a result is, `Events` what `handle.signal` takes; the
 * three exist for inference only.
 */
export interface TaskDefinition<Input = unknown, Output = unknown, Events = AnyTaskEvent> {
  readonly type: string
  readonly logic:
    | { readonly kind: 'function'; readonly run: (input: never, ctx: never) => unknown }
    | { readonly kind: 'machine'; readonly actor: AnyActorLogic }
  /** What the log and the scheduler need to know. */
  readonly profile: TaskProfile
  readonly isolate: Isolation
  /** MiB of heap for a thread or process; 0: Node's default. */
  readonly memoryMb: number
  readonly park: ParkPolicy
  readonly schema: StandardSchemaV1 | undefined
  readonly migrate: Migrate | undefined
  /** What a task costs on the node that is asked, beyond its load. */
  readonly bid: BidHook | undefined
  /** Never present; carries the types. */
  readonly types?: { readonly input: Input; readonly output: Output; readonly events: Events }
}

/** Any task definition, whatever its types. */
// biome-ignore lint/suspicious/noExplicitAny: the one place where a definition of any types is meant
export type AnyTaskDefinition = TaskDefinition<any, any, any>
export type InputOf<T> = T extends TaskDefinition<infer Input, infer _Output, infer _Events> ? Input : never
export type OutputOf<T> = T extends TaskDefinition<infer _Input, infer Output, infer _Events> ? Output : never
export type EventsOf<T> = T extends TaskDefinition<infer _Input, infer _Output, infer Events> ? Events : never

/**
 * Returns the definition of a task type whose logic is an async function, or XState actor logic of any kind (a machine,
 * fromPromise, fromTransition, fromCallback, fromObservable). Throws TROUPE_INVALID_NAME, TROUPE_INVALID_TASK,
 * TROUPE_UNKNOWN_ACTOR, TROUPE_UNKNOWN_OPTION or another TROUPE_INVALID_…, naming what is wrong.
 */
export function task<Logic extends AnyActorLogic>(
  type: string,
  logic: Logic,
  options?: LogicTaskOptions,
): TaskDefinition<InputFrom<Logic>, OutputFrom<Logic>, EventFromLogic<Logic>>
export function task<Schema extends StandardSchemaV1, Output, Events extends TaskEvent = AnyTaskEvent>(
  type: string,
  logic: (input: StandardSchemaV1.InferOutput<Schema>, ctx: TaskContext<Events>) => Output,
  options: FunctionTaskOptions & { readonly input: Schema },
): TaskDefinition<StandardSchemaV1.InferInput<Schema>, Awaited<Output>, Events>
export function task<Input, Output, Events extends TaskEvent = AnyTaskEvent>(
  type: string,
  logic: (input: Input, ctx: TaskContext<Events>) => Output,
  options?: FunctionTaskOptions,
): TaskDefinition<Input, Awaited<Output>, Events>
export function task(
  type: string,
  logic: AnyActorLogic | ((input: never, ctx: never) => unknown),
  options: FunctionTaskOptions = {},
): TaskDefinition {
  checkName('task type', type)
  const kind = logicKind(type, logic)
  const resolved = resolveTaskOptions(type, kind, options)
  return Object.freeze({
    [brand]: 1,
    type,
    logic: Object.freeze(
      kind === 'function'
        ? { kind, run: logic as (input: never, ctx: never) => unknown }
        : { kind, actor: logic as AnyActorLogic },
    ),
    ...resolved,
  })
}

/** True for what `task` returned, in this or another copy of the package. Never throws. */
export function isTaskDefinition(value: unknown): value is AnyTaskDefinition {
  return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[brand] === 1
}

function logicKind(type: string, logic: unknown): 'function' | 'machine' {
  if (typeof logic === 'function') return 'function'
  const actor = logic as Partial<AnyActorLogic> | null | undefined
  if (typeof actor?.transition === 'function' && typeof actor.getInitialSnapshot === 'function') {
    checkActors(type, actor as AnyActorLogic)
    return 'machine'
  }
  const hint =
    typeof (logic as { subscribe?: unknown } | null)?.subscribe === 'function'
      ? ': it is an actor that was created already; give the machine itself'
      : ''
  throw new TroupeError(
    'TROUPE_INVALID_TASK',
    `task "${type}": the logic must be a function or XState actor logic, not ${logic === null ? 'null' : typeof logic}${hint}`,
  )
}
