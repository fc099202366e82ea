/**
 * An ephemeral ack-none push consumer, read through a plain subscription: the fastest way to read a stream. It answers
 * flow control, and makes a new consumer when a message, a heartbeat or the connection was lost. What the messages
 * mean, and where a new consumer starts, its owner decides.
 */
import type { ConsumerConfig } from '@nats-io/jetstream'
import type { Msg } from '@nats-io/transport-node'
import type { Subscription } from './bus.ts'
import type { NatsBus } from './connection.ts'
import { type Delivery, readDelivery } from './delivery.ts'
import { statusOf } from './headers.ts'
import { api } from './jetstream-api.ts'

export interface PushConsumerOptions {
  readonly bus: NatsBus
  readonly stream: string
  /** Where to start, asked before each consumer is made. Undefined ends the consumer. May throw: then again later. */
  readonly start: () => Promise<Partial<ConsumerConfig> | undefined>
  /** In order without a gap since the last `start`. `delivery` is only valid during the call. */
  readonly onDelivery: (message: Msg, delivery: Readonly<Delivery>) => void
  /** All is delivered up to this sequence of the stream, including what the server passed over. */
  readonly onIdle?: (lastStreamSequence: number) => void
  /** Everything delivered so far has to be taken now: the server asks whether to go on. */
  readonly onFlowControl?: () => void
}

const heartbeatMs = 500
/** Heartbeat periods without any sign of the consumer until a new one is made. */
const silentPeriodsMax = 3
const retryMs = { min: 50, max: 1_000 }
const empty = new Uint8Array(0)

export class PushConsumer {
  readonly #options: PushConsumerOptions
  readonly #delivery: Delivery = { prefix: '-', streamSequence: 0, consumerSequence: 0, timestampMs: 0, pending: 0 }
  readonly #stopListening: () => void
  readonly #watch: NodeJS.Timeout
  #subscription: Subscription | undefined
  #name = ''
  #consumerSequence = 0
  #silentPeriods = 0
  #mending: Promise<void> | undefined
  /** Something happened while mending that asks for another consumer. */
  #mendAgain = false
  #stopped = false

  private constructor(options: PushConsumerOptions) {
    this.#options = options
    this.#stopListening = options.bus.onConnection((state) => {
      if (state === 'connected') this.#mend()
    })
    this.#watch = setInterval(() => {
      // Counted, not measured: a process that was paused finds its waiting messages before the next count.
      if (options.bus.connected && !this.#mending && ++this.#silentPeriods > silentPeriodsMax) this.#mend()
    }, heartbeatMs).unref()
  }

  /** Resolves once the server has made the consumer. Throws what `start` or the server's API throws. */
  static async open(options: PushConsumerOptions): Promise<PushConsumer> {
    const consumer = new PushConsumer(options)
    consumer.#mending = consumer.#make().finally(() => {
      consumer.#mending = undefined
    })
    try {
      await consumer.#mending
    } catch (error) {
      await consumer.stop()
      throw error
    }
    if (consumer.#mendAgain) consumer.#mend()
    return consumer
  }

  get stopped(): boolean {
    return this.#stopped
  }

  /** Nothing is delivered after the call; resolves when the server has been told, or cannot be. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#stopListening()
    clearInterval(this.#watch)
    this.#unsubscribe()
    // Without a listener the server removes it by itself soon.
    const { bus, stream } = this.#options
    if (bus.connected && this.#name)
      await api(bus, `CONSUMER.DELETE.${stream}.${this.#name}`, undefined, 2_000).catch(() => {})
  }

  #unsubscribe(): void {
    this.#subscription?.unsubscribe()
    this.#subscription = undefined
  }

  #mend(): void {
    if (this.#stopped) return
    this.#unsubscribe()
    if (this.#mending) {
      this.#mendAgain = true
      return
    }
    this.#mending = this.#makeUntilMade().finally(() => {
      this.#mending = undefined
    })
  }

  async #makeUntilMade(): Promise<void> {
    let waitMs = retryMs.min
    while (!this.#stopped && !this.#options.bus.closed) {
      this.#mendAgain = false
      try {
        await this.#make()
        if (!this.#mendAgain) return
      } catch {
        // No leader yet, or the connection went again: the owner cannot do better than to wait.
        await new Promise((done) => setTimeout(done, waitMs).unref())
        waitMs = Math.min(waitMs * 2, retryMs.max)
      }
    }
  }

  async #make(): Promise<void> {
    const { bus, stream, start } = this.#options
    const from = await start()
    if (this.#stopped) return
    if (from === undefined) {
      await this.stop()
      return
    }
    const inbox = bus.newInbox()
    // Short, because it comes with every message.
    const name = crypto.randomUUID().slice(0, 8)
    const config = {
      ack_policy: 'none',
      replay_policy: 'instant',
      flow_control: true,
      idle_heartbeat: heartbeatMs * 1e6,
      inactive_threshold: 30e9,
      mem_storage: true,
      num_replicas: 1,
      ...from,
      name,
      deliver_subject: inbox,
    }
    this.#unsubscribe()
    this.#name = name
    this.#consumerSequence = 0
    this.#silentPeriods = 0
    const subscription = bus.listen(inbox, (message) => this.#take(message))
    this.#subscription = subscription
    try {
      await api(bus, `CONSUMER.CREATE.${stream}.${name}`, { stream_name: stream, config, action: 'create' })
      this.#silentPeriods = 0
    } catch (error) {
      subscription.unsubscribe()
      if (this.#subscription === subscription) this.#subscription = undefined
      throw error
    }
  }

  #take(message: Msg): void {
    if (this.#stopped) return
    this.#silentPeriods = 0
    const delivery = this.#delivery
    if (readDelivery(message.reply ?? '', delivery)) {
      if (delivery.consumerSequence === this.#consumerSequence + 1) {
        this.#consumerSequence++
        this.#options.onDelivery(message, delivery)
      } else this.#mend()
      return
    }
    const status = statusOf(message)
    if (status === 100) this.#takeControl(message)
    else if (status >= 400) this.#mend()
  }

  #takeControl(message: Msg): void {
    const { bus, onFlowControl, onIdle } = this.#options
    onFlowControl?.()
    if (message.reply) {
      bus.publish(message.reply, empty)
      return
    }
    const headers = message.headers
    // An answer of ours to flow control was lost; the server repeats the question here.
    const stalled = headers?.get('Nats-Consumer-Stalled')
    if (stalled) bus.publish(stalled, empty)
    if (Number(headers?.get('Nats-Last-Consumer')) !== this.#consumerSequence) this.#mend()
    else onIdle?.(Number(headers?.get('Nats-Last-Stream')))
  }
}
