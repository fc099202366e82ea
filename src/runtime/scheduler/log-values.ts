/**
 * Values of queued tasks for a leading scheduler: recent messages are held, within a bound, until the tasks that came in
 * them have started; what is not held is read back from the log.
 */

import type { Place, SignalPlace, TaskRecord } from '../../actors/ledger/task-record.ts'
import { inputAt, signalAt, snapshotAt, type Unpacked, unpackMessage } from '../../actors/ledger/values.ts'
import type { Log } from '../../nats/bus.ts'
import type { LogMessage, Payload } from '../../protocol/entries.ts'
import type { Subjects } from '../../protocol/subjects.ts'

interface HeldMessage {
  readonly unpacked: Unpacked
  readonly bytes: number
  /** Tasks of this message that have not started. */
  uses: number
}

/** Bytes of messages held at most. What does not fit is read again when its turn comes. */
const heldBytesMax = 96 * 1024 * 1024
const readAheadMessages = 512
const readAheadBytes = 8 * 1024 * 1024

export interface TaskValues {
  readonly input: Payload
  readonly snapshot: Payload
  readonly signals: readonly Payload[]
}

export class LogValues {
  private readonly log: Log
  private readonly subjects: Subjects
  private readonly held = new Map<number, HeldMessage>()
  private bytes = 0

  constructor(log: Log, subjects: Subjects) {
    this.log = log
    this.subjects = subjects
  }

  /** Holds a message that has just been folded, for the tasks that were submitted by it. */
  hold(message: LogMessage, uses: number): void {
    if (uses === 0 || this.bytes + message.data.length > heldBytesMax || this.held.has(message.sequence)) return
    this.held.set(message.sequence, {
      unpacked: unpackMessage(this.subjects, message),
      bytes: message.data.length,
      uses,
    })
    this.bytes += message.data.length
  }

  /** One task of the message at this sequence has started or ended. */
  used(sequence: number): void {
    const held = this.held.get(sequence)
    if (held === undefined || --held.uses > 0) return
    this.held.delete(sequence)
    this.bytes -= held.bytes
  }

  clear(): void {
    this.held.clear()
    this.bytes = 0
  }

  /** All values of the task if they are at hand, else undefined. */
  atHand(task: TaskRecord): TaskValues | undefined {
    if (task.snapshot !== undefined || (task.rare?.signals?.length ?? 0) > 0) return undefined
    const held = this.held.get(task.input.sequence)
    const input = held === undefined ? undefined : inputAt(held.unpacked, task.input.index)
    return input === undefined ? undefined : { input, snapshot: null, signals: [] }
  }

  /** All values of the tasks, reading the log where needed; undefined for a task whose values are not in the log. */
  async load(tasks: readonly TaskRecord[]): Promise<Map<TaskRecord, TaskValues | undefined>> {
    const read = new Map<number, Unpacked>()
    const values = new Map<TaskRecord, TaskValues | undefined>()
    for (const task of tasks) values.set(task, await this.loadOne(task, read))
    return values
  }

  async signals(places: readonly SignalPlace[]): Promise<(Payload | undefined)[]> {
    const read = new Map<number, Unpacked>()
    const events: (Payload | undefined)[] = []
    for (const place of places) events.push(signalAt(await this.unpackedAt(place.sequence, read), place.index))
    return events
  }

  private async loadOne(task: TaskRecord, read: Map<number, Unpacked>): Promise<TaskValues | undefined> {
    const input = inputAt(await this.unpackedAt(task.input.sequence, read), task.input.index)
    if (input === undefined) return undefined
    const snapshot = task.snapshot === undefined ? null : await this.snapshotOf(task.snapshot, read)
    if (snapshot === undefined) return undefined
    const signals: Payload[] = []
    for (const place of task.rare?.signals ?? []) {
      const event = signalAt(await this.unpackedAt(place.sequence, read), place.index)
      signals.push(event ?? null)
    }
    return { input, snapshot, signals }
  }

  private async snapshotOf(place: Place, read: Map<number, Unpacked>): Promise<Payload | undefined> {
    return snapshotAt(await this.unpackedAt(place.sequence, read), place.index)
  }

  private async unpackedAt(sequence: number, read: Map<number, Unpacked>): Promise<Unpacked> {
    const known = this.held.get(sequence)?.unpacked ?? read.get(sequence)
    if (known !== undefined) return known
    // Queued tasks mostly stand one after another, so what follows is wanted next.
    for (const message of await this.log.getRange(sequence, readAheadMessages, readAheadBytes)) {
      read.set(message.sequence, unpackMessage(this.subjects, message))
    }
    return read.get(sequence) ?? { of: 'nothing' }
  }
}
