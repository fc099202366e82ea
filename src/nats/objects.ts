/**
 * Large values, each under the SHA-256 of its bytes, so that storing twice is storing once and a reader can tell that it got
 * what was meant. Decides how storing, renewing and removing the same object get along; how it lies in a stream, its bucket
 * knows.
 *
 * Whoever stores what is there already relies on it from then on, so it writes the object's info anew. A removal writes it
 * as well; both expect the info that they read to be the last, so that of the two one wins. The other stores it again.
 */
import { createHash, randomUUID } from 'node:crypto'
import { TroupeError } from '../protocol/errors.ts'
import type { AppendResult, ObjectPutOptions, ObjectStore, ObjectUsage, StoredObject } from './bus.ts'
import { noAnswer } from './message.ts'
import { RecentNames } from './recent-names.ts'

/** Names of ours; others' objects in the bucket are none of our business. */
export const objectName = /^[0-9a-f]{64}$/

/** What the bucket says of an object, as NATS's object stores do. */
export interface ObjectInfo {
  readonly name: string
  readonly bucket: string
  /** Of the upload. */
  readonly nuid: string
  readonly size: number
  readonly chunks: number
  readonly digest: string
  readonly mtime: string
  readonly deleted?: boolean
}

/** An info that was written last, where and when. */
export interface InfoAt {
  readonly info: ObjectInfo
  readonly sequence: number
  readonly writtenAtMs: number
}

/** What an object store needs of its stream. Everything throws TROUPE_NO_ANSWER, TROUPE_NOT_ALLOWED, TROUPE_CLOSED. */
export interface ObjectBucket {
  readonly name: string
  infoOf(name: string): Promise<InfoAt | undefined>
  /** Refused as `wrong-sequence` unless the info written last has this sequence; 0: there is none. */
  writeInfo(info: ObjectInfo, expected: number): Promise<AppendResult>
  /** Returns the number of chunks. Throws also TROUPE_REFUSED. */
  upload(nuid: string, data: Uint8Array): Promise<number>
  /** Undefined if the upload is gone, or damaged. */
  read(info: ObjectInfo, isWhole: (data: Uint8Array) => boolean): Promise<Uint8Array | undefined>
  /** Names of objects of which there is an info, with how many are kept of each. */
  infos(): Promise<ReadonlyMap<string, number>>
  uploads(): Promise<ReadonlySet<string>>
  /** When its last chunk was stored; undefined if there is none. */
  uploadedAtMs(nuid: string): Promise<number | undefined>
  removeUpload(nuid: string): Promise<void>
  removeInfosBefore(name: string, sequence: number): Promise<void>
  keepLastInfo(name: string): Promise<void>
  deleteInfo(sequence: number): Promise<void>
  usage(): Promise<ObjectUsage>
}

/** Infos that are read at once. */
const readsAtOnce = 32
/** Writes of an info, each of which lost against another's. */
const attemptsMax = 8
/** How old a reading of the bucket's size may be for a decision by it, ms. */
const usageAgeMaxMs = 2_000

export interface BucketObjectsOptions {
  /** What this process stored or renewed so recently is not renewed again, ms. Far below the age at which any is removed. */
  readonly youngMs?: number
}

export class BucketObjects implements ObjectStore {
  readonly #bucket: ObjectBucket
  readonly #recent: RecentNames
  #usage: { readonly value: ObjectUsage; readonly atMs: number } | undefined

  constructor(bucket: ObjectBucket, { youngMs = 5 * 60_000 }: BucketObjectsOptions = {}) {
    this.#bucket = bucket
    this.#recent = new RecentNames(youngMs)
  }

  /** Throws TROUPE_REFUSED, TROUPE_NOT_ALLOWED, TROUPE_NO_ANSWER, TROUPE_CLOSED. */
  async put(data: Uint8Array, { shareMax = 1 }: ObjectPutOptions = {}): Promise<string> {
    const digest = createHash('sha256').update(data).digest()
    const name = digest.toString('hex')
    const first = await this.#bucket.infoOf(name)
    if (isWhole(first, data) && this.#recent.has(name)) return name
    let uploaded: ObjectInfo | undefined
    let result: AppendResult | undefined
    for (let attempt = 0, there = first; attempt < attemptsMax; attempt++, there = await this.#bucket.infoOf(name)) {
      let info = there?.info
      if (!isWhole(there, data)) {
        uploaded ??= await this.#upload(name, data, digest, shareMax)
        info = uploaded
      } else if (there.sequence > (first?.sequence ?? 0)) {
        // Whoever wrote it since the first look has renewed it for us as well.
        this.#recent.add(name)
        return name
      }
      result = await this.#bucket.writeInfo({ ...info!, mtime: new Date().toISOString() }, there?.sequence ?? 0)
      if (result.outcome === 'stored') {
        this.#recent.add(name)
        return name
      }
      if (result.outcome === 'refused' && result.reason !== 'wrong-sequence') break
    }
    throw unstored(result!)
  }

  /** What is damaged is as good as absent. Throws as `put` does. */
  async get(name: string): Promise<Uint8Array | undefined> {
    if (!objectName.test(name)) return undefined
    const hasName = (data: Uint8Array) => hashOf(data) === name
    for (let there = await this.#bucket.infoOf(name); there !== undefined && !there.info.deleted; ) {
      const data = await this.#bucket.read(there.info, hasName)
      if (data !== undefined) return data
      // It may have been removed and stored again while it was read.
      const before = there.info.nuid
      there = await this.#bucket.infoOf(name)
      if (there?.info.nuid === before) return undefined
    }
    return undefined
  }

  async names(): Promise<readonly string[]> {
    return [...(await this.#bucket.infos()).keys()]
  }

  async find(name: string): Promise<StoredObject | undefined> {
    if (!objectName.test(name)) return undefined
    const there = await this.#bucket.infoOf(name)
    if (there === undefined || there.info.deleted) return undefined
    return { name, bytes: there.info.size, sequence: there.sequence, storedAtMs: there.writtenAtMs }
  }

  /** In between, what is left of it says that it was deleted, as the store's own clients do. */
  async remove({ name, sequence }: StoredObject): Promise<boolean> {
    const there = await this.#bucket.infoOf(name)
    if (there === undefined || there.info.deleted || there.sequence !== sequence) return false
    const result = await this.#bucket.writeInfo({ ...there.info, size: 0, chunks: 0, deleted: true }, sequence)
    if (result.outcome === 'stored') {
      await this.#finishRemoval(there.info, result.sequence)
      return true
    }
    if (result.outcome === 'refused' && result.reason === 'wrong-sequence') return false
    if (result.outcome === 'refused' && result.reason === 'full') return this.#removeFromFull(there)
    throw unstored(result)
  }

  async removeLeftovers(beforeMs: number): Promise<number> {
    // First the uploads: what is stored after this look is none of its business.
    const uploads = new Set(await this.#bucket.uploads())
    const infos = await this.#bucket.infos()
    let removed = 0
    for (const [name, kept] of infos) {
      if (kept > 1) await this.#bucket.keepLastInfo(name)
      removed += kept - 1
    }
    for (const { info, sequence } of await this.#infosOf([...infos.keys()])) {
      uploads.delete(info.nuid)
      if (!info.deleted) continue
      await this.#finishRemoval(info, sequence)
      removed++
    }
    for (const nuid of uploads) {
      const uploadedAtMs = await this.#bucket.uploadedAtMs(nuid)
      if (uploadedAtMs === undefined || uploadedAtMs >= beforeMs) continue
      await this.#bucket.removeUpload(nuid)
      removed++
    }
    return removed
  }

  async usage(ageMaxMs = 0): Promise<ObjectUsage> {
    if (this.#usage !== undefined && performance.now() - this.#usage.atMs < ageMaxMs) return this.#usage.value
    const value = await this.#bucket.usage()
    this.#usage = { value, atMs: performance.now() }
    return value
  }

  /** The chunks first: without the info nobody would know of them. */
  async #finishRemoval({ name, nuid }: ObjectInfo, sequence: number): Promise<void> {
    await this.#bucket.removeUpload(nuid)
    await this.#bucket.removeInfosBefore(name, sequence + 1)
  }

  /** Where nothing can be written nothing is renewed either, so the info is simply taken away; then there is room again. */
  async #removeFromFull({ info, sequence }: InfoAt): Promise<boolean> {
    await this.#bucket.removeInfosBefore(info.name, sequence)
    await this.#bucket.deleteInfo(sequence)
    const left = await this.#bucket.infoOf(info.name)
    if (left?.info.nuid === info.nuid) return false
    await this.#bucket.removeUpload(info.nuid)
    return true
  }

  /** Returns the info of an object that nobody can see yet. */
  async #upload(name: string, data: Uint8Array, digest: Buffer, shareMax: number): Promise<ObjectInfo> {
    if (shareMax < 1) await this.#checkRoom(shareMax)
    const nuid = randomUUID().replaceAll('-', '').slice(0, 22)
    const chunks = await this.#bucket.upload(nuid, data)
    const base64 = digest.toString('base64').replaceAll('+', '-').replaceAll('/', '_')
    const bucket = this.#bucket.name
    return { name, bucket, nuid, size: data.length, chunks, digest: `SHA-256=${base64}`, mtime: '' }
  }

  async #checkRoom(shareMax: number): Promise<void> {
    const { bytes, bytesMax } = await this.usage(usageAgeMaxMs)
    if (bytesMax <= 0 || bytes < bytesMax * shareMax) return
    const message = 'a large value was not stored: their store is nearly full, and keeps what is left for results'
    throw new TroupeError('TROUPE_REFUSED', message, { details: { bytes, bytesMax } })
  }

  async #infosOf(names: readonly string[]): Promise<InfoAt[]> {
    const found: InfoAt[] = []
    for (let at = 0; at < names.length; at += readsAtOnce) {
      const some = await Promise.all(names.slice(at, at + readsAtOnce).map((name) => this.#bucket.infoOf(name)))
      for (const one of some) if (one !== undefined) found.push(one)
    }
    return found
  }
}

/** The error for a write of an object that was not stored, or perhaps not. */
export function unstored(result: AppendResult): TroupeError {
  if (result.outcome === 'stored') return new TroupeError('TROUPE_INTERNAL', 'it was stored')
  const why = `${result.message} (${result.code})`
  const isOpen = result.outcome === 'unknown' || result.reason === 'no-responders' || result.reason === 'wrong-sequence'
  if (isOpen) return noAnswer('the store of large values', why, false)
  const code = result.reason === 'not-allowed' ? 'TROUPE_NOT_ALLOWED' : 'TROUPE_REFUSED'
  return new TroupeError(code, `a large value was not stored: ${why}`)
}

function isWhole(there: InfoAt | undefined, data: Uint8Array): there is InfoAt {
  return there !== undefined && !there.info.deleted && there.info.size === data.length
}

function hashOf(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}
