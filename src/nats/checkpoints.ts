/**
 * Checkpoints in a stream: the parts of each under its own name, its manifest last. What has no manifest does not
 * exist, whatever else of it is there. What a manifest means, the ledger knows.
 */
import { hasCode, TroupeError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { append } from './append.ts'
import type { AppendResult, CheckpointStore, StoredCheckpoint } from './bus.ts'
import type { NatsBus } from './connection.ts'
import { getFromLeader } from './get.ts'
import { api } from './jetstream-api.ts'
import { leaderInfo } from './leader-info.ts'
import { noAnswer } from './message.ts'

/** Parts of one checkpoint that are on their way at once. */
const inFlightMax = 8
/** A save that is older and has no manifest was given up. */
const tornAfterMs = 10 * 60_000
const attemptsMax = 5
/** A store with less than this free has no room for what is on its way. */
const roomBytes = inFlightMax * limits.blockBytesMax
const partsHeader = 'troupe-parts'

export interface CheckpointStoreOptions {
  readonly now?: () => number
  readonly tornAfterMs?: number
}

export class StreamCheckpointStore implements CheckpointStore {
  readonly #bus: NatsBus
  readonly #subjects: Subjects
  readonly #partition: number
  readonly #now: () => number
  readonly #tornAfterMs: number
  #making: Promise<boolean> | undefined

  constructor(bus: NatsBus, subjects: Subjects, partition: number, options: CheckpointStoreOptions = {}) {
    this.#bus = bus
    this.#subjects = subjects
    this.#partition = partition
    this.#now = options.now ?? Date.now
    this.#tornAfterMs = options.tornAfterMs ?? tornAfterMs
  }

  /** A part or a manifest has at most `limits.blockBytesMax` bytes. Throws TROUPE_TOO_LARGE, _REFUSED, _NO_ANSWER. */
  async save(
    manifest: Uint8Array,
    parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    keep: number,
  ): Promise<void> {
    const name = newName(this.#now())
    let count = 0
    const onTheirWay = new Set<Promise<void>>()
    let failure: unknown
    const rethrow = () => {
      if (failure !== undefined) throw failure
    }
    try {
      for await (const part of parts) {
        const stored: Promise<void> = this.#write(name, String(count++), part)
          .catch((error: unknown) => {
            failure ??= error
          })
          .finally(() => onTheirWay.delete(stored))
        onTheirWay.add(stored)
        if (onTheirWay.size >= inFlightMax) await Promise.race(onTheirWay)
        rethrow()
      }
      await Promise.all(onTheirWay)
      rethrow()
      await this.#write(name, 'manifest', manifest, { [partsHeader]: String(count) })
    } catch (error) {
      await Promise.all(onTheirWay)
      await this.#remove(name).catch(() => {})
      throw error
    }
    await this.#clean(keep)
  }

  async list(): Promise<readonly StoredCheckpoint[]> {
    const found = await this.#manifests()
    return found.map(({ name, manifest, savedAtMs, parts }) => ({
      manifest,
      savedAtMs,
      parts: () => this.#parts(name, parts),
    }))
  }

  async #manifests() {
    const names = (await this.#names()).filter(({ complete }) => complete)
    const found = await Promise.all(
      names.map(async ({ name }) => {
        const message = await getFromLeader(this.#bus, this.#stream, { last_by_subj: this.#subject(name, 'manifest') })
        if (!message) return []
        const parts = Number(message.headers?.get(partsHeader) ?? 0)
        return [{ name, manifest: message.data, savedAtMs: message.timestampMs, sequence: message.sequence, parts }]
      }),
    )
    return found.flat().sort((a, b) => b.sequence - a.sequence)
  }

  async *#parts(name: string, count: number): AsyncGenerator<Uint8Array> {
    for (let part = 0; part < count; part++) {
      const subject = this.#subject(name, String(part))
      const message = await getFromLeader(this.#bus, this.#stream, { last_by_subj: subject })
      if (!message) throw new TroupeError('TROUPE_LOG_MISMATCH', `checkpoint ${name} has lost part ${part} of ${count}`)
      yield message.data
    }
  }

  async #write(name: string, part: string, data: Uint8Array, headers?: Record<string, string>): Promise<void> {
    if (data.length > limits.blockBytesMax) {
      throw new TroupeError('TROUPE_TOO_LARGE', `part ${part} of a checkpoint has ${data.length} bytes`)
    }
    const subject = this.#subject(name, part)
    let result: AppendResult | undefined
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      result = await append(this.#bus, subject, data, {
        expectedLastSubjectSequence: 0,
        ...(headers ? { headers } : {}),
      })
      if (result.outcome === 'stored') return
      // The name is ours alone: whatever is there already is what an unknown attempt before has stored.
      if (result.outcome === 'refused' && result.reason === 'wrong-sequence' && attempt > 1) return
      if (result.outcome === 'refused' && result.reason === 'full' && (await this.#makeRoom())) continue
      if (result.outcome === 'refused' && result.reason !== 'no-responders') break
    }
    const why = result === undefined || result.outcome === 'stored' ? '' : result.message
    if (result?.outcome === 'refused') {
      throw new TroupeError('TROUPE_REFUSED', `no ledger checkpoint was saved in stream ${this.#stream}: ${why}`)
    }
    throw noAnswer(this.#stream, why, false)
  }

  /** Returns whether there is room now. Writes that are on their way at once ask together. */
  #makeRoom(): Promise<boolean> {
    this.#making ??= this.#grow().finally(() => {
      this.#making = undefined
    })
    return this.#making
  }

  /**
   * A ledger grows with its tasks, also with those that the log has long been trimmed of, so its checkpoints may outgrow any
   * size chosen beforehand; without a checkpoint nothing is trimmed, and the log would fill for good. So the store gets twice
   * its size. If the server has no more to give, or this user may not ask for it, older checkpoints make room for this one.
   */
  async #grow(): Promise<boolean> {
    const { config, state } = await leaderInfo(this.#bus, this.#stream)
    if (config.max_bytes < 0 || config.max_bytes - state.bytes >= roomBytes) return true
    try {
      await api(this.#bus, `STREAM.UPDATE.${this.#stream}`, { ...config, max_bytes: config.max_bytes * 2 })
      return true
    } catch (error) {
      if (!hasCode(error, 'TROUPE_REFUSED') && !hasCode(error, 'TROUPE_NOT_ALLOWED')) throw error
      return (await this.#clean(1)) > 0
    }
  }

  /** Returns how many it has removed. */
  async #clean(keep: number): Promise<number> {
    const complete = await this.#manifests()
    const superfluous = complete.slice(Math.max(1, keep)).map(({ name }) => name)
    const tornBefore = this.#now() - this.#tornAfterMs
    const torn = (await this.#names()).filter((found) => !found.complete && savedAt(found.name) < tornBefore)
    const removed = [...superfluous, ...torn.map((found) => found.name)]
    for (const name of removed) await this.#remove(name)
    return removed.length
  }

  /** The manifest goes first, so that nobody sees a checkpoint that is being removed. */
  async #remove(name: string): Promise<void> {
    await this.#purge(this.#subject(name, 'manifest'))
    await this.#purge(this.#subject(name, '>'))
  }

  async #purge(filter: string): Promise<void> {
    await api(this.#bus, `STREAM.PURGE.${this.#stream}`, { filter })
  }

  async #names(): Promise<{ name: string; complete: boolean }[]> {
    const filter = this.#subject('*', '*')
    const names = new Map<string, boolean>()
    let offset = 0
    // The server lists at most 100,000 subjects at once.
    for (let pages = 0; pages < 100; pages++) {
      const info = await api<SubjectsPage>(this.#bus, `STREAM.INFO.${this.#stream}`, {
        subjects_filter: filter,
        offset,
      })
      const subjects = Object.keys(info.state.subjects ?? {})
      for (const subject of subjects) {
        const [name, part] = subject.split('.').slice(-2)
        names.set(name!, names.get(name!) || part === 'manifest')
      }
      offset += subjects.length
      if (subjects.length === 0 || offset >= (info.total ?? 0)) break
    }
    return [...names].map(([name, complete]) => ({ name, complete }))
  }

  get #stream(): string {
    return this.#subjects.checkpointStream(this.#partition)
  }

  #subject(name: string, part: string): string {
    return this.#subjects.checkpoint(this.#partition, name, part)
  }
}

interface SubjectsPage {
  readonly total?: number
  readonly state: { readonly subjects?: Record<string, number> }
}

/** Starts with the time, so that what was left behind can be told from what is being written. */
function newName(nowMs: number): string {
  return `${nowMs.toString(36).padStart(9, '0')}-${crypto.randomUUID().slice(0, 8)}`
}

function savedAt(name: string): number {
  return Number.parseInt(name, 36) || 0
}
