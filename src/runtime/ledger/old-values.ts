/**
 * Old values that are still needed, written again at the head of the log, so that the log behind can be trimmed (rule 2). Who
 * needs them, the ledger says; when it is time, housekeeping.
 */
import type { Logger } from 'pino'
import { isNeededByParent } from '../../actors/ledger/families.ts'
import type { LedgerState } from '../../actors/ledger/state.ts'
import { eventPlace, type SignalPlace, type TaskRecord } from '../../actors/ledger/task-record.ts'
import type { LogInfo } from '../../nats/bus.ts'
import { payloadBytes } from '../../protocol/blocks.ts'
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import { type LogValues, lostReason } from '../scheduler/log-values.ts'
import type { LedgerReader } from './ledger-reader.ts'

/** Tasks looked at and copied forward in one round, how many are read at a time, and their share of the log's size at most. */
const holdersMax = 20_000
const copiesMax = 2_000
const copiesAtOnce = 16
const copiesShare = 1 / 8
/** What a copy takes beside its values, at most. */
const overheadBytes = 256

/** Messages of the log in which a value is old: from the first that is there up to this one. */
interface Age {
  readonly from: number
  readonly before: number
}

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
   * Copies the values of the oldest live tasks and dead letters, and results of children whose parents live. A queue whose
   * tasks get their turn moves by itself: copying it would fill the log that is to be emptied.
   */
  async copyForward(info: LogInfo, nowMs = performance.now()): Promise<void> {
    const { reader, scheduler, logger } = this
    const age = { from: info.firstSequence, before: (info.firstSequence + info.lastSequence) / 2 }
    const holders = oldestHolders(reader.ledger.state, age, this.lost)
    if (nowMs - this.seenAtMs >= this.waitMs) {
      this.waited = this.seen
      this.seen = new Set(holders)
      this.seenAtMs = nowMs
    }
    const old = holders.filter((task) => task.status !== 'waiting' || this.waited.has(task)).slice(0, copiesMax)
    const copies = new Copies(scheduler, info.bytesMax * copiesShare)
    for (let at = 0; at < old.length && !copies.isEnough; at += copiesAtOnce) {
      const tasks = old.slice(at, at + copiesAtOnce)
      await this.keep(
        tasks.filter((task) => isOldItself(task, age)),
        copies,
      )
      for (const task of tasks) await this.carry(task, age, copies)
      await copies.flush()
    }
    if (copies.count > 0) logger.info({ tasks: copies.count, bytes: copies.bytes }, 'old values were copied forward')
  }

  /** Inputs and snapshots. */
  private async keep(tasks: readonly TaskRecord[], copies: Copies): Promise<void> {
    if (tasks.length === 0) return
    const places = tasks.map(placesOf)
    const loaded = await this.scheduler.values.load(tasks)
    for (const [i, task] of tasks.entries()) {
      const { input, snapshot } = placesOf(task)
      // It went on while the log was read: what was read may be older than what it has now.
      if (input !== places[i]!.input || snapshot !== places[i]!.snapshot) continue
      const values = loaded.get(task)
      if (values === undefined) {
        this.lost.add(task)
        if (task.status !== 'running') await copies.add([kind.lost, task.id, task.turn, lostReason(task)], 0)
        continue
      }
      const bytes = payloadBytes(values.input) + payloadBytes(values.snapshot)
      await copies.add([kind.kept, task.id, input, values.input, snapshot, values.snapshot], bytes)
    }
  }

  /** Signals that the task has not consumed, or its result. */
  private async carry(task: TaskRecord, age: Age, copies: Copies): Promise<void> {
    const { values } = this.scheduler
    if (isOldResult(task, age)) {
      const place = task.outcome!
      const [result] = await values.results([place])
      if (result === undefined) return
      await copies.add([kind.carried, task.id, 'result', place.sequence, result], payloadBytes(result))
      return
    }
    for (const signal of oldSignals(task, age)) {
      if (copies.isEnough) return
      const [event] = await values.signals([signal])
      if (event === undefined) continue
      await copies.add([kind.carried, task.id, 'signal', signal.sequence, event], payloadBytes(event))
    }
  }
}

/** Entries on their way into the log, in blocks small enough to be stored. */
class Copies {
  count = 0
  bytes = 0
  private readonly scheduler: LeadingScheduler
  private readonly bytesMax: number
  private block: ControlEntry[] = []
  private blockBytes = 0

  constructor(scheduler: LeadingScheduler, bytesMax: number) {
    this.scheduler = scheduler
    this.bytesMax = bytesMax
  }

  get isEnough(): boolean {
    return this.bytes >= this.bytesMax
  }

  async add(entry: ControlEntry, payloadBytes: number): Promise<void> {
    const bytes = payloadBytes + overheadBytes
    if (this.blockBytes + bytes > limits.blockBytesMax || this.block.length >= limits.blockEntriesMax)
      await this.flush()
    this.block.push(entry)
    this.blockBytes += bytes
    this.bytes += bytes
    this.count++
  }

  async flush(): Promise<void> {
    const { block } = this
    this.block = []
    this.blockBytes = 0
    if (block.length > 0) await this.scheduler.decideAll(block)
  }
}

function placesOf(task: TaskRecord): { input: number; snapshot: number } {
  return { input: task.input.sequence, snapshot: task.snapshot?.sequence ?? 0 }
}

/** Those with values in the older half of the log, but for those that nothing can be done about. */
function oldestHolders(state: LedgerState, age: Age, lost: WeakSet<TaskRecord>): TaskRecord[] {
  const old: TaskRecord[] = []
  for (const task of state.tasks.values()) {
    if (lost.has(task) || !(isOldItself(task, age) || hasOldSignal(task, age) || isOldResult(task, age))) continue
    old.push(task)
    if (old.length >= holdersMax) break
  }
  return old
}

function isOld(sequence: number, { from, before }: Age): boolean {
  return sequence >= from && sequence < before
}

/** Its input or its snapshot is; also when it is gone, which has to be said. */
function isOldItself(task: TaskRecord, { before }: Age): boolean {
  if (!task.mayRun) return false
  // A running task writes a new snapshot soon by itself; its input it never writes again.
  const snapshot = task.status === 'running' ? undefined : task.snapshot?.sequence
  return Math.min(task.input.sequence, snapshot ?? Number.POSITIVE_INFINITY) < before
}

function oldSignals(task: TaskRecord, age: Age): SignalPlace[] {
  const signals = task.mayRun ? task.rare?.signals : undefined
  return signals?.filter((signal) => isOld(eventPlace(signal).sequence, age)) ?? []
}

function hasOldSignal(task: TaskRecord, age: Age): boolean {
  return oldSignals(task, age).length > 0
}

function isOldResult(task: TaskRecord, age: Age): boolean {
  return task.status === 'completed' && isNeededByParent(task) && isOld(task.outcome?.sequence ?? 0, age)
}
