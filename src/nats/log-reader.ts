/**
 * Reads a log from a sequence on, in order, in batches, and says when it cannot go on without a gap. Decides what a gap
 * is: the next message was trimmed, or the stream is another or an older one than what was read.
 */
import type { Msg } from '@nats-io/transport-node'
import type { LogMessage } from '../protocol/entries.ts'
import type { LogReading, LogReadOptions } from './bus.ts'
import type { NatsBus } from './connection.ts'
import type { Delivery } from './delivery.ts'
import { getFromLeader } from './get.ts'
import { readHeaders } from './headers.ts'
import { apiCode, apiCodeOf } from './jetstream-api.ts'
import { type LeaderInfo, leaderInfo } from './leader-info.ts'
import { identityOf } from './log-identity.ts'
import { PushConsumer } from './push-consumer.ts'

const batchMax = 4_096

export async function readLog(bus: NatsBus, stream: string, options: LogReadOptions): Promise<LogReading> {
  const reader = new LogReader(bus, stream, options)
  await reader.open()
  return reader
}

class LogReader implements LogReading {
  readonly #bus: NatsBus
  readonly #stream: string
  readonly #options: LogReadOptions
  #consumer: PushConsumer | undefined
  #next: number
  /** The message before `#next`, by which a stream that lost its end is known even after it has grown again. */
  #latest: LogMessage | undefined
  #batch: LogMessage[] = []
  #batchDue = false
  /** Where the stream ended when reading began; undefined once that was told. */
  #target: number | undefined
  /** Which stream is being read. */
  #identity: string | undefined
  #stopped = false

  constructor(bus: NatsBus, stream: string, options: LogReadOptions) {
    this.#bus = bus
    this.#stream = stream
    this.#options = options
    this.#next = Math.max(1, options.from)
  }

  async open(): Promise<void> {
    const consumer = await PushConsumer.open({
      bus: this.#bus,
      stream: this.#stream,
      start: () => this.#start(),
      onDelivery: (message, delivery) => this.#take(message, delivery),
      onFlowControl: () => this.#deliver(),
      onIdle: (last) => {
        // The server has passed over sequences that it no longer has.
        if (last >= this.#next) this.#endWithGap(last + 1)
      },
    })
    this.#consumer = consumer
    if (this.#stopped) await consumer.stop()
    else setImmediate(() => this.#checkCaughtUp(false))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#batch = []
    await this.#consumer?.stop()
  }

  async #start(): Promise<{ deliver_policy: 'by_start_sequence'; opt_start_seq: number } | undefined> {
    this.#deliver()
    let info: LeaderInfo
    try {
      info = await leaderInfo(this.#bus, this.#stream)
    } catch (error) {
      if (this.#identity === undefined || apiCodeOf(error) !== apiCode.streamNotFound) throw error
      this.#endWithGap(0)
      return undefined
    }
    if (this.#stopped) return undefined
    const { first_seq: first, last_seq: last } = info.state
    const identity = identityOf(info)
    const isAnother = this.#identity !== undefined && this.#identity !== identity
    if (this.#identity === undefined && this.#next > Math.max(1, first)) {
      this.#latest = await getFromLeader(this.#bus, this.#stream, { seq: this.#next - 1 })
    }
    const isShorter = last + 1 < this.#next || !(await this.#isAsRead(first))
    if (this.#stopped) return undefined
    if (isAnother || first > this.#next || isShorter) {
      this.#endWithGap(first)
      return undefined
    }
    if (this.#identity === undefined) this.#target = last
    this.#identity = identity
    return { deliver_policy: 'by_start_sequence', opt_start_seq: this.#next }
  }

  /**
   * A server that lost its newest messages with its power gives their sequences again. Whoever went on reading behind
   * them would have read what nobody else has.
   */
  async #isAsRead(first: number): Promise<boolean> {
    const latest = this.#latest
    if (latest === undefined || latest.sequence < first) return true
    const there = await getFromLeader(this.#bus, this.#stream, { seq: latest.sequence })
    if (there === undefined) return true
    const isSame = there.subject === latest.subject && there.timestampMs === latest.timestampMs
    return isSame && Buffer.compare(there.data, latest.data) === 0
  }

  #take(message: Msg, delivery: Readonly<Delivery>): void {
    if (this.#stopped) return
    const sequence = delivery.streamSequence
    if (sequence !== this.#next) {
      // A consumer that was made again can only repeat; it is asked for the next sequence, so this is a gap.
      this.#endWithGap(sequence)
      return
    }
    this.#next = sequence + 1
    const taken = new StreamMessage(message, sequence, delivery.timestampMs)
    this.#latest = taken
    this.#batch.push(taken)
    if (this.#batch.length >= batchMax) this.#deliver()
    else if (!this.#batchDue) {
      this.#batchDue = true
      queueMicrotask(this.#deliverDue)
    }
    if (delivery.pending === 0 && this.#target !== undefined) queueMicrotask(() => this.#checkCaughtUp(true))
  }

  readonly #deliverDue = (): void => {
    this.#batchDue = false
    this.#deliver()
    this.#checkCaughtUp(false)
  }

  #deliver(): void {
    if (this.#batch.length === 0 || this.#stopped) return
    const batch = this.#batch
    this.#batch = []
    try {
      this.#options.onMessages(batch)
    } catch (defect) {
      // A fold that has lost a batch must not go on; this ends the process unless it has other plans.
      void this.stop()
      queueMicrotask(() => {
        throw defect
      })
    }
  }

  #checkCaughtUp(nothingPending: boolean): void {
    if (this.#target === undefined || this.#stopped || this.#batch.length > 0) return
    if (!nothingPending && this.#next <= this.#target) return
    this.#target = undefined
    this.#options.onCaughtUp?.()
  }

  #endWithGap(first: number): void {
    if (this.#stopped) return
    this.#deliver()
    // What was just delivered may have ended the reading.
    if (this.#stopped) return
    const expected = this.#next
    void this.stop()
    this.#options.onGap(expected, first)
  }
}

/** `data` is a view into what came from the socket at once: whoever keeps a few bytes for long should copy them. */
class StreamMessage implements LogMessage {
  readonly subject: string
  readonly sequence: number
  readonly timestampMs: number
  readonly data: Uint8Array
  readonly #source: Msg

  constructor(source: Msg, sequence: number, timestampMs: number) {
    this.subject = source.subject
    this.sequence = sequence
    this.timestampMs = timestampMs
    this.data = source.data
    this.#source = source
  }

  get headers(): ReadonlyMap<string, string> | undefined {
    return readHeaders(this.#source)
  }
}
