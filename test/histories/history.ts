/**
 * What people called and what they were told: for each call when it was made and when it was answered, as Jepsen writes it.
 * `ok`: answered. `fail`: certainly nothing came of it. `info`: nobody knows.
 */

/** All that is written here comes from the wire; nothing of Troupe stands behind these words. */
export type Call =
  | { readonly f: 'submit' | 'run'; readonly type: string; readonly value: number; readonly delayMs: number }
  | { readonly f: 'signal'; readonly signalId: string; readonly value: number }
  | { readonly f: 'read' }
  | { readonly f: 'cancel' }

/** What an answer said of the task. */
export interface Told {
  /** Of JetStream's acknowledgement. */
  readonly sequence?: number
  readonly status?: string
  readonly turn?: number
  readonly attempt?: number
  readonly result?: unknown
  /** Its code. */
  readonly error?: string
}

export interface Operation {
  readonly who: string
  readonly id: string
  readonly call: Call
  /** Of one monotonic clock, ms. */
  readonly fromMs: number
  readonly toMs: number
  readonly end: 'ok' | 'fail' | 'info'
  readonly told: Told
}

/** A line that a task has written, whatever became of its process. */
export interface Effect {
  readonly id: string
  readonly step: string
  readonly key: string
  readonly attempt: number
  readonly atMs: number
}

export interface History {
  readonly operations: readonly Operation[]
  readonly effects: readonly Effect[]
}

export const terminal: readonly string[] = ['completed', 'failed', 'cancelled', 'expired']

export function isTerminal({ status }: Told): boolean {
  return status !== undefined && terminal.includes(status)
}
