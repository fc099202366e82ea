/**
 * The outcome of a task in msgpack, for who asks `task.<id>` with `Accept: application/msgpack`: values keep their types,
 * and a large one is named by its object, none of which JSON can show.
 */
import type { Place, TaskRecord } from '../../actors/ledger/task-record.ts'
import { resultAt, unpackMessage } from '../../actors/ledger/values.ts'
import type { BusMessage, Log } from '../../nats/bus.ts'
import { packBlock } from '../../protocol/blocks.ts'
import type { Payload } from '../../protocol/entries.ts'
import type { Outcome } from '../../protocol/messages.ts'
import type { Subjects } from '../../protocol/subjects.ts'

export const packedHeaders = { 'Content-Type': 'application/msgpack' }

export function wantsPacked(message: BusMessage): boolean {
  return message.headers?.get('accept') === packedHeaders['Content-Type']
}

/** Resolves with a tell of one row, or undefined if the task did not complete or fail, or the log holds it no more. */
export async function packedOutcome(task: TaskRecord, log: Log, subjects: Subjects): Promise<Uint8Array | undefined> {
  const { id, status, outcome } = task
  if (outcome === undefined || (status !== 'completed' && status !== 'failed')) return undefined
  const value = status === 'completed' ? await resultOf(outcome, log, subjects) : task.rare?.lastError
  return value === undefined ? undefined : packBlock([[id, id, status, value] as Outcome])
}

async function resultOf({ sequence, index }: Place, log: Log, subjects: Subjects): Promise<Payload | undefined> {
  const message = await log.get(sequence)
  return message === undefined ? undefined : resultAt(unpackMessage(subjects, message), index)
}
