/**
 * The msgpack of envelopes: blocks of entries and the messages between the actors. Hand-written because it reads and
 * checks a few hundred thousand entries a second, and because a reader for six shapes is easier to bound than a general
 * one. It knows nil, booleans, numbers, text, bytes, arrays and maps with text keys; users' values travel inside as bytes.
 *
 * Reading never throws on bad bytes it can step over: such a value becomes `undefined` and `fault` says why, so that one
 * bad entry voids only itself. Bytes that end too early, or too late, throw.
 */
import { TroupeError } from './errors.ts'

/** Nesting of an envelope: entry, its options, their lists, an error's details. Users' values are not counted. */
const depthMax = 24

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const floatView = new DataView(new ArrayBuffer(8))
const scratchBytes = 64 * 1024

/** True for the keys that could reach a prototype. */
export function isDangerousKey(key: string): boolean {
  return key === '__proto__' || key === 'constructor' || key === 'prototype'
}

// --- writing ------------------------------------------------------------------------------------------------------

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
      else if (depth >= depthMax) throw refusal('a value nested too deeply')
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
  let count = 0
  for (const key of keys) if (object[key] !== undefined) count++
  writeHead(count, 0x80, 16, 0, 0xde)
  for (const key of keys) {
    const value = object[key]
    if (value === undefined) continue
    writeText(key)
    write(value, depth + 1)
  }
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

// --- reading ------------------------------------------------------------------------------------------------------

const noBytes = new Uint8Array(0)

/** Thrown inside when the bytes end too early; decoders turn it into a reason. */
export class WireError extends Error {}

/** Reads one message at a time. One instance serves a whole decoder module: nothing outside runs while it reads. */
export class WireReader {
  /** Why the value read last is not what was sent; empty if it is. Reset by `start`, and by whoever has dealt with it. */
  fault = ''
  private bytes: Uint8Array = noBytes
  private at = 0
  private end = 0

  start(bytes: Uint8Array): void {
    this.bytes = bytes
    this.at = 0
    this.end = bytes.length
    this.fault = ''
  }

  /** Lets go of the message. */
  release(): void {
    this.bytes = noBytes
  }

  /** Throws unless every byte was read. */
  finish(): void {
    if (this.at !== this.end) throw new WireError(`${this.end - this.at} bytes follow the message`)
  }

  /** The number of items of the array that begins here; throws if there is none. */
  arrayLength(): number {
    const head = this.byte()
    const length =
      head >= 0x90 && head < 0xa0 ? head & 0x0f : head === 0xdc ? this.uint(2) : head === 0xdd ? this.uint(4) : -1
    if (length < 0) throw new WireError('an array was expected')
    return this.available(length)
  }

  /** The value that begins here. Bytes are views of the message, all else is new. */
  value(depth = 0): unknown {
    const head = this.byte()
    if (head < 0x80) return head
    if (head < 0x90) return this.map(head & 0x0f, depth)
    if (head < 0xa0) return this.array(head & 0x0f, depth)
    if (head < 0xc0) return this.text(head & 0x1f)
    if (head >= 0xe0) return head - 0x100
    switch (head) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
        return this.binary(this.uint(1))
      case 0xc5:
        return this.binary(this.uint(2))
      case 0xc6:
        return this.binary(this.uint(4))
      case 0xca:
        return this.float(4)
      case 0xcb:
        return this.float(8)
      case 0xcc:
        return this.uint(1)
      case 0xcd:
        return this.uint(2)
      case 0xce:
        return this.uint(4)
      case 0xcf:
        return this.uint64()
      case 0xd0:
        return (this.uint(1) << 24) >> 24
      case 0xd1:
        return (this.uint(2) << 16) >> 16
      case 0xd2:
        return this.uint(4) | 0
      case 0xd3:
        return this.int64()
      case 0xd9:
        return this.text(this.uint(1))
      case 0xda:
        return this.text(this.uint(2))
      case 0xdb:
        return this.text(this.uint(4))
      case 0xdc:
        return this.array(this.uint(2), depth)
      case 0xdd:
        return this.array(this.uint(4), depth)
      case 0xde:
        return this.map(this.uint(2), depth)
      case 0xdf:
        return this.map(this.uint(4), depth)
      default:
        return this.extension(head)
    }
  }

  private byte(): number {
    if (this.at >= this.end) throw new WireError('the message is cut off')
    return this.bytes[this.at++]!
  }

  private uint(size: number): number {
    if (size > this.end - this.at) throw new WireError('the message is cut off')
    let value = 0
    for (let left = size; left > 0; left--) value = value * 256 + this.bytes[this.at++]!
    return value
  }

  private uint64(): number {
    const high = this.uint(4)
    return high * 0x1_0000_0000 + this.uint(4)
  }

  private int64(): number {
    const high = this.uint(4) | 0
    return high * 0x1_0000_0000 + this.uint(4)
  }

  private float(size: number): number {
    if (size > this.end - this.at) throw new WireError('the message is cut off')
    for (let index = 0; index < size; index++) floatView.setUint8(index, this.bytes[this.at++]!)
    return size === 4 ? floatView.getFloat32(0) : floatView.getFloat64(0)
  }

  /** `length` if so many values can follow: each takes a byte at least. Nothing is allocated before this. */
  private available(length: number): number {
    if (length > this.end - this.at) throw new WireError('the message is cut off')
    return length
  }

  private binary(length: number): Uint8Array {
    this.available(length)
    const from = this.at
    this.at += length
    return this.bytes.subarray(from, this.at)
  }

  private text(length: number): string {
    this.available(length)
    const { bytes } = this
    const from = this.at
    const to = from + length
    this.at = to
    if (length < 48) {
      let text = ''
      let index = from
      for (; index < to; index++) {
        const code = bytes[index]!
        if (code > 0x7f) break
        text += String.fromCharCode(code)
      }
      if (index === to) return text
    }
    try {
      return decoder.decode(bytes.subarray(from, to))
    } catch {
      this.fault ||= 'a text is not UTF-8'
      return ''
    }
  }

  private array(length: number, depth: number): unknown {
    this.available(length)
    if (depth >= depthMax) return this.tooDeep(length)
    const items: unknown[] = []
    for (let index = 0; index < length; index++) items.push(this.value(depth + 1))
    return items
  }

  private map(length: number, depth: number): unknown {
    this.available(length * 2)
    if (depth >= depthMax) return this.tooDeep(length * 2)
    const object: Record<string, unknown> = {}
    for (let index = 0; index < length; index++) {
      const key = this.value(depth + 1)
      const value = this.value(depth + 1)
      if (typeof key !== 'string') this.fault ||= 'a key is not a text'
      else if (isDangerousKey(key)) this.fault ||= `the key "${key}" is not allowed`
      else object[key] = value
    }
    return object
  }

  private tooDeep(items: number): undefined {
    this.fault ||= `nested more than ${depthMax} deep`
    this.skip(items)
  }

  private extension(head: number): undefined {
    this.at--
    this.fault ||= head === 0xc1 ? 'the byte 0xc1 means nothing' : 'extension types have no place here'
    this.skip(1)
  }

  /** Steps over `pending` values, however deep, without recursion. */
  private skip(pending: number): void {
    while (pending-- > 0) {
      const head = this.byte()
      let bytes = 0
      if (head < 0x80 || head >= 0xe0) continue
      if (head < 0x90) pending += (head & 0x0f) * 2
      else if (head < 0xa0) pending += head & 0x0f
      else if (head < 0xc0) bytes = head & 0x1f
      else if (head >= 0xc4 && head <= 0xc6) bytes = this.uint(1 << (head - 0xc4))
      else if (head >= 0xc7 && head <= 0xc9) bytes = this.uint(1 << (head - 0xc7)) + 1
      else if (head === 0xca) bytes = 4
      else if (head === 0xcb) bytes = 8
      else if (head >= 0xcc && head <= 0xcf) bytes = 1 << (head - 0xcc)
      else if (head >= 0xd0 && head <= 0xd3) bytes = 1 << (head - 0xd0)
      else if (head >= 0xd4 && head <= 0xd8) bytes = (1 << (head - 0xd4)) + 1
      else if (head >= 0xd9 && head <= 0xdb) bytes = this.uint(1 << (head - 0xd9))
      else if (head === 0xdc || head === 0xdd) pending += this.uint(head === 0xdc ? 2 : 4)
      else if (head === 0xde || head === 0xdf) pending += this.uint(head === 0xde ? 2 : 4) * 2
      this.at += this.available(bytes)
    }
  }
}
