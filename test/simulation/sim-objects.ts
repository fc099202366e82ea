/** The bucket of large values of one process, over the stream in which the simulated server holds it. */
import type { AppendResult, ObjectUsage } from '../../src/nats/bus.ts'
import { BucketObjects, type InfoAt, type ObjectBucket, type ObjectInfo } from '../../src/nats/objects.ts'
import { noAnswer, type SimBus } from './sim-bus.ts'
import type { StreamHost } from './sim-log.ts'
import type { Shelf } from './sim-stores.ts'

const apiMs = 5_000
/** Faults that hold nobody up for seconds. */
const calm = ['delay', 'duplication', 'reordering', 'crash node', 'crash control', 'crash client', 'drain']

export type Ages = ReturnType<typeof agesFor>

/** Small, so that objects come and go within a run; and longer than anybody is held up between storing and writing. */
export function agesFor(kinds: readonly string[]) {
  const ageMs = kinds.every((kind) => calm.includes(kind)) ? 12_000 : 60_000
  return { everyMs: ageMs / 10, ageMs, tightAgeMs: ageMs, youngMs: ageMs / 6 }
}
export const objectSubjects = ['object.C.*', 'object.M.*']

/** What the server holds of large values. */
export interface ObjectShelf {
  readonly host: StreamHost
  /** Of all that there ever were. */
  readonly values: Map<string, Uint8Array>
  /** By their uploads. */
  readonly uploads: Map<string, Uint8Array>
  /** Of the first partition: what cannot be reached there cannot be reached here. */
  readonly log: StreamHost
  readonly checkpoints: Shelf
  readonly ages: Ages
  /** It is there, stored or renewed, or is not any more. */
  onChanged: ((name: string, isThere: boolean) => void) | undefined
}

export function emptyObjects(
  host: StreamHost,
  { log, shelf }: { log: StreamHost; shelf: Shelf },
  kinds: readonly string[] = [],
): ObjectShelf {
  const ages = agesFor(kinds)
  return { host, values: new Map(), uploads: new Map(), log, checkpoints: shelf, ages, onChanged: undefined }
}

function infoIn(data: Uint8Array): ObjectInfo {
  return JSON.parse(Buffer.from(data).toString()) as ObjectInfo
}

export function simObjects(shelf: ObjectShelf, bus: SimBus, youngMs = shelf.ages.youngMs): BucketObjects {
  return new BucketObjects(new SimObjectBucket(shelf, bus), { youngMs })
}

class SimObjectBucket implements ObjectBucket {
  readonly name = 'simulated'
  private readonly shelf: ObjectShelf
  private readonly bus: SimBus

  constructor(shelf: ObjectShelf, bus: SimBus) {
    this.shelf = shelf
    this.bus = bus
  }

  private get stream() {
    return this.shelf.host.stream
  }

  infoOf(name: string): Promise<InfoAt | undefined> {
    return this.ask('object info', () => {
      const message = this.stream.lastOf(`object.M.${name}`)
      if (message === undefined) return undefined
      return { info: infoIn(message.data), sequence: message.sequence, writtenAtMs: message.timestampMs }
    })
  }

  async writeInfo(info: ObjectInfo, expected: number): Promise<AppendResult> {
    const { shelf } = this
    const write = () => {
      const options = { expectedLastSubjectSequence: expected }
      const data = Buffer.from(JSON.stringify(info))
      const result = shelf.host.append(`object.M.${info.name}`, data, options)
      if (result.outcome !== 'stored') return result
      shelf.onChanged?.(info.name, !info.deleted)
      if (!info.deleted) shelf.values.set(info.name, shelf.uploads.get(info.nuid) ?? new Uint8Array(0))
      shelf.host.fired(info.deleted ? 'object removed' : expected > 0 ? 'object renewed' : 'object stored')
      return result
    }
    try {
      return await this.ask('object put', write)
    } catch (error) {
      return { outcome: 'unknown', code: 0, message: (error as Error).message }
    }
  }

  async upload(nuid: string, data: Uint8Array): Promise<number> {
    if (data.length === 0) return 0
    const { shelf } = this
    const result = await this.ask('object upload', () => {
      shelf.uploads.set(nuid, data)
      return shelf.host.append(`object.C.${nuid}`, data, {})
    })
    if (result.outcome !== 'stored') throw noAnswer('object upload', result.message, false)
    return 1
  }

  read({ nuid }: ObjectInfo, isWhole: (data: Uint8Array) => boolean): Promise<Uint8Array | undefined> {
    return this.ask('object get', () => {
      const data = this.stream.lastOf(`object.C.${nuid}`)?.data ?? new Uint8Array(0)
      return isWhole(data) ? data : undefined
    })
  }

  infos(): Promise<ReadonlyMap<string, number>> {
    return this.ask('object infos', () => this.stream.counts('object.M.'))
  }

  uploads(): Promise<ReadonlySet<string>> {
    return this.ask('object uploads', () => new Set(this.stream.counts('object.C.').keys()))
  }

  uploadedAtMs(nuid: string): Promise<number | undefined> {
    return this.ask('object upload time', () => this.stream.lastOf(`object.C.${nuid}`)?.timestampMs)
  }

  removeUpload(nuid: string): Promise<void> {
    return this.ask('object purge', () => {
      this.stream.purge(`object.C.${nuid}`, Number.POSITIVE_INFINITY)
      this.shelf.uploads.delete(nuid)
    })
  }

  removeInfosBefore(name: string, sequence: number): Promise<void> {
    return this.ask('object purge', () => this.stream.purge(`object.M.${name}`, sequence))
  }

  keepLastInfo(name: string): Promise<void> {
    return this.ask('object purge', () => {
      const last = this.stream.lastOf(`object.M.${name}`)
      if (last !== undefined) this.stream.purge(last.subject, last.sequence)
    })
  }

  deleteInfo(sequence: number): Promise<void> {
    return this.ask('object delete', () => this.stream.delete(sequence))
  }

  usage(): Promise<ObjectUsage> {
    return this.ask('object usage', () => this.stream.info(this.shelf.host.clockMs))
  }

  /** Nobody may hear the answer of what was done. */
  private ask<Value>(what: string, work: () => Value): Promise<Value> {
    const { host, log, checkpoints } = this.shelf
    return this.bus.call(what, apiMs, () => {
      if (log.leaderless || host.random.chance(checkpoints.loss)) return undefined
      const value = work()
      return host.random.chance(checkpoints.loss) ? undefined : { value }
    })
  }
}
