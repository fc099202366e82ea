/** Leases, ledger checkpoints and large values of one process, over what the simulated server holds. */
import { createHash } from 'node:crypto'
import type { CheckpointStore, LeaseStore, ObjectStore, StoredCheckpoint, Subscription } from '../../src/nats/bus.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { noAnswer, type SimBus } from './sim-bus.ts'
import type { StreamHost } from './sim-log.ts'

const apiMs = 5_000

/** A KV bucket is a stream that keeps the last message of each subject. */
export class SimLeaseStore implements LeaseStore {
  private readonly host: StreamHost
  private readonly bus: SimBus

  constructor(host: StreamHost, bus: SimBus) {
    this.host = host
    this.bus = bus
  }

  async put(key: string, value: Uint8Array, expected: number): Promise<number | undefined> {
    const { host } = this
    const result = await this.bus.call(`lease ${key}`, apiMs, () => {
      if (host.leaderless || host.random.chance(host.faults.lossOfWrites)) return undefined
      const answer = host.append(`lease.${key}`, value, { expectedLastSubjectSequence: expected })
      return host.random.chance(host.faults.lossOfAcks) ? undefined : { value: answer }
    })
    if (result.outcome === 'stored') return result.sequence
    if (result.outcome === 'refused' && result.reason === 'wrong-sequence') return undefined
    throw noAnswer(`lease ${key}`, result.message, false)
  }

  get(key: string): Promise<{ value: Uint8Array; revision: number } | undefined> {
    const { host } = this
    return this.bus.call(`lease ${key}`, apiMs, () => (host.leaderless ? undefined : { value: this.now(key) }))
  }

  async watch(key: string, onValue: (value: Uint8Array | undefined, revision: number) => void): Promise<Subscription> {
    const { host, bus } = this
    await bus.call(`watch ${key}`, apiMs, () => (host.leaderless ? undefined : { value: true }))
    let seen = 0
    const look = () => {
      const found = this.now(key)
      if (found === undefined || found.revision === seen) return
      seen = found.revision
      bus.network.receive(bus.link, `lease ${key}`, () => onValue(found.value, found.revision))
    }
    host.readers.add(look)
    bus.link.process.onCrash.push(() => host.readers.delete(look))
    const stop = bus.onConnection((state) => {
      seen = 0
      if (state === 'connected') look()
    })
    look()
    return {
      unsubscribe: () => {
        stop()
        host.readers.delete(look)
      },
    }
  }

  private now(key: string): { value: Uint8Array; revision: number } | undefined {
    const message = this.host.stream.lastOf(`lease.${key}`)
    return message && { value: message.data, revision: message.sequence }
  }
}

/** What the server holds of checkpoints and objects. */
export interface Shelf {
  checkpoints: { name: string; manifest: Uint8Array | undefined; parts: Uint8Array[]; savedAtMs: number }[]
  readonly objects: Map<string, { data: Uint8Array; storedAtMs: number }>
  /** Share of requests that are not answered. */
  loss: number
  saves: number
}

export function emptyShelf(): Shelf {
  return { checkpoints: [], objects: new Map(), loss: 0, saves: 0 }
}

export class SimCheckpointStore implements CheckpointStore {
  private readonly shelf: Shelf
  private readonly host: StreamHost
  private readonly bus: SimBus

  constructor(shelf: Shelf, host: StreamHost, bus: SimBus) {
    this.shelf = shelf
    this.host = host
    this.bus = bus
  }

  async save(
    manifest: Uint8Array,
    parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    keep: number,
  ): Promise<void> {
    const { shelf } = this
    const name = `${++shelf.saves}`
    const entry: Shelf['checkpoints'][number] = { name, manifest: undefined, parts: [], savedAtMs: Date.now() }
    for await (const part of parts) await this.ask('checkpoint part', () => void entry.parts.push(part))
    await this.ask('checkpoint manifest', () => {
      entry.manifest = manifest
      shelf.checkpoints.unshift(entry)
      shelf.checkpoints = shelf.checkpoints.slice(0, keep)
    })
  }

  async list(): Promise<readonly StoredCheckpoint[]> {
    const found = await this.ask('checkpoints', () => [...this.shelf.checkpoints])
    return found.flatMap(({ manifest, parts, savedAtMs }) =>
      manifest === undefined ? [] : [{ manifest, savedAtMs, parts: () => this.parts(parts) }],
    )
  }

  private async *parts(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
    for (const part of parts) yield await this.ask('checkpoint part', () => part)
  }

  private ask<Value>(what: string, work: () => Value): Promise<Value> {
    const { host, shelf } = this
    return this.bus.call(what, apiMs, () => {
      if (host.leaderless || host.random.chance(shelf.loss)) return undefined
      return { value: work() }
    })
  }
}

export class SimObjectStore implements ObjectStore {
  private readonly shelf: Shelf
  private readonly host: StreamHost
  private readonly bus: SimBus

  constructor(shelf: Shelf, host: StreamHost, bus: SimBus) {
    this.shelf = shelf
    this.host = host
    this.bus = bus
  }

  put(data: Uint8Array): Promise<string> {
    const name = createHash('sha256').update(data).digest('hex')
    return this.ask('object put', () => {
      this.host.fired('object stored')
      this.shelf.objects.set(name, { data, storedAtMs: this.host.world.epochMs + this.host.world.nowMs })
      return name
    })
  }

  get(name: string): Promise<Uint8Array | undefined> {
    return this.ask('object get', () => this.shelf.objects.get(name)?.data)
  }

  list(): Promise<readonly { name: string; bytes: number; storedAtMs: number }[]> {
    return this.ask('object list', () =>
      [...this.shelf.objects].map(([name, { data, storedAtMs }]) => ({ name, bytes: data.length, storedAtMs })),
    )
  }

  async remove(name: string): Promise<void> {
    await this.ask('object remove', () => this.shelf.objects.delete(name))
  }

  private ask<Value>(what: string, work: () => Value): Promise<Value> {
    return this.bus
      .call(what, apiMs, () => {
        if (this.host.leaderless || this.host.random.chance(this.shelf.loss)) return undefined
        return { value: work() }
      })
      .catch((error: unknown) => {
        throw error instanceof TroupeError ? error : new TroupeError('TROUPE_NO_ANSWER', String(error))
      })
  }
}
