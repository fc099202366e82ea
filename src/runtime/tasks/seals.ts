/**
 * Where values are encrypted on a node: at the edge of a turn. What comes from the log is opened before the logic sees it,
 * and what the logic says is sealed before it is journalled.
 */
import { type Keyring, refuseSealed, type SealedPlace } from '../../client/encryption.ts'
import { type JournalEntry, kind, type Payload } from '../../protocol/entries.ts'
import { isReference, withItem } from './large-values.ts'
import type { Packed } from './logic.ts'

/** Returns a value that came for a turn, readable. Throws TROUPE_SEALED, TROUPE_NOT_SEALED. */
export function opened(keyring: Keyring | undefined, packed: Packed, ...places: readonly SealedPlace[]): Packed {
  if (keyring !== undefined) return keyring.open(packed, ...places)
  refuseSealed(packed, places[0]!)
  return packed
}

/** Returns the entry with its values sealed. */
export function sealed(keyring: Keyring, entry: JournalEntry): JournalEntry {
  const seal = (payload: Payload, place: SealedPlace) =>
    isReference(payload) || typeof payload === 'string' ? payload : keyring.seal(payload as Uint8Array | null, place)
  switch (entry[0]) {
    case kind.completed:
      return withItem(entry, 3, seal(entry[3], `result:${entry[1]}`))
    case kind.checkpointed:
    case kind.parked:
    case kind.yielded:
      return withItem(entry, 3, seal(entry[3], `snapshot:${entry[1]}`))
    case kind.submitted: {
      const { id } = entry[5]
      return withItem(entry, 4, seal(entry[4], id === undefined ? `type:${entry[3]}` : `input:${id}`))
    }
    case kind.signalled:
      return withItem(entry, 5, seal(entry[5], `signal:${entry[3]}`))
    case kind.failed:
      return withItem(entry, 3, keyring.sealError(entry[3], entry[1]))
    default:
      return entry
  }
}
