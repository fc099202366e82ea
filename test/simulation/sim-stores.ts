/** Leases and ledger checkpoints of one process, over what the simulated server holds. */
import type { CheckpointStore, LeaseStore, StoredCheckpoint, Subscription } from '../../src/nats/bus.ts'
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

/** What the server holds of checkpoints. */
export interface Shelf {
  checkpoints: { name: string; manifest: Uint8Array | undefined; parts: Uint8Array[]; savedAtMs: number }[]
  /** Share of requests that are not answered. */
  loss: number
  saves: number
}

export function emptyShelf(): Shelf {
  return { checkpoints: [], loss: 0, saves: 0 }
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
