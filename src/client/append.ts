/**
 * A write to the log that ends certain or says that it is not: the same bytes with the same message id are sent until
 * the stream answers or the deadline passes. The stream's dedupe window (60 s) is longer than the deadline, so a resend
 * is never stored twice.
 */
import type { AppendResult, Headers, Log } from '../nats/bus.ts'
import { TroupeError } from '../protocol/errors.ts'

export interface DurableWrite {
  readonly log: Log
  readonly subject: string
  readonly data: Uint8Array
  readonly messageId: string
  readonly headers?: Headers
  /** What is being written, for messages: "12 submissions". */
  readonly what: string
  /** Default 30,000. */
  readonly deadlineMs?: number
  /** Of the namespace, as the writer knows it. */
  readonly partitions: number
  /** True once the connection was closed on purpose. */
  readonly isClosed: () => boolean
}

const deadlineMsDefault = 30_000
const tryMsMax = 5_000
const pauseMs = 100

/**
 * Returns the log sequence. Throws TROUPE_REFUSED or TROUPE_TOO_LARGE when it certainly was not stored, and
 * TROUPE_NO_ANSWER or TROUPE_CLOSED when it may or may not have been.
 */
export async function appendDurably(write: DurableWrite): Promise<number> {
  const endsAtMs = performance.now() + (write.deadlineMs ?? deadlineMsDefault)
  // After one try whose fate is unknown, a later refusal says nothing about the first: it may be stored.
  let uncertain = false
  for (;;) {
    const leftMs = endsAtMs - performance.now()
    const result = await write.log.append(write.subject, write.data, {
      messageId: write.messageId,
      timeoutMs: Math.max(1, Math.min(tryMsMax, leftMs)),
      ...(write.headers === undefined ? {} : { headers: write.headers }),
    })
    if (result.outcome === 'stored') return result.sequence
    if (result.outcome === 'unknown') uncertain = true
    else if (!uncertain) await throwIfCertain(write, result)
    if (write.isClosed()) throw closed(write, uncertain)
    if (performance.now() + pauseMs >= endsAtMs) throw outOfTime(write, uncertain, result)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/**
 * "No responders" has three causes: the log's door is closed (say so at once), the stream has no leader for the moment
 * (try again), or there is none (try again, and say so in the end).
 */
async function throwIfCertain(write: DurableWrite, result: AppendResult & { outcome: 'refused' }): Promise<void> {
  const { reason, message } = result
  if (reason === 'too-large') throw new TroupeError('TROUPE_TOO_LARGE', `${write.what} did not fit: ${message}`)
  if (reason === 'not-allowed') throw new TroupeError('TROUPE_NOT_ALLOWED', `${write.what} refused: ${message}`)
  if (reason !== 'no-responders')
    throw new TroupeError('TROUPE_REFUSED', `${write.what} refused by the log: ${message}`)
  const info = await write.log.info().catch(() => undefined)
  if (info !== undefined && (info.partitions ?? 1) !== write.partitions && (info.partitions ?? 1) > 1) {
    const message = `${write.what} refused: the namespace has ${info.partitions} partitions now, and had ${write.partitions} when this connection was made`
    throw new TroupeError('TROUPE_PARTITIONS', message, { details: { partitions: info.partitions } })
  }
  if (info?.doorOpen === false) {
    throw new TroupeError('TROUPE_REFUSED', `${write.what} refused: the log is full and takes no new work for now`)
  }
}

function outOfTime(write: DurableWrite, uncertain: boolean, result: AppendResult & { message: string }): TroupeError {
  if (!uncertain) return new TroupeError('TROUPE_REFUSED', `${write.what} refused: no log takes it (${result.message})`)
  return new TroupeError('TROUPE_NO_ANSWER', `no answer for ${write.what}: it may or may not have been accepted`, {
    details: { mayBeAccepted: true },
  })
}

function closed(write: DurableWrite, uncertain: boolean): TroupeError {
  const fate = uncertain ? 'it may or may not have been accepted' : 'it was not accepted'
  return new TroupeError('TROUPE_CLOSED', `the connection was closed before ${write.what} was answered: ${fate}`, {
    details: { mayBeAccepted: uncertain },
  })
}
