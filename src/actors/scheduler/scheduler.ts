/**
 * The scheduler of a partition, as a statechart.
 *
 * - `standby`: folds the log like everyone and decides nothing. Holds no agenda.
 * - `claiming`: has the lease and has asked for `led`; waits until that entry is folded, for only then is the ledger known
 *   to hold everything that came before, and the epoch is known.
 * - `leading`: orders ready tasks, matches them to bids, awards. Holds the agenda. What it says is stamped with the epoch.
 * - `retired`: saw rules in the log that it does not know, and never leads again.
 *
 * Losing the lease, or folding another's `led`, returns it to `standby` from anywhere.
 */
import { assign, setup } from 'xstate'
import type { NodeReport } from '../../protocol/messages.ts'
import type { Change } from '../ledger/change.ts'
import type { LedgerState } from '../ledger/state.ts'
import { Agenda, type AgendaOptions } from './agenda.ts'
import type { SchedulerEffect } from './effects.ts'
import { type Calendar, Firings } from './firings.ts'

export interface SchedulerInput {
  /** The name under which it writes control entries; unique per process. */
  readonly name: string
  readonly ledger: LedgerState
  readonly ask: (effect: SchedulerEffect) => void
  readonly policies?: AgendaOptions
  /** Without one, cron schedules wait for a leader that has one. */
  readonly calendar?: Calendar
  /** Log time from which on this process has followed the log; asked when leading begins. Default: always. */
  readonly followingSinceMs?: () => number
}

/** All instants are log time, in ms. */
export type SchedulerEvent =
  | { readonly type: 'LEASE_WON' }
  | { readonly type: 'LEASE_LOST'; readonly reason: string }
  /** The log asks for rules that this code does not know. */
  | { readonly type: 'OUTDATED' }
  /** Messages were folded: these changes came of them. */
  | { readonly type: 'FOLDED'; readonly changes: readonly Change[]; readonly nowMs: number }
  | { readonly type: 'REPORTED'; readonly incarnation: string; readonly report: NodeReport; readonly nowMs: number }
  | { readonly type: 'ALARM'; readonly nowMs: number }

export interface SchedulerContext extends SchedulerInput {
  readonly agenda: Agenda | undefined
  readonly firings: Firings | undefined
}

/** Carries out what the agenda decided, places what can be placed, and sets the next alarm. */
function proceed({ agenda, firings, ask }: SchedulerContext, effects: readonly SchedulerEffect[], nowMs: number): void {
  if (agenda === undefined) return
  for (const effect of effects) ask(effect)
  for (const effect of agenda.place(nowMs)) ask(effect)
  const atMs = Math.min(agenda.nextAlarmMs(nowMs), firings?.nextMs ?? Number.POSITIVE_INFINITY)
  if (atMs < Number.POSITIVE_INFINITY) ask({ do: 'wake', atMs })
}

export const schedulerMachine = setup({
  types: {
    input: {} as SchedulerInput,
    context: {} as SchedulerContext,
    events: {} as SchedulerEvent,
  },
  guards: {
    ledByMe: ({ context, event }) => {
      return (
        event.type === 'FOLDED' &&
        event.changes.some((change) => change.what === 'led') &&
        context.ledger.leader === context.name
      )
    },
    ledByAnother: ({ context, event }) => {
      return (
        event.type === 'FOLDED' &&
        event.changes.some((change) => change.what === 'led') &&
        context.ledger.leader !== context.name
      )
    },
  },
  actions: {
    askToLead: ({ context }) => context.ask({ do: 'lead' }),
    beginLeading: assign({
      agenda: ({ context, event }) => {
        const agenda = new Agenda(context.ledger, context.policies)
        agenda.epoch = context.ledger.epoch
        if (event.type === 'FOLDED') agenda.build(event.nowMs)
        return agenda
      },
      firings: ({ context: { ledger, calendar, followingSinceMs } }) =>
        calendar && new Firings(ledger, calendar, followingSinceMs?.() ?? 0),
    }),
    announce: ({ context }) => context.ask({ do: 'announce', epoch: context.ledger.epoch }),
    firstPlacing: ({ context, event }) => {
      if (event.type === 'FOLDED') proceed(context, [], event.nowMs)
    },
    retire: ({ context, event }) => {
      const reason = event.type === 'LEASE_LOST' ? event.reason : 'another scheduler leads'
      context.ask({ do: 'retire', reason })
    },
    forgetAgenda: assign({ agenda: undefined, firings: undefined }),
    noteFolded: ({ context, event }) => {
      if (event.type !== 'FOLDED' || context.agenda === undefined) return
      // A `led` of its own that was stored twice began another epoch.
      context.agenda.epoch = context.ledger.epoch
      context.firings?.note(event.changes)
      proceed(context, context.agenda.note(event.changes, event.nowMs), event.nowMs)
    },
    hear: ({ context, event }) => {
      if (event.type !== 'REPORTED' || context.agenda === undefined) return
      proceed(context, context.agenda.hear(event.incarnation, event.report, event.nowMs), event.nowMs)
    },
    alarm: ({ context, event }) => {
      if (event.type !== 'ALARM' || context.agenda === undefined) return
      const { agenda, firings } = context
      const effects = agenda.alarm(event.nowMs)
      const entries = firings?.alarm(event.nowMs) ?? []
      if (entries.length > 0) effects.push({ do: 'append', epoch: agenda.epoch, entries })
      proceed(context, effects, event.nowMs)
    },
  },
}).createMachine({
  id: 'scheduler',
  context: ({ input }) => ({ ...input, agenda: undefined, firings: undefined }),
  initial: 'standby',
  on: { OUTDATED: '.retired' },
  states: {
    standby: {
      on: { LEASE_WON: 'claiming' },
    },
    claiming: {
      entry: 'askToLead',
      on: {
        FOLDED: { guard: 'ledByMe', target: 'leading' },
        LEASE_LOST: 'standby',
      },
    },
    leading: {
      entry: ['beginLeading', 'announce', 'firstPlacing'],
      exit: ['retire', 'forgetAgenda'],
      on: {
        FOLDED: [{ guard: 'ledByAnother', target: 'standby' }, { actions: 'noteFolded' }],
        REPORTED: { actions: 'hear' },
        ALARM: { actions: 'alarm' },
        LEASE_LOST: 'standby',
      },
    },
    retired: {},
  },
})
