/**
 * Writes to a stream and tells what became of each write. The hot path: a plain publish with a token in its reply
 * subject, one small object per message, and an acknowledgement that is read without parsing JSON where possible.
 */
import type { Msg } from '@nats-io/transport-node'
import type { AppendOptions, AppendResult, RefusedReason } from './bus.ts'
import type { NatsBus } from './connection.ts'
import { encodeHeaders, headerLine, statusOf } from './headers.ts'
import type { Unanswered, Waiting } from './replies.ts'

const defaultTimeoutMs = 5_000

/**
 * Resolves with the outcome; `unknown` on a timeout or a lost connection. While disconnected the write waits for the
 * connection. Rejects with TROUPE_CLOSED if the bus was closed before.
 */
export function append(
  bus: NatsBus,
  subject: string,
  data: Uint8Array,
  options: AppendOptions = {},
): Promise<AppendResult> {
  let text = ''
  if (options.expectedLastSubjectSequence !== undefined) {
    text = `Nats-Expected-Last-Subject-Sequence: ${options.expectedLastSubjectSequence}\r\n`
  }
  if (options.messageId !== undefined) text += headerLine('Nats-Msg-Id', options.messageId)
  return new Promise((resolve) => {
    const waiting = new AppendWaiting(subject, performance.now() + (options.timeoutMs ?? defaultTimeoutMs), resolve)
    if (bus.ask(data, encodeHeaders(options.headers, text), waiting)) return
    if (bus.connected)
      resolve(refused('too-large', 0, `${data.length} bytes and headers exceed ${bus.maxPayloadBytes}`))
    else resolve(refused('other', 0, 'too much is waiting for the connection already'))
  })
}

class AppendWaiting implements Waiting {
  readonly subject: string
  readonly deadlineAtMs: number
  readonly resolve: (result: AppendResult) => void

  constructor(subject: string, deadlineAtMs: number, resolve: (result: AppendResult) => void) {
    this.subject = subject
    this.deadlineAtMs = deadlineAtMs
    this.resolve = resolve
  }

  onReply(message: Msg): boolean {
    this.resolve(resultOf(message))
    return true
  }

  onUnanswered(reason: Unanswered): void {
    if (reason === 'not-allowed') this.resolve(refused(reason, 0, `this user may not publish to ${this.subject}`))
    else this.resolve({ outcome: 'unknown', code: 0, message: why[reason] })
  }
}

const why = {
  deadline: 'no acknowledgement in time',
  disconnected: 'the connection was lost',
  closed: 'the connection was closed',
}

function refused(reason: RefusedReason, code: number, message: string): AppendResult {
  return { outcome: 'refused', reason, code, message }
}

function resultOf(message: Msg): AppendResult {
  const data = message.data
  if (data.length === 0) {
    const status = statusOf(message)
    if (status === 503) return refused('no-responders', 503, 'no stream captures the subject')
    return { outcome: 'unknown', code: status, message: 'an answer that is no acknowledgement' }
  }
  return ackResult(data)
}

/** What JetStream's answer to a write says. */
export function ackResult(data: Uint8Array): AppendResult {
  return readAck(data) ?? parseAck(data)
}

/** `{"stream":"…","seq":123}` and no more; anything else is left to `parseAck`. */
function readAck(data: Uint8Array): AppendResult | undefined {
  if (data[2] !== 0x73 || data[3] !== 0x74) return undefined // {"st
  let at = 11
  while (at < data.length && data[at] !== 0x22) at++ // the closing quote of the name
  at += 2
  // "seq":
  if (data[at] !== 0x22 || data[at + 1] !== 0x73 || data[at + 5] !== 0x3a) return undefined
  let sequence = 0
  for (at += 6; at < data.length; at++) {
    const digit = data[at]! - 0x30
    if (digit >= 0 && digit <= 9) sequence = sequence * 10 + digit
    else if (data[at] === 0x7d && sequence > 0) return { outcome: 'stored', sequence, duplicate: false }
    else return undefined
  }
  return undefined
}

interface Ack {
  readonly seq?: number
  readonly duplicate?: boolean
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string }
}

function parseAck(data: Uint8Array): AppendResult {
  let ack: Ack
  try {
    ack = JSON.parse(Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString()) as Ack
  } catch {
    return { outcome: 'unknown', code: 0, message: 'an answer that is no acknowledgement' }
  }
  if (ack.error) return classify(ack.error.code, ack.error.err_code ?? 0, ack.error.description ?? '')
  if (typeof ack.seq === 'number' && ack.seq > 0) {
    return { outcome: 'stored', sequence: ack.seq, duplicate: ack.duplicate === true }
  }
  return { outcome: 'unknown', code: 0, message: 'an answer that is no acknowledgement' }
}

/**
 * A write that was refused for a reason that may not hold on every replica, or after it was proposed to them, is
 * unknown. 10077 wraps whatever the store said: its limits are checked before anything is stored or proposed.
 */
function classify(status: number, code: number, message: string): AppendResult {
  if (code === 10071) return refused('wrong-sequence', code, message)
  if (code === 10077 && /^maximum (bytes|messages|messages per subject) exceeded$/.test(message)) {
    return refused('full', code, message)
  }
  if (code === 10158 || code === 10164 || code === 10077) return { outcome: 'unknown', code, message }
  if (code === 10002 || code === 10023 || code === 10047 || code === 10028) return refused('full', code, message)
  if (code === 10054) return refused('too-large', code, message)
  if (status >= 400 && status < 500) return refused('other', code, message)
  return { outcome: 'unknown', code, message }
}
