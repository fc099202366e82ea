/** How a task ended, from a tell or from the answer about its state. */
import type { Payload } from '../protocol/entries.ts'
import type { ErrorRecord } from '../protocol/errors.ts'
import type { Outcome, TaskAnswer } from '../protocol/messages.ts'

/** How a task ended. `payload` when told, `value` when asked for; `refused` also when a result is not kept any more. */
export type Ending =
  | { readonly id: string; readonly status: 'completed'; readonly payload: Payload }
  | { readonly id: string; readonly status: 'completed'; readonly value: unknown }
  | {
      readonly id: string
      readonly status: 'failed' | 'cancelled' | 'expired' | 'refused'
      readonly error: ErrorRecord
    }

/** Returns the ending that was told. */
export function toldEnding(outcome: Outcome): Ending {
  return outcome[2] === 'completed'
    ? { id: outcome[1], status: 'completed', payload: outcome[3] }
    : { id: outcome[1], status: outcome[2], error: outcome[3] }
}

/** Returns how the task ended, or undefined while it has not. */
export function endingOf(answer: TaskAnswer): Ending | undefined {
  if (answer.status === 'completed') {
    const { id, result: value, error } = answer
    return error === undefined ? { id, status: 'completed', value } : { id, status: 'refused', error }
  }
  if (answer.status === 'failed' || answer.status === 'cancelled' || answer.status === 'expired') {
    const error = answer.error ?? { code: `TROUPE_TASK_${answer.status.toUpperCase()}`, message: answer.status }
    return { id: answer.id, status: answer.status, error }
  }
  return undefined
}
