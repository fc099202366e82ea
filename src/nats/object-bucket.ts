/**
 * A bucket of objects in a stream, as NATS's own clients lay it out: under one subject the info of an object, under another,
 * named by the upload, its chunks. What is there is asked of the stream's leader. Knows nothing of when an object is needed.
 *
 * It is read without a consumer: whoever may make consumers has the server publish for it anywhere.
 */
import type { LogMessage } from '../protocol/entries.ts'
import { append } from './append.ts'
import type { AppendResult, ObjectUsage } from './bus.ts'
import type { NatsBus } from './connection.ts'
import { getFromLeader, getNextOf } from './get.ts'
import { api } from './jetstream-api.ts'
import { closedError } from './message.ts'
import { type InfoAt, type ObjectBucket, type ObjectInfo, objectName, unstored } from './objects.ts'

const chunkBytes = 128 * 1024
/** Chunks of one object that are on their way at once. */
const inFlightMax = 8
/** Pages of subjects, of up to 100,000 each, that are read at most. */
const pagesMax = 100

interface StreamAnswer {
  readonly ts: string
  readonly total?: number
  readonly config: { readonly max_bytes?: number }
  readonly state: { readonly bytes: number; readonly subjects?: Readonly<Record<string, number>> }
}

export class JetStreamObjectBucket implements ObjectBucket {
  readonly name: string
  readonly #bus: NatsBus

  constructor(bus: NatsBus, name: string) {
    this.#bus = bus
    this.name = name
  }

  async infoOf(name: string): Promise<InfoAt | undefined> {
    if (this.#bus.closed) throw closedError()
    const message = await getFromLeader(this.#bus, this.#stream, { last_by_subj: this.#infoSubject(name) })
    const info = message && readInfo(message.data)
    return info && { info, sequence: message.sequence, writtenAtMs: message.timestampMs }
  }

  writeInfo(info: ObjectInfo, expected: number): Promise<AppendResult> {
    const data = Buffer.from(JSON.stringify(info))
    return append(this.#bus, this.#infoSubject(info.name), data, { expectedLastSubjectSequence: expected })
  }

  async upload(nuid: string, data: Uint8Array): Promise<number> {
    const subject = this.#chunkSubject(nuid)
    const chunks = Math.ceil(data.length / chunkBytes)
    for (let at = 0; at < chunks; at += inFlightMax) {
      const some = Array.from({ length: Math.min(inFlightMax, chunks - at) }, (_, i) => (at + i) * chunkBytes)
      // The order of chunks is that of the stream.
      const writes = some.map((from) => append(this.#bus, subject, data.subarray(from, from + chunkBytes)))
      for (const result of await Promise.all(writes)) if (result.outcome !== 'stored') throw unstored(result)
    }
    return chunks
  }

  async read(info: ObjectInfo, isWhole: (data: Uint8Array) => boolean): Promise<Uint8Array | undefined> {
    for (const read of [this.#chunksFromAny, this.#chunksFromLeader]) {
      const data = Buffer.concat((await read.call(this, info)).map((chunk) => chunk.data))
      if (isWhole(data)) return data
    }
    return undefined
  }

  async infos(): Promise<ReadonlyMap<string, number>> {
    const infos = new Map<string, number>()
    for (const [token, writes] of await this.#tokens('M')) {
      const name = Buffer.from(token, 'base64url').toString()
      if (objectName.test(name)) infos.set(name, writes)
    }
    return infos
  }

  async uploads(): Promise<ReadonlySet<string>> {
    return new Set((await this.#tokens('C')).keys())
  }

  async uploadedAtMs(nuid: string): Promise<number | undefined> {
    const last = await getFromLeader(this.#bus, this.#stream, { last_by_subj: this.#chunkSubject(nuid) })
    return last?.timestampMs
  }

  removeUpload(nuid: string): Promise<void> {
    return this.#purge({ filter: this.#chunkSubject(nuid) })
  }

  removeInfosBefore(name: string, sequence: number): Promise<void> {
    return this.#purge({ filter: this.#infoSubject(name), seq: sequence })
  }

  keepLastInfo(name: string): Promise<void> {
    return this.#purge({ filter: this.#infoSubject(name), keep: 1 })
  }

  async deleteInfo(sequence: number): Promise<void> {
    await api(this.#bus, `STREAM.MSG.DELETE.${this.#stream}`, { seq: sequence, no_erase: true })
  }

  async usage(): Promise<ObjectUsage> {
    const { ts, config, state } = await api<StreamAnswer>(this.#bus, `STREAM.INFO.${this.#stream}`)
    return { bytes: state.bytes, bytesMax: config.max_bytes ?? -1, serverTimeMs: Date.parse(ts) }
  }

  async #purge(what: { filter: string; seq?: number; keep?: number }): Promise<void> {
    await api(this.#bus, `STREAM.PURGE.${this.#stream}`, what)
  }

  /** What follows the prefix in subjects of infos or of chunks, with how many messages each has. */
  async #tokens(of: 'C' | 'M'): Promise<Map<string, number>> {
    const prefix = `$O.${this.name}.${of}.`
    const tokens = new Map<string, number>()
    for (let page = 0, offset = 0; page < pagesMax; page++) {
      const body = { subjects_filter: `${prefix}*`, offset }
      const { state, total = 0 } = await api<StreamAnswer>(this.#bus, `STREAM.INFO.${this.#stream}`, body)
      const subjects = Object.entries(state.subjects ?? {})
      for (const [subject, count] of subjects) tokens.set(subject.slice(prefix.length), count)
      offset += subjects.length
      if (subjects.length === 0 || offset >= total) break
    }
    return tokens
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

  get #stream(): string {
    return `OBJ_${this.name}`
  }

  #chunkSubject(nuid: string): string {
    return `$O.${this.name}.C.${nuid}`
  }

  #infoSubject(name: string): string {
    return `$O.${this.name}.M.${Buffer.from(name).toString('base64').replaceAll('+', '-').replaceAll('/', '_')}`
  }
}

/** Undefined for what none of us wrote. */
function readInfo(data: Uint8Array): ObjectInfo | undefined {
  try {
    return JSON.parse(Buffer.from(data).toString()) as ObjectInfo
  } catch {
    return undefined
  }
}
