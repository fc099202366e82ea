/**
 * What a task came to, for who asks once it has ended: its result is read back from the log, where it stands. In msgpack for
 * who asks `task.<id>` with `Accept: application/msgpack`: values keep their types, and a large one is named by its object,
 * none of which JSON can show.
 */
import type { Place, TaskRecord, TerminalStatus } from '../../actors/ledger/task-record.ts'
import { resultIn } from '../../actors/ledger/values.ts'
import type { BusMessage, Log } from '../../nats/bus.ts'
import { packBlock } from '../../protocol/blocks.ts'
import type { Payload } from '../../protocol/entries.ts'
import type { ErrorRecord } from '../../protocol/errors.ts'
import type { Outcome } from '../../protocol/messages.ts'
import type { Subjects } from '../../protocol/subjects.ts'

export interface TaskOutcome {
  readonly status: TerminalStatus
  /** The result or the error; undefined for a result that the log holds no more. */
  readonly value: Payload | ErrorRecord | undefined
}

interface Source {
  readonly log: Pick<Log, 'get'>
  readonly subjects: Subjects
}

/** Resolves with undefined while the task has not ended. Rejects with TROUPE_NO_ANSWER. */
export async function outcomeOf(task: TaskRecord, source: Source): Promise<TaskOutcome | undefined> {
  const { status, outcome, rare } = task
  if (status === 'completed') return { status, value: outcome && (await resultOf(outcome, source)) }
  if (status !== 'failed' && status !== 'cancelled' && status !== 'expired') return undefined
  const value = rare?.lastError ?? { code: `TROUPE_TASK_${status.toUpperCase()}`, message: `it was ${status}` }
  return { status, value }
}

async function resultOf({ sequence, index }: Place, { log, subjects }: Source): Promise<Payload | undefined> {
  const message = await log.get(sequence)
  return message && resultIn(subjects, message, index)
}

export const packedHeaders = { 'Content-Type': 'application/msgpack' }

export function wantsPacked(message: BusMessage): boolean {
  return message.headers?.get('accept') === packedHeaders['Content-Type']
}

/** Resolves with a tell of one row; undefined if the task has not ended, or the log holds its result no more. */
export async function packedOutcome(task: TaskRecord, source: Source): Promise<Uint8Array | undefined> {
  const outcome = await outcomeOf(task, source)
  if (outcome?.value === undefined) return undefined
  return packBlock([[task.id, task.id, outcome.status, outcome.value] as Outcome])
}
