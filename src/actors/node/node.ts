/**
 * The node: one life after another of a process that runs tasks.
 *
 * - `joining`: has a new incarnation and has asked for `joined` to be stored. Runs nothing.
 * - `ready`: its `joined` is stored. Bids, accepts awards, runs turns; its journal is the only place where it commits.
 * - `rejoining`: was fenced. Every turn has been aborted; waits a moment, then joins as a new incarnation.
 * - `draining`: takes nothing new, asks its turns to yield, and waits until none runs or the deadline has passed.
 * - `leaving`: has asked for `left` to be stored.
 * - `gone`: the end.
 *
 * The machine decides about the life only; which turn runs in which slot is `slots.ts`.
 */
import { assign, setup } from 'xstate'

export interface NodeInput {
  readonly node: string
  readonly ask: (effect: NodeEffect) => void
}

export type NodeEffect =
  /** Begin a new incarnation: new journal, new subjects, `joined` as its first entry; then `JOINED` or `FENCED`. */
  | { readonly do: 'join' }
  | { readonly do: 'bid' }
  /** Abort every turn and forget every award; nothing of them is committed. */
  | { readonly do: 'abort'; readonly reason: string }
  /** Send `RETRY` after this many ms. */
  | { readonly do: 'wait'; readonly ms: number }
  /** Decline what is held and ask every turn to yield; then `EMPTY`, or `DEADLINE` when that takes too long. */
  | { readonly do: 'yield' }
  /** Append `left`, then `LEFT`. */
  | { readonly do: 'leave' }
  | { readonly do: 'gone' }

export type NodeEvent =
  | { readonly type: 'JOINED' }
  | { readonly type: 'FENCED'; readonly reason: string }
  | { readonly type: 'RETRY' }
  | { readonly type: 'DRAIN' }
  | { readonly type: 'EMPTY' }
  | { readonly type: 'DEADLINE' }
  | { readonly type: 'LEFT' }

const rejoinMsMin = 50
const rejoinMsMax = 5_000

export const nodeMachine = setup({
  types: {
    input: {} as NodeInput,
    context: {} as NodeInput & { readonly fences: number },
    events: {} as NodeEvent,
  },
  actions: {
    join: ({ context }) => context.ask({ do: 'join' }),
    bid: ({ context }) => context.ask({ do: 'bid' }),
    settle: assign({ fences: 0 }),
    countFence: assign({ fences: ({ context }) => context.fences + 1 }),
    abort: ({ context, event }) => {
      context.ask({ do: 'abort', reason: event.type === 'FENCED' ? event.reason : 'the node is leaving' })
    },
    wait: ({ context }) => {
      context.ask({ do: 'wait', ms: Math.min(rejoinMsMax, rejoinMsMin * 2 ** Math.min(context.fences, 10)) })
    },
    yield: ({ context }) => context.ask({ do: 'yield' }),
    leave: ({ context }) => context.ask({ do: 'leave' }),
    gone: ({ context }) => context.ask({ do: 'gone' }),
  },
}).createMachine({
  id: 'node',
  context: ({ input }) => ({ ...input, fences: 0 }),
  initial: 'joining',
  states: {
    joining: {
      entry: 'join',
      on: {
        JOINED: { target: 'ready', actions: 'settle' },
        FENCED: 'rejoining',
        DRAIN: 'gone',
      },
    },
    ready: {
      entry: 'bid',
      on: {
        FENCED: 'rejoining',
        DRAIN: 'draining',
      },
    },
    rejoining: {
      entry: ['abort', 'countFence', 'wait'],
      on: {
        RETRY: 'joining',
        DRAIN: 'gone',
      },
    },
    draining: {
      entry: ['bid', 'yield'],
      on: {
        EMPTY: 'leaving',
        DEADLINE: 'leaving',
        FENCED: { target: 'gone', actions: 'abort' },
      },
    },
    leaving: {
      entry: 'leave',
      on: {
        LEFT: 'gone',
        FENCED: 'gone',
        DEADLINE: 'gone',
      },
    },
    gone: { type: 'final', entry: ['abort', 'gone'] },
  },
})
