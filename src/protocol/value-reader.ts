/**
 * Users' values from msgpack that `scanMsgpack` has passed, which is why nothing is checked here. msgpackr packs them;
 * reading is our own, because its reader compiles a function from keys that a stranger chose, slows down a thousandfold on
 * records of more than a hundred keys, and hands bytes to native code.
 *
 * Everything is copied out of the message. Invalid UTF-8 becomes replacement characters.
 */
import { asciiText, isAscii } from './ascii.ts'

const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
const noBytes: Uint8Array = new Uint8Array(0)
const noView = new DataView(noBytes.buffer)

let bytes = noBytes
let view = noView
let at = 0
/** Maps are Maps and 64-bit numbers bigints; else they are objects and, while exact, numbers. */
let isExact = false
/** Keys of the records of this message, by their number. */
let shapes: (readonly string[])[] = []

/** Returns the one value in `source`; throws (anything) if a RegExp or a key in it is impossible. */
export function readValue(source: Uint8Array, exact: boolean): unknown {
  bytes = source
  view = noView
  at = 0
  isExact = exact
  try {
    return read()
  } finally {
    bytes = noBytes
    view = noView
    if (shapes.length > 0) shapes = []
  }
}

function read(): unknown {
  const head = bytes[at++]!
  if (head < 0x40) return head
  if (head < 0x80) {
    const keys = shapes[head & 0x3f]
    return keys === undefined ? head : readFields(keys)
  }
  if (head < 0x90) return readMap(head & 0x0f)
  if (head < 0xa0) return readArray(head & 0x0f)
  if (head < 0xc0) return readText(head & 0x1f)
  return head >= 0xe0 ? head - 0x100 : readLong(head)
}

function readLong(head: number): unknown {
  switch (head) {
    case 0xc0:
      return null
    case 0xc2:
      return false
    case 0xc3:
      return true
    case 0xc4:
    case 0xc5:
    case 0xc6:
      return copy(uint(1 << (head - 0xc4)))
    case 0xc7:
    case 0xc8:
    case 0xc9:
      return readExtension(uint(1 << (head - 0xc7)))
    case 0xca:
      at += 4
      return floats().getFloat32(at - 4)
    case 0xcb:
      at += 8
      return floats().getFloat64(at - 8)
    case 0xcc:
    case 0xcd:
    case 0xce:
      return uint(1 << (head - 0xcc))
    case 0xcf:
      return readInt64(uint(4))
    case 0xd0:
      return (uint(1) << 24) >> 24
    case 0xd1:
      return (uint(2) << 16) >> 16
    case 0xd2:
      return uint(4) | 0
    case 0xd3:
      return readInt64(uint(4) | 0)
    case 0xd4:
      return readTagged()
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
      return readExtension(1 << (head - 0xd4))
    case 0xd9:
    case 0xda:
    case 0xdb:
      return readText(uint(1 << (head - 0xd9)))
    case 0xdc:
    case 0xdd:
      return readArray(uint(head === 0xdc ? 2 : 4))
    default:
      return readMap(uint(head === 0xde ? 2 : 4))
  }
}

function uint(size: number): number {
  let value = 0
  for (let left = size; left > 0; left--) value = value * 256 + bytes[at++]!
  return value
}

function copy(length: number): Uint8Array {
  const from = at
  at += length
  return bytes.slice(from, at)
}

function floats(): DataView {
  if (view === noView) view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return view
}

function readInt64(high: number): number | bigint {
  const low = uint(4)
  const value = high * 0x1_0000_0000 + low
  return isExact || !Number.isSafeInteger(value) ? BigInt(high) * 0x1_0000_0000n + BigInt(low) : value
}

const asciiCharsMax = 256

function readText(length: number): string {
  const from = at
  at += length
  return length <= asciiCharsMax && isAscii(bytes, from, at)
    ? asciiText(bytes, from, at)
    : decoder.decode(bytes.subarray(from, at))
}

function readArray(length: number): unknown[] {
  const items: unknown[] = []
  for (let index = 0; index < length; index++) items.push(read())
  return items
}

function readFields(keys: readonly string[]): Record<string, unknown> {
  const object: Record<string, unknown> = {}
  for (let index = 0; index < keys.length; index++) object[keys[index]!] = read()
  return object
}

function readMap(length: number): unknown {
  if (isExact) {
    const map = new Map<unknown, unknown>()
    for (let index = 0; index < length; index++) {
      const key = read()
      map.set(key, read())
    }
    return map
  }
  const object: Record<string, unknown> = {}
  for (let index = 0; index < length; index++) {
    const key = readKey()
    object[key] = read()
  }
  return object
}

interface CachedKey {
  readonly code: number
  readonly text: string
}

/** Short keys met lately: the same few come again and again, and a known text need not be made and looked up anew. */
const cachedKeys: (CachedKey | undefined)[] = new Array(1024).fill(undefined)

function readKey(): string {
  const head = bytes[at]!
  if (head > 0xa0 && head <= 0xa6) return readShortKey(head & 0x1f)
  if (head >= 0xa0 && head < 0xc0) {
    at++
    return readText(head & 0x1f)
  }
  const key = read()
  if (typeof key === 'object' && key !== null) throw new TypeError('a key of an object is an object')
  return String(key)
}

/** Up to six bytes make a number that a double holds exactly. */
function readShortKey(length: number): string {
  let code = length
  const from = ++at
  at += length
  for (let index = from; index < at; index++) code = code * 256 + bytes[index]!
  const slot = (code ^ (code / 0x100_0000)) & 1023
  const cached = cachedKeys[slot]
  if (cached !== undefined && cached.code === code) return cached.text
  at = from
  const text = readText(length)
  cachedKeys[slot] = { code, text }
  return text
}

// --- extensions ---------------------------------------------------------------------------------------------------

function readTagged(): unknown {
  const type = bytes[at++]!
  const data = bytes[at++]!
  switch (type) {
    case 0x72:
      return readRecord(data)
    case 0x73:
      return new Set(read() as unknown[])
    case 0x78: {
      const [source, flags] = read() as [string, string]
      return new RegExp(source, flags)
    }
    case 0x65:
      return readError(read() as [string, string, unknown])
    case 0xff:
      return new Date(Number.NaN)
    case 0x42:
      return BigInt((data << 24) >> 24)
    default:
      return undefined
  }
}

function readRecord(id: number): Record<string, unknown> {
  const keys = read() as string[]
  shapes[id & 0x3f] = keys
  return readFields(keys)
}

const errorClasses = new Map<string, ErrorConstructor>(
  [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((type) => [type.name, type]),
)

function readError([name, message, cause]: [string, string, unknown]): Error {
  const options = cause === undefined ? undefined : { cause }
  const { stackTraceLimit } = Error
  // Where it is read is not where it happened; and a stack takes longer than all the rest.
  Error.stackTraceLimit = 0
  try {
    const Class = errorClasses.get(name)
    if (Class !== undefined) return new Class(message, options)
    const error = new Error(message, options)
    if (name !== 'Error') Object.defineProperty(error, 'name', { value: name, configurable: true, writable: true })
    return error
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}

function readExtension(length: number): unknown {
  const type = bytes[at++]!
  const from = at
  at += length
  if (type === 0x42) return readBigint(from)
  return type === 0x74 ? readBinary(bytes[from]!, bytes.slice(from + 1, at).buffer) : readDate(from, length)
}

function readBigint(from: number): bigint {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset + from, at - from).toString('hex')
  return BigInt.asIntN((at - from) * 8, BigInt(`0x${hex}`))
}

/** msgpack's three forms of a time: 32 bits of seconds; 30 of nanoseconds and 34 of seconds; 32 and 64. */
function readDate(from: number, length: number): Date {
  const times = floats()
  if (length === 4) return new Date(times.getUint32(from) * 1_000)
  const first = times.getUint32(from)
  const seconds =
    length === 8
      ? (first & 3) * 0x1_0000_0000 + times.getUint32(from + 4)
      : times.getInt32(from + 4) * 0x1_0000_0000 + times.getUint32(from + 8)
  const nanoseconds = length === 8 ? first >>> 2 : first
  return new Date(seconds * 1_000 + Math.floor(nanoseconds / 1_000_000))
}

/** By msgpackr's numbers of the types. */
const binaryTypes = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
]

function readBinary(type: number, buffer: ArrayBuffer): unknown {
  if (type === 16) return buffer
  return type === 17 ? new DataView(buffer) : new binaryTypes[type]!(buffer)
}
