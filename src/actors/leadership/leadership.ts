/**
 * Who should lead, by a lease: one key that its holder rewrites and that others watch. One machine serves schedulers and
 * supervisors. The lease only keeps elections calm, it carries no truth: a process that leads wrongly for a moment is made
 * harmless by the log (epochs and fences), which this machine does not know.
 *
 * - `standby`: watches the lease. Measures silence on its own clock from the changes that it saw. A released or absent
 *   lease is claimed at once, a silent one after `claimAfterMs` plus jitter.
 * - `claiming`: one compare-and-set is under way, at the revision that was seen last. Whoever is second goes back.
 * - `leading`: renews. `sure`: it acts. `unsure`: this process was stopped for a while and may have lost the lease without
 *   knowing; it acts again once a renewal sent after the pause is stored.
 * - `steppingDown`: was asked to stop; gives the lease back, so that a successor need not wait.
 * - `stopped`: final.
 *
 * `holder` must be unique to this life of the process: a lease of a former life is somebody else's. Time comes with the
 * events, on one monotonic clock; randomness through the input.
 */
import { and, assign, setup } from 'xstate'
import { defaultLeadership } from './settings.ts'
import type { LeadershipContext, LeadershipEvent, LeadershipInput } from './words.ts'

interface Step {
  readonly context: LeadershipContext
  readonly event: LeadershipEvent
}

const isAnswer = ({ context, event }: Step) => 'put' in event && event.put === context.pending?.put
const isOwn = ({ context, event }: Step) =>
  event.type === 'lease' && event.holder === context.holder && event.term === (context.pending?.term ?? context.term)
const isNewer = ({ context, event }: Step) => event.type === 'lease' && event.revision > (context.seen?.revision ?? -1)
const wasStopped = ({ context, event }: Step) =>
  event.type === 'tick' && context.tickAtMs !== undefined && event.nowMs - context.tickAtMs > context.settings.pauseMs
/** Nothing that came between this tick and the last one can have been missed. */
const sawAll = (step: Step) =>
  step.event.type === 'tick' && step.event.connected && step.context.connected && !wasStopped(step)
/** The pending write is stored, by its answer or by the watch. */
const isStored = (step: Step) => (step.event.type === 'put.stored' && isAnswer(step)) || (isOwn(step) && isNewer(step))

export const leadershipMachine = setup({
  types: {
    input: {} as LeadershipInput,
    context: {} as LeadershipContext,
    events: {} as LeadershipEvent,
  },
  guards: {
    isAnswer,
    isStored,
    /** Another revision than the one seen: a store that was set back has smaller ones. */
    isFree: ({ context, event }) =>
      event.type === 'lease' && event.holder === undefined && event.revision !== context.seen?.revision,
    isQuiet: (step) => {
      const { quietSinceMs, settings, jitterMs, seen } = step.context
      return seen !== undefined && sawAll(step) && step.event.nowMs - quietSinceMs >= settings.claimAfterMs + jitterMs
    },
    isForeign: (step) => isNewer(step) && !isOwn(step),
    isUnwritten: (step) => isOwn(step) && !isNewer(step) && step.context.pending?.unknown === true,
    wasStopped,
    isOverdue: ({ context, event }) =>
      event.nowMs - (context.pending?.sentAtMs ?? event.nowMs) > context.settings.putTimeoutMs,
    isStale: ({ context, event }) => event.nowMs - context.renewedAtMs > context.settings.giveUpMs,
    isHopeless: ({ context, event }) => event.nowMs - context.unsureSinceMs > context.settings.giveUpMs,
    isReassuring: (step) => isStored(step) && (step.context.pending?.sentAtMs ?? 0) >= step.context.unsureSinceMs,
    isDue: ({ context, event }) =>
      context.pending === undefined && event.nowMs - context.renewedAtMs >= context.settings.renewEveryMs,
    isIdle: ({ context }) => context.pending === undefined,
    keepsLease: ({ context }) => !context.release,
  },
  actions: {
    /** Whoever was stopped or disconnected has seen nothing, and counts silence anew. */
    passTime: assign(({ context, event }) => {
      if (event.type !== 'tick') return {}
      const noted = { tickAtMs: event.nowMs, connected: event.connected }
      return sawAll({ context, event }) ? noted : { ...noted, quietSinceMs: event.nowMs }
    }),
    see: assign(({ context, event }) => {
      if (event.type !== 'lease' || event.revision === context.seen?.revision) return {}
      const { revision, holder, term } = event
      return { seen: { revision, holder, term }, ...quietFrom(context, event.nowMs) }
    }),
    waitAnew: assign(({ context, event }) => ({ pending: undefined, ...quietFrom(context, event.nowMs) })),
    prepareClaim: assign(({ context, event }) =>
      prepare(context, event, context.holder, (context.seen?.term ?? 0) + 1),
    ),
    prepareRenewal: assign(({ context, event }) => prepare(context, event, context.holder, context.term)),
    prepareRelease: assign(({ context, event }) => prepare(context, event, undefined, context.term)),
    send: ({ context: { ask, pending, seen } }) => {
      if (!pending) return
      const { put, holder, term } = pending
      ask({ kind: 'put', put, expected: seen?.revision ?? 0, holder, term })
    },
    keep: assign(({ context, event }) => {
      const { pending, holder } = context
      if (event.type !== 'put.stored' && event.type !== 'lease') return {}
      const seen = { revision: event.revision, holder, term: pending?.term ?? context.term }
      return pending ? { seen, pending: undefined, renewedAtMs: pending.sentAtMs, term: pending.term } : { seen }
    }),
    forget: assign({ pending: undefined }),
    noteUnknown: assign(({ context }) => (context.pending ? { pending: { ...context.pending, unknown: true } } : {})),
    read: ({ context }) => context.ask({ kind: 'read' }),
    doubt: assign(({ event }) => ({ unsureSinceMs: event.nowMs })),
    lead: ({ context }) => context.ask({ kind: 'lead', term: context.term }),
    stepDown: ({ context }, { reason }: { reason: string }) => context.ask({ kind: 'step-down', reason }),
    noteStop: assign(({ event }) => (event.type === 'stop' ? { release: event.release } : {})),
    sayStopped: ({ context }) => context.ask({ kind: 'stopped' }),
  },
}).createMachine({
  id: 'leadership',
  initial: 'standby',
  context: ({ input }) => ({
    ...input,
    settings: { ...defaultLeadership, ...input.settings },
    seen: undefined,
    quietSinceMs: 0,
    jitterMs: 0,
    pending: undefined,
    puts: 0,
    term: 0,
    renewedAtMs: 0,
    unsureSinceMs: 0,
    tickAtMs: undefined,
    connected: true,
    release: false,
  }),
  states: {
    standby: {
      on: {
        lease: [{ guard: 'isFree', target: 'claiming', actions: ['see', 'prepareClaim', 'send'] }, { actions: 'see' }],
        tick: [
          { guard: 'isQuiet', target: 'claiming', actions: ['passTime', 'prepareClaim', 'send'] },
          { actions: 'passTime' },
        ],
        stop: 'stopped',
      },
    },
    claiming: {
      on: {
        'put.stored': { guard: 'isStored', target: 'leading', actions: 'keep' },
        'put.refused': { guard: 'isAnswer', target: 'standby', actions: ['waitAnew', 'read'] },
        'put.unknown': { guard: 'isAnswer', actions: ['noteUnknown', 'read'] },
        lease: [
          { guard: 'isStored', target: 'leading', actions: 'keep' },
          { guard: 'isForeign', target: 'standby', actions: ['waitAnew', 'see'] },
        ],
        tick: [
          { guard: 'isOverdue', target: 'standby', actions: ['passTime', 'waitAnew', 'read'] },
          { actions: 'passTime' },
        ],
        stop: { target: 'steppingDown', actions: 'noteStop' },
      },
    },
    leading: {
      initial: 'sure',
      entry: 'lead',
      on: {
        'put.stored': { guard: 'isStored', actions: 'keep' },
        'put.refused': {
          guard: 'isAnswer',
          target: 'standby',
          actions: [stepDown('another process wrote the lease'), 'waitAnew', 'read'],
        },
        // Stored or not? A second write at the old revision would be refused by the first, so it is looked up.
        'put.unknown': { guard: 'isAnswer', actions: ['noteUnknown', 'read'] },
        lease: [
          { guard: 'isStored', actions: 'keep' },
          { guard: 'isUnwritten', actions: 'forget' },
          {
            guard: 'isForeign',
            target: 'standby',
            actions: [stepDown('another process holds the lease'), 'waitAnew', 'see'],
          },
        ],
        stop: { target: 'steppingDown', actions: ['noteStop', stepDown('it was asked to stop')] },
      },
      states: {
        sure: {
          on: {
            tick: [
              {
                guard: and(['wasStopped', 'isIdle']),
                target: 'unsure',
                actions: ['passTime', 'prepareRenewal', 'send'],
              },
              { guard: 'wasStopped', target: 'unsure', actions: 'passTime' },
              {
                guard: 'isStale',
                target: '#leadership.standby',
                actions: [stepDown('the lease could not be renewed in time'), 'passTime', 'waitAnew', 'read'],
              },
              { guard: 'isDue', actions: ['passTime', 'prepareRenewal', 'send'] },
              { actions: 'passTime' },
            ],
          },
        },
        unsure: {
          entry: 'doubt',
          on: {
            tick: [
              {
                guard: 'isHopeless',
                target: '#leadership.standby',
                actions: [
                  stepDown('the process was stopped and cannot renew the lease'),
                  'passTime',
                  'waitAnew',
                  'read',
                ],
              },
              { guard: 'isIdle', actions: ['passTime', 'prepareRenewal', 'send'] },
              { actions: 'passTime' },
            ],
            // A write sent before the pause proves nothing about the time after it.
            'put.stored': { guard: 'isReassuring', target: 'sure', actions: 'keep' },
            lease: { guard: 'isReassuring', target: 'sure', actions: 'keep' },
          },
        },
      },
    },
    steppingDown: {
      initial: 'settling',
      on: {
        'put.refused': { guard: 'isAnswer', target: 'stopped' },
        'put.unknown': { guard: 'isAnswer', target: 'stopped' },
        lease: { guard: 'isForeign', target: 'stopped' },
        tick: { guard: 'isOverdue', target: 'stopped' },
      },
      states: {
        /** A claim or renewal is still under way; releasing before its answer would be refused by it. */
        settling: {
          always: [
            { guard: 'keepsLease', target: '#leadership.stopped' },
            { guard: 'isIdle', target: 'releasing' },
          ],
          on: {
            'put.stored': { guard: 'isStored', actions: 'keep' },
            lease: { guard: 'isStored', actions: 'keep' },
          },
        },
        releasing: {
          entry: ['prepareRelease', 'send'],
          on: { 'put.stored': { guard: 'isAnswer', target: '#leadership.stopped' } },
        },
      },
    },
    stopped: { type: 'final', entry: 'sayStopped' },
  },
})

function stepDown(reason: string) {
  return { type: 'stepDown', params: { reason } } as const
}

/** True while the process may act as leader: it leads, is sure of it, and its lease is fresh at `nowMs`. */
export function mayAct(
  snapshot: { matches(state: { leading: 'sure' }): boolean; readonly context: LeadershipContext },
  nowMs: number,
): boolean {
  const { renewedAtMs, settings } = snapshot.context
  return snapshot.matches({ leading: 'sure' }) && nowMs - renewedAtMs <= settings.giveUpMs
}

function quietFrom(context: LeadershipContext, nowMs: number) {
  return { quietSinceMs: nowMs, jitterMs: context.random() * context.settings.jitterMs }
}

/** A write at the revision seen last; there is never more than one under way. */
function prepare(context: LeadershipContext, event: LeadershipEvent, holder: string | undefined, term: number) {
  const puts = context.puts + 1
  return { puts, pending: { put: puts, sentAtMs: event.nowMs, term, holder, unknown: false } }
}
