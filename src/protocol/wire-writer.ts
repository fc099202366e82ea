/**
 * Envelopes to msgpack: blocks of entries and the messages between the actors. Hand-written because it packs a few hundred
 * thousand entries a second, at a third of the cost of the general library. Writes nil, booleans, numbers, text, bytes,
 * arrays and maps with text keys; users' values travel inside as bytes.
 */
import { TroupeError } from './errors.ts'
import { wireDepthMax } from './wire-reader.ts'

const encoder = new TextEncoder()
const floatView = new DataView(new ArrayBuffer(8))
const scratchBytes = 64 * 1024

let target = new Uint8Array(scratchBytes)
let position = 0

/**
 * Returns the msgpack of `value` in memory of its own. Takes null, undefined (as nil; left out of objects), booleans,
 * numbers, strings, bytes, arrays and plain objects. Throws TROUPE_NOT_SERIALIZABLE for anything else.
 */
export function packWire(value: unknown): Uint8Array {
  position = 0
  write(value, 0)
  const packed = target.slice(0, position)
  if (target.length > scratchBytes * 16) target = new Uint8Array(scratchBytes)
  return packed
}

function reserve(bytes: number): void {
  if (position + bytes <= target.length) return
  const larger = new Uint8Array(Math.max(target.length * 2, position + bytes + 1024))
  larger.set(target.subarray(0, position))
  target = larger
}

function write(value: unknown, depth: number): void {
  switch (typeof value) {
    case 'string':
      writeText(value)
      return
    case 'number':
      writeNumber(value)
      return
    case 'boolean':
      writeByte(value ? 0xc3 : 0xc2)
      return
    case 'undefined':
      writeByte(0xc0)
      return
    case 'object':
      if (value === null) writeByte(0xc0)
      else if (depth >= wireDepthMax) throw refusal('a value nested too deeply')
      else if (value instanceof Uint8Array) writeBytes(value)
      else if (Array.isArray(value)) writeArray(value, depth)
      else writeMap(value as Record<string, unknown>, depth)
      return
    default:
      throw refusal(`a ${typeof value}`)
  }
}

function refusal(what: string): TroupeError {
  return new TroupeError('TROUPE_NOT_SERIALIZABLE', `${what} cannot be part of a message between the actors`)
}

function writeByte(byte: number): void {
  reserve(1)
  target[position++] = byte
}

/** A length: within the first byte when below `small`, else 8 (if there is such a form), 16 or 32 bits. */
function writeHead(length: number, fix: number, small: number, byte8: number, byte16: number): void {
  reserve(5)
  if (length < small) target[position++] = fix | length
  else if (byte8 !== 0 && length < 0x100) {
    target[position++] = byte8
    target[position++] = length
  } else if (length < 0x10000) {
    target[position++] = byte16
    target[position++] = length >> 8
    target[position++] = length
  } else {
    target[position++] = byte16 + 1
    writeUint32(length)
  }
}

function writeUint32(value: number): void {
  target[position++] = value >>> 24
  target[position++] = value >>> 16
  target[position++] = value >>> 8
  target[position++] = value
}

function writeArray(items: readonly unknown[], depth: number): void {
  writeHead(items.length, 0x90, 16, 0, 0xdc)
  for (let index = 0; index < items.length; index++) write(items[index], depth + 1)
}

function writeMap(object: Record<string, unknown>, depth: number): void {
  const keys = Object.keys(object)
  const given = keys.length < 16 ? keys : keys.filter((key) => object[key] !== undefined)
  const headAt = position
  let count = given.length
  writeHead(count, 0x80, 16, 0, 0xde)
  for (const key of given) {
    const value = object[key]
    if (value === undefined) count--
    else {
      writeText(key)
      write(value, depth + 1)
    }
  }
  // A small map's count is in its head; a large one was counted before.
  if (keys.length < 16) target[headAt] = 0x80 | count
}

function writeBytes(bytes: Uint8Array): void {
  writeHead(bytes.length, 0, 0, 0xc4, 0xc5)
  reserve(bytes.length)
  target.set(bytes, position)
  position += bytes.length
}

function writeText(text: string): void {
  const { length } = text
  reserve(length * 3 + 5)
  if (length < 64) {
    const start = position
    if (length < 32) target[position++] = 0xa0 | length
    else {
      target[position++] = 0xd9
      target[position++] = length
    }
    let index = 0
    for (; index < length; index++) {
      const code = text.charCodeAt(index)
      if (code > 0x7f) break
      target[position++] = code
    }
    if (index === length) return
    position = start
  }
  const head = length * 3 < 0x10000 ? 3 : 5
  const { written } = encoder.encodeInto(text, target.subarray(position + head))
  if (head === 3) {
    target[position++] = 0xda
    target[position++] = written >> 8
    target[position++] = written
  } else {
    target[position++] = 0xdb
    writeUint32(written)
  }
  position += written
}

function writeNumber(value: number): void {
  reserve(9)
  if (value >>> 0 === value) {
    if (value < 0x80) target[position++] = value
    else if (value < 0x100) {
      target[position++] = 0xcc
      target[position++] = value
    } else if (value < 0x10000) {
      target[position++] = 0xcd
      target[position++] = value >> 8
      target[position++] = value
    } else {
      target[position++] = 0xce
      writeUint32(value)
    }
  } else if (Number.isSafeInteger(value) && value > 0) {
    target[position++] = 0xcf
    writeUint32(Math.floor(value / 0x1_0000_0000))
    writeUint32(value >>> 0)
  } else if (value >= -0x20 && value < 0 && Number.isInteger(value)) target[position++] = value & 0xff
  else {
    floatView.setFloat64(0, value)
    target[position++] = 0xcb
    for (let index = 0; index < 8; index++) target[position++] = floatView.getUint8(index)
  }
}
