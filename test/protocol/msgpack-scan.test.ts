import { Packr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/protocol/limits.ts'
import { scanMsgpack } from '../../src/protocol/msgpack-scan.ts'
import { unpackValue } from '../../src/protocol/payload.ts'

function text(value: string): number[] {
  const bytes = [...new TextEncoder().encode(value)]
  return bytes.length < 32 ? [0xa0 | bytes.length, ...bytes] : [0xd9, bytes.length, ...bytes]
}

/** The code and what was wrong, or 'read'. */
function verdict(bytes: readonly number[] | Uint8Array): string {
  try {
    scanMsgpack(Uint8Array.from(bytes))
    return 'read'
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return `${code}: ${message}`
  }
}

describe('what the scan refuses', () => {
  const dangerous = ['__proto__', 'constructor', 'prototype']

  test.each<[string, number[], string]>([
    ['nothing', [], 'cut off'],
    ['a second value', [0x01, 0x02], '1 bytes follow'],
    ['the byte that means nothing', [0xc1], '0xc1'],
    ['an array cut off', [0x92, 0xa1, 0x61], 'cut off'],
    [
      'an array longer than the bytes left',
      [0xdd, 0xff, 0xff, 0xff, 0xff],
      '4294967295 values are announced, 0 bytes are left',
    ],
    ['a map longer than the bytes left', [0xdf, 0x7f, 0xff, 0xff, 0xff, 1, 1], 'values are announced'],
    [
      'a text longer than the bytes left',
      [0xdb, 0xff, 0xff, 0xff, 0xff, 0x61],
      '4294967295 bytes are announced, 1 are left',
    ],
    ['bytes longer than the bytes left', [0xc6, 0x00, 0xff, 0xff, 0xff, 0x61], 'are announced'],
    ['an extension longer than the bytes left', [0xc9, 0xff, 0xff, 0xff, 0xff, 0x74, 0x00], 'are announced'],
    ['a length cut off', [0xdd, 0x00], 'cut off'],
    ['a float cut off', [0xcb, 0, 0, 0], 'are announced'],
    ['a map key without its value', [0x81, ...text('a')], 'cut off'],
    ['an unknown extension', [0xd4, 0x05, 0x00], 'extension type 5 is not known'],
    ['a long unknown extension', [0xc7, 0x02, 0x11, 1, 2], 'extension type 17 is not known'],
    ['a shared reference', [0xd6, 0x69, 0, 0, 0, 1, 0x90], 'extension type 105'],
    ['a pointer', [0xd6, 0x70, 0, 0, 0, 1], 'extension type 112'],
    ['bundled strings', [0xd6, 0x62, 0, 0, 0, 1], 'extension type 98'],
    ['a record of two bytes', [0xd5, 0x72, 0x40, 0x00, 0x91, ...text('a'), 0x01], 'extension type 114'],
    ['a record by another length', [0xc7, 0x01, 0x72, 0x40], 'extension type 114'],
    ['a record with a number out of range', [0xd4, 0x72, 0x10, 0x90], 'record 16'],
    ['a record whose keys are not an array', [0xd4, 0x72, 0x40, 0x01], 'an array was expected'],
    ['a record whose key is a number', [0xd4, 0x72, 0x40, 0x91, 0x01, 0x01], 'a key of a record is not a text'],
    ['a record without its values', [0xd4, 0x72, 0x40, 0x92, ...text('a'), ...text('b'), 0x01], 'values are announced'],
    [
      'a use of a record without its values',
      [0x92, 0xd4, 0x72, 0x40, 0x92, ...text('a'), ...text('b'), 1, 2, 0x40],
      'values are announced',
    ],
    ['a Set of a number', [0xd4, 0x73, 0x00, 0x01], 'an array was expected'],
    ['a RegExp of one part', [0xd4, 0x78, 0x00, 0x91, ...text('a')], '1 parts'],
    ['an error of two parts', [0xd4, 0x65, 0x00, 0x92, ...text('Error'), ...text('x')], '2 parts'],
    [
      'an error whose name is a method',
      [0xd4, 0x65, 0x00, 0x93, ...text('toString'), ...text('x'), 0xc0],
      'name "toString"',
    ],
    [
      'an error named constructor',
      [0xd4, 0x65, 0x00, 0x93, ...text('constructor'), ...text('x'), 0xc0],
      'name "constructor"',
    ],
    ['an error whose name is a number', [0xd4, 0x65, 0x00, 0x93, 0x01, ...text('x'), 0xc0], 'not a short text'],
    ['a typed array of an unknown type', [0xc7, 0x02, 0x74, 0x0b, 0x00], 'typed array'],
    ['a typed array of half an element', [0xc7, 0x04, 0x74, 0x05, 0, 0, 0], 'typed array'],
    ['a typed array without a type', [0xc7, 0x00, 0x74], 'typed array'],
    ['a time of five bytes', [0xc7, 0x05, 0xff, 1, 2, 3, 4, 5], 'a time of 5 bytes'],
    ['a bigint of no bytes', [0xc7, 0x00, 0x42], 'a bigint of 0 bytes'],
    ['a bigint above 64 KiB', [0xc9, 0, 1, 0, 1, 0x42, ...new Array(65_537).fill(1)], 'a bigint of 65537 bytes'],
    ...dangerous.flatMap((key): [string, number[], string][] => {
      const bytes = [...new TextEncoder().encode(key)]
      return [
        [`a map with the key ${key}`, [0x81, ...text(key), 0x01], `the key "${key}"`],
        [
          `an inner map with the key ${key}`,
          [0x81, ...text('a'), 0x91, 0x82, ...text('b'), 1, ...text(key), 2],
          `the key "${key}"`,
        ],
        [`a map with the key ${key} in long form`, [0x81, 0xda, 0, bytes.length, ...bytes, 0x01], `the key "${key}"`],
        [
          `a map with the key ${key} in the longest form`,
          [0x81, 0xdb, 0, 0, 0, bytes.length, ...bytes, 0x01],
          `the key "${key}"`,
        ],
        [`a record with the key ${key}`, [0xd4, 0x72, 0x40, 0x91, ...text(key), 0x01], `the key "${key}"`],
      ]
    }),
  ])('%s', (_, bytes, reason) => {
    expect(verdict(bytes)).toContain(reason)
    expect(verdict(bytes)).toMatch(/^TROUPE_UNREADABLE: msgpack is unreadable at byte \d+: /)
  })

  test('every cut of a valid value', () => {
    const whole = new Packr({ structuredClone: false, moreTypes: true }).pack({
      a: [1, 'two', { b: 2.5, c: new Date(1) }, { b: 1, c: new Set(['x']) }],
      d: new Uint8Array(20),
      e: /x/g,
      f: new Error('x'),
    })
    expect(verdict(whole)).toBe('read')
    for (let length = 0; length < whole.length; length++) {
      expect(verdict(whole.subarray(0, length)), `cut at ${length}`).toContain('TROUPE_UNREADABLE')
    }
  })

  test('nesting one level beyond the limit, in every kind of container', () => {
    const chains: [string, number, number[]][] = [
      ['arrays', 1, [0x91]],
      ['maps', 1, [0x81, 0xa1, 0x61]],
      ['records', 1, [0xd4, 0x72, 0x40, 0x91, 0xa1, 0x61]],
      ['sets', 2, [0xd4, 0x73, 0x00, 0x91]],
    ]
    for (const [name, levels, link] of chains) {
      const chain = (links: number) => [...Array.from({ length: links }, () => link).flat(), 0x01]
      expect(verdict(chain(limits.depthMax / levels)), name).toBe('read')
      expect(verdict(chain(limits.depthMax / levels + 1)), name).toContain(`more than ${limits.depthMax} deep`)
    }
  })

  test('a bomb of a million levels, at once and without a stack overflow', () => {
    expect(verdict(new Uint8Array(1_000_000).fill(0x91))).toContain('deep')
    const tags = new Uint8Array(999_999)
    for (let at = 0; at < tags.length; at += 3) tags.set([0xd4, 0x73, 0x00], at)
    expect(verdict(tags)).toContain('TROUPE_UNREADABLE')
  })

  test('more values than the limit, at the limit and one past it', () => {
    const array = (items: number) =>
      Uint8Array.from([0xdd, items >>> 24, items >>> 16, items >>> 8, items, ...new Array(items).fill(1)])
    expect(verdict(array(limits.itemsMax))).toBe('read')
    expect(verdict(array(limits.itemsMax + 1))).toContain('more than 1000000 values')
  })
})

describe('what the scan lets through', () => {
  test('records are tracked over uses, redefinition and nesting', () => {
    const define = (id: number, ...keys: string[]) => [0xd4, 0x72, id, 0x90 | keys.length, ...keys.flatMap(text)]
    const bytes = [
      0x95,
      ...define(0x40, 'a', 'b'),
      1,
      ...define(0x41, 'c'),
      2,
      0x40,
      3,
      4,
      0x41,
      5,
      ...define(0x40, 'd'),
      6,
      0x40,
      7,
    ]
    expect(verdict(bytes)).toBe('read')
    expect(unpackValue(Uint8Array.from(bytes))).toEqual([
      { a: 1, b: { c: 2 } },
      { a: 3, b: 4 },
      { c: 5 },
      { d: 6 },
      { d: 7 },
    ])
  })

  test('a record does not outlive its message', () => {
    unpackValue(Uint8Array.from([0xd4, 0x72, 0x40, 0x91, ...text('a'), 1]))
    expect(unpackValue(Uint8Array.of(0x40))).toBe(64)
  })

  test('an error whose name is not a class is an Error of that name', () => {
    const error = unpackValue(
      Uint8Array.from([0xd4, 0x65, 0x00, 0x93, ...text('MyError'), ...text('x'), 0xc0]),
    ) as Error
    expect(error).toBeInstanceOf(Error)
    expect([error.name, error.message, error.cause]).toEqual(['MyError', 'x', null])
  })

  test('of duplicate keys the last counts', () => {
    expect(unpackValue(Uint8Array.from([0x82, ...text('a'), 1, ...text('a'), 2]))).toEqual({ a: 2 })
  })

  test('keys of an object that are numbers, booleans or nil become text; other keys are refused', () => {
    expect(unpackValue(Uint8Array.from([0x83, 0x07, 1, 0xc3, 2, 0xc0, 3]))).toEqual({ 7: 1, true: 2, null: 3 })
    expect(() => unpackValue(Uint8Array.from([0x81, 0x90, 1]))).toThrow(
      expect.objectContaining({ code: 'TROUPE_UNREADABLE' }),
    )
  })

  test('invalid UTF-8 becomes replacement characters, also in keys', () => {
    const bad = [0xc0, 0xaf, 0xed, 0xa0, 0x80, 0xff]
    expect(unpackValue(Uint8Array.from([0xa6, ...bad]))).toMatch(/^\ufffd+$/)
    expect(unpackValue(Uint8Array.from([0x81, 0xa6, ...bad, 1]))).toEqual({
      [new TextDecoder().decode(Uint8Array.from(bad))]: 1,
    })
  })

  test('a RegExp that cannot be is unreadable', () => {
    expect(() => unpackValue(Uint8Array.from([0xd4, 0x78, 0x00, 0x92, ...text('('), ...text('')]))).toThrow(
      expect.objectContaining({ code: 'TROUPE_UNREADABLE' }),
    )
  })
})
