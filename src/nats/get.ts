/**
 * Single messages of a stream. `…FromLeader` asks who decides what is stored; `…FromAny` uses direct get, which any
 * replica answers, quicker, and possibly behind.
 */
import type { Msg } from '@nats-io/transport-node'
import type { LogMessage } from '../protocol/entries.ts'
import type { NatsBus } from './connection.ts'
import { readHeaders, statusOf } from './headers.ts'
import { api, apiCode, apiCodeOf } from './jetstream-api.ts'
import { noAnswer, unanswered } from './message.ts'

const timeoutMs = 5_000
/** Messages that a server gives in one batch. */
const batchMax = 1_024
/** Headers that a direct get adds. */
const added = new Set([
  'nats-stream',
  'nats-subject',
  'nats-sequence',
  'nats-time-stamp',
  'nats-num-pending',
  'nats-last-sequence',
  'nats-upto-sequence',
])

interface StoredMessage {
  readonly message: { subject: string; seq: number; time: string; data?: string; hdrs?: string }
}

export async function getFromLeader(
  bus: NatsBus,
  stream: string,
  which: { seq: number } | { last_by_subj: string } | { seq: number; next_by_subj: string },
): Promise<LogMessage | undefined> {
  try {
    const { message } = await api<StoredMessage>(bus, `STREAM.MSG.GET.${stream}`, which)
    return {
      subject: message.subject,
      sequence: message.seq,
      timestampMs: Date.parse(message.time),
      data: Buffer.from(message.data ?? '', 'base64'),
      headers: message.hdrs ? parseHeaders(Buffer.from(message.hdrs, 'base64').toString()) : undefined,
    }
  } catch (error) {
    if (apiCodeOf(error) === apiCode.messageNotFound) return undefined
    throw error
  }
}

export async function getFromAny(bus: NatsBus, stream: string, sequence: number): Promise<LogMessage | undefined> {
  const [message] = await ask(bus, stream, { seq: sequence })
  return message?.sequence === sequence ? message : undefined
}

export async function getRangeFromAny(
  bus: NatsBus,
  stream: string,
  sequence: number,
  messagesMax: number,
  bytesMax: number,
): Promise<LogMessage[]> {
  if (messagesMax < 1) return []
  const batch = Math.min(messagesMax, batchMax)
  return ask(bus, stream, { seq: Math.max(1, sequence), batch, max_bytes: Math.max(1, bytesMax) })
}

/** Up to `messagesMax` messages of one subject from `sequence` on. A replica that lags gives fewer than there are. */
export function getNextOf(
  bus: NatsBus,
  stream: string,
  subject: string,
  sequence: number,
  messagesMax: number,
): Promise<LogMessage[]> {
  return ask(bus, stream, { seq: sequence, next_by_subj: subject, batch: Math.min(messagesMax, batchMax) })
}

/** A batch ends with a message without data and status 204; a single message, or an error, stands alone. */
function ask(
  bus: NatsBus,
  stream: string,
  body: { seq: number; next_by_subj?: string; batch?: number; max_bytes?: number },
): Promise<LogMessage[]> {
  return new Promise((resolve, reject) => {
    const subject = `$JS.API.DIRECT.GET.${stream}`
    const messages: LogMessage[] = []
    bus.ask(Buffer.from(JSON.stringify(body)), undefined, {
      subject,
      deadlineAtMs: performance.now() + timeoutMs,
      onReply: (message) => {
        const status = statusOf(message)
        if (status === 0) {
          messages.push(directMessage(message))
          if (body.batch !== undefined) return false
          resolve(messages)
        } else if (status === 204 || status === 404) resolve(messages)
        else reject(noAnswer(subject, `${status} ${message.headers?.description ?? ''}`, status === 503))
        return true
      },
      onUnanswered: (reason) => reject(unanswered(subject, reason, timeoutMs)),
    })
  })
}

function directMessage(message: Msg): LogMessage {
  const all = readHeaders(message) ?? new Map<string, string>()
  const own = new Map([...all].filter(([name]) => !added.has(name)))
  return {
    subject: all.get('nats-subject') ?? '',
    sequence: Number(all.get('nats-sequence')),
    timestampMs: Date.parse(all.get('nats-time-stamp') ?? ''),
    data: message.data,
    headers: own.size > 0 ? own : undefined,
  }
}

function parseHeaders(text: string): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (const line of text.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    if (colon < 1) continue
    const name = line.slice(0, colon).toLowerCase()
    if (!headers.has(name)) headers.set(name, line.slice(colon + 1).trim())
  }
  return headers
}
