/** Values above `limits.inlineBytesMax` travel as objects: stores and fetches them around a turn's entries and inputs. */
import { type JournalEntry, kind, type ObjectReference, type Payload } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { Packed } from './logic.ts'

interface Objects {
  storeObject(data: Uint8Array): Promise<string>
  loadObject(name: string): Promise<Uint8Array>
}

/** True for a payload that has to be fetched. */
export function isReference(payload: Payload): payload is ObjectReference {
  return Array.isArray(payload)
}

/** Returns the payload itself, or the object that it refers to. Rejects as the store does. */
export async function fetchPacked(objects: Objects, payload: Payload): Promise<Packed> {
  if (!isReference(payload)) return payload as Packed
  const [name, , packed] = payload
  const data = await objects.loadObject(name)
  return packed === 1 ? data : new TextDecoder().decode(data)
}

/** True if the entry carries a value that is too large for the log. */
export function isLarge(entry: JournalEntry): boolean {
  const place = payloadPlace(entry)
  return place !== 0 && sizeOf(entry[place] as Payload) > limits.inlineBytesMax
}

/** Returns the entries with large values stored and replaced by references. Throws TROUPE_TOO_LARGE, or as the store does. */
export async function storeLarge(objects: Objects, entries: readonly JournalEntry[]): Promise<JournalEntry[]> {
  return Promise.all(entries.map(async (entry) => (isLarge(entry) ? replaced(objects, entry) : entry)))
}

async function replaced(objects: Objects, entry: JournalEntry): Promise<JournalEntry> {
  const place = payloadPlace(entry)
  const value = entry[place] as Uint8Array | string
  const bytes = sizeOf(value)
  if (bytes > limits.valueBytesMax) {
    throw new TroupeError(
      'TROUPE_TOO_LARGE',
      `a value of ${bytes} bytes is larger than ${limits.valueBytesMax} bytes`,
      { details: { bytes } },
    )
  }
  const name = await objects.storeObject(typeof value === 'string' ? new TextEncoder().encode(value) : value)
  const reference: ObjectReference = [name, bytes, typeof value === 'string' ? 0 : 1]
  return withItem(entry, place, reference)
}

/** Returns the entry with another item at this place of the tuple. */
export function withItem(entry: JournalEntry, place: number, other: unknown): JournalEntry {
  return entry.map((item, index) => (index === place ? other : item)) as unknown as JournalEntry
}

/** Where in the tuple the value stands; 0 for none. */
function payloadPlace(entry: JournalEntry): number {
  switch (entry[0]) {
    case kind.completed:
    case kind.checkpointed:
    case kind.parked:
    case kind.yielded:
      return 3
    case kind.submitted:
      return 4
    case kind.signalled:
      return 5
    default:
      return 0
  }
}

function sizeOf(payload: Payload): number {
  if (payload === null || Array.isArray(payload)) return 0
  return typeof payload === 'string' ? Buffer.byteLength(payload) : (payload as Uint8Array).byteLength
}
