/**
 * A turn of a task as its node sees it: what the node gives it, what it gives the node, and how one is started. Everything
 * that happens inside is in `task-turn.ts` and the runners of the logic.
 */
import type { Logger } from 'pino'
import type { Keyring } from '../../client/encryption.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import type { JournalEntry } from '../../protocol/entries.ts'
import type { TroupeError } from '../../protocol/errors.ts'
import type { AwardedTask, SignalItem, TaskAnswer } from '../../protocol/messages.ts'
import { TaskTurn } from './task-turn.ts'

/** What a turn asks of its node. All synchronous; the node's journal groups what was handed over. */
export interface TurnHost {
  readonly namespace: string
  /** Estimate of log time, ms. */
  nowMs(): number
  /** Log time is not later than this, ms: what is to last for some time counts from here, so that it never ends early. */
  nowAtMostMs(): number
  /**
   * Appends the entries to the journal, all in one block, in order. `onStored` runs once the block is stored and only if
   * this incarnation was not fenced.
   */
  commit(entries: readonly JournalEntry[], onStored?: () => void): void
  /**
   * The turn has handed over its last entry (completed, failed, parked, yielded) or was aborted: the slot is free. Exactly
   * once; possibly before `startTurn` has returned. `completed`: that was its last entry.
   */
  ended(turn: Turn, completed: boolean): void
  /** Stores a value that is too large for the log; returns its name. */
  storeObject(data: Uint8Array): Promise<string>
  loadObject(name: string): Promise<Uint8Array>
  /** State and result of another task: asks the scheduler. */
  ask(id: string): Promise<TaskAnswer>
  /** The turn lacks the signals after `sequence`; they come again through `Turn.signal`. Optional: the turn then waits. */
  gap?(turn: Turn, sequence: number): void
  readonly log: Logger
  /** Undefined: values are not encrypted. */
  readonly keyring?: Keyring | undefined
}

export interface Turn {
  readonly task: string
  readonly turn: number
  readonly type: string
  /** A durable signal arrived while running. Duplicates and gaps are noticed. */
  signal(item: SignalItem): void
  /** Stop now, commit nothing more (fenced, dropped, cancelled, timed out elsewhere). `ctx.signal` aborts with the error. */
  abort(error: TroupeError): void
  /**
   * Drain or preemption: hand back at the next boundary (machines: next macrostep; functions: at the next ctx call, or
   * from the last checkpoint after `graceMs`), committing `yielded`.
   */
  yield(graceMs: number): void
}

/**
 * Runs one turn of a task whose `accepted` entry is with the journal, and returns it. A function that does not wait has
 * ended when this returns. Never throws: what goes wrong becomes a `failed` entry.
 */
export function startTurn(definition: AnyTaskDefinition, awarded: AwardedTask, host: TurnHost): Turn {
  const turn = new TaskTurn(definition, awarded, host)
  turn.start()
  return turn
}
