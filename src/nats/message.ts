/**
 * A message of core NATS as the rest of Troupe sees it, and what it is told when there is none. Reads what it is asked
 * for and no more: most messages have no headers, and many are passed on unread.
 */
import type { Msg } from '@nats-io/transport-node'
import { TroupeError } from '../protocol/errors.ts'
import { isReplySubject } from '../protocol/reply-subject.ts'
import type { BusMessage } from './bus.ts'
import { readHeaders } from './headers.ts'
import type { Unanswered } from './replies.ts'

export class NatsMessage implements BusMessage {
  readonly #message: Msg

  constructor(message: Msg) {
    this.#message = message
  }

  get subject(): string {
    return this.#message.subject
  }

  get data(): Uint8Array {
    return this.#message.data
  }

  /** None where an answer would be an act: see `isReplySubject`. */
  get reply(): string | undefined {
    const { reply } = this.#message
    return reply && isReplySubject(reply) ? reply : undefined
  }

  get headers(): ReadonlyMap<string, string> | undefined {
    return readHeaders(this.#message)
  }
}

export function noAnswer(subject: string, why: string, noResponders: boolean): TroupeError {
  return new TroupeError('TROUPE_NO_ANSWER', `no answer from ${subject}: ${why}`, {
    details: { subject, noResponders },
  })
}

export function closedError(): TroupeError {
  return new TroupeError('TROUPE_CLOSED', 'the connection was closed')
}

export function unanswered(subject: string, reason: Unanswered, timeoutMs: number): TroupeError {
  if (reason === 'closed') return closedError()
  if (reason === 'not-allowed') return new TroupeError('TROUPE_NOT_ALLOWED', `this user may not publish to ${subject}`)
  if (reason === 'disconnected') return noAnswer(subject, 'the connection was lost', false)
  return noAnswer(subject, `none in ${timeoutMs} ms`, false)
}
