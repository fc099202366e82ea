/** What a fold reports about the messages it has just folded: for the scheduler's agenda, for clients, for watchers. */
import type { Payload } from '../../protocol/entries.ts'
import type { ErrorRecord } from '../../protocol/errors.ts'
import type { Member } from './member.ts'
import type { TaskRecord } from './task-record.ts'

/** Who waits for the outcome of a submission that made no task of its own. */
export interface Submitter {
  readonly reference: string
  readonly client: string | undefined
  readonly replyTo: string | undefined
}

export type TaskChange =
  | 'blocked'
  | 'ready'
  | 'held'
  | 'running'
  | 'hedged'
  | 'running-beside'
  | 'hedge-over'
  | 'progress'
  | 'checkpointed'
  | 'parked'
  | 'yielded'
  | 'retrying'
  | 'restarted'
  | 'signalled'
  | 'retried'
  | 'removed'

export type Change =
  | { readonly what: TaskChange; readonly task: TaskRecord }
  | { readonly what: 'submitted'; readonly task: TaskRecord; readonly input: Payload }
  | { readonly what: 'completed'; readonly task: TaskRecord; readonly result: Payload }
  | { readonly what: 'failed' | 'cancelled' | 'expired'; readonly task: TaskRecord; readonly error: ErrorRecord }
  /** The second of two turns, of this member, is the task's only one; the first took so long in vain. */
  | {
      readonly what: 'overtaken'
      readonly task: TaskRecord
      readonly member: Member
      readonly loser: Member
      readonly lastedMs: number
    }
  | { readonly what: 'duplicate'; readonly task: TaskRecord; readonly submitter: Submitter }
  | { readonly what: 'refused'; readonly submitter: Submitter; readonly id: string; readonly error: ErrorRecord }
  | { readonly what: 'joined' | 'left' | 'fenced'; readonly member: Member }
  | { readonly what: 'limited'; readonly type: string }
  | { readonly what: 'scheduled'; readonly name: string }
  | { readonly what: 'led'; readonly leader: string; readonly epoch: number }
  /** A node accepted a turn that is not its to have; it should be told to drop it. */
  | { readonly what: 'void-accept'; readonly member: Member; readonly id: string; readonly turn: number }
  /** A turn was taken from a node; it should be told to drop it. */
  | {
      readonly what: 'recalled'
      readonly member: Member
      readonly id: string
      readonly turn: number
      readonly reason: string
    }
  | { readonly what: 'set-aside'; readonly item: SetAside }
  /** Something landed here that belongs to another partition. */
  | { readonly what: 'stray' }

/** A message or entry that could not count, kept for people to see. */
export interface SetAside {
  readonly sequence: number
  readonly subject: string
  readonly atMs: number
  readonly reason: ErrorRecord
}
