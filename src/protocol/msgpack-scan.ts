/**
 * The look at a msgpack value before anything is built from it: exactly one complete value, within bounds of depth and
 * number, of known types, without keys that could reach a prototype. Knows what msgpackr writes (records, Date, Set, Error,
 * RegExp, typed arrays, bigint) and what ordinary libraries write. Refuses msgpackr's shared references, bundled strings
 * and two-byte records, which Troupe never writes and which could make cycles or outlive the message.
 *
 * Iterative, and nothing is allocated while it runs.
 */
import { TroupeError } from './errors.ts'
import { limits } from './limits.ts'
import { isDangerousKey } from './shapes.ts'

export interface ScanLimits {
  readonly depthMax?: number
  readonly itemsMax?: number
  /** The value's maps become Maps, whose keys are harmless. Default false: they become objects. */
  readonly keepMaps?: boolean
}

const framesMax = 1_024
/** Values still to come in each open array, map, record or tag. */
const pending = new Int32Array(framesMax + 1)
/** 1 for a map, whose every other value is a key. */
const isMap = new Uint8Array(framesMax + 1)
/** Number of fields of record 0x40 + i, −1 if it is not defined. */
const recordFields = new Int32Array(64)
const bigintBytesMax = 65_536

const noBytes: Uint8Array = new Uint8Array(0)
let bytes = noBytes
let at = 0
let end = 0
let items = 0
let itemsMax = 0
let depth = 0
let depthMax = 0
let keepMaps = false

/** Returns nothing if `source` may be unpacked; throws TROUPE_UNREADABLE (`details.position` in bytes) otherwise. */
export function scanMsgpack(source: Uint8Array, bounds: ScanLimits = {}): void {
  bytes = source
  at = 0
  end = source.length
  items = 0
  depth = 0
  depthMax = Math.min(bounds.depthMax ?? limits.depthMax, framesMax - 1)
  itemsMax = bounds.itemsMax ?? limits.itemsMax
  keepMaps = bounds.keepMaps ?? false
  recordFields.fill(-1)
  pending[0] = 1
  isMap[0] = 0
  try {
    scan()
    if (at !== end) throw refusal(`${end - at} bytes follow the value`)
  } finally {
    bytes = noBytes
  }
}

function refusal(why: string): TroupeError {
  return new TroupeError('TROUPE_UNREADABLE', `msgpack is unreadable at byte ${at}: ${why}`, {
    details: { position: at },
  })
}

function scan(): void {
  for (;;) {
    const left = pending[depth]!
    if (left === 0) {
      if (depth === 0) return
      depth--
    } else {
      pending[depth] = left - 1
      if (isMap[depth] === 1 && left % 2 === 0) scanKey()
      else scanValue()
    }
  }
}

function scanValue(): void {
  const head = next()
  if (head >= 0xa0 && head < 0xc0) skip(head & 0x1f)
  else if (head >= 0x40 && head < 0xe0) {
    if (head >= 0xc0) scanHead(head)
    else if (head >= 0x90) open(head & 0x0f, 0)
    else if (head >= 0x80) open((head & 0x0f) * 2, 1)
    else if (recordFields[head & 0x3f]! >= 0) open(recordFields[head & 0x3f]!, 0)
  }
}

function scanHead(head: number): void {
  if (head < 0xc4) {
    if (head === 0xc1) throw refusal('the byte 0xc1 means nothing')
  } else if (head < 0xc7)
    skip(uint(1 << (head - 0xc4))) // bytes
  else if (head < 0xca) scanExtension(uint(1 << (head - 0xc7)))
  else if (head < 0xcc)
    skip(head === 0xca ? 4 : 8) // floats
  else if (head < 0xd0)
    skip(1 << (head - 0xcc)) // whole numbers
  else if (head < 0xd4) skip(1 << (head - 0xd0))
  else if (head === 0xd4) scanShortExtension()
  else if (head < 0xd9) scanExtension(1 << (head - 0xd4))
  else if (head < 0xdc)
    skip(uint(1 << (head - 0xd9))) // text
  else if (head < 0xde) open(uint(head === 0xdc ? 2 : 4), 0)
  else open(uint(head === 0xde ? 2 : 4) * 2, 1)
}

function next(): number {
  if (at >= end) throw refusal('it is cut off')
  return bytes[at++]!
}

function uint(size: number): number {
  if (size > end - at) throw refusal('it is cut off')
  let value = 0
  for (let left = size; left > 0; left--) value = value * 256 + bytes[at++]!
  return value
}

function skip(length: number): void {
  if (length > end - at) throw refusal(`${length} bytes are announced, ${end - at} are left`)
  at += length
}

/** A container of `count` values begins; each takes a byte at least. */
function open(count: number, map: number): void {
  if (count > end - at) throw refusal(`${count} values are announced, ${end - at} bytes are left`)
  items += count
  if (items > itemsMax) throw refusal(`more than ${itemsMax} values`)
  if (++depth > depthMax) throw refusal(`nested more than ${depthMax} deep`)
  pending[depth] = count
  isMap[depth] = map
}

/** A key of a map. Keys other than text, numbers, booleans and nil are for Maps only. */
function scanKey(): void {
  const head = bytes[at] ?? 0
  const isText = (head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb)
  if (isText && !keepMaps) scanTextKey()
  else scanValue()
}

function scanTextKey(): void {
  const head = next()
  const length = head < 0xc0 ? head & 0x1f : uint(1 << (head - 0xd9))
  const from = at
  skip(length)
  // "__proto__" and "prototype" have 9 characters, "constructor" 11.
  if (length !== 9 && length !== 11) return
  const first = bytes[from]!
  if (first !== 0x5f && first !== 0x70 && first !== 0x63) return
  let key = ''
  for (let index = from; index < at; index++) key += String.fromCharCode(bytes[index]!)
  if (isDangerousKey(key)) throw refusal(`the key "${key}" is not allowed`)
}

/** One byte of data: undefined, a record, a tag before Set, Error or RegExp, an invalid Date, or a bigint. */
function scanShortExtension(): void {
  const type = next()
  const data = next()
  // undefined, an invalid Date, or a bigint of one byte
  if (type === 0x00 || type === 0xff || type === 0x42) return
  if (type === 0x72) scanRecord(data)
  else if (type === 0x73)
    scanTag(0, 0xffffffff) // a Set of the array that follows
  else if (type === 0x78)
    scanTag(2, 2) // a RegExp of [source, flags]
  else if (type === 0x65) scanError()
  else throw refusal(`the extension type ${type} is not known`)
}

/** The definition of a record: an array of keys, then the values of its first use. */
function scanRecord(id: number): void {
  if (id < 0x40 || id > 0x7f) throw refusal(`the record ${id} is not known`)
  const fields = arrayLength()
  items += fields
  for (let field = 0; field < fields; field++) {
    const head = bytes[at] ?? 0
    if (!((head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb)))
      throw refusal('a key of a record is not a text')
    scanTextKey()
  }
  recordFields[id & 0x3f] = fields
  open(fields, 0)
}

/** A tag counts as a level of its own, so that a chain of tags is bounded too; its array is opened here. */
function scanTag(min: number, max: number): void {
  if (++depth > depthMax) throw refusal(`nested more than ${depthMax} deep`)
  pending[depth] = 0
  isMap[depth] = 0
  const count = arrayLength()
  if (count < min || count > max) throw refusal(`${count} parts where ${min} are expected`)
  open(count, 0)
}

/**
 * An Error of [name, message, cause]. msgpackr takes its class from the name, out of an object with a prototype: a name such
 * as "constructor" would call something else, and AggregateError takes other arguments.
 */
function scanError(): void {
  scanTag(3, 3)
  const from = at
  const head = next()
  if (head < 0xa0 || (head >= 0xc0 && head !== 0xd9)) throw refusal('the name of an error is not a short text')
  const length = head < 0xc0 ? head & 0x1f : uint(1)
  const textFrom = at
  skip(length)
  let name = ''
  for (let index = textFrom; index < at; index++) name += String.fromCharCode(bytes[index]!)
  if (!isErrorName(name)) throw refusal(`an error of the name "${name}" is not allowed`)
  at = from
}

/** True for a name that an error inside a value may have. */
export function isErrorName(name: string): boolean {
  return name.length <= 64 && !(name in Object.prototype) && name !== 'AggregateError'
}

function arrayLength(): number {
  const head = next()
  const length = head >= 0x90 && head < 0xa0 ? head & 0x0f : head === 0xdc ? uint(2) : head === 0xdd ? uint(4) : -1
  if (length < 0) throw refusal('an array was expected')
  if (length > end - at) throw refusal(`${length} values are announced, ${end - at} bytes are left`)
  return length
}

function scanExtension(length: number): void {
  const type = next()
  const from = at
  skip(length)
  if (type === 0xff) {
    if (length !== 4 && length !== 8 && length !== 12) throw refusal(`a time of ${length} bytes`)
  } else if (type === 0x42) {
    if (length === 0 || length > bigintBytesMax) throw refusal(`a bigint of ${length} bytes`)
  } else if (type === 0x74) checkTypedArray(length - 1, bytes[from] ?? 0xff)
  else throw refusal(`the extension type ${type} is not known`)
}

/** Bytes of one element, by msgpackr's number of the type. */
const elementBytes = [1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8]

function checkTypedArray(length: number, type: number): void {
  // 16: ArrayBuffer, 17: DataView
  const size = type === 16 || type === 17 ? 1 : elementBytes[type]
  if (length < 0 || size === undefined || length % size !== 0)
    throw refusal('a typed array of an unknown type or length')
}
