/**
 * One NATS connection as a `Bus`. It keeps what is sent while disconnected, up to a bound, and hands answers to those
 * who wait for them. Knows no JetStream; `append.ts` and the stores build on `ask`.
 */
import { randomBytes } from 'node:crypto'
import { createInbox, errors, type Msg, type MsgHdrs, type NatsConnection } from '@nats-io/transport-node'
import { TroupeError } from '../protocol/errors.ts'
import type { Bus, BusMessage, Headers, Subscription } from './bus.ts'
import { encodeHeaders, statusOf } from './headers.ts'
import { closedError, NatsMessage, noAnswer, unanswered } from './message.ts'
import { Outbox, type Question } from './outbox.ts'
import { Replies, type Unanswered, type Waiting } from './replies.ts'

const defaultTimeoutMs = 5_000

type ConnectionListener = (state: 'connected' | 'disconnected') => void

/** What the server did not let this user do. */
export interface Violation {
  readonly operation: 'publish' | 'subscribe'
  readonly subject: string
}

export class NatsBus implements Bus {
  /** For the parts of this folder only. */
  readonly client: NatsConnection
  connected = true
  /** Messages that were dropped: sent while disconnected beyond the bound, larger than the server takes, or malformed. */
  droppedMessages = 0
  /** Known to the server alone: whoever knew it could answer in the server's place. */
  readonly #inbox: string
  readonly #replies: Replies
  /** Answers of peers, who see where they go: each question has a subject that the others cannot guess. */
  readonly #peerReplies: Replies
  readonly #refusals = new Set<(violation: Violation) => void>()
  readonly #listeners = new Set<ConnectionListener>()
  #inboxes = 0
  readonly #outbox = new Outbox()
  #maxPayloadBytes: number
  #notAllowed: string | undefined
  #closing: Promise<void> | undefined

  constructor(client: NatsConnection, inboxPrefix: string) {
    this.client = client
    this.#maxPayloadBytes = client.info?.max_payload ?? 1024 * 1024
    this.#inbox = createInbox(inboxPrefix)
    this.#replies = this.#openReplies(this.#inbox)
    this.#peerReplies = this.#openReplies(createInbox(inboxPrefix), () => randomBytes(12).toString('base64url'))
    void this.#watchStatus()
    void client.closed().then(() => this.#ended())
  }

  get maxPayloadBytes(): number {
    return this.#maxPayloadBytes
  }

  get closed(): boolean {
    return this.#closing !== undefined
  }

  publish(subject: string, data: Uint8Array, options?: { reply?: string; headers?: Headers }): void {
    if (this.#closing) return
    this.#send(subject, data, options?.reply, encodeHeaders(options?.headers), undefined)
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, options?: { queue?: string }): Subscription {
    return this.listen(subject, (message) => handler(new NatsMessage(message)), options?.queue)
  }

  request(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs?: number; headers?: Headers } = {},
  ): Promise<BusMessage> {
    return new Promise((resolve, reject) => {
      const timeoutMs = options.timeoutMs ?? defaultTimeoutMs
      const replies = subject.startsWith('$JS.') ? this.#replies : this.#peerReplies
      const waiting = {
        subject,
        deadlineAtMs: performance.now() + timeoutMs,
        onReply: (message: Msg) => {
          if (statusOf(message) === 503) reject(noAnswer(subject, 'nobody listens', true))
          else resolve(new NatsMessage(message))
          return true
        },
        onUnanswered: (reason: Unanswered) => reject(unanswered(subject, reason, timeoutMs)),
      }
      this.#ask(replies, data, encodeHeaders(options.headers), waiting)
    })
  }

  async flush(timeoutMs = defaultTimeoutMs): Promise<void> {
    if (this.#closing) throw closedError()
    const deadline = Promise.withResolvers<never>()
    const timer = setTimeout(() => deadline.reject(noAnswer('flush', `no answer in ${timeoutMs} ms`, false)), timeoutMs)
    try {
      await Promise.race([this.client.flush(), deadline.promise])
    } catch (error) {
      if (error instanceof TroupeError) throw error
      throw noAnswer('flush', 'the connection was lost', false)
    } finally {
      clearTimeout(timer)
    }
  }

  onConnection(listener: ConnectionListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  // --- for this folder ------------------------------------------------------------------------------------------

  /** Subscribes without wrapping the client's messages. */
  listen(subject: string, handler: (message: Msg) => void, queue?: string): Subscription {
    if (this.#closing) throw closedError()
    const subscription = this.client.subscribe(subject, {
      ...(queue === undefined ? {} : { queue }),
      callback: (error, message) => {
        if (error) {
          if (error instanceof errors.PermissionViolationError) this.#refused({ operation: 'subscribe', subject })
          else warn(`subscription to ${subject} ended: ${error.message}`)
          return
        }
        try {
          handler(message)
        } catch (defect) {
          // Thrown further it would end the client's reading, and the connection would be open and deaf.
          warn(`a handler of ${subject} threw: ${defect instanceof Error ? defect.stack : String(defect)}`)
        }
      },
    })
    return { unsubscribe: () => subscription.unsubscribe() }
  }

  /** A subject that nobody else of this connection has. */
  newInbox(): string {
    return `${this.#inbox}.i.${(++this.#inboxes).toString(36)}`
  }

  /**
   * Sends `data` to the waiter's subject and hands the answers to it. While disconnected the message waits for the
   * connection until the deadline. Returns false if it certainly was not sent, because it is too large or too much is
   * waiting already; the waiter is not called then. Throws TROUPE_CLOSED.
   */
  ask(data: Uint8Array, headers: MsgHdrs | undefined, waiting: Waiting): boolean {
    return this.#ask(this.#replies, data, headers, waiting)
  }

  /** Calls `listener` whenever the server does not allow something, until `close`. Returns a function that stops that. */
  onRefused(listener: (violation: Violation) => void): () => void {
    this.#refusals.add(listener)
    return () => this.#refusals.delete(listener)
  }

  /** Throws TROUPE_NOT_ALLOWED if this user may not subscribe to its own answers. */
  checkAllowed(): void {
    if (this.#notAllowed === undefined) return
    throw new TroupeError('TROUPE_NOT_ALLOWED', `this user may not subscribe to ${this.#inbox}.>: ${this.#notAllowed}`)
  }

  // --- inside ---------------------------------------------------------------------------------------------------

  #openReplies(inbox: string, newToken?: () => string): Replies {
    const replies = new Replies(`${inbox}.r.`, newToken)
    this.client.subscribe(`${inbox}.r.*`, {
      callback: (error, message) => {
        if (error) this.#notAllowed = error.message
        else replies.take(message)
      },
    })
    return replies
  }

  #ask(replies: Replies, data: Uint8Array, headers: MsgHdrs | undefined, waiting: Waiting): boolean {
    if (this.#closing) throw closedError()
    const token = replies.add(waiting)
    if (this.#send(waiting.subject, data, replies.replySubject(token), headers, { replies, token })) return true
    replies.remove(token)
    return false
  }

  #refused(violation: Violation): void {
    for (const listener of [...this.#refusals]) listener(violation)
    if (this.#refusals.size === 0) warn(`this user may not ${violation.operation} to ${violation.subject}`)
  }

  #send(
    subject: string,
    data: Uint8Array,
    reply: string | undefined,
    headers: MsgHdrs | undefined,
    question: Question | undefined,
  ): boolean {
    try {
      if (!this.connected) {
        const isKept = this.#outbox.add({ subject, data, reply, headers, question })
        if (!isKept) this.droppedMessages++
        return isKept
      }
      this.client.publish(
        subject,
        data,
        reply ? (headers ? { reply, headers } : { reply }) : headers ? { headers } : undefined,
      )
      return true
    } catch {
      this.droppedMessages++
      return false
    }
  }

  #sendKept(): void {
    for (const { subject, data, reply, headers, question } of this.#outbox.takeAll()) {
      // Whoever waited may have been told by now that there is no answer; it must not be sent after that.
      if (question !== undefined && !question.replies.has(question.token)) continue
      if (!this.#send(subject, data, reply, headers, question)) question?.replies.drop(question.token)
    }
  }

  async #watchStatus(): Promise<void> {
    for await (const status of this.client.status()) {
      if (status.type === 'disconnect') this.#setConnected(false)
      else if (status.type === 'reconnect') this.#setConnected(true)
      else if (status.type === 'staleConnection') this.#endSocket()
      else if (status.type === 'error' && status.error instanceof errors.PermissionViolationError) {
        const { operation, subject } = status.error
        if (operation !== 'publish') continue
        const isTold = this.#replies.refuse(subject) || this.#peerReplies.refuse(subject)
        if (!isTold || this.#refusals.size > 0) this.#refused({ operation, subject })
      }
    }
  }

  /**
   * The client gives up a silent connection only after it has written what waits, which a peer that reads nothing holds
   * up for many minutes. It has no public way to end the socket.
   */
  #endSocket(): void {
    const { protocol } = this.client as unknown as { protocol?: { transport?: { socket?: { destroy?(): void } } } }
    protocol?.transport?.socket?.destroy?.()
  }

  #setConnected(connected: boolean): void {
    if (this.connected === connected) return
    this.connected = connected
    if (connected) {
      this.#maxPayloadBytes = this.client.info?.max_payload ?? this.#maxPayloadBytes
      this.#sendKept()
    } else {
      this.#replies.end('disconnected')
      this.#peerReplies.end('disconnected')
    }
    for (const listener of [...this.#listeners]) listener(connected ? 'connected' : 'disconnected')
  }

  async #close(): Promise<void> {
    // The client drops what it has not yet written when it closes.
    if (this.connected) await Promise.race([this.client.flush().catch(() => {}), timeLimit(1_000)])
    this.#ended()
    await this.client.close()
  }

  #ended(): void {
    this.#closing ??= Promise.resolve()
    this.#replies.end('closed')
    this.#peerReplies.end('closed')
    this.#outbox.takeAll()
    this.#listeners.clear()
    this.#refusals.clear()
    this.connected = false
  }
}

function warn(text: string): void {
  process.emitWarning(text, 'TroupeWarning')
}

function timeLimit(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms).unref())
}
