/**
 * Keeps a partition's log bounded: saves ledger checkpoints, and, where its scheduler leads, trims the log behind them,
 * copies old values forward, and closes the door to submissions when the log is nearly full (rules 10, 11, 12).
 */
import type { Logger } from 'pino'
import type { Manifest } from '../../actors/ledger/checkpoint.ts'
import type { LedgerState } from '../../actors/ledger/state.ts'
import type { CheckpointStore, Log, LogInfo } from '../../nats/bus.ts'
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import { unpackValue } from '../../protocol/payload.ts'
import type { LogValues } from '../scheduler/log-values.ts'
import type { LedgerReader } from './ledger-reader.ts'
import { saveCheckpoint } from './save-checkpoint.ts'

/** What housekeeping needs of the scheduler of its process. */
export interface LeadingScheduler {
  readonly leading: boolean
  readonly values: LogValues
  decideAll(entries: readonly ControlEntry[]): Promise<void>
}

export interface HousekeepingOptions {
  readonly reader: LedgerReader
  readonly log: Log
  readonly checkpoints: CheckpointStore
  readonly logger: Logger
  readonly scheduler: LeadingScheduler | undefined
  /** How often to look, ms. Default 2,000. */
  readonly everyMs?: number
  /** Messages folded since the last checkpoint that make a new one due. Default 50,000. */
  readonly messagesPerCheckpoint?: number
  /** A checkpoint is due after this long when anything was folded, ms. Default 60,000. */
  readonly checkpointMs?: number
}

/** Shares of the log's size at which the door closes and opens again. */
const closeAt = 0.8
const openAt = 0.6
/** From this share on, results are not kept for reading, and old values are copied forward. */
const tightAt = 0.5
/** Tasks copied forward in one round. */
const copiesMax = 500

export class Housekeeping {
  private readonly options: HousekeepingOptions
  private timer: NodeJS.Timeout | undefined
  private working: Promise<void> | undefined
  private savedPosition = 0
  private savedAtMs = 0
  private doorOpen = true

  constructor(options: HousekeepingOptions) {
    this.options = options
    this.savedPosition = options.reader.loadedFrom
    this.savedAtMs = Date.now()
  }

  start(): void {
    this.timer = setInterval(() => {
      this.working ??= this.round().finally(() => {
        this.working = undefined
      })
    }, this.options.everyMs ?? 2_000)
  }

  /** Saves a last checkpoint if anything was folded since the one before. */
  async stop(): Promise<void> {
    clearInterval(this.timer)
    await this.working
    const { reader, logger } = this.options
    if (!reader.live || reader.ledger.state.position === this.savedPosition) return
    await this.save().catch((error: unknown) => logger.warn({ err: error }, 'no last checkpoint was saved'))
  }

  /** One look: never throws. */
  private async round(): Promise<void> {
    const { reader, logger, log, scheduler } = this.options
    if (!reader.live || reader.ledger.outdated) return
    try {
      if (this.checkpointDue()) await this.save()
      if (scheduler?.leading) await this.keepBounded(await log.info())
    } catch (error) {
      logger.warn({ err: error }, 'housekeeping of the log failed; it is tried again')
    }
  }

  /** Standbys come first: a leader waits twice as long, so that it saves only when nobody else does. */
  private checkpointDue(): boolean {
    const { reader, scheduler, messagesPerCheckpoint = 50_000, checkpointMs = 60_000 } = this.options
    const folded = reader.ledger.state.position - this.savedPosition
    const patience = scheduler?.leading ? 2 : 1
    return (
      folded >= messagesPerCheckpoint * patience ||
      (folded > 0 && Date.now() - this.savedAtMs >= checkpointMs * patience)
    )
  }

  private async save(): Promise<void> {
    const { reader, log, checkpoints, logger } = this.options
    const newest = await this.newestManifest()
    const { position } = reader.ledger.state
    if (newest !== undefined && newest.position > this.savedPosition && newest.position + 1_000 >= position) {
      this.savedPosition = newest.position
      this.savedAtMs = Date.now()
      return
    }
    const startedAtMs = Date.now()
    const manifest = await saveCheckpoint(reader.ledger, log, checkpoints)
    this.savedPosition = manifest.position
    this.savedAtMs = Date.now()
    logger.debug(
      { position: manifest.position, tasks: manifest.tasks, ms: Date.now() - startedAtMs },
      'ledger checkpoint saved',
    )
  }

  private async keepBounded(info: LogInfo): Promise<void> {
    const { log, logger } = this.options
    const used = info.bytesMax > 0 ? info.bytes / info.bytesMax : 0
    this.doorOpen = info.doorOpen
    if (used >= closeAt && this.doorOpen) {
      logger.error({ bytes: info.bytes, bytesMax: info.bytesMax }, 'the log is nearly full: submissions are refused')
      await log.setDoor(false)
    } else if (used <= openAt && !this.doorOpen) {
      logger.info({ bytes: info.bytes, bytesMax: info.bytesMax }, 'submissions are taken again')
      await log.setDoor(true)
    }
    const manifest = await this.newestManifest()
    if (manifest === undefined || manifest.createdAtMs !== info.createdAtMs) return
    const floor = Math.min(manifest.position, used >= tightAt ? manifest.neededFrom : manifest.readableFrom)
    if (floor > info.firstSequence) await log.trim(floor)
    if (used >= tightAt && manifest.position - manifest.neededFrom > 1_000) await this.copyForward(info)
  }

  private async newestManifest(): Promise<Manifest | undefined> {
    const [newest] = await this.options.checkpoints.list()
    if (newest === undefined) return undefined
    return unpackValue(newest.manifest) as Manifest
  }

  /** Rule 2: the values of the oldest live tasks and dead letters are written again at the head of the log. */
  private async copyForward(info: LogInfo): Promise<void> {
    const { reader, scheduler, logger } = this.options
    if (scheduler === undefined) return
    const { state } = reader.ledger
    const old = oldestHolders(state, (info.firstSequence + info.lastSequence) / 2)
    const loaded = await scheduler.values.load(old)
    let entries: ControlEntry[] = []
    let bytes = 0
    for (const task of old) {
      const values = loaded.get(task)
      if (values === undefined) continue
      const snapshotSequence = task.snapshot?.sequence ?? 0
      entries.push([kind.kept, task.id, task.input.sequence, values.input, snapshotSequence, values.snapshot])
      bytes += sizeOf(values.input) + sizeOf(values.snapshot) + 256
      if (bytes > limits.blockBytesMax / 2) {
        await scheduler.decideAll(entries)
        entries = []
        bytes = 0
      }
    }
    if (entries.length > 0) await scheduler.decideAll(entries)
    logger.info({ tasks: old.length }, 'values of old tasks were copied forward')
  }
}

function oldestHolders(state: LedgerState, before: number) {
  const old = []
  for (const task of state.tasks.values()) {
    if (task.ended && task.status !== 'failed') continue
    const sequence = Math.min(task.input.sequence, task.snapshot?.sequence ?? Number.POSITIVE_INFINITY)
    // A running task writes a new snapshot soon by itself.
    if (sequence >= before || task.status === 'running') continue
    old.push(task)
    if (old.length >= copiesMax) break
  }
  return old
}

function sizeOf(value: unknown): number {
  return value instanceof Uint8Array ? value.length : typeof value === 'string' ? value.length * 3 : 64
}
