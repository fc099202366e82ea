/**
 * Old values that are still needed, written again at the head of the log, so that the log behind can be trimmed (rule 2). Who
 * needs them, the ledger says; when it is time, housekeeping.
 */
import type { Logger } from 'pino'
import type { LedgerState } from '../../actors/ledger/state.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { LogInfo } from '../../nats/bus.ts'
import { payloadBytes } from '../../protocol/blocks.ts'
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import { type LogValues, lostReason } from '../scheduler/log-values.ts'
import type { LedgerReader } from './ledger-reader.ts'

/** Tasks looked at and copied forward in one round, how many are read at a time, and their share of the log's size at most. */
const holdersMax = 20_000
const copiesMax = 500
const copiesAtOnce = 16
const copiesShare = 1 / 16

/** What housekeeping needs of the scheduler of its process. */
export interface LeadingScheduler {
  readonly leading: boolean
  readonly values: LogValues
  decideAll(entries: readonly ControlEntry[]): Promise<void>
}

export class OldValues {
  private readonly reader: LedgerReader
  private readonly scheduler: LeadingScheduler
  private readonly logger: Logger
  private readonly waitMs: number
  /** Tasks whose values could not be found; trying again helps nobody. */
  private readonly lost = new WeakSet<TaskRecord>()
  /** Those that had old values `waitMs` ago at least, and those that have them since. */
  private waited: ReadonlySet<TaskRecord> = new Set()
  private seen: ReadonlySet<TaskRecord> = new Set()
  private seenAtMs = Number.NEGATIVE_INFINITY

  /** A task that waits for its turn has that long until its values are copied, ms. */
  constructor(reader: LedgerReader, scheduler: LeadingScheduler, logger: Logger, waitMs: number) {
    this.reader = reader
    this.scheduler = scheduler
    this.logger = logger
    this.waitMs = waitMs
  }

  /**
   * Copies the values of the oldest live tasks and dead letters. A queue whose tasks get their turn moves by itself: copying it
   * would fill the log that is to be emptied.
   */
  async copyForward(info: LogInfo, nowMs = performance.now()): Promise<void> {
    const { reader, scheduler, logger } = this
    const before = (info.firstSequence + info.lastSequence) / 2
    const holders = oldestHolders(reader.ledger.state, before, this.lost)
    if (nowMs - this.seenAtMs >= this.waitMs) {
      this.waited = this.seen
      this.seen = new Set(holders)
      this.seenAtMs = nowMs
    }
    const old = holders.filter((task) => task.status !== 'waiting' || this.waited.has(task)).slice(0, copiesMax)
    let bytes = 0
    let copied = 0
    for (let at = 0; at < old.length && bytes < info.bytesMax * copiesShare; at += copiesAtOnce) {
      const { entries, bytes: more } = await this.copies(old.slice(at, at + copiesAtOnce))
      for (const block of entries) await scheduler.decideAll(block)
      copied += entries.flat().length
      bytes += more
    }
    if (copied > 0) logger.info({ tasks: copied, bytes }, 'values of old tasks were copied forward')
  }

  /** Blocks of `kept` entries for these tasks, each small enough to be stored. */
  private async copies(tasks: readonly TaskRecord[]): Promise<{ entries: ControlEntry[][]; bytes: number }> {
    const places = tasks.map(placesOf)
    const loaded = await this.scheduler.values.load(tasks)
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
      const size = payloadBytes(values.input) + payloadBytes(values.snapshot) + 256
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

function placesOf(task: TaskRecord): { input: number; snapshot: number } {
  return { input: task.input.sequence, snapshot: task.snapshot?.sequence ?? 0 }
}

/** Live tasks and dead letters with values in the older half of the log, but for those that nothing can be done about. */
function oldestHolders(state: LedgerState, before: number, lost: WeakSet<TaskRecord>): TaskRecord[] {
  const old: TaskRecord[] = []
  for (const task of state.tasks.values()) {
    if (!task.mayRun) continue
    const sequence = Math.min(task.input.sequence, task.snapshot?.sequence ?? Number.POSITIVE_INFINITY)
    if (sequence >= before || lost.has(task)) continue
    // A running task writes a new snapshot soon by itself; its input it never writes again.
    if (task.status === 'running' && task.input.sequence >= before) continue
    old.push(task)
    if (old.length >= holdersMax) break
  }
  return old
}
