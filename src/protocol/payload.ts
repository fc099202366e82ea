/**
 * Users' values as payloads and back. Plain data, Date, Map, Set, Error, RegExp, typed arrays and bigint survive; anything
 * else is refused with the path to it, since half a value is worse than none. What comes back is new memory.
 *
 * A value with a Map or a bigint is packed after a tag of three bytes, by which they are told from the maps and 64-bit
 * numbers of ordinary msgpack libraries: those become objects and numbers.
 */
import { Packr, RESET_BUFFER_MODE } from 'msgpackr'
import { TroupeError } from './errors.ts'
import { parseJson } from './json.ts'
import { limits } from './limits.ts'
import { scanMsgpack } from './msgpack-scan.ts'
import { readValue } from './value-reader.ts'
import { findUnpackable, inspectValue, needsExact, unpackable } from './value-walk.ts'

export { errorFromRecord, errorRecord } from './error-record.ts'
export { jsonable } from './jsonable.ts'

/** Before a value whose maps are Maps and whose 64-bit numbers are bigints; of the form of msgpackr's own tags. */
const exactTag = [0xd4, 0x4d, 0x00] as const

const plain = new Packr({ useRecords: false, variableMapSize: true, moreTypes: true, useToJSON: false })
const records = new Packr({ moreTypes: true, useToJSON: false })

/** From so many objects on, naming their keys only once pays. */
const recordsFrom = 24

/**
 * Returns the msgpack of `value`, or null for undefined. Throws TROUPE_NOT_SERIALIZABLE, whose message and
 * `details.path` name the place (`context.user.save`), and TROUPE_TOO_LARGE. `what` names the root of the path.
 */
export function packValue(value: unknown, what = 'value'): Uint8Array | null {
  if (value === undefined) return null
  const found = inspectValue(value)
  if (found === unpackable) throw findUnpackable(value, what)
  const isExact = (found & needsExact) !== 0
  const packr = isExact || found >> 1 >= recordsFrom ? records : plain
  try {
    const packed = packr.pack(value, RESET_BUFFER_MODE)
    if (packed.length <= limits.valueBytesMax) return ownCopy(packed, isExact ? exactTag : noTag)
    throw new TroupeError('TROUPE_TOO_LARGE', `${what} of ${packed.length} bytes is more than ${limits.valueBytesMax}`)
  } catch (error) {
    if (error instanceof TroupeError) throw error
    throw new TroupeError('TROUPE_NOT_SERIALIZABLE', `${what} cannot be packed`, { cause: error })
  } finally {
    if (packr.offset > bufferBytesMax) packr.useBuffer(Buffer.allocUnsafeSlow(bufferBytes))
  }
}

const noTag: readonly number[] = []

/** msgpackr hands out a view of its buffer, which the next value overwrites. */
function ownCopy(packed: Uint8Array, head: readonly number[]): Uint8Array {
  // From the pool of Node: a third of the cost of new memory, and at most 8 KiB are held by a small value.
  if (head.length === 0) return Buffer.from(packed)
  const bytes = Buffer.allocUnsafe(packed.length + head.length)
  bytes.set(head)
  bytes.set(packed, head.length)
  return bytes
}

/** msgpackr's buffer grows and never shrinks; above the latter it is replaced. */
const bufferBytes = 64 * 1024
const bufferBytesMax = 1024 * 1024

/**
 * Returns the value of a payload that is not a reference: msgpack bytes, JSON text, or null (undefined). Nothing in it
 * shares memory with `payload`. Throws TROUPE_UNREADABLE, TROUPE_TOO_LARGE.
 */
export function unpackValue(payload: Uint8Array | string | null): unknown {
  if (payload === null) return undefined
  if (typeof payload === 'string') return parseJson(payload)
  if (payload.length > limits.valueBytesMax) {
    throw new TroupeError('TROUPE_TOO_LARGE', `a value of ${payload.length} bytes is more than ${limits.valueBytesMax}`)
  }
  const isExact = isTagged(payload)
  const head = isExact ? exactTag.length : 0
  // Never a Buffer, whose `slice` would not copy.
  const bytes = new Uint8Array(payload.buffer, payload.byteOffset + head, payload.length - head)
  scanMsgpack(bytes, isExact ? keepMaps : undefined)
  try {
    return readValue(bytes, isExact)
  } catch (error) {
    throw new TroupeError('TROUPE_UNREADABLE', 'a value in msgpack cannot be read', { cause: error })
  }
}

const keepMaps = { keepMaps: true }

function isTagged(bytes: Uint8Array): boolean {
  return bytes[0] === exactTag[0] && bytes[1] === exactTag[1] && bytes[2] === exactTag[2]
}

/** Throws TROUPE_UNREADABLE unless `unpackValue` may try these bytes; builds nothing. */
export function checkPacked(bytes: Uint8Array): void {
  if (isTagged(bytes)) scanMsgpack(bytes.subarray(exactTag.length), keepMaps)
  else scanMsgpack(bytes)
}
