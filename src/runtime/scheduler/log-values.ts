/**
 * Values of tasks for a leading scheduler: inputs of new tasks are held, within a bound, until the tasks have started;
 * everything else is read back from the log, near neighbours together and each message once.
 */
import type { Place, SignalPlace, TaskRecord } from '../../actors/ledger/task-record.ts'
import { inputAt, signalAt, snapshotAt, type Unpacked, unpackMessage } from '../../actors/ledger/values.ts'
import type { Log } from '../../nats/bus.ts'
import { payloadBytes } from '../../protocol/blocks.ts'
import type { Payload } from '../../protocol/entries.ts'
import type { Subjects } from '../../protocol/subjects.ts'

/** Memory for inputs held at most. What does not fit is read again when its turn comes. */
const heldBytesMax = 48 * 1024 * 1024
/** What an input takes beside its bytes. */
const heldOverheadBytes = 128
/** Messages that have been read and may be wanted again. */
const readMessagesMax = 64
/** A read takes in neighbours up to this far, as queued tasks mostly stand one after another. */
const runMessagesMax = 512
const runBytesMax = 2 * 1024 * 1024
/** Signals that travel with an award; the node asks for the others. */
const awardSignalsMax = 100
const awardSignalBytesMax = 128 * 1024

export interface TaskValues {
  readonly input: Payload
  readonly snapshot: Payload
  /** The first of the task's signals, as many as an award carries. */
  readonly signals: readonly Payload[]
}

export class LogValues {
  private readonly log: Log
  private readonly subjects: Subjects
  private readonly read = new Map<number, Unpacked>()
  private reading: Promise<unknown> = Promise.resolve()
  private bytes = 0

  constructor(log: Log, subjects: Subjects) {
    this.log = log
    this.subjects = subjects
  }

  /** Keeps the input of a task that has just been submitted. */
  hold(task: TaskRecord, input: Payload): void {
    const bytes = payloadBytes(input) + heldOverheadBytes
    if (task.ended || this.bytes + bytes > heldBytesMax) return
    task.atHand = input
    this.bytes += bytes
  }

  /** The task has started or ended. */
  used(task: TaskRecord): void {
    if (task.atHand === undefined) return
    this.bytes -= payloadBytes(task.atHand) + heldOverheadBytes
    task.atHand = undefined
  }

  clear(tasks: Iterable<TaskRecord>): void {
    for (const task of tasks) task.atHand = undefined
    this.bytes = 0
    this.read.clear()
  }

  /** The input, if it is at hand and all that the task needs. */
  atHand(task: TaskRecord): Payload | undefined {
    if (task.snapshot !== undefined || (task.rare?.signals?.length ?? 0) > 0) return undefined
    return task.atHand
  }

  /** All values of the tasks; undefined for a task whose values are not in the log. One call at a time reads. */
  load(tasks: readonly TaskRecord[]): Promise<Map<TaskRecord, TaskValues | undefined>> {
    return this.inTurn(async () => {
      const places = tasks.map(placesOf)
      const messages = await this.messagesAt(places.flatMap(sequencesOf))
      return new Map(tasks.map((task, i) => [task, valuesOf(places[i]!, messages)]))
    })
  }

  signals(places: readonly SignalPlace[]): Promise<(Payload | undefined)[]> {
    return this.inTurn(async () => {
      const messages = await this.messagesAt(places.map(({ sequence }) => sequence))
      return places.map(({ sequence, index }) => signalAt(messages.get(sequence) ?? nothing, index))
    })
  }

  /** Reads follow one another, so that the next finds what the last has read. */
  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.reading.then(work)
    this.reading = result.catch(() => undefined)
    return result
  }

  private async messagesAt(wanted: readonly number[]): Promise<ReadonlyMap<number, Unpacked>> {
    const messages = new Map<number, Unpacked>()
    const missing = new Set<number>()
    for (const sequence of wanted) {
      const known = this.read.get(sequence)
      if (known !== undefined) messages.set(sequence, known)
      else missing.add(sequence)
    }
    const sorted = [...missing].sort((a, b) => a - b)
    for (let first = sorted.shift(); first !== undefined; first = sorted.shift()) {
      let last = first
      while (sorted[0] !== undefined && sorted[0] - first < runMessagesMax) last = sorted.shift()!
      await this.readRun(first, last, missing, messages)
    }
    for (const sequence of missing) {
      // A replica that lags does not have the newest yet; the stream's leader is asked then.
      const message = messages.has(sequence) ? undefined : await this.log.get(sequence)
      if (message !== undefined) messages.set(sequence, unpackMessage(this.subjects, message))
    }
    return messages
  }

  /** Reads from `first` to `last`, in as many requests as the bound on bytes makes of it. */
  private async readRun(
    first: number,
    last: number,
    wanted: ReadonlySet<number>,
    messages: Map<number, Unpacked>,
  ): Promise<void> {
    for (let from = first; from <= last; ) {
      const page = await this.log.getRange(from, last - from + 1, runBytesMax)
      for (const message of page) {
        if (!wanted.has(message.sequence)) continue
        const unpacked = unpackMessage(this.subjects, message)
        messages.set(message.sequence, unpacked)
        this.remember(message.sequence, unpacked)
      }
      const end = page.at(-1)?.sequence
      if (end === undefined) return
      from = end + 1
    }
  }

  private remember(sequence: number, unpacked: Unpacked): void {
    this.read.set(sequence, unpacked)
    if (this.read.size <= readMessagesMax) return
    const oldest = this.read.keys().next().value
    if (oldest !== undefined) this.read.delete(oldest)
  }
}

const nothing: Unpacked = { of: 'nothing' }

/** Where the values of a task stand at one moment; it may go on while they are read. */
interface Places {
  readonly input: Place
  readonly snapshot: Place | undefined
  readonly signals: readonly Place[]
}

function placesOf(task: TaskRecord): Places {
  const { sequence, index } = task.input
  return {
    input: { sequence, index },
    snapshot: task.snapshot,
    signals: task.rare?.signals?.slice(0, awardSignalsMax) ?? [],
  }
}

function sequencesOf({ input, snapshot, signals }: Places): number[] {
  const places = snapshot === undefined ? [input, ...signals] : [input, snapshot, ...signals]
  return places.map(({ sequence }) => sequence)
}

function valuesOf(places: Places, messages: ReadonlyMap<number, Unpacked>): TaskValues | undefined {
  const at = ({ sequence }: Place) => messages.get(sequence) ?? nothing
  const input = inputAt(at(places.input), places.input.index)
  const snapshot = places.snapshot === undefined ? null : snapshotAt(at(places.snapshot), places.snapshot.index)
  if (input === undefined || snapshot === undefined) return undefined
  const signals: Payload[] = []
  let bytes = 0
  for (const place of places.signals) {
    const event = signalAt(at(place), place.index)
    bytes += event === undefined ? 0 : payloadBytes(event)
    // The node asks for the rest; one that was not found must not arrive as another.
    if (event === undefined || bytes > awardSignalBytesMax) break
    signals.push(event)
  }
  return { input, snapshot, signals }
}

/** Why a task whose values were not found can never run. */
export function lostReason({ input, snapshot }: TaskRecord): string {
  const places =
    snapshot === undefined ? `${input.sequence}` : `${input.sequence} or its snapshot of ${snapshot.sequence}`
  return `its input of message ${places} is not in the log any more`
}
