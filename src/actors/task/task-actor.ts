/**
 * The task machine as a table, run by a `fromTransition` actor: the same states, events and effects at a tenth of the
 * cost, since a node starts one for every turn. The table is computed from the machine when this module loads, so the two
 * cannot differ; an event that a state does not take changes nothing.
 */
import { createActor, fromTransition, initialTransition, transition } from 'xstate'
import { type TaskEffect, type TaskEventType, type TaskState, taskEventTypes, taskMachine } from './task-machine.ts'

/** What follows from one event in one state. */
export interface TaskRow {
  readonly target: TaskState
  readonly effects: readonly TaskEffect[]
}

/** An event with whatever its effects need; the actor looks at `type` alone. */
export interface TaskActorEvent {
  readonly type: TaskEventType
}

/** Carries out one effect of an event. Must not throw; may send further events, which are taken afterwards. */
export type AskTask<Event extends TaskActorEvent> = (effect: TaskEffect, event: Event) => void

const table = tableOf()

/** The row for an event in a state; undefined if the state does not take it. */
export function taskRow(state: TaskState, type: TaskEventType): TaskRow | undefined {
  return table[state]![type]
}

interface TaskActorState<Event extends TaskActorEvent> {
  readonly value: TaskState
  readonly ask: AskTask<Event>
}

const logic = fromTransition(
  (state: TaskActorState<TaskActorEvent>, event: TaskActorEvent) => {
    const row = table[state.value]![event.type]
    if (row === undefined) return state
    for (const effect of row.effects) state.ask(effect, event)
    return row.target === state.value ? state : { value: row.target, ask: state.ask }
  },
  ({ input }: { input: AskTask<TaskActorEvent> }): TaskActorState<TaskActorEvent> => ({
    value: 'accepted',
    ask: input,
  }),
)

/** One running task actor. */
export interface TaskActor<Event extends TaskActorEvent> {
  send(event: Event): void
  getSnapshot(): { readonly context: { readonly value: TaskState } }
}

/** Returns the actor of a turn, started, in state `accepted`. */
export function startTaskActor<Event extends TaskActorEvent>(ask: AskTask<Event>): TaskActor<Event> {
  return createActor(logic, { input: ask as AskTask<TaskActorEvent> }).start()
}

function tableOf(): Readonly<Record<string, Readonly<Partial<Record<TaskEventType, TaskRow>>>>> {
  const rows: Record<string, Partial<Record<TaskEventType, TaskRow>>> = {}
  const [initial] = initialTransition(taskMachine)
  const open = [initial]
  for (let snapshot = open.pop(); snapshot !== undefined; snapshot = open.pop()) {
    const from = snapshot.value as TaskState
    if (rows[from] !== undefined) continue
    rows[from] = {}
    for (const type of taskEventTypes) {
      if (!snapshot.can({ type })) continue
      const [next, actions] = transition(taskMachine, snapshot, { type })
      rows[from][type] = {
        target: next.value as TaskState,
        effects: actions.map((action) => action.type as TaskEffect),
      }
      open.push(next)
    }
  }
  return rows
}
