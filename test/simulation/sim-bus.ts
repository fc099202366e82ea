/** The interface `Bus` over the simulated network: what a process sees of core NATS. */
import type { Bus, BusMessage, Headers, Subscription } from '../../src/nats/bus.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import type { Link, Network } from './network.ts'

const requestMs = 5_000

export class SimBus implements Bus {
  readonly network: Network
  readonly link: Link
  readonly maxPayloadBytes = 1024 * 1024
  private asked = 0
  private closed = false

  constructor(network: Network, link: Link) {
    this.network = network
    this.link = link
  }

  get connected(): boolean {
    return this.link.connected && !this.closed
  }

  publish(subject: string, data: Uint8Array, options: { reply?: string; headers?: Headers } = {}): void {
    if (!this.closed) this.network.publish(this.link, subject, data, options.reply, options.headers)
  }

  subscribe(subject: string, handler: (message: BusMessage) => void, options: { queue?: string } = {}): Subscription {
    if (this.closed) throw closedError()
    return { unsubscribe: this.network.subscribe(this.link, subject, handler, options.queue) }
  }

  request(
    subject: string,
    data: Uint8Array,
    options: { timeoutMs?: number; headers?: Headers } = {},
  ): Promise<BusMessage> {
    return this.ask(subject, options.timeoutMs ?? requestMs, (inbox, settle) => {
      const stop = this.network.openInbox(this.link, inbox, (message) => {
        if (message.headers?.get('status') === '503') settle(noAnswer(subject, 'nobody listens', true))
        else settle(undefined, message)
      })
      if (!this.network.publish(this.link, subject, data, inbox, options.headers)) {
        settle(noAnswer(subject, 'too much waits for the connection', false))
      }
      return stop
    })
  }

  async flush(timeoutMs = requestMs): Promise<void> {
    await this.call('flush', timeoutMs, () => ({ value: true }))
  }

  onConnection(listener: (state: 'connected' | 'disconnected') => void): () => void {
    this.link.listeners.add(listener)
    return () => this.link.listeners.delete(listener)
  }

  async close(): Promise<void> {
    this.closed = true
    for (const broken of [...this.link.onBroken]) broken()
    this.link.listeners.clear()
  }

  /**
   * A question to the server itself. `work` runs there and returns the answer, undefined for none, or throws what the
   * caller is to get.
   */
  call<Value>(what: string, timeoutMs: number, work: () => { readonly value: Value } | undefined): Promise<Value> {
    return this.ask<Value>(what, timeoutMs, (_, settle, isWanted) => {
      const isSent = this.network.send(this.link, what, isWanted, () => {
        let error: unknown
        let answer: { readonly value: Value } | undefined
        try {
          answer = work()
          if (answer === undefined) return
        } catch (thrown) {
          error = thrown
        }
        this.network.receive(this.link, what, () => settle(error, answer?.value))
      })
      if (!isSent) settle(noAnswer(what, 'too much waits for the connection', false))
      return () => undefined
    })
  }

  private ask<Value>(
    what: string,
    timeoutMs: number,
    begin: (inbox: string, settle: (error: unknown, value?: Value) => void, isWanted: () => boolean) => () => void,
  ): Promise<Value> {
    if (this.closed) return Promise.reject(closedError())
    return new Promise((resolve, reject) => {
      let isSettled = false
      let stop: (() => void) | undefined
      const settle = (error: unknown, value?: Value) => {
        if (isSettled) return
        isSettled = true
        clearTimeout(timer)
        this.link.onBroken.delete(broken)
        stop?.()
        if (error === undefined) resolve(value as Value)
        else reject(error)
      }
      const broken = () => settle(this.closed ? closedError() : noAnswer(what, 'the connection was lost', false))
      const timer = setTimeout(() => settle(noAnswer(what, `none in ${timeoutMs} ms`, false)), timeoutMs)
      this.link.onBroken.add(broken)
      stop = begin(`_INBOX.${this.link.process.name}.${this.link.life}.${++this.asked}`, settle, () => !isSettled)
      if (isSettled) stop()
    })
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
