/**
 * What happened, as those saw it who took part: calls of clients and their answers, runs and effects of tasks, outcomes
 * told, faults, and the log itself. A checker judges it; real runs can record the same.
 */
import type { LogMessage } from '../../src/protocol/entries.ts'

export type TerminalStatus = 'completed' | 'failed' | 'cancelled' | 'expired'

export type HistoryEvent =
  /** A client begins to submit; `mark` is a number in the task's input that no other submission has. */
  | {
      readonly what: 'submit'
      readonly atMs: number
      readonly mark: number
      readonly type: string
      readonly id: string | undefined
    }
  /** The submission was acknowledged; the system's id, or the given one. */
  | { readonly what: 'accepted'; readonly atMs: number; readonly mark: number; readonly id: string }
  /** It was certainly not stored. */
  | { readonly what: 'refused'; readonly atMs: number; readonly mark: number; readonly code: string }
  /** Nobody knows. */
  | { readonly what: 'unknown'; readonly atMs: number; readonly mark: number; readonly code: string }
  /** A client was told how a task ended; `detail` is its result or its error's code, as JSON. */
  | {
      readonly what: 'told'
      readonly atMs: number
      readonly id: string
      readonly status: TerminalStatus
      readonly detail: string
    }
  /** A client was told that the id belongs to another submission. */
  | { readonly what: 'conflict'; readonly atMs: number; readonly mark: number; readonly id: string }
  /** A client was told that an accepted task is not known. */
  | { readonly what: 'forgotten'; readonly atMs: number; readonly id: string }
  /** A client was told that an accepted task has completed, and that its result is not kept any more. */
  | { readonly what: 'gone'; readonly atMs: number; readonly id: string }
  | { readonly what: 'signalled'; readonly atMs: number; readonly id: string; readonly value: number }
  /** An operator's retry: the task may end once more. */
  | { readonly what: 'retried'; readonly atMs: number; readonly id: string }
  /** The task's logic began. */
  | {
      readonly what: 'run'
      readonly atMs: number
      readonly process: string
      readonly id: string
      readonly attempt: number
      readonly restored: unknown
    }
  /** A side effect of a step. */
  | {
      readonly what: 'effect'
      readonly atMs: number
      readonly process: string
      readonly id: string
      readonly step: string
      readonly key: string
      readonly attempt: number
    }
  /** So much of the room of a partition's log is taken from here on, 0 to 1. */
  | { readonly what: 'filled'; readonly atMs: number; readonly partition: number; readonly share: number }
  /** A large value was stored or renewed, or removed, while the logs held this. */
  | {
      readonly what: 'object'
      readonly atMs: number
      readonly name: string
      readonly isThere: boolean
      readonly logs: readonly { readonly first: number; readonly last: number }[]
    }
  | { readonly what: 'fault'; readonly atMs: number; readonly kind: string; readonly detail: string }

/** What one task is in a ledger at the end. */
export interface LedgerTask {
  readonly id: string
  readonly status: string
  readonly turn: number
  readonly attempt: number
  readonly owner: string | undefined
  readonly outcome: string | undefined
}

export interface History {
  readonly events: readonly HistoryEvent[]
  /** By partition: every message that its stream keeps or has trimmed, in order, without what a server lost. */
  readonly logs: readonly (readonly LogMessage[])[]
  /** Messages of the first log that were acknowledged and that the server lost afterwards. */
  readonly lost: readonly LogMessage[]
  /** Large values by their names, where they are known. */
  readonly objects?: ReadonlyMap<string, Uint8Array>
  /** Ledgers at the end, by who holds them, with the position up to which each is folded. */
  readonly ledgers: readonly {
    readonly holder: string
    readonly partition: number
    readonly position: number
    readonly tasks: readonly LedgerTask[]
    /** Where it differs from a fold of the whole log; left out where nobody has compared. */
    readonly differences?: readonly string[]
  }[]
  /** The newest checkpoints at the end, and where they differ from a fold of the log up to their place. */
  readonly checkpoints?: readonly { readonly name: string; readonly differences: readonly string[] }[]
  /** Errors that left an event handler or a promise: in a real process, its end. */
  readonly escaped: readonly { readonly process: string; readonly atMs: number; readonly error: unknown }[]
  /** Kinds of faults that were planned, and how often each came about. */
  readonly planned: readonly string[]
  readonly fired: ReadonlyMap<string, number>
  /** The faults were over and a core was healthy at the end, for so long. */
  readonly healed: { readonly atMs: number; readonly untilMs: number } | undefined
  /** The server took what a fence forbids. */
  readonly brokenFences: boolean
  /** Ms since 1970 of the instant from which events count their time. */
  readonly epochMs: number
  /** By how much estimates of log time may have been apart, ms: latencies, and steps of the server's own clock. */
  readonly clockErrorMs: number
  /** The log took submissions at the end; left out where that is not known. */
  readonly doorOpen?: boolean
  /** Waits that clients still had at the end. */
  readonly waiting: number
}

export class Recorder {
  readonly events: HistoryEvent[] = []
  readonly logs: readonly LogMessage[][]
  readonly lost: LogMessage[] = []

  constructor(partitions: number) {
    this.logs = Array.from({ length: partitions }, () => [])
  }

  add(event: HistoryEvent): void {
    this.events.push(event)
  }

  stored(partition: number, message: LogMessage): void {
    this.logs[partition]!.push(message)
  }

  /** The server lost everything of the first log from this sequence on. */
  loseFrom(sequence: number): void {
    const log = this.logs[0]!
    while ((log.at(-1)?.sequence ?? 0) >= sequence) this.lost.push(log.pop()!)
  }
}
