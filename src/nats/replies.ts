/**
 * Answers to everything that this connection asks, over one subscription: a token in the reply subject finds who waits,
 * and one sweep ends those whose deadline has passed. Knows nothing of what is asked.
 */
import type { Msg } from '@nats-io/transport-node'

/** `not-allowed`: the server said that this user may not send there. */
export type Unanswered = 'deadline' | 'disconnected' | 'closed' | 'not-allowed'

/** Somebody who waits for an answer. Both methods are called synchronously and must not throw. */
export interface Waiting {
  /** Where the question went. */
  readonly subject: string
  /** On the scale of `performance.now()`. */
  readonly deadlineAtMs: number
  /** Returns true when this was the last answer. */
  onReply(message: Msg): boolean
  onUnanswered(reason: Unanswered): void
}

/** How exactly deadlines are kept. */
const sweepMs = 20

export class Replies {
  readonly #prefix: string
  readonly #newToken: (count: number) => string
  readonly #waiting = new Map<string, Waiting>()
  #next = 1
  #earliestMs = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  /**
   * `prefix` ends with a dot; the owner subscribes to `<prefix>*` and hands each message to `take`. `newToken` names a
   * waiter; by default they are counted.
   */
  constructor(prefix: string, newToken: (count: number) => string = (count) => count.toString(36)) {
    this.#prefix = prefix
    this.#newToken = newToken
  }

  get size(): number {
    return this.#waiting.size
  }

  /** Returns the token of a new waiter. */
  add(waiting: Waiting): string {
    const token = this.#newToken(this.#next++)
    this.#waiting.set(token, waiting)
    if (waiting.deadlineAtMs < this.#earliestMs) this.#earliestMs = waiting.deadlineAtMs
    this.#timer ??= setInterval(() => this.#sweep(), sweepMs).unref()
    return token
  }

  has(token: string): boolean {
    return this.#waiting.has(token)
  }

  /** The question was not asked; its waiter knows. */
  remove(token: string): void {
    this.#waiting.delete(token)
  }

  /** The question could not be asked after all. */
  drop(token: string): void {
    const waiting = this.#waiting.get(token)
    this.#waiting.delete(token)
    waiting?.onUnanswered('disconnected')
  }

  replySubject(token: string): string {
    return this.#prefix + token
  }

  take(message: Msg): void {
    const token = message.subject.slice(this.#prefix.length)
    const waiting = this.#waiting.get(token)
    if (waiting?.onReply(message)) this.#waiting.delete(token)
  }

  /** The server refused the latest question on this subject; only one waiter is meant. */
  refuse(subject: string): boolean {
    for (const [token, waiting] of this.#waiting) {
      if (waiting.subject !== subject) continue
      this.#waiting.delete(token)
      waiting.onUnanswered('not-allowed')
      return true
    }
    return false
  }

  /** Ends every waiter. */
  end(reason: Unanswered): void {
    const all = [...this.#waiting.values()]
    this.#waiting.clear()
    this.#stop()
    for (const waiting of all) waiting.onUnanswered(reason)
  }

  #sweep(): void {
    if (this.#waiting.size === 0) {
      this.#stop()
      return
    }
    const nowMs = performance.now()
    if (nowMs < this.#earliestMs) return
    this.#earliestMs = Number.POSITIVE_INFINITY
    for (const [token, waiting] of this.#waiting) {
      if (waiting.deadlineAtMs <= nowMs) {
        this.#waiting.delete(token)
        waiting.onUnanswered('deadline')
      } else if (waiting.deadlineAtMs < this.#earliestMs) {
        this.#earliestMs = waiting.deadlineAtMs
      }
    }
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#earliestMs = Number.POSITIVE_INFINITY
  }
}
