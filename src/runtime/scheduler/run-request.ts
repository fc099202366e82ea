/** `run.<type>`: checks the input against the type's schema where a node has one, submits, and answers with the outcome. */
import { randomUUID } from 'node:crypto'
import { queueFull } from '../../actors/ledger/admission.ts'
import type { LedgerState } from '../../actors/ledger/state.ts'
import { idConflict, isSubmissionOf } from '../../actors/ledger/submission-entries.ts'
import type { BusMessage } from '../../nats/bus.ts'
import type { Submission } from '../../protocol/entries.ts'
import { errorFromRecord } from '../../protocol/error-record.ts'
import { type ErrorRecord, hasCode, TroupeError } from '../../protocol/errors.ts'
import type { RunAnswer } from '../../protocol/messages.ts'
import { systemTaskId } from '../../protocol/names.ts'
import { placeOf } from '../../protocol/partitions.ts'
import { readSubmission } from '../../protocol/submission.ts'
import type { LedgerReader } from '../ledger/ledger-reader.ts'
import type { AnswersOptions } from './answers.ts'
import type { SchedulerService } from './scheduler-service.ts'
import { outcomeOf } from './task-outcome.ts'
import { answerOf, resultGone } from './teller.ts'

/** What is needed of the scheduler that answers. */
export type RunService = Pick<SchedulerService, 'ledger' | 'teller' | 'nowMs'>
export type RunOptions = Pick<AnswersOptions, 'bus' | 'log' | 'subjects' | 'partition'> & {
  readonly reader: Pick<LedgerReader, 'reached'>
}

/** An answer that nobody has fetched by then is given up; the task goes on. */
const runMsMax = 24 * 3_600_000

/** The other partition that a task belongs to which is to be run; undefined if it is this one's. */
export function placeOfRun(
  { subject, data, headers }: BusMessage,
  type: string,
  { partition, partitions }: Pick<LedgerState, 'partition' | 'partitions'>,
): number | undefined {
  const read = readSubmission({ subject, sequence: 0, timestampMs: 0, data, headers }, type)
  const place = read.ok ? placeOf(read.submission, partitions) : undefined
  return place === partition ? undefined : place
}

export async function runTask(
  service: RunService,
  options: RunOptions,
  type: string,
  message: BusMessage,
): Promise<RunAnswer> {
  const { subjects, log } = options
  const headers = message.headers
  const read = readSubmission(
    { subject: subjects.submit(type), sequence: 0, timestampMs: service.nowMs(), data: message.data, headers },
    type,
  )
  if (!read.ok) throw errorFromRecord(read.reason)
  const full = queueFull(service.ledger.state, type)
  if (full !== undefined && !service.ledger.state.tasks.has(read.submission[2]?.id ?? '')) throw errorFromRecord(full)
  await validate(options, service, type, message)
  const kept =
    headers === undefined
      ? {}
      : Object.fromEntries([...headers].filter(([name]) => /^(troupe-|content-type$)/.test(name)))
  const result = await log.append(subjects.submit(type), message.data, { messageId: randomUUID(), headers: kept })
  if (result.outcome !== 'stored') {
    throw new TroupeError('TROUPE_REFUSED', `the submission was not stored: ${result.message}`)
  }
  return outcome(service, options, read.submission, result.sequence)
}

function outcome(
  service: RunService,
  options: RunOptions,
  submission: Submission,
  sequence: number,
): Promise<RunAnswer> {
  const reference = systemTaskId(options.partition, sequence)
  const id = submission[2]?.id ?? reference
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TroupeError('TROUPE_NO_ANSWER', `task "${id}" runs on`)), runMsMax)
    timer.unref()
    const answer = (answer: RunAnswer | { status: 'refused'; error: { code: string; message: string } }) => {
      clearTimeout(timer)
      if (answer.status === 'refused') reject(errorFromRecord(answer.error))
      else resolve(answer)
    }
    service.teller.wait(id, (_task, told) => answer(told))
    if (id === reference) return
    service.teller.wait(reference, (_task, told) => answer(told))
    // It may have been folded before anybody waited for it here.
    decidedBefore(service, options, submission, { id, sequence }).then((told) => told && answer(told), reject)
  })
}

/** What a submission with an id comes to by what was there before it: a conflict, or the outcome of a task that has ended. */
async function decidedBefore(
  service: RunService,
  options: RunOptions,
  submission: Submission,
  { id, sequence }: { readonly id: string; readonly sequence: number },
): Promise<RunAnswer | { status: 'refused'; error: ErrorRecord } | undefined> {
  // Whoever waits is told when it is folded at last.
  const isFolded = await options.reader.reached(sequence).then(
    () => true,
    () => false,
  )
  const task = isFolded ? service.ledger.state.tasks.get(id) : undefined
  if (task === undefined) return undefined
  if (!isSubmissionOf(task, submission)) return { status: 'refused', error: idConflict(id, submission[0]) }
  const outcome = await outcomeOf(task, options)
  if (outcome === undefined) return undefined
  if (outcome.value === undefined) return { id, status: 'completed', error: resultGone(id) }
  return answerOf(id, outcome.status, outcome.value)
}

/** Asks one node that has the type; types without a schema take anything. */
async function validate(options: RunOptions, service: RunService, type: string, message: BusMessage): Promise<void> {
  const members = [...service.ledger.state.membersBySubject.values()]
  if (!members.some((member) => member.types.get(type)?.schema)) return
  const contentType = message.headers?.get('content-type')
  const headers = contentType === undefined ? {} : { 'Content-Type': contentType }
  try {
    const answer = await options.bus.request(options.subjects.validate(type), message.data, {
      headers,
      timeoutMs: 2_000,
    })
    const { error } = JSON.parse(new TextDecoder().decode(answer.data)) as { error?: { code: string; message: string } }
    if (error !== undefined) throw errorFromRecord(error)
  } catch (error) {
    // No node could say; the one that runs it will.
    if (!hasCode(error, 'TROUPE_NO_ANSWER')) throw error
  }
}
