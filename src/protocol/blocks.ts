/**
 * Blocks of the log and messages between the actors as bytes: packing them, and reading them with every shape checked. A
 * reader never throws. One bad entry voids only itself and keeps its place, because places in the log are counted.
 *
 * Payloads come out as views of the message, unread: whoever needs a value gives its payload to `unpackValue`.
 */

import {
  type ControlBlock,
  type ControlEntry,
  type ForwardBlock,
  type ForwardEntry,
  formatVersion,
  type JournalBlock,
  type JournalEntry,
  kind,
  type Payload,
  type Submission,
  type SubmissionBlock,
} from './entries.ts'
import { checkControlEntry, checkForwardEntry, checkJournalEntry, checkSubmission } from './entry-check.ts'
import { limits } from './limits.ts'
import { checkAwardedTask, checkHeartbeat, checkNodeMessage, checkNodeReport, checkOutcome } from './message-check.ts'
import type { AwardedTask, Heartbeat, NodeMessage, NodeReport, Outcome, Tell } from './messages.ts'
import { isCount } from './shapes.ts'
import { WireReader } from './wire-reader.ts'
import { packWire } from './wire-writer.ts'

/** An entry that was left out, by its place in the block, and why. */
export interface Rejected {
  readonly index: number
  readonly reason: string
}

export interface Unreadable {
  readonly ok: false
  readonly reason: string
}

/** `entries[i]` is the entry at place i of the block, undefined if it was rejected. */
interface Entries<Entry> {
  readonly ok: true
  readonly entries: readonly (Entry | undefined)[]
  readonly rejected: readonly Rejected[]
  /** Names of the objects to which the block refers, also where an entry was rejected. */
  readonly objects: readonly string[]
}

export type UnpackedJournal = (Entries<JournalEntry> & { readonly number: number }) | Unreadable
export type UnpackedControl = (Entries<ControlEntry> & { readonly epoch: number }) | Unreadable
export type UnpackedForward = Entries<ForwardEntry> | Unreadable
export type UnpackedSubmissions = Entries<Submission> | Unreadable
/** Items that were rejected are missing from the message. */
export type UnpackedMessage<Message> =
  | { readonly ok: true; readonly message: Message; readonly rejected: readonly Rejected[] }
  | Unreadable

export type Packable =
  | JournalBlock
  | ControlBlock
  | SubmissionBlock
  | ForwardBlock
  | NodeMessage
  | NodeReport
  | Heartbeat
  | Tell

/** Returns the bytes, in memory of their own. Throws TROUPE_NOT_SERIALIZABLE if something in it is not plain data. */
export function packBlock(block: Packable): Uint8Array {
  return packWire(block)
}

const reader = new WireReader()
const none: readonly Rejected[] = []

/** The block of a journal message. Never throws. */
export function unpackJournalBlock(bytes: Uint8Array): UnpackedJournal {
  return guarded(bytes, () => {
    const number = blockHead(3)
    return { ok: true, number, ...readItems<JournalEntry>(checkJournalEntry) }
  })
}

/** The entry at one place of a journal message's block, and no other; undefined if none is there that counts. Never throws. */
export function unpackJournalEntry(bytes: Uint8Array, index: number): JournalEntry | undefined {
  try {
    reader.start(bytes)
    blockHead(3)
    if (index >= reader.arrayLength()) return undefined
    reader.skip(index)
    const entry = reader.value(1)
    return reader.fault === '' && checkJournalEntry(entry) === undefined ? (entry as JournalEntry) : undefined
  } catch {
    return undefined
  } finally {
    reader.release()
  }
}

/** The block of a control message. Never throws. */
export function unpackControlBlock(bytes: Uint8Array): UnpackedControl {
  return guarded(bytes, () => {
    const epoch = blockHead(3)
    return { ok: true, epoch, ...readItems<ControlEntry>(checkControlEntry) }
  })
}

/**
 * The submissions of a client's block. The name of each type and its options are as they were sent: the fold checks them,
 * so that the submitter is told. Never throws.
 */
export function unpackSubmissionBlock(bytes: Uint8Array): UnpackedSubmissions {
  return guarded(bytes, () => {
    blockHead(2)
    return { ok: true, ...readItems<Submission>(checkSubmission) }
  })
}

/** What a scheduler has brought from the log of another partition. Never throws. */
export function unpackForwardBlock(bytes: Uint8Array): UnpackedForward {
  return guarded(bytes, () => {
    blockHead(2)
    return { ok: true, ...readItems<ForwardEntry>(checkForwardEntry) }
  })
}

/** What a scheduler or supervisor says to a node. Never throws. */
export function unpackNodeMessage(bytes: Uint8Array): UnpackedMessage<NodeMessage> {
  return guarded(bytes, () => {
    const message = wholeMessage(checkNodeMessage)
    if (message[0] !== 'award') return { ok: true, message: message as unknown as NodeMessage, rejected: none }
    const { kept, rejected } = sift<AwardedTask>(message[3] as unknown[], checkAwardedTask)
    return { ok: true, message: ['award', message[1] as number, message[2] as number, kept], rejected }
  })
}

/** What a node says to the scheduler. Never throws. */
export function unpackNodeReport(bytes: Uint8Array): UnpackedMessage<NodeReport> {
  return guarded(bytes, () => {
    return { ok: true, message: wholeMessage(checkNodeReport) as unknown as NodeReport, rejected: none }
  })
}

/** A sign of life. Never throws. */
export function unpackHeartbeat(bytes: Uint8Array): UnpackedMessage<Heartbeat> {
  return guarded(bytes, () => {
    return { ok: true, message: wholeMessage(checkHeartbeat) as unknown as Heartbeat, rejected: none }
  })
}

/** The outcomes that a client is told. Never throws. */
export function unpackTell(bytes: Uint8Array): UnpackedMessage<Tell> {
  return guarded(bytes, () => {
    const { entries, rejected } = readItems<Outcome>(checkOutcome)
    return { ok: true, message: entries.filter((outcome) => outcome !== undefined), rejected }
  })
}

/** Bytes that `entry` will take in a block at most; exact enough to fill blocks, and cheap. */
export function entryBytes(entry: readonly unknown[]): number {
  let bytes = 8
  for (let index = 0; index < entry.length; index++) bytes += valueBytes(entry[index])
  return bytes
}

/** Bytes of a payload in a block at most. */
export function payloadBytes(payload: Payload): number {
  return valueBytes(payload)
}

function valueBytes(value: unknown): number {
  if (typeof value === 'string') return value.length * 3 + 5
  if (typeof value !== 'object' || value === null) return 9
  if (value instanceof Uint8Array) return value.length + 5
  let bytes = 5
  if (Array.isArray(value)) for (const item of value) bytes += valueBytes(item)
  else
    for (const key of Object.keys(value))
      bytes += key.length * 3 + 5 + valueBytes((value as Record<string, unknown>)[key])
  return bytes
}

// --- reading ------------------------------------------------------------------------------------------------------

function guarded<Result>(bytes: Uint8Array, read: () => Result): Result | Unreadable {
  try {
    reader.start(bytes)
    const result = read()
    reader.finish()
    return result
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) }
  } finally {
    reader.release()
  }
}

class ShapeError extends Error {}

/** Reads version and number of a block of `items` parts; stands at its entries then. */
function blockHead(items: number): number {
  if (reader.arrayLength() < items) throw new ShapeError(`a block has ${items} parts`)
  const version = reader.value()
  if (version !== formatVersion) throw new ShapeError(`format version ${String(version)} is not known here`)
  if (items === 2) return 0
  const number = reader.value()
  if (!isCount(number)) throw new ShapeError('the number of a block is not a count')
  return number
}

function readItems<Item>(check: (item: unknown) => string | undefined): {
  entries: (Item | undefined)[]
  rejected: readonly Rejected[]
  objects: readonly string[]
} {
  const count = reader.arrayLength()
  if (count > limits.blockEntriesMax) throw new ShapeError(`${count} entries are more than ${limits.blockEntriesMax}`)
  const entries: (Item | undefined)[] = []
  let rejected: Rejected[] | undefined
  for (let index = 0; index < count; index++) {
    const tuple = check === checkJournalEntry ? reader.turnTuple() : undefined
    const item = tuple ?? reader.value(1)
    const reason = tuple !== undefined && isWhole(tuple) ? undefined : reader.fault || check(item)
    if (reason === undefined) entries.push(item as Item)
    else {
      reader.fault = ''
      rejected ??= []
      rejected.push({ index, reason })
      entries.push(undefined)
    }
  }
  return { entries, rejected: rejected ?? none, objects: reader.objects }
}

/** True if the reader's quick way has checked all that `checkJournalEntry` would. */
function isWhole(tuple: readonly unknown[]): boolean {
  return (tuple[0] === kind.accepted && tuple.length === 3) || (tuple[0] === kind.completed && tuple.length === 4)
}

function wholeMessage(check: (message: readonly unknown[]) => string | undefined): readonly unknown[] {
  const message = reader.value()
  if (reader.fault !== '') throw new ShapeError(reader.fault)
  if (!Array.isArray(message)) throw new ShapeError('a message is not an array')
  const complaint = check(message)
  if (complaint !== undefined) throw new ShapeError(complaint)
  return message
}

function sift<Item>(
  items: readonly unknown[],
  check: (item: unknown) => string | undefined,
): { kept: Item[]; rejected: readonly Rejected[] } {
  const kept: Item[] = []
  const rejected: Rejected[] = []
  for (let index = 0; index < items.length; index++) {
    const reason = check(items[index])
    if (reason === undefined) kept.push(items[index] as Item)
    else rejected.push({ index, reason })
  }
  return { kept, rejected }
}
