/** `run.<type>`: checks the input against the type's schema where a node has one, submits, and answers with the outcome. */
import { randomUUID } from 'node:crypto'
import { queueFull } from '../../actors/ledger/admission.ts'
import { resultAt, unpackMessage } from '../../actors/ledger/values.ts'
import type { BusMessage } from '../../nats/bus.ts'
import { errorFromRecord } from '../../protocol/error-record.ts'
import { hasCode, TroupeError } from '../../protocol/errors.ts'
import type { RunAnswer } from '../../protocol/messages.ts'
import { systemTaskId } from '../../protocol/names.ts'
import { readSubmission } from '../../protocol/submission.ts'
import type { AnswersOptions } from './answers.ts'
import type { SchedulerService } from './scheduler-service.ts'
import { answerOf } from './teller.ts'

/** An answer that nobody has fetched by then is given up; the task goes on. */
const runMsMax = 24 * 3_600_000

export async function runTask(
  service: SchedulerService,
  options: AnswersOptions,
  type: string,
  message: BusMessage,
): Promise<RunAnswer> {
  const { subjects, log, partition } = options
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
  const reference = systemTaskId(partition, result.sequence)
  return outcome(service, options, reference, read.submission[2]?.id ?? reference)
}

function outcome(
  service: SchedulerService,
  options: AnswersOptions,
  reference: string,
  id: string,
): Promise<RunAnswer> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new TroupeError('TROUPE_NO_ANSWER', `task "${id}" runs on`)), runMsMax)
    timer.unref()
    const answer = (answer: RunAnswer | { status: 'refused'; error: { code: string; message: string } }) => {
      clearTimeout(timer)
      if (answer.status === 'refused') reject(errorFromRecord(answer.error))
      else resolve(answer)
    }
    service.teller.wait(id, (_task, told) => answer(told))
    if (id !== reference) service.teller.wait(reference, (_task, told) => answer(told))
    void alreadyEnded(service, options, id).then((told) => told && answer(told))
  })
}

/** A submission with the id of a task that has ended is answered with what it came to. */
async function alreadyEnded(
  service: SchedulerService,
  options: AnswersOptions,
  id: string,
): Promise<RunAnswer | undefined> {
  const task = service.ledger.state.tasks.get(id)
  if (task === undefined || !task.ended || task.outcome === undefined) return undefined
  if (task.status !== 'completed') {
    return answerOf(
      id,
      task.status as 'failed',
      task.rare?.lastError ?? { code: 'TROUPE_TASK_FAILED', message: 'it failed' },
    )
  }
  const stored = await options.log.get(task.outcome.sequence)
  const result =
    stored === undefined ? undefined : resultAt(unpackMessage(options.subjects, stored), task.outcome.index)
  return answerOf(id, 'completed', result ?? null)
}

/** Asks one node that has the type; types without a schema take anything. */
async function validate(
  options: AnswersOptions,
  service: SchedulerService,
  type: string,
  message: BusMessage,
): Promise<void> {
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
