/**
 * Keeps a partition's log bounded: saves ledger checkpoints, and, where its scheduler leads, trims the log behind them,
 * copies old values forward, and closes the door to submissions when the log is nearly full; whoever finds it full gives it a
 * reserve (rules 10, 11, 12).
 */
import type { Logger } from 'pino'
import type { Manifest } from '../../actors/ledger/checkpoint.ts'
import type { LedgerState } from '../../actors/ledger/state.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { CheckpointStore, Log, LogInfo, StoredCheckpoint } from '../../nats/bus.ts'
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import { type LogValues, lostReason } from '../scheduler/log-values.ts'
import type { LedgerReader } from './ledger-reader.ts'
import { isOf, readManifest, readState } from './load-checkpoint.ts'
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
/** The share at which journals and control entries are given a reserve. */
const fullAt = 0.95
/** From this share on, results are not kept for reading, and old values are copied forward. */
const tightAt = 0.5
/** Tasks copied forward in one round, how many are read at a time, and their share of the log's size at most. */
const copiesMax = 500
const copiesAtOnce = 16
const copiesShare = 1 / 16
/** A log that is tight is trimmed soon: a checkpoint is due after this long, ms. */
const tightCheckpointMs = 5_000

export class Housekeeping {
  private readonly options: HousekeepingOptions
  private timer: NodeJS.Timeout | undefined
  private working: Promise<void> | undefined
  private savedPosition = 0
  private savedAtMs = 0
  /** The log was more than half full when looked at last. */
  private tight = false
  /** Position of the stored checkpoint that was read back whole, or was saved here. */
  private verifiedPosition = 0
  /** Tasks whose values could not be found; trying again helps nobody. */
  private readonly lost = new WeakSet<TaskRecord>()

  constructor(options: HousekeepingOptions) {
    this.options = options
    this.savedPosition = options.reader.loadedFrom
    this.savedAtMs = performance.now()
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
    if (!reader.live || reader.ledger.outdated || reader.ledger.state.position === this.savedPosition) return
    await this.save().catch((error: unknown) => logger.warn({ err: error }, 'no last checkpoint was saved'))
  }

  /** One look: never throws. */
  private async round(): Promise<void> {
    const { reader, logger, log, scheduler } = this.options
    if (!reader.live || reader.ledger.outdated) return
    try {
      if (this.checkpointDue()) await this.save()
      if (scheduler === undefined) return
      const info = await log.info()
      if (info.bytesMax > 0 && info.bytes / info.bytesMax >= fullAt) await this.makeRoom(info)
      if (scheduler.leading) await this.keepBounded(info)
    } catch (error) {
      logger.warn({ err: error }, 'housekeeping of the log failed; it is tried again')
    }
  }

  /** Standbys come first: a leader waits twice as long, so that it saves only when nobody else does. */
  private checkpointDue(): boolean {
    const { reader, scheduler, messagesPerCheckpoint = 50_000, checkpointMs = 60_000 } = this.options
    const folded = reader.ledger.state.position - this.savedPosition
    const ageMs = performance.now() - this.savedAtMs
    if (folded > 0 && this.tight && ageMs >= Math.min(tightCheckpointMs, checkpointMs)) return true
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
    logger.debug(
      { position: manifest.position, tasks: manifest.tasks, ms: performance.now() - startedAtMs },
      'ledger checkpoint saved',
    )
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

  private async keepBounded(info: LogInfo): Promise<void> {
    const { log, logger } = this.options
    const used = info.bytesMax > 0 ? info.bytes / info.bytesMax : 0
    this.tight = used >= tightAt
    if (used >= closeAt && info.doorOpen) {
      logger.error({ bytes: info.bytes, bytesMax: info.bytesMax }, 'the log is nearly full: submissions are refused')
      await log.setDoor(false)
    } else if (used <= openAt && !info.doorOpen) {
      logger.info({ bytes: info.bytes, bytesMax: info.bytesMax }, 'submissions are taken again')
      await log.setDoor(true)
    }
    const newest = await this.newest()
    if (newest === undefined || !(await this.isWhole(newest, info))) return
    const { manifest } = newest
    const floor = Math.min(manifest.position, this.tight ? manifest.neededFrom : manifest.readableFrom)
    if (floor > info.firstSequence) await log.trim(floor)
    if (this.tight && manifest.position - manifest.neededFrom > 1_000) await this.copyForward(info)
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

  /** Rule 2: the values of the oldest live tasks and dead letters are written again at the head of the log. */
  private async copyForward(info: LogInfo): Promise<void> {
    const { reader, scheduler, logger } = this.options
    if (scheduler === undefined) return
    const before = (info.firstSequence + info.lastSequence) / 2
    const old = oldestHolders(reader.ledger.state, before, this.lost)
    let bytes = 0
    let copied = 0
    for (let at = 0; at < old.length && bytes < info.bytesMax * copiesShare; at += copiesAtOnce) {
      const { entries, bytes: more } = await this.copies(scheduler, old.slice(at, at + copiesAtOnce))
      for (const block of entries) await scheduler.decideAll(block)
      copied += entries.flat().length
      bytes += more
    }
    logger.info({ tasks: copied, bytes }, 'values of old tasks were copied forward')
  }

  /** Blocks of `kept` entries for these tasks, each small enough to be stored. */
  private async copies(
    scheduler: LeadingScheduler,
    tasks: readonly TaskRecord[],
  ): Promise<{ entries: ControlEntry[][]; bytes: number }> {
    const places = tasks.map(placesOf)
    const loaded = await scheduler.values.load(tasks)
    const entries: ControlEntry[][] = [[]]
    let bytes = 0
    let blockBytes = 0
    for (const [i, task] of tasks.entries()) {
      const { input, snapshot } = placesOf(task)
      // It went on while the log was read: what was read may be older than what it has now.
      if (input !== places[i]!.input || snapshot !== places[i]!.snapshot) continue
      const values = loaded.get(task)
      if (values === undefined) {
        this.lost.add(task)
        if (task.status !== 'running') entries.at(-1)?.push([kind.lost, task.id, task.turn, lostReason(task)])
        continue
      }
      const size = sizeOf(values.input) + sizeOf(values.snapshot) + 256
      if (blockBytes > 0 && blockBytes + size > limits.blockBytesMax) {
        entries.push([])
        blockBytes = 0
      }
      entries.at(-1)?.push([kind.kept, task.id, input, values.input, snapshot, values.snapshot])
      blockBytes += size
      bytes += size
    }
    return { entries: entries.filter((block) => block.length > 0), bytes }
  }
}

interface NewestCheckpoint {
  readonly stored: StoredCheckpoint
  readonly manifest: Manifest
}

function placesOf(task: TaskRecord): { input: number; snapshot: number } {
  return { input: task.input.sequence, snapshot: task.snapshot?.sequence ?? 0 }
}

/** Live tasks and dead letters with values in the older half of the log, but for those that nothing can be done about. */
function oldestHolders(state: LedgerState, before: number, lost: WeakSet<TaskRecord>): TaskRecord[] {
  const old: TaskRecord[] = []
  for (const task of state.tasks.values()) {
    if (task.ended && (task.status !== 'failed' || task.rare?.unreadable)) continue
    const sequence = Math.min(task.input.sequence, task.snapshot?.sequence ?? Number.POSITIVE_INFINITY)
    if (sequence >= before || lost.has(task)) continue
    // A running task writes a new snapshot soon by itself; its input it never writes again.
    if (task.status === 'running' && task.input.sequence >= before) continue
    old.push(task)
    if (old.length >= copiesMax) break
  }
  return old
}

function sizeOf(value: unknown): number {
  return value instanceof Uint8Array ? value.length : typeof value === 'string' ? value.length * 3 : 64
}
