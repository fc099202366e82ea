/**
 * Values of tasks for a leading scheduler: inputs of new tasks are held, within a bound, until the tasks have started;
 * everything else is read back from the log.
 */
import { eventPlace, type Place, type SignalPlace, type TaskRecord } from '../../actors/ledger/task-record.ts'
import { inputAt, resultAt, signalAt, snapshotAt, type Unpacked } from '../../actors/ledger/values.ts'
import type { Log } from '../../nats/bus.ts'
import { payloadBytes } from '../../protocol/blocks.ts'
import type { Payload } from '../../protocol/entries.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { LogMessages } from './log-messages.ts'

/** Memory for inputs held at most. What does not fit is read again when its turn comes. */
const heldBytesMax = 48 * 1024 * 1024
/** What an input takes beside its bytes. */
const heldOverheadBytes = 128
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
  private readonly messages: LogMessages
  private reading: Promise<unknown> = Promise.resolve()
  private bytes = 0

  constructor(log: Log, subjects: Subjects) {
    this.messages = new LogMessages(log, subjects)
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
    this.messages.clear()
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
      const messages = await this.messages.at(places.flatMap(sequencesOf))
      return new Map(tasks.map((task, i) => [task, valuesOf(places[i]!, messages)]))
    })
  }

  signals(signals: readonly SignalPlace[]): Promise<(Payload | undefined)[]> {
    return this.read(signals.map(eventPlace), signalAt)
  }

  results(places: readonly Place[]): Promise<(Payload | undefined)[]> {
    return this.read(places, resultAt)
  }

  private read(places: readonly Place[], valueAt: typeof resultAt): Promise<(Payload | undefined)[]> {
    return this.inTurn(async () => {
      const messages = await this.messages.at(places.map(({ sequence }) => sequence))
      return places.map(({ sequence, index }) => valueAt(messages.get(sequence) ?? nothing, index))
    })
  }

  /** Reads follow one another, so that the next finds what the last has read. */
  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.reading.then(work)
    this.reading = result.catch(() => undefined)
    return result
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
    signals: task.rare?.signals?.slice(0, awardSignalsMax).map(eventPlace) ?? [],
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
