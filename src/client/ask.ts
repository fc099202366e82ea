/**
 * Requests that the leading scheduler (or a node) answers as JSON. While nobody leads, "no responders" is tried again
 * for a few seconds, because a standby takes over in that time. Every request here may be made twice without harm.
 */
import type { Bus } from '../nats/bus.ts'
import { unpackTell } from '../protocol/blocks.ts'
import { errorFromRecord } from '../protocol/error-record.ts'
import { type ErrorRecord, hasCode, TroupeError } from '../protocol/errors.ts'
import { parseJson } from '../protocol/json.ts'
import { submissionHeader, type TaskAnswer } from '../protocol/messages.ts'
import { type Ending, endingOf, toldEnding } from './ending.ts'

export interface AskOptions {
  /** How long to wait in all, ms. Default 5,000. */
  readonly timeoutMs?: number
  /** How long to try again when nobody listens, ms. Default 3,000. */
  readonly patienceMs?: number
}

const empty = new Uint8Array(0)
const pauseMs = 100
const encoder = new TextEncoder()

/**
 * Returns the answer's value, as JSON says it; the caller names its shape. Throws TROUPE_NO_ANSWER, TROUPE_CLOSED, or
 * the error that was answered.
 */
export async function ask<Answer>(
  bus: Bus,
  subject: string,
  body?: unknown,
  options: AskOptions = {},
): Promise<Answer> {
  const timeoutMs = options.timeoutMs ?? 5_000
  const startedAtMs = performance.now()
  const patienceMs = Math.min(timeoutMs, options.patienceMs ?? 3_000)
  const data = body === undefined ? empty : encoder.encode(JSON.stringify(body))
  for (;;) {
    const leftMs = Math.max(1, timeoutMs - (performance.now() - startedAtMs))
    try {
      const answer = await bus.request(subject, data, { timeoutMs: leftMs })
      return readAnswer<Answer>(answer, subject)
    } catch (error) {
      if (!nobodyListens(error) || performance.now() - startedAtMs + pauseMs > patienceMs) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

function nobodyListens(error: unknown): boolean {
  return (
    hasCode(error, 'TROUPE_NO_ANSWER') &&
    (error.details as { noResponders?: boolean } | undefined)?.noResponders === true
  )
}

/** Returns the value of an answer; throws the error that was answered, or TROUPE_UNREADABLE. */
export function readAnswer<Answer>({ data }: { readonly data: Uint8Array }, subject: string): Answer {
  let answer: unknown
  try {
    answer = parseJson(data)
  } catch (cause) {
    throw new TroupeError('TROUPE_UNREADABLE', `the answer of ${subject} cannot be read`, { cause })
  }
  const { error, id } = (typeof answer === 'object' && answer !== null ? answer : {}) as {
    error?: unknown
    id?: unknown
  }
  // A task's own answer may hold an `error` too, but then it holds the task's id as well.
  if (isRecord(error) && id === undefined) throw errorFromRecord(error)
  return answer as Answer
}

function isRecord(error: unknown): error is ErrorRecord {
  const record = error as ErrorRecord | undefined | null
  return (
    typeof record === 'object' &&
    record !== null &&
    typeof record.code === 'string' &&
    typeof record.message === 'string'
  )
}

/**
 * As `ask`, about a task that this client may have submitted just now at `sequence` (0: no matter): as long as the
 * scheduler has not read the log that far, an unknown id is asked again, for at most 5 seconds.
 */
export async function askAboutTask<Answer>(
  bus: Bus,
  subject: string,
  sequence: number,
  body?: unknown,
  options?: AskOptions,
): Promise<Answer> {
  const endsAtMs = performance.now() + 5_000
  for (;;) {
    try {
      return await ask<Answer>(bus, subject, body, options)
    } catch (error) {
      if (!notYetKnown(error, sequence) || performance.now() > endsAtMs) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/** True when the scheduler that does not know the task has not yet read its submission. */
function notYetKnown(error: unknown, sequence: number): boolean {
  if (sequence === 0 || !hasCode(error, 'TROUPE_UNKNOWN_TASK')) return false
  const position = (error.details as { position?: unknown } | undefined)?.position
  return typeof position !== 'number' || position < sequence
}

/**
 * Resolves with how a task ended, or undefined while it has not; asks once. The outcome is asked for in msgpack, in
 * which values keep their types and large ones are named; a scheduler that does not know that answers in JSON. `reference`
 * is the place of this client's own submission, if it has one: throws TROUPE_ID_CONFLICT if the task is another's.
 */
export async function askEnding(bus: Bus, subject: string, reference?: string): Promise<Ending | undefined> {
  const own = reference === undefined ? {} : { [submissionHeader]: reference }
  const answer = await bus.request(subject, empty, { headers: { Accept: 'application/msgpack', ...own } })
  if (answer.headers?.get('content-type') !== 'application/msgpack')
    return endingOf(readAnswer<TaskAnswer>(answer, subject))
  const told = unpackTell(answer.data)
  const outcome = told.ok ? told.message[0] : undefined
  if (outcome === undefined) throw new TroupeError('TROUPE_UNREADABLE', `the answer of ${subject} cannot be read`)
  return toldEnding(outcome)
}
