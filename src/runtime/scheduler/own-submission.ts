/**
 * Who asks how a submission of its own ended names the submission's place in the log: the id may belong to a task that
 * somebody submitted before with another input, and the tell that said so may be lost.
 */
import { idConflict, isSubmissionOf } from '../../actors/ledger/submission-entries.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import { unpackMessage } from '../../actors/ledger/values.ts'
import type { BusMessage } from '../../nats/bus.ts'
import { errorFromRecord } from '../../protocol/error-record.ts'
import { submissionHeader } from '../../protocol/messages.ts'
import type { AnswersOptions } from './answers.ts'

/** Throws TROUPE_ID_CONFLICT if the submission that was asked about is not of this task. Says nothing once it is trimmed. */
export async function checkOwnSubmission(
  task: TaskRecord,
  message: BusMessage,
  { log, subjects, partition }: Pick<AnswersOptions, 'log' | 'subjects' | 'partition'>,
): Promise<void> {
  const reference = message.headers?.get(submissionHeader.toLowerCase())
  if (reference === undefined || reference === task.reference) return
  const [, home, sequence, index = '0'] = /^(\d+)-(\d{1,15})(?:-(\d{1,6}))?$/.exec(reference) ?? []
  // What came here from another partition stands there.
  const stored = Number(home) === partition ? await log.get(Number(sequence)) : undefined
  const unpacked = stored && unpackMessage(subjects, stored)
  const submission = unpacked?.of === 'block' ? unpacked.entries[Number(index)] : undefined
  if (submission === undefined || submission[2]?.id !== task.id || isSubmissionOf(task, submission)) return
  throw errorFromRecord(idConflict(task.id, submission[0]))
}
