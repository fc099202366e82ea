/** What a node and a thread or process say to each other about one turn. Structured clones; `run` counts a lane's turns. */
import type { ErrorRecord } from '../../protocol/errors.ts'
import type { ArrivedSignal, LogicStart, ParkedFor, TaskRequest } from './logic.ts'
import type { OtherTask } from './other-task.ts'

export interface IsolatedTask {
  readonly url: string
  readonly type: string
  readonly id: string
  readonly turn: number
  readonly attempt: number
  readonly namespace: string
  /** What to add to the machine's clock for log time when the turn begins, ms. */
  readonly clockOffsetMs: number
  /** Log time may be later than that by so much, ms. */
  readonly clockErrorMs: number
  readonly logLevel: string
}

export type ToLane =
  | readonly ['run', run: number, task: IsolatedTask, from: LogicStart]
  | readonly ['signal', run: number, signal: ArrivedSignal]
  | readonly ['hand-back', run: number, graceMs: number]
  | readonly ['stop', run: number, error: ErrorRecord | null]
  | readonly ['stored', run: number, save: number]
  | readonly ['answer', run: number, question: number, answer: OtherTask | null, error: ErrorRecord | null]

export type FromLane =
  | readonly [
      'save',
      run: number,
      snapshot: Uint8Array,
      consumed: number,
      requests: readonly TaskRequest[],
      save: number,
    ]
  | readonly ['progress', run: number, fraction: number, note: string]
  | readonly ['park', run: number, snapshot: Uint8Array, consumed: number, until: ParkedFor]
  | readonly ['handed-back', run: number, snapshot: Uint8Array | null, consumed: number]
  | readonly ['done', run: number, result: Uint8Array | null]
  | readonly ['fault', run: number, error: ErrorRecord, retryable: boolean, event: number]
  | readonly ['ask', run: number, question: number, id: string]
  | readonly ['log', run: number, line: string]
  /** The logic has come to rest after `stop`: the lane can be used again. */
  | readonly ['rested', run: number]
