/**
 * Large values in a JetStream object store, each under the SHA-256 of its bytes, so that storing twice is storing once
 * and a reader can tell that it got what was meant.
 */
import { createHash } from 'node:crypto'
import { Objm, type ObjectStore as Store } from '@nats-io/obj'
import { TroupeError } from '../protocol/errors.ts'
import type { ObjectStore } from './bus.ts'
import type { NatsBus } from './connection.ts'
import { closedError, noAnswer } from './message.ts'

const hashName = /^[0-9a-f]{64}$/

export class JetStreamObjectStore implements ObjectStore {
  readonly #bus: NatsBus
  readonly #bucket: string
  #store: Promise<Store> | undefined

  constructor(bus: NatsBus, bucket: string) {
    this.#bus = bus
    this.#bucket = bucket
  }

  async put(data: Uint8Array): Promise<string> {
    const name = hashOf(data)
    await this.#do(`storing object ${name}`, async (store) => {
      const there = await store.info(name)
      if (!there || there.deleted || there.size !== data.length) await store.putBlob({ name }, data)
    })
    return name
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    if (!hashName.test(name)) return undefined
    const data = await this.#do(`reading object ${name}`, async (store) => {
      const there = await store.info(name)
      if (!there || there.deleted) return undefined
      // The client says only in words that the bytes do not fit their digest; what is damaged is as good as absent.
      return store.getBlob(name).catch((error: Error) => {
        if (/digests do not match/.test(error.message)) return undefined
        throw error
      })
    })
    return data && hashOf(data) === name ? data : undefined
  }

  list(): Promise<readonly { name: string; bytes: number; storedAtMs: number }[]> {
    return this.#do('listing objects', async (store) => {
      const all = await store.list()
      return all
        .filter((info) => !info.deleted)
        .map((info) => ({ name: info.name, bytes: info.size, storedAtMs: Date.parse(info.mtime) }))
    })
  }

  async remove(name: string): Promise<void> {
    if (!hashName.test(name)) return
    await this.#do(`removing object ${name}`, async (store) => {
      const there = await store.info(name)
      if (there && !there.deleted) await store.delete(name)
    })
  }

  async #do<T>(what: string, work: (store: Store) => Promise<T>): Promise<T> {
    if (this.#bus.closed) throw closedError()
    try {
      this.#store ??= new Objm(this.#bus.client).open(this.#bucket)
      return await work(await this.#store)
    } catch (error) {
      this.#store = undefined
      if (error instanceof TroupeError) throw error
      const message = error instanceof Error ? error.message : String(error)
      if (/maximum bytes|resources|insufficient/i.test(message)) {
        throw new TroupeError('TROUPE_REFUSED', `${what}: ${message}`, { cause: error })
      }
      throw noAnswer(what, message, false)
    }
  }
}

function hashOf(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
