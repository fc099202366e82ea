/**
 * Other tasks as actors of an XState machine: invoked or spawned, they are submitted as children of the machine's task, and
 * their outcome arrives as the done or error event that XState knows. What is asked for here is stored in the same block as
 * the state that asked; the machine's runner does that, this file only says what is wanted.
 */
import type {
  ActionArgs,
  ActorLogic,
  EventObject,
  MachineContext,
  NonReducibleUnknown,
  ParameterizedObject,
  Snapshot,
} from 'xstate'
import { TroupeError } from '../protocol/errors.ts'
import { checkName } from '../protocol/names.ts'
import type { AnyTaskEvent, ChildOptions } from './context.ts'
import type { AnyTaskDefinition, EventsOf, InputOf, OutputOf } from './task.ts'

/** What a machine's runner offers to the actors and actions below, as a property of the actor system. */
export interface TaskOutbox {
  submit(type: string, input: unknown, options: ChildOptions): void
  signal(to: string, event: EventObject): void
  /** For the task behind an actor that `fromTask` made. */
  forward(actor: object, event: EventObject): void
}

/** The same symbol in every copy of this package. */
export const outboxOf: unique symbol = Symbol.for('troupe.outbox') as never
export const taskLogic: unique symbol = Symbol.for('troupe.task-logic') as never

/** By these two events a runner tells an actor what became of its task. */
export const taskDone = 'troupe.done'
export const taskFailed = 'troupe.failed'

export type TaskActorSnapshot<Output, Input> = Snapshot<Output> & { readonly input: Input | undefined }

export type TaskActorLogic<Input, Output, Events extends EventObject> = ActorLogic<
  TaskActorSnapshot<Output, Input>,
  Events,
  Input
> & { readonly [taskLogic]: { readonly type: string; readonly options: ChildOptions } }

/**
 * Returns actor logic that is a task of its own: `setup({ actors: { resize: fromTask(resize) } })`, then
 * `invoke: { src: 'resize', input, onDone, onError }` or `spawn('resize', …)`. The child runs anywhere in the troupe, its
 * parent is parked meanwhile. Events that are sent to the actor are signals of the child; leaving the state that invoked
 * it cancels it. Throws TROUPE_INVALID_NAME.
 */
export function fromTask<Definition extends AnyTaskDefinition>(
  definition: Definition,
  options?: ChildOptions,
): TaskActorLogic<InputOf<Definition>, OutputOf<Definition>, EventsOf<Definition>>
export function fromTask(
  type: string,
  options?: ChildOptions,
): TaskActorLogic<NonReducibleUnknown, unknown, AnyTaskEvent>
export function fromTask(task: AnyTaskDefinition | string, options: ChildOptions = {}): unknown {
  const type = checkName('task type', typeof task === 'string' ? task : task?.type)
  type Now = TaskActorSnapshot<unknown, unknown>
  const logic: TaskActorLogic<unknown, unknown, AnyTaskEvent> = {
    [taskLogic]: { type, options },
    transition: (now, event, { self, system }) => {
      if (now.status !== 'active') return now
      const { output, error } = event
      if (event.type === taskDone) return { status: 'done', output, error: undefined, input: undefined } as Now
      if (event.type === taskFailed) return { status: 'error', output: undefined, error, input: undefined } as Now
      if (event.type === 'xstate.stop') return { ...now, status: 'stopped' } as Now
      if (!event.type.startsWith('xstate.')) outbox(system, `an event for task "${type}"`).forward(self, event)
      return now
    },
    getInitialSnapshot: (_scope, input) => ({ status: 'active', output: undefined, error: undefined, input }),
    getPersistedSnapshot: (now) => now,
    restoreSnapshot: (stored) => stored as Now,
  }
  return logic
}

type FromMachine<Value, Context extends MachineContext, Event extends EventObject> =
  | Value
  | ((args: { readonly context: Context; readonly event: Event }) => Value)

/**
 * Returns an action that submits a task and does not wait for it: a child that goes on when the machine's task completes,
 * and is cancelled if that fails. The input is a value or a function of context and event.
 */
export function submitTask<Definition extends AnyTaskDefinition, C extends MachineContext, E extends EventObject>(
  task: Definition | string,
  input: FromMachine<InputOf<Definition>, C, E>,
  options: ChildOptions = {},
): (args: ActionArgs<C, E, E>, params: ParameterizedObject['params'] | undefined) => void {
  const type = checkName('task type', typeof task === 'string' ? task : task?.type)
  return ({ context, event, system }) =>
    outbox(system, `task "${type}"`).submit(type, resolved(input, context, event), options)
}

/**
 * Returns an action that sends a durable event to another task, once, whatever crashes. Id and event are values or
 * functions of context and event. A task that is not there, or has ended, is noted among the set-aside messages.
 */
export function signalTask<C extends MachineContext, E extends EventObject>(
  id: FromMachine<string, C, E>,
  signal: FromMachine<EventObject, C, E>,
): (args: ActionArgs<C, E, E>, params: ParameterizedObject['params'] | undefined) => void {
  return ({ context, event, system }) => {
    const to = checkName('task id', resolved(id, context, event))
    outbox(system, `a signal for task "${to}"`).signal(to, resolved(signal, context, event))
  }
}

function resolved<Value>(value: unknown, context: unknown, event: unknown): Value {
  return (typeof value === 'function' ? value({ context, event }) : value) as Value
}

function outbox(system: object, what: string): TaskOutbox {
  const found = (system as { [outboxOf]?: TaskOutbox })[outboxOf]
  if (found !== undefined) return found
  throw new TroupeError(
    'TROUPE_INVALID_TASK',
    `${what} was asked for by a machine that does not run as a task; give it to task(…), or provide other actors and actions`,
  )
}
