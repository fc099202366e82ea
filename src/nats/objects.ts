/**
 * Large values in a JetStream object store, each under the SHA-256 of its bytes, so that storing twice is storing once
 * and a reader can tell that it got what was meant. Laid out as every NATS client expects it, but read without a consumer:
 * whoever may make consumers has the server publish for it anywhere.
 */
import { createHash, randomUUID } from 'node:crypto'
import { Objm, type ObjectStore as Store } from '@nats-io/obj'
import type { LogMessage } from '../protocol/entries.ts'
import { TroupeError } from '../protocol/errors.ts'
import { append } from './append.ts'
import type { ObjectStore } from './bus.ts'
import type { NatsBus } from './connection.ts'
import { getFromLeader, getNextOf } from './get.ts'
import { api } from './jetstream-api.ts'
import { closedError, noAnswer } from './message.ts'

const hashName = /^[0-9a-f]{64}$/
const chunkBytes = 128 * 1024
/** Chunks of one object that are on their way at once. */
const inFlightMax = 8

/** What the store says of an object, as NATS's object stores do. */
interface ObjectInfo {
  readonly name: string
  readonly bucket: string
  readonly nuid: string
  readonly size: number
  readonly chunks: number
  readonly digest: string
  readonly mtime: string
  readonly deleted?: boolean
}

export class JetStreamObjectStore implements ObjectStore {
  readonly #bus: NatsBus
  readonly #bucket: string
  #store: Promise<Store> | undefined

  constructor(bus: NatsBus, bucket: string) {
    this.#bus = bus
    this.#bucket = bucket
  }

  /** Throws TROUPE_REFUSED, TROUPE_NOT_ALLOWED, TROUPE_NO_ANSWER, TROUPE_CLOSED. */
  async put(data: Uint8Array): Promise<string> {
    if (this.#bus.closed) throw closedError()
    const digest = createHash('sha256').update(data).digest()
    const name = digest.toString('hex')
    const there = await this.#info(name)
    if (there && !there.deleted && there.size === data.length) return name
    const nuid = randomUUID().replaceAll('-', '').slice(0, 22)
    const chunks = Math.ceil(data.length / chunkBytes)
    for (let at = 0; at < chunks; at += inFlightMax) {
      const some = Array.from({ length: Math.min(inFlightMax, chunks - at) }, (_, i) => (at + i) * chunkBytes)
      // The order of chunks is that of the stream.
      await Promise.all(
        some.map((from) => this.#write(this.#chunkSubject(nuid), data.subarray(from, from + chunkBytes))),
      )
    }
    const info: ObjectInfo = {
      name,
      bucket: this.#bucket,
      nuid,
      size: data.length,
      chunks,
      digest: `SHA-256=${digest.toString('base64').replaceAll('+', '-').replaceAll('/', '_')}`,
      mtime: new Date().toISOString(),
    }
    await this.#write(this.#infoSubject(name), Buffer.from(JSON.stringify(info)))
    return name
  }

  /** What is damaged is as good as absent. Throws as `put` does. */
  async get(name: string): Promise<Uint8Array | undefined> {
    if (!hashName.test(name)) return undefined
    if (this.#bus.closed) throw closedError()
    const info = await this.#info(name)
    if (!info || info.deleted) return undefined
    for (const read of [this.#chunksFromAny, this.#chunksFromLeader]) {
      const data = Buffer.concat((await read.call(this, info)).map((chunk) => chunk.data))
      if (hashOf(data) === name) return data
    }
    return undefined
  }

  list(): Promise<readonly { name: string; bytes: number; storedAtMs: number }[]> {
    return this.#do('listing objects', async (store) => {
      const all = await store.list()
      return all
        .filter((info) => !info.deleted)
        .map((info) => ({ name: info.name, bytes: info.size, storedAtMs: Date.parse(info.mtime) }))
    })
  }

  /** By its subjects: what is left of it says that it was deleted, as the store's own clients do. */
  async remove(name: string): Promise<void> {
    if (!hashName.test(name)) return
    const info = await this.#info(name)
    if (!info || info.deleted) return
    await this.#write(
      this.#infoSubject(name),
      Buffer.from(JSON.stringify({ ...info, size: 0, chunks: 0, deleted: true })),
    )
    await api(this.#bus, `STREAM.PURGE.${this.#stream}`, { filter: this.#chunkSubject(info.nuid) })
  }

  async #info(name: string): Promise<ObjectInfo | undefined> {
    const message = await getFromLeader(this.#bus, this.#stream, { last_by_subj: this.#infoSubject(name) })
    try {
      return message && (JSON.parse(Buffer.from(message.data).toString()) as ObjectInfo)
    } catch {
      // Nobody of us wrote this.
      return undefined
    }
  }

  async #chunksFromAny({ nuid, chunks }: ObjectInfo): Promise<LogMessage[]> {
    const found: LogMessage[] = []
    while (found.length < chunks) {
      const from = (found.at(-1)?.sequence ?? 0) + 1
      const some = await getNextOf(this.#bus, this.#stream, this.#chunkSubject(nuid), from, chunks - found.length)
      if (some.length === 0) break
      found.push(...some)
    }
    return found
  }

  /** One by one: for a replica that lags behind what was just stored. */
  async #chunksFromLeader({ nuid, chunks }: ObjectInfo): Promise<LogMessage[]> {
    const found: LogMessage[] = []
    while (found.length < chunks) {
      const seq = (found.at(-1)?.sequence ?? 0) + 1
      const next = await getFromLeader(this.#bus, this.#stream, { seq, next_by_subj: this.#chunkSubject(nuid) })
      if (next === undefined) break
      found.push(next)
    }
    return found
  }

  async #write(subject: string, data: Uint8Array): Promise<void> {
    const result = await append(this.#bus, subject, data)
    if (result.outcome === 'stored') return
    const why = `${result.message} (${result.code})`
    if (result.outcome === 'unknown' || result.reason === 'no-responders') throw noAnswer(subject, why, false)
    const code = result.reason === 'not-allowed' ? 'TROUPE_NOT_ALLOWED' : 'TROUPE_REFUSED'
    throw new TroupeError(code, `a large value was not stored: ${why}`)
  }

  get #stream(): string {
    return `OBJ_${this.#bucket}`
  }

  #chunkSubject(nuid: string): string {
    return `$O.${this.#bucket}.C.${nuid}`
  }

  #infoSubject(name: string): string {
    return `$O.${this.#bucket}.M.${Buffer.from(name).toString('base64').replaceAll('+', '-').replaceAll('/', '_')}`
  }

  async #do<T>(what: string, work: (store: Store) => Promise<T>): Promise<T> {
    if (this.#bus.closed) throw closedError()
    try {
      this.#store ??= new Objm(this.#bus.client).open(this.#bucket)
      return await work(await this.#store)
    } catch (error) {
      this.#store = undefined
      throw noAnswer(what, error instanceof Error ? error.message : String(error), false)
    }
  }
}

function hashOf(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
