/**
 * The `bid` hook of a task type: what a task costs on one node beyond what the node's load says, by what the node holds. It is
 * called on each node that could take the task, before the task is placed.
 */
import type { Duration } from '../protocol/options.ts'

/** A task that is to be placed, and the node on which this is asked. */
export interface BidQuestion {
  readonly id: string
  readonly key: string | undefined
  /** As it was submitted: a schema has checked it at most, and changed nothing. */
  // biome-ignore lint/suspicious/noExplicitAny: known to the user alone, as for `migrate`
  readonly input: any
  readonly node: {
    readonly id: string
    readonly labels: Readonly<Record<string, string>>
    readonly slots: number
    /** Tasks that it runs now. */
    readonly running: number
  }
}

/** A further delay (ms, or '5s'), 0 for none; or why the node does not take the task. */
export type BidAnswer = Duration | { readonly refuse: string }

/**
 * Must change nothing, and answer within 200 ms; one that throws, is late or answers something else refuses the task, with
 * that for the reason. It runs on the node's main thread.
 */
export type BidHook = (asked: BidQuestion) => BidAnswer | Promise<BidAnswer>
