/** Where there is room for tasks in one round of placing. With few nodes: all that have credit left, as they are. */
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Gate } from './gate.ts'
import type { Candidate } from './placement.ts'

/** With more nodes than this, not all are looked at for every task. */
export const fewNodes = 32

export interface Room {
  readonly isEmpty: boolean
  /** Nodes that can have the task, those worth looking at if there are very many. */
  candidates(task: TaskRecord): Candidate[]
  /** Nodes that have credit left now; some of very many. */
  left(): readonly Candidate[]
  /** One of them has got it. */
  spent(candidate: Candidate): void
}

export class OpenNodes implements Room {
  private open: readonly Candidate[]
  private readonly gate: Gate

  constructor(open: readonly Candidate[], gate: Gate) {
    this.open = open
    this.gate = gate
  }

  get isEmpty(): boolean {
    return this.open.length === 0
  }

  candidates(task: TaskRecord): Candidate[] {
    return this.gate.candidates(task, this.open)
  }

  left(): readonly Candidate[] {
    return this.open
  }

  spent(candidate: Candidate): void {
    candidate.free--
    if (candidate.free === 0) this.open = this.open.filter((other) => other !== candidate)
  }
}
