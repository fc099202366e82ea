/**
 * Envelopes from msgpack. Hand-written because it reads and checks a few hundred thousand entries a second, and because a
 * reader of six shapes is easier to bound than a general one. Reads what `packWire` writes and what ordinary libraries write
 * for the same data; extension types have no place in an envelope.
 *
 * It does not throw on bytes it can step over: such a value becomes `undefined` and `fault` says why, so that one bad entry
 * voids only itself. Bytes that end too early, or too late, throw.
 */
import { asciiText, isAscii } from './ascii.ts'
import { limits } from './limits.ts'
import { isDangerousKey, isObjectReference } from './shapes.ts'

/** Nesting of an envelope: entry, its options, their lists, an error's details. Users' values are not counted. */
export const wireDepthMax = 24

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const floatView = new DataView(new ArrayBuffer(8))

/** Bytes that a name may consist of; the same alphabet as in `names.ts`, which a test holds together. */
const nameBytes = new Uint8Array(256)
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:=@-') {
  nameBytes[character.charCodeAt(0)] = 1
}

const asciiCharsMax = 256

const noBytes = new Uint8Array(0)
const noNames: string[] = []

/** Thrown inside when the bytes end too early; decoders turn it into a reason. */
export class WireError extends Error {}

/** Reads one message at a time. One instance serves a whole decoder module: nothing outside runs while it reads. */
export class WireReader {
  /** Why the value read last is not what was sent; empty if it is. Reset by `start`, and by whoever has dealt with it. */
  fault = ''
  /** Names of the objects to which what was read since `start` refers, wherever in it. */
  objects: string[] = noNames
  private bytes: Uint8Array = noBytes
  private buffer: ArrayBufferLike = noBytes.buffer
  private at = 0
  private end = 0

  start(bytes: Uint8Array): void {
    this.bytes = bytes
    this.buffer = bytes.buffer
    this.at = 0
    this.end = bytes.length
    this.fault = ''
    this.objects = noNames
  }

  /** Lets go of the message. */
  release(): void {
    this.bytes = noBytes
    this.buffer = noBytes.buffer
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

  /**
   * The quick way for the entries that make up nearly all of a log: [kind, name, turn] and [kind, name, turn, bytes or nil],
   * with small kinds, names that are valid and turns that are whole. Undefined, and nothing is read, for anything else.
   */
  turnTuple(): readonly unknown[] | undefined {
    const { at: start, bytes, end } = this
    if (end - start < 8) return undefined
    const items = bytes[start]! - 0x90
    const kind = bytes[start + 1]!
    if ((items !== 3 && items !== 4) || kind >= 0x80) return undefined
    let from = start + 3
    let to = from
    const head = bytes[start + 2]!
    if (head > 0xa0 && head < 0xc0) to += head & 0x1f
    else if (head === 0xd9) to += bytes[from++]! + 1
    // The largest turn takes 5 bytes, the head of the payload as many.
    if (to === from || to - from > limits.nameCharsMax || to + 10 > end) return undefined
    for (let index = from; index < to; index++) if (nameBytes[bytes[index]!] === 0) return undefined
    this.at = to
    const turn = this.count()
    const last = turn !== undefined && items === 4 ? this.payload() : undefined
    if (turn === undefined || (items === 4 && last === undefined)) {
      this.at = start
      return undefined
    }
    const name = asciiText(bytes, from, to)
    return items === 3 ? [kind, name, turn] : [kind, name, turn, last]
  }

  /** Steps over `pending` values, however deep, without recursion. */
  skip(pending: number): void {
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

  /** A whole number of at most 32 bits, or undefined. */
  private count(): number | undefined {
    const head = this.bytes[this.at++]!
    if (head < 0x80) return head
    return head >= 0xcc && head <= 0xce ? this.uint(1 << (head - 0xcc)) : undefined
  }

  /** Bytes, or null, or undefined for anything else. */
  private payload(): Uint8Array | null | undefined {
    const head = this.byte()
    if (head === 0xc0) return null
    return head >= 0xc4 && head <= 0xc6 ? this.binary(this.uint(1 << (head - 0xc4))) : undefined
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
    // Quicker than `subarray`, and never a Buffer.
    return new Uint8Array(this.buffer, this.bytes.byteOffset + from, length)
  }

  private text(length: number): string {
    this.available(length)
    const { bytes } = this
    const from = this.at
    const to = from + length
    this.at = to
    if (length <= asciiCharsMax && isAscii(bytes, from, to)) return asciiText(bytes, from, to)
    try {
      return decoder.decode(bytes.subarray(from, to))
    } catch {
      this.fault ||= 'a text is not UTF-8'
      return ''
    }
  }

  private array(length: number, depth: number): unknown {
    this.available(length)
    if (depth >= wireDepthMax) return this.tooDeep(length)
    const items: unknown[] = []
    for (let index = 0; index < length; index++) items.push(this.value(depth + 1))
    if (length === 3 && isObjectReference(items)) this.noteObject(items[0])
    return items
  }

  private noteObject(name: string): void {
    if (this.objects === noNames) this.objects = []
    this.objects.push(name)
  }

  private map(length: number, depth: number): unknown {
    this.available(length * 2)
    if (depth >= wireDepthMax) return this.tooDeep(length * 2)
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
    this.fault ||= `nested more than ${wireDepthMax} deep`
    this.skip(items)
  }

  private extension(head: number): undefined {
    this.at--
    this.fault ||= head === 0xc1 ? 'the byte 0xc1 means nothing' : 'extension types have no place here'
    this.skip(1)
  }
}
