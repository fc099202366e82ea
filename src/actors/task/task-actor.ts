/**
 * The task machine as a table, run by a `fromTransition` actor: the same states, events and effects at a tenth of the
 * cost. The table is computed from the machine when this module loads, so the two cannot differ; an event that a state does
 * not take changes nothing. An actor serves one turn after another, since making one costs more than all it does in a turn.
 */
import { type Actor, createActor, fromTransition, initialTransition, transition } from 'xstate'
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
const overStates = new Set(Object.keys(table).filter((state) => Object.keys(table[state]!).length === 0))

/** The row for an event in a state; undefined if the state does not take it. */
export function taskRow(state: TaskState, type: TaskEventType): TaskRow | undefined {
  return table[state]![type]
}

interface TurnState {
  readonly value: TaskState
  readonly ask: AskTask<TaskActorEvent>
}

/** Begins the next turn of an actor whose turn is over. */
interface Begun {
  readonly type: 'BEGUN'
  readonly ask: AskTask<TaskActorEvent>
}

const logic = fromTransition(
  (state: TurnState, event: TaskActorEvent | Begun): TurnState => {
    if (event.type === 'BEGUN') return isOver(state.value) ? { value: 'accepted', ask: event.ask } : state
    const row = table[state.value]![event.type]
    if (row === undefined) return state
    for (const effect of row.effects) state.ask(effect, event)
    if (row.target === state.value) return state
    return { value: row.target, ask: isOver(row.target) ? askNothing : state.ask }
  },
  ({ input }: { input: AskTask<TaskActorEvent> }): TurnState => ({ value: 'accepted', ask: input }),
)

/**
 * Actors whose turn is over, for the next ones: what XState makes for an actor is half of all that a node allocates for a
 * turn of a quick function. So many may wait at most; they take some 3 KiB each.
 */
const idle: Actor<typeof logic>[] = []
const idleMax = 1_024

/** The actor of one turn, started, in state `accepted`. Whatever is sent once a final state was entered changes nothing. */
export class TaskActor<Event extends TaskActorEvent> {
  readonly #actor: Actor<typeof logic>
  /** Kept here, because an actor whose turn is over serves another one. */
  #state: TaskState = 'accepted'

  constructor(ask: AskTask<Event>) {
    const turnAsk = ask as AskTask<TaskActorEvent>
    const used = idle.pop()
    used?.send({ type: 'BEGUN', ask: turnAsk })
    this.#actor = used ?? createActor(logic, { input: turnAsk }).start()
  }

  get state(): TaskState {
    return this.#state
  }

  send(event: Event): void {
    if (isOver(this.#state)) return
    this.#actor.send(event)
    // Sent by an effect: the event waits, and whoever sent the one at hand sees what becomes of both.
    this.#state = this.#actor.getSnapshot().context.value
    if (isOver(this.#state) && idle.length < idleMax) idle.push(this.#actor)
  }
}

/** True for final states: nothing leads out of them. */
function isOver(state: TaskState): boolean {
  return overStates.has(state)
}

function askNothing(): void {}

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
