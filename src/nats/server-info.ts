/** What the server and JetStream say of themselves, for diagnosis. Decides nothing. */
import { TroupeError } from '../protocol/errors.ts'
import type { NatsBus } from './connection.ts'
import { api, apiCode, apiCodeOf } from './jetstream-api.ts'

export interface ServerInfo {
  readonly name: string
  readonly version: string
  readonly host: string
  readonly cluster?: string
}

/** Returns what the connected server said when the connection was made. */
export function serverInfo(bus: NatsBus): ServerInfo {
  const info = bus.client.info
  if (!info) throw new TroupeError('TROUPE_CLOSED', 'the connection was closed')
  const { server_name: name, version, host, cluster } = info as typeof info & { cluster?: string }
  return { name, version, host, ...(cluster === undefined ? {} : { cluster }) }
}

/** JetStream's use of storage by this account; −1: unlimited. */
export interface StorageInfo {
  readonly usedBytes: number
  readonly reservedBytes: number
  readonly bytesMax: number
}

/** Throws as `api` does. */
export async function storageInfo(bus: NatsBus): Promise<StorageInfo> {
  const { storage, reserved_storage, limits } = await api<{
    storage: number
    reserved_storage?: number
    limits: { max_storage: number }
  }>(bus, 'INFO')
  return { usedBytes: storage, reservedBytes: reserved_storage ?? 0, bytesMax: limits.max_storage }
}

export interface StreamFacts {
  readonly name: string
  readonly retention: string
  readonly discard: string
  readonly storage: string
  readonly replicas: number
  readonly maxAgeNs: number
  readonly bytes: number
  readonly bytesMax: number
  /** When its first and its last message were stored, ms since 1970; 0 when there never was one. */
  readonly firstTimeMs: number
  readonly lastTimeMs: number
  readonly subjects: readonly string[]
  readonly dedupeWindowMs: number
  /** Replicas that lag or are offline, by name. */
  readonly behind: readonly string[]
  readonly leader: string | undefined
  /** The server's clock when it answered, ms since 1970. */
  readonly serverTimeMs: number
}

interface StreamAnswer {
  readonly config: {
    readonly retention: string
    readonly discard: string
    readonly storage: string
    readonly num_replicas: number
    readonly max_age: number
    readonly max_bytes: number
    readonly subjects?: readonly string[]
    readonly duplicate_window?: number
  }
  readonly state: { readonly bytes: number; readonly first_ts: string; readonly last_ts: string }
  readonly cluster?: {
    readonly leader?: string
    readonly replicas?: readonly { name: string; current: boolean; offline?: boolean }[]
  }
  readonly ts: string
}

/** Returns what a stream is like, undefined if there is none of this name. Throws as `api` does. */
export async function streamFacts(bus: NatsBus, name: string): Promise<StreamFacts | undefined> {
  try {
    const { config, state, cluster, ts } = await api<StreamAnswer>(bus, `STREAM.INFO.${name}`)
    return {
      name,
      retention: config.retention,
      discard: config.discard,
      storage: config.storage,
      replicas: config.num_replicas,
      maxAgeNs: config.max_age,
      bytes: state.bytes,
      bytesMax: config.max_bytes,
      firstTimeMs: timeOf(state.first_ts),
      lastTimeMs: timeOf(state.last_ts),
      subjects: config.subjects ?? [],
      dedupeWindowMs: (config.duplicate_window ?? 0) / 1e6,
      behind: (cluster?.replicas ?? [])
        .filter(({ current, offline }) => !current || offline)
        .map(({ name: peer }) => peer),
      leader: cluster?.leader,
      serverTimeMs: Date.parse(ts),
    }
  } catch (error) {
    if (apiCodeOf(error) === apiCode.streamNotFound) return undefined
    throw error
  }
}

/** What never was has a time in the year 1. */
function timeOf(text: string): number {
  return Math.max(0, Date.parse(text) || 0)
}
