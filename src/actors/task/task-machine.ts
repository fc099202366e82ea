/**
 * The statechart of one turn of a task on its node. It decides what a turn does next and what may still be handed to the
 * journal; it knows nothing of the user's logic, which the runtime runs and speaks for in events.
 *
 * - accepted: the node's `accepted` entry is with the journal. Left by START, or given back untouched by YIELD.
 * - starting: input and snapshot are fetched and checked. Left by LOADED, or FAULT if they cannot be used.
 * - running: the logic runs, and everything it committed is stored.
 * - checkpointing: the logic runs, and a state of it is with the journal but not yet stored.
 * - yielding: the node wants the slot; the logic goes on to its next boundary and nothing new is begun.
 * - parked, yielded, completed, failed, cancelled: final. The turn has handed over its last entry, or (cancelled) never
 *   will: it was fenced, dropped, cancelled or ended by somebody else, so it commits nothing.
 *
 * Exactly one final state is entered, exactly one `release` is asked for, and nothing is committed after it.
 */
import { createMachine } from 'xstate'

/**
 * What the runtime is asked to do. `load`: fetch input and snapshot, answer LOADED or FAULT. `run`: start the logic.
 * `commit`: hand the entry of this event to the journal. `hand-back`: bring the logic to its next boundary, answer
 * HANDED_BACK (or WAIT, DONE, FAULT if that is where it stands). `stop`: stop the logic for good. `release`: the slot
 * is free.
 */
export type TaskEffect = 'load' | 'run' | 'commit' | 'hand-back' | 'stop' | 'release'

export type TaskEventType =
  | 'START'
  | 'LOADED'
  | 'SAVE'
  | 'SAVED'
  | 'WAIT'
  | 'YIELD'
  | 'HANDED_BACK'
  | 'DONE'
  | 'FAULT'
  | 'TIMEOUT'
  | 'ABORT'

export type TaskState =
  | 'accepted'
  | 'starting'
  | 'running'
  | 'checkpointing'
  | 'yielding'
  | 'parked'
  | 'yielded'
  | 'completed'
  | 'failed'
  | 'cancelled'

export const taskEventTypes: readonly TaskEventType[] = [
  'START',
  'LOADED',
  'SAVE',
  'SAVED',
  'WAIT',
  'YIELD',
  'HANDED_BACK',
  'DONE',
  'FAULT',
  'TIMEOUT',
  'ABORT',
]

/** An action of the machine that asks for effects, as plain data. */
const ask = (...effects: TaskEffect[]) => effects.map((type) => ({ type }))

/** What every state with running logic has in common: the ways to end. */
const endings = {
  WAIT: { target: 'parked', actions: ask('stop', 'commit', 'release') },
  DONE: { target: 'completed', actions: ask('commit', 'release') },
  FAULT: { target: 'failed', actions: ask('stop', 'commit', 'release') },
  TIMEOUT: { target: 'failed', actions: ask('stop', 'commit', 'release') },
  ABORT: { target: 'cancelled', actions: ask('stop', 'release') },
}

export const taskMachine = createMachine({
  id: 'task',
  types: {} as { events: { type: TaskEventType } },
  initial: 'accepted',
  states: {
    accepted: {
      on: {
        START: { target: 'starting', actions: ask('load') },
        YIELD: { target: 'yielded', actions: ask('commit', 'release') },
        ABORT: { target: 'cancelled', actions: ask('release') },
      },
    },
    starting: {
      on: {
        LOADED: { target: 'running', actions: ask('run') },
        YIELD: { target: 'yielded', actions: ask('commit', 'release') },
        FAULT: { target: 'failed', actions: ask('commit', 'release') },
        TIMEOUT: { target: 'failed', actions: ask('commit', 'release') },
        ABORT: { target: 'cancelled', actions: ask('release') },
      },
    },
    running: {
      on: {
        ...endings,
        SAVE: { target: 'checkpointing', actions: ask('commit') },
        YIELD: { target: 'yielding', actions: ask('hand-back') },
      },
    },
    checkpointing: {
      on: {
        ...endings,
        SAVE: { actions: ask('commit') },
        SAVED: { target: 'running' },
        YIELD: { target: 'yielding', actions: ask('hand-back') },
      },
    },
    yielding: {
      on: {
        ...endings,
        SAVE: { actions: ask('commit') },
        HANDED_BACK: { target: 'yielded', actions: ask('stop', 'commit', 'release') },
      },
    },
    parked: { type: 'final' },
    yielded: { type: 'final' },
    completed: { type: 'final' },
    failed: { type: 'final' },
    cancelled: { type: 'final' },
  },
})
