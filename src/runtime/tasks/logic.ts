/**
 * Between a turn and the user's logic: what the logic's runner may say to its turn (the port), and what the turn says to
 * the runner. Values cross it packed, so that a runner may live in a thread or another process.
 */
import type { Logger } from 'pino'
import type { ErrorRecord, TroupeError } from '../../protocol/errors.ts'
import type { SubmissionOptions } from '../../protocol/options.ts'
import type { OtherTask } from './other-task.ts'

/** A value as it is in the log, objects already fetched. */
export type Packed = Uint8Array | string | null

/** A signal that has arrived: its sequence in the log and its event. */
export type ArrivedSignal = readonly [sequence: number, event: Packed]

/** What a runner starts from. */
export interface LogicStart {
  readonly input: Packed
  /** The last committed snapshot; null at the first start. */
  readonly snapshot: Packed
  readonly signals: readonly ArrivedSignal[]
  /** The snapshot is from before an operator let the task run again. */
  readonly retried?: boolean
}

/** A child to submit together with the state that asked for it. */
export interface ChildSubmission {
  readonly type: string
  readonly input: Packed
  readonly options: SubmissionOptions
}

/** An event to send to another task, once by its id. */
export interface SignalRequest {
  readonly to: string
  readonly signalId: string
  readonly event: Packed
}

/** A child to cancel. */
export interface Dismissal {
  readonly dismissed: string
}

/** What a task asks for in the same block as the state that asked. */
export type TaskRequest = ChildSubmission | SignalRequest | Dismissal

/** What a task waits for while it is parked. */
export interface ParkedFor {
  readonly wakeAtMs: number
  readonly onSignal: boolean
  readonly children: readonly string[]
  /** One of the children is enough. */
  readonly anyChild?: boolean
}

/** What a runner says. After `done`, `fault`, `park` or `handBack` it says nothing more. */
export interface LogicPort {
  readonly id: string
  readonly turn: number
  readonly attempt: number
  readonly namespace: string
  readonly log: Logger
  /** Estimate of log time, ms. */
  nowMs(): number
  /** Log time is not later than this, ms: what is to last for some time counts from here, so that it never ends early. */
  nowAtMostMs(): number
  /** Commits a state, with what it asked for, in one block; `onStored` runs when that is stored. */
  save(snapshot: Uint8Array, consumed: number, requests: readonly TaskRequest[], onStored?: () => void): void
  progress(fraction: number, note: string): void
  park(snapshot: Uint8Array, consumed: number, until: ParkedFor): void
  /** The boundary that `LogicRunner.handBack` asked for is reached. Null: as last saved. */
  handBack(snapshot: Uint8Array | null, consumed: number): void
  done(result: Uint8Array | null): void
  /** `event`: sequence of the signal that was taken last, if no saved state has it; 0 for none. */
  fault(error: ErrorRecord, retryable: boolean, event?: number): void
  ask(id: string): Promise<OtherTask>
}

/** What a turn says to the logic. */
export interface LogicRunner {
  start(from: LogicStart): void
  /** A signal arrived while running; in order, none twice. */
  signal(signal: ArrivedSignal): void
  /** Go on to the next boundary, then `handBack` (or end); at the latest after `graceMs`, from the last saved state. */
  handBack(graceMs: number): void
  /** The turn is over for the logic: let go of everything. `error` undefined: parked, handed back, or failed by itself. */
  stop(error: TroupeError | undefined): void
}
