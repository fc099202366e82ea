/**
 * What is sent while there is no connection, in order, up to a bound. Less is kept of messages that nobody waits for:
 * their senders cannot tell, and would go on.
 */
import type { MsgHdrs } from '@nats-io/transport-node'
import type { Replies } from './replies.ts'

const bytesMax = { unawaited: 4 * 1024 * 1024, awaited: 64 * 1024 * 1024 }
/** What a message costs beside its data. */
const overheadBytes = 256

/** Where an answer is waited for, and by whom. */
export interface Question {
  readonly replies: Replies
  readonly token: string
}

export interface Outgoing {
  readonly subject: string
  readonly data: Uint8Array
  readonly reply: string | undefined
  readonly headers: MsgHdrs | undefined
  /** Who waits for an answer; undefined: nobody. */
  readonly question: Question | undefined
}

export class Outbox {
  #messages: Outgoing[] = []
  #bytes = 0

  /** Returns false if there is no room. */
  add(message: Outgoing): boolean {
    const bytes = message.data.length + overheadBytes
    if (this.#bytes + bytes > (message.question === undefined ? bytesMax.unawaited : bytesMax.awaited)) return false
    this.#messages.push(message)
    this.#bytes += bytes
    return true
  }

  /** Returns everything, oldest first, and is empty then. */
  takeAll(): Outgoing[] {
    const messages = this.#messages
    this.#messages = []
    this.#bytes = 0
    return messages
  }
}
