/**
 * Keeps a partition's log bounded: saves ledger checkpoints, and, where its scheduler leads, trims the log behind them,
 * has old values copied forward, and closes the door to submissions when the log is nearly full; whoever finds it full gives it a
 * reserve (rules 10, 11, 12).
 */
import type { Logger } from 'pino'
import type { Manifest } from '../../actors/ledger/checkpoint.ts'
import type { CheckpointStore, Log, LogInfo, ObjectStore, StoredCheckpoint } from '../../nats/bus.ts'
import type { LedgerReader } from './ledger-reader.ts'
import { isOf, readManifest, readState } from './load-checkpoint.ts'
import { type LeadingScheduler, OldValues } from './old-values.ts'
import { saveCheckpoint } from './save-checkpoint.ts'

export interface HousekeepingOptions {
  readonly reader: LedgerReader
  readonly log: Log
  readonly checkpoints: CheckpointStore
  readonly logger: Logger
  readonly scheduler: LeadingScheduler | undefined
  /** To which the log refers. */
  readonly objects?: Pick<ObjectStore, 'usage'>
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
/** The share at which journals and control entries are given a reserve. */
const fullAt = 0.95
/** From this share on, results are not kept for reading, and old values are copied forward. */
const tightAt = 0.5
/**
 * A log that is tight is trimmed soon: a checkpoint is due after so many ms, and after so many times what the last one took.
 * While the door is closed people are refused, and all that ends makes room.
 */
const tightCheckpoint = { afterMs: 5_000, times: 10 }
const closedCheckpoint = { afterMs: 1_000, times: 3 }
/** Looks at a tight log per ordinary one: it must not fill between two of them. */
const tightLooks = 10
/** Messages behind the newest that a tight log holds for old tasks, from which on these are copied; each may pin a large value. */
const behindMin = 1_000
const behindMinOfObjects = 100
/** Rounds in which a task that waits has the time to get its turn. */
const waitRounds = 5

export class Housekeeping {
  private readonly options: HousekeepingOptions
  private readonly everyMs: number
  private timer: NodeJS.Timeout | undefined
  private working: Promise<void> | undefined
  private stopped = false
  private savedPosition = 0
  private savedAtMs = 0
  /** What the last save took, ms. */
  private savingMs = 0
  private roundAtMs = 0
  /** The log was more than half full when looked at last, and took no submissions. */
  private tight = false
  private closed = false
  /** Position of the stored checkpoint that was read back whole, or was saved here. */
  private verifiedPosition = 0
  private readonly oldValues: OldValues | undefined
  /** How much of the store of large values was taken when looked at last, 0 to 1. */
  private objectShare = 0

  constructor(options: HousekeepingOptions) {
    this.options = options
    this.everyMs = options.everyMs ?? 2_000
    this.savedPosition = options.reader.loadedFrom
    this.savedAtMs = performance.now()
    const { reader, scheduler, logger } = options
    if (scheduler !== undefined) this.oldValues = new OldValues(reader, scheduler, logger, waitRounds * this.everyMs)
  }

  start(): void {
    this.plan()
  }

  private plan(): void {
    const pauseMs = this.tight ? this.everyMs / tightLooks : this.everyMs
    this.timer = setTimeout(() => {
      this.working = this.look().finally(() => {
        this.working = undefined
        if (!this.stopped) this.plan()
      })
    }, pauseMs)
  }

  /** Saves a last checkpoint if anything was folded since the one before. */
  async stop(): Promise<void> {
    this.stopped = true
    clearTimeout(this.timer)
    await this.working
    const { reader, logger } = this.options
    if (!reader.live || reader.ledger.outdated || reader.ledger.state.position === this.savedPosition) return
    await this.save().catch((error: unknown) => logger.warn({ err: error }, 'no last checkpoint was saved'))
  }

  /** Never throws; the door is kept although no checkpoint can be saved. */
  private async look(): Promise<void> {
    const { reader, logger, log, scheduler } = this.options
    if (!reader.live || reader.ledger.outdated) return
    try {
      const isRound = performance.now() - this.roundAtMs >= this.everyMs
      const isSaved = this.checkpointDue() && (await this.trySave())
      if (scheduler === undefined) return
      const info = await log.info()
      if (info.bytesMax > 0 && info.bytes / info.bytesMax >= fullAt) await this.makeRoom(info)
      await this.keepDoor(info, scheduler.leading)
      if (!scheduler.leading || (!isRound && !isSaved)) return
      this.roundAtMs = performance.now()
      await this.trim(info)
    } catch (error) {
      logger.warn({ err: error }, 'housekeeping of the log failed; it is tried again')
    }
  }

  /** Returns whether it was saved. */
  private trySave(): Promise<boolean> {
    return this.save().then(
      () => true,
      (error: unknown) => {
        this.options.logger.error(
          { err: error },
          'no ledger checkpoint was saved, so the log cannot be trimmed; it is tried again',
        )
        return false
      },
    )
  }

  /** Standbys come first: a leader waits twice as long, so that it saves only when nobody else does. */
  private checkpointDue(): boolean {
    const { reader, scheduler, messagesPerCheckpoint = 50_000, checkpointMs = 60_000 } = this.options
    const folded = reader.ledger.state.position - this.savedPosition
    const ageMs = performance.now() - this.savedAtMs
    const { afterMs, times } = this.closed ? closedCheckpoint : tightCheckpoint
    const tightMs = Math.min(Math.max(afterMs, this.savingMs * times), checkpointMs)
    if (folded > 0 && this.tight && ageMs >= tightMs) return true
    const patience = scheduler?.leading ? 2 : 1
    return folded >= messagesPerCheckpoint * patience || (folded > 0 && ageMs >= checkpointMs * patience)
  }

  private async save(): Promise<void> {
    const { reader, log, checkpoints, logger } = this.options
    const newest = (await this.newest())?.manifest
    const { position } = reader.ledger.state
    if (newest !== undefined && newest.position > this.savedPosition && newest.position + 1_000 >= position) {
      this.savedPosition = newest.position
      this.savedAtMs = performance.now()
      return
    }
    const startedAtMs = performance.now()
    const manifest = await saveCheckpoint(reader.ledger, log, checkpoints, reader.latest)
    this.savedPosition = manifest.position
    this.verifiedPosition = manifest.position
    this.savedAtMs = performance.now()
    this.savingMs = this.savedAtMs - startedAtMs
    logger.debug({ position: manifest.position, tasks: manifest.tasks, ms: this.savingMs }, 'ledger checkpoint saved')
  }

  /**
   * Without room nobody can lead, so this is for every scheduler: clients may have filled the log while none was there to
   * close its door, or faster than it could.
   */
  private async makeRoom({ bytes, bytesMax, reserveBytes }: LogInfo): Promise<void> {
    if (reserveBytes > 0) return
    this.options.logger.error({ bytes, bytesMax }, 'the log is full: it takes its reserve, and no submissions')
    await this.options.log.takeReserve()
  }

  private async keepDoor(info: LogInfo, leading: boolean): Promise<void> {
    const { log, logger } = this.options
    const ofLog = info.bytesMax > 0 ? info.bytes / info.bytesMax : 0
    this.objectShare = leading ? await this.shareOfObjects() : 0
    const used = Math.max(ofLog, this.objectShare)
    this.tight = leading && used >= tightAt
    this.closed = this.tight && used > openAt && (used >= closeAt || !info.doorOpen)
    if (!leading) return
    if (used >= closeAt && info.doorOpen) {
      const what = ofLog >= closeAt ? 'the log is' : 'the store of large values is'
      logger.error(
        { bytes: info.bytes, bytesMax: info.bytesMax, objectShare: this.objectShare },
        `${what} nearly full: submissions are refused`,
      )
      await log.setDoor(false)
    } else if (used <= openAt && !info.doorOpen) {
      logger.info({ bytes: info.bytes, bytesMax: info.bytesMax }, 'submissions are taken again')
      await log.setDoor(true)
    }
  }

  /** The log pins what it refers to; so a store that is nearly full is as bad as a log that is. No answer tells nothing new. */
  private async shareOfObjects(): Promise<number> {
    const { objects } = this.options
    if (objects === undefined) return 0
    const usage = await objects.usage(this.everyMs).catch(() => undefined)
    if (usage === undefined) return this.objectShare
    return usage.bytesMax <= 0 ? 0 : usage.bytes / usage.bytesMax
  }

  private async trim(info: LogInfo): Promise<void> {
    const newest = await this.newest()
    if (newest === undefined || !(await this.isWhole(newest, info))) return
    const { manifest } = newest
    const floor = Math.min(manifest.position, this.tight ? manifest.neededFrom : manifest.readableFrom)
    if (floor > info.firstSequence) await this.options.log.trim(floor)
    const behind = manifest.position - manifest.neededFrom
    if (behind > (this.objectShare >= tightAt ? behindMinOfObjects : behindMin) && this.tight)
      await this.oldValues?.copyForward(info)
  }

  private async newest(): Promise<NewestCheckpoint | undefined> {
    const [stored] = await this.options.checkpoints.list()
    const manifest = stored && readManifest(stored)
    return manifest && { stored, manifest }
  }

  /** Rule 11: nothing is trimmed behind a checkpoint that could not be loaded. Each is read back once. */
  private async isWhole({ manifest, stored }: NewestCheckpoint, info: LogInfo): Promise<boolean> {
    if (!isOf(manifest, info) || manifest.position > info.lastSequence) return false
    if (manifest.position === this.verifiedPosition) return true
    const state = await readState(manifest, stored)
    if (typeof state === 'string') {
      this.options.logger.warn({ position: manifest.position, complaint: state }, 'the log is not trimmed')
      return false
    }
    this.verifiedPosition = manifest.position
    return true
  }
}

interface NewestCheckpoint {
  readonly stored: StoredCheckpoint
  readonly manifest: Manifest
}
