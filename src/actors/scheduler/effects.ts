/** What a scheduler asks of its runtime, as plain data. None of it is truth; only what is appended to the log is. */
import type { ControlEntry } from '../../protocol/entries.ts'
import type { CallForBids, TypeCount } from '../../protocol/messages.ts'
import type { Member } from '../ledger/member.ts'
import type { SignalPlace, TaskRecord } from '../ledger/task-record.ts'

export type SchedulerEffect =
  /** Append `led`; what follows waits until it is folded. */
  | { readonly do: 'lead' }
  /** Append these control entries under this epoch. */
  | { readonly do: 'append'; readonly epoch: number; readonly entries: readonly ControlEntry[] }
  /** Invite this node to run the next turn of each task. */
  | {
      readonly do: 'award'
      readonly epoch: number
      readonly member: Member
      readonly tasks: readonly TaskRecord[]
      /** The call for bids under which the node has reserved their places. */
      readonly tender?: string
    }
  /** The gangs of these turns, which the node holds, have been accepted as a whole. */
  | { readonly do: 'begin'; readonly member: Member; readonly turns: readonly (readonly [string, number])[] }
  /** A call for bids is over: the node keeps only these places. */
  | { readonly do: 'release'; readonly member: Member; readonly tender: string; readonly keep: readonly TypeCount[] }
  /** Tell this node that these turns are not its own. */
  | { readonly do: 'drop'; readonly member: Member; readonly turns: readonly Dropped[] }
  /** Ask this node to give up a turn at its next boundary. */
  | { readonly do: 'yield'; readonly member: Member; readonly task: TaskRecord; readonly reason: string }
  /** Hand a running turn the signals that arrived for it. */
  | {
      readonly do: 'signal'
      readonly member: Member
      readonly task: TaskRecord
      /** The turn of this node. */
      readonly turn: number
      readonly signals: readonly SignalPlace[]
    }
  /** Call for bids: no standing bid covers tasks of these types, or places are to be reserved for a tender. */
  | ({ readonly do: 'call' } & CallForBids)
  /** Ask these nodes what each of the tasks costs there. */
  | { readonly do: 'quote'; readonly members: readonly Member[]; readonly tasks: readonly TaskRecord[] }
  /** Send an `ALARM` at this log time. */
  | { readonly do: 'wake'; readonly atMs: number }
  /** Leadership began with this epoch, or ended. */
  | { readonly do: 'announce'; readonly epoch: number }
  | { readonly do: 'retire'; readonly reason: string }

export type Dropped = readonly [task: string, turn: number, reason: string]
