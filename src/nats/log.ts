/**
 * The log stream of one partition on JetStream. Writes go the fast way of `append.ts`, reads that decide something ask
 * the stream's leader, reads of what cannot change may ask any replica.
 */
import type { StreamConfig } from '@nats-io/jetstream'
import type { LogMessage } from '../protocol/entries.ts'
import { hasCode } from '../protocol/errors.ts'
import { append } from './append.ts'
import type { AppendOptions, AppendResult, Log, LogInfo, LogReading, LogReadOptions } from './bus.ts'
import type { NatsBus } from './connection.ts'
import { getFromAny, getFromLeader, getRangeFromAny } from './get.ts'
import { api } from './jetstream-api.ts'
import { type LeaderInfo, leaderInfo } from './leader-info.ts'
import { identityOf, partitionsIn } from './log-identity.ts'
import { readLog } from './log-reader.ts'

export interface LogSubjects {
  readonly door: readonly string[]
  readonly inner: readonly string[]
}

/** In the stream's metadata while a reserve is taken: the size with it, and the reserve. */
const reserveMark = 'troupe-reserve'
const reserveBytesMin = 1024 * 1024

/** The reserve that is part of the stream's size; none if somebody has given it another size since. */
function reserveOf({ max_bytes, metadata }: StreamConfig): number {
  const [bytes, reserve] = (metadata?.[reserveMark] ?? '').split('-').map(Number)
  return bytes === max_bytes ? (reserve ?? 0) : 0
}

export class JetStreamLog implements Log {
  readonly stream: string
  readonly #bus: NatsBus
  readonly #subjects: LogSubjects

  constructor(bus: NatsBus, stream: string, subjects: LogSubjects) {
    this.#bus = bus
    this.stream = stream
    this.#subjects = subjects
  }

  append(subject: string, data: Uint8Array, options?: AppendOptions): Promise<AppendResult> {
    return append(this.#bus, subject, data, options)
  }

  read(options: LogReadOptions): Promise<LogReading> {
    return readLog(this.#bus, this.stream, options)
  }

  async get(sequence: number): Promise<LogMessage | undefined> {
    // A replica that lags says "not found" as well; only the leader knows.
    const found = await getFromAny(this.#bus, this.stream, sequence)
    return found ?? getFromLeader(this.#bus, this.stream, { seq: sequence })
  }

  getRange(sequence: number, messagesMax: number, bytesMax: number): Promise<LogMessage[]> {
    return getRangeFromAny(this.#bus, this.stream, sequence, messagesMax, bytesMax)
  }

  lastOf(subject: string): Promise<LogMessage | undefined> {
    return getFromLeader(this.#bus, this.stream, { last_by_subj: subject })
  }

  async info(): Promise<LogInfo> {
    const info = await this.#streamInfo()
    const { state, config, created, ts } = info
    const partitions = partitionsIn(config.metadata)
    return {
      ...(partitions !== undefined && { partitions }),
      identity: identityOf(info),
      firstSequence: state.first_seq,
      lastSequence: state.last_seq,
      messages: state.messages,
      bytes: state.bytes,
      bytesMax: config.max_bytes - reserveOf(config),
      reserveBytes: reserveOf(config),
      createdAtMs: Date.parse(String(created)),
      serverTimeMs: Date.parse(ts),
      replicas: config.num_replicas,
      doorOpen: this.#isOpen(config.subjects),
    }
  }

  async trim(sequence: number): Promise<void> {
    // To the server, a purge up to 1 means everything, and one beyond the end moves the end.
    const { state } = await this.#streamInfo()
    const before = Math.min(sequence, state.last_seq + 1)
    if (before <= 1 || before <= state.first_seq) return
    await api(this.#bus, `STREAM.PURGE.${this.stream}`, { seq: before })
  }

  async setDoor(open: boolean): Promise<void> {
    const { config } = await this.#streamInfo()
    const reserve = open ? 0 : reserveOf(config)
    if (this.#isOpen(config.subjects) !== open || reserve !== reserveOf(config))
      await this.#change(config, open, reserve)
  }

  async takeReserve(): Promise<void> {
    const { config } = await this.#streamInfo()
    if (reserveOf(config) > 0 || config.max_bytes <= 0) return
    const smallest = Math.max(reserveBytesMin, Math.floor(config.max_bytes / 32))
    for (let reserve = Math.max(smallest, Math.floor(config.max_bytes / 4)); ; reserve = Math.floor(reserve / 2)) {
      try {
        return await this.#change(config, false, Math.max(smallest, reserve))
      } catch (error) {
        if (reserve <= smallest || !hasCode(error, 'TROUPE_REFUSED')) throw error
      }
    }
  }

  async #change(config: StreamConfig, open: boolean, reserve: number): Promise<void> {
    const { door, inner } = this.#subjects
    const { [reserveMark]: _, ...metadata } = config.metadata ?? {}
    const bytes = config.max_bytes - reserveOf(config) + reserve
    const changed: Partial<StreamConfig> = {
      ...config,
      subjects: open ? [...door, ...inner] : [...inner],
      max_bytes: bytes,
      metadata: reserve === 0 ? metadata : { ...metadata, [reserveMark]: `${bytes}-${reserve}` },
    }
    await api(this.#bus, `STREAM.UPDATE.${this.stream}`, changed)
  }

  #streamInfo(): Promise<LeaderInfo> {
    return leaderInfo(this.#bus, this.stream)
  }

  #isOpen(subjects: readonly string[]): boolean {
    return this.#subjects.door.every((subject) => subjects.includes(subject))
  }
}
