/**
 * Leases in a JetStream KV bucket, laid out as every NATS client expects a bucket. Written through `append.ts`, because
 * it tells a lost race from an answer that leaves open who won.
 */
import type { Msg } from '@nats-io/transport-node'
import { TroupeError } from '../protocol/errors.ts'
import { append } from './append.ts'
import type { LeaseStore, Subscription } from './bus.ts'
import type { NatsBus } from './connection.ts'
import type { Delivery } from './delivery.ts'
import { getFromLeader } from './get.ts'
import { readHeaders } from './headers.ts'
import { noAnswer } from './message.ts'
import { PushConsumer } from './push-consumer.ts'

export class KvLeaseStore implements LeaseStore {
  readonly #bus: NatsBus
  readonly #bucket: string

  constructor(bus: NatsBus, bucket: string) {
    this.#bus = bus
    this.#bucket = bucket
  }

  /** Throws TROUPE_NO_ANSWER if it is open whether the value was written: read again. */
  async put(key: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    const result = await append(this.#bus, this.#subject(key), value, { expectedLastSubjectSequence: expected })
    if (result.outcome === 'stored') return result.sequence
    if (result.outcome === 'refused' && result.reason === 'wrong-sequence') return undefined
    const why = `${result.message} (${result.code})`
    if (result.outcome === 'refused' && result.reason !== 'no-responders') {
      throw new TroupeError('TROUPE_REFUSED', `lease ${key} was not written: ${why}`)
    }
    throw noAnswer(`lease ${key}`, why, result.outcome === 'refused')
  }

  async get(key: string): Promise<{ value: Uint8Array; revision: number } | undefined> {
    const message = await getFromLeader(this.#bus, `KV_${this.#bucket}`, { last_by_subj: this.#subject(key) })
    if (!message || isRemoval(message.headers)) return undefined
    return { value: message.data, revision: message.sequence }
  }

  async watch(key: string, onValue: (value: Uint8Array | undefined, revision: number) => void): Promise<Subscription> {
    let seen = 0
    const consumer = await PushConsumer.open({
      bus: this.#bus,
      stream: `KV_${this.#bucket}`,
      // Only the present value matters; after a loss it comes again, unless it is the one seen last.
      start: async () => ({ deliver_policy: 'last_per_subject', filter_subject: this.#subject(key) }),
      onDelivery: (message: Msg, delivery: Readonly<Delivery>) => {
        const revision = delivery.streamSequence
        if (revision === seen) return
        seen = revision
        onValue(isRemoval(readHeaders(message)) ? undefined : message.data, revision)
      },
    })
    return { unsubscribe: () => void consumer.stop() }
  }

  #subject(key: string): string {
    return `$KV.${this.#bucket}.${key}`
  }
}

function isRemoval(headers: ReadonlyMap<string, string> | undefined): boolean {
  const operation = headers?.get('kv-operation')
  return operation === 'DEL' || operation === 'PURGE' || headers?.get('nats-marker-reason') !== undefined
}
