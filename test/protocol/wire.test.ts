/** The codec of envelopes at every boundary of its format: what is packed is what is read, by its own reader and by any other. */
import { isDeepStrictEqual } from 'node:util'
import { Unpackr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import { WireReader, wireDepthMax } from '../../src/protocol/wire-reader.ts'
import { packWire } from '../../src/protocol/wire-writer.ts'

const general = new Unpackr({ int64AsType: 'number', useRecords: false, mapsAsObjects: true })
const unpack = (bytes: Uint8Array): unknown => general.unpack(bytes)

function read(bytes: Uint8Array): unknown {
  const reader = new WireReader()
  reader.start(bytes)
  const value = reader.value()
  reader.finish()
  if (reader.fault !== '') throw new Error(reader.fault)
  return value
}

/** A few below and above each number at which a form ends. */
function around(...borders: readonly number[]): number[] {
  return borders.flatMap((border) => [-2, -1, 0, 1, 2].map((off) => border + off)).filter((count) => count >= 0)
}

const lengths = [0, 1, ...around(16, 32, 64, 256, 21_845, 65_536)]

describe('what is packed is read back, and reads the same with a general library', () => {
  const check = (value: unknown, seen = value) => {
    const bytes = packWire(value)
    // Quicker than `toEqual` by far, for what is large.
    for (const back of [read(bytes), unpack(bytes)]) if (!isDeepStrictEqual(back, seen)) expect(back).toEqual(seen)
  }

  test('bytes of every length', () => {
    for (const length of lengths) {
      const bytes = new Uint8Array(length).fill(0xab)
      expect(Buffer.from(read(packWire(bytes)) as Uint8Array).equals(bytes), `${length}`).toBe(true)
      expect(Buffer.from(unpack(packWire(bytes)) as Uint8Array).equals(bytes), `${length}`).toBe(true)
    }
  })

  test('lists of every length', () => {
    for (const length of lengths) check(new Array(length).fill(7))
  })

  test.each([
    ['of ASCII', 'a'],
    ['of two bytes', 'é'],
    ['of three bytes', '語'],
    ['of four bytes', '😀'],
    ['that is ASCII but for its end', undefined],
  ])('texts of every length, %s', (_, letter) => {
    for (const length of lengths) check(letter === undefined ? `${'a'.repeat(length)}é` : letter.repeat(length))
  })

  test('texts one after another, the last of which grow the memory', () => {
    check(Array.from({ length: 40 }, (_, at) => '語'.repeat(at * 997)))
  })

  test('numbers on both sides of every power of two, and fractions', () => {
    for (let power = 0; power <= 53; power++) {
      for (const number of [2 ** power - 1, 2 ** power, 2 ** power + 1]) {
        if (!Number.isSafeInteger(number)) continue
        check(number)
        check(-number === 0 ? 0 : -number)
      }
      check(2 ** power + 0.1)
      check(-1 / 2 ** power)
    }
    for (const number of [Number.MAX_VALUE, Number.MIN_VALUE, Infinity, -Infinity, Number.NaN, 0.1, 1e300])
      check(number)
    check(1_700_000_000_123)
  })

  test('maps of every size, with and without fields that are undefined', () => {
    for (const size of [0, 1, ...around(16), 65_535, 65_536]) {
      const keys = Array.from({ length: size }, (_, at) => [`k${at}`, at] as const)
      check(Object.fromEntries(keys))
      const some = keys.map(([key, at]) => [key, at % 3 === 0 ? undefined : at] as const)
      check(Object.fromEntries(some), Object.fromEntries(some.filter(([, value]) => value !== undefined)))
    }
    check({ a: null, b: [null, true, false], c: { d: {} } })
  })

  test('what is packed next does not change what was packed before', () => {
    const first = packWire(['first', 1])
    packWire(['other', 2])
    expect(read(first)).toEqual(['first', 1])
  })
})

describe('what other libraries write is read', () => {
  const forms: readonly [form: string, bytes: readonly number[], value: unknown][] = [
    ['uint 8', [0xcc, 0x05], 5],
    ['uint 16', [0xcd, 0x00, 0xff], 255],
    ['uint 32', [0xce, 0xff, 0xff, 0xff, 0xff], 0xffff_ffff],
    ['uint 64', [0xcf, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], Number.MAX_SAFE_INTEGER],
    ['uint 64 above 32 bits', [0xcf, 0, 0, 0, 3, 0x80, 0, 0, 1], 3 * 2 ** 32 + 2 ** 31 + 1],
    ['the least fixed negative', [0xe0], -32],
    ['minus one', [0xff], -1],
    ['int 8', [0xd0, 0x80], -128],
    ['int 8 above zero', [0xd0, 0x7f], 127],
    ['int 16', [0xd1, 0x80, 0x00], -32_768],
    ['int 16 above zero', [0xd1, 0x7f, 0xff], 32_767],
    ['int 32', [0xd2, 0x80, 0, 0, 0], -(2 ** 31)],
    ['int 64', [0xd3, 0xff, 0xff, 0xff, 0xff, 0x80, 0, 0, 0], -(2 ** 31)],
    ['int 64 below 32 bits', [0xd3, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 1], -(2 ** 33) + 1],
    ['float 32', [0xca, 0x3f, 0xc0, 0, 0], 1.5],
    ['float 64', [0xcb, 0x3f, 0xb9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a], 0.1],
    ['text 8', [0xd9, 2, 0x68, 0x69], 'hi'],
    ['text 16', [0xda, 0, 2, 0xc3, 0xa9], 'é'],
    ['text 32', [0xdb, 0, 0, 0, 1, 0x61], 'a'],
    ['list 16', [0xdc, 0, 2, 1, 2], [1, 2]],
    ['list 32', [0xdd, 0, 0, 0, 1, 7], [7]],
    ['map 16', [0xde, 0, 1, 0xa1, 0x61, 1], { a: 1 }],
    ['map 32', [0xdf, 0, 0, 0, 1, 0xa1, 0x61, 1], { a: 1 }],
  ]
  test.each(forms)('%s', (_, bytes, value) => expect(read(Uint8Array.from(bytes))).toEqual(value))

  test.each(forms)('%s, cut off anywhere or with a byte more, is refused', (_, bytes) => {
    for (let length = 0; length < bytes.length; length++) {
      const cut = Uint8Array.from(bytes).subarray(0, length)
      expect(() => read(cut), `${length} bytes`).toThrow('the message is cut off')
    }
    expect(() => read(Uint8Array.from([...bytes, 0]))).toThrow('1 bytes follow')
  })

  test('texts of every length at every distance from the end of the message', () => {
    for (let length = 0; length <= 20; length++) {
      for (let rest = 0; rest <= 20; rest++) {
        const bytes = packWire(['x'.repeat(length), new Uint8Array(rest)])
        expect(read(bytes)).toEqual(['x'.repeat(length), new Uint8Array(rest)])
      }
    }
  })
})

test('nesting is bounded, to the level', () => {
  const nested = (depth: number) => Uint8Array.from([...Array.from({ length: depth }, () => 0x91), 0xc0])
  expect(() => read(nested(wireDepthMax))).not.toThrow()
  expect(() => read(nested(wireDepthMax + 1))).toThrow(`nested more than ${wireDepthMax} deep`)
})

test.each([
  [Uint8Array.from([0xa1, 0xff]), 'not UTF-8'],
  [Uint8Array.from([0xa2, 0xc3, 0x28]), 'not UTF-8'],
  [Uint8Array.from([0x81, 0x01, 0x01]), 'a key is not a text'],
  [Uint8Array.from([0xc1]), 'means nothing'],
  [Uint8Array.from([0xd6, 1, 0, 0, 0, 0]), 'extension types'],
])('what has no place in an envelope is stepped over and named: %j', (bytes, why) => {
  expect(() => read(bytes)).toThrow(why)
})
