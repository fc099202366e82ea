import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { afterAll, describe, expect, test } from 'vitest'
import { hasCode, type TroupeError } from '../../src/protocol/errors.ts'
import { limits } from '../../src/protocol/limits.ts'
import { packValue, unpackValue } from '../../src/protocol/payload.ts'

const prototypeBefore = Reflect.ownKeys(Object.prototype).length

afterAll(() => {
  expect(Reflect.ownKeys(Object.prototype)).toHaveLength(prototypeBefore)
})

function roundTrip(value: unknown): unknown {
  return unpackValue(packValue(value))
}

function refusal(run: () => unknown): TroupeError {
  try {
    run()
  } catch (error) {
    return error as TroupeError
  }
  throw new Error('nothing was thrown')
}

/** Nested `levels` deep, the value at the bottom. */
function nested(levels: number, wrap: (inner: unknown) => unknown, bottom: unknown = 1): unknown {
  let value = bottom
  for (let level = 0; level < levels; level++) value = wrap(value)
  return value
}

const key = fc.string({ maxLength: 12 }).filter((text) => !['__proto__', 'constructor', 'prototype'].includes(text))
const number = fc.oneof(fc.integer(), fc.maxSafeInteger(), fc.double()).map((value) => (value === 0 ? 0 : value))
const { anyValue } = fc.letrec<{ anyValue: unknown }>((tie) => ({
  anyValue: fc.oneof(
    { maxDepth: 5, depthSize: 'small' },
    number,
    fc.string({ unit: 'grapheme' }),
    fc.boolean(),
    fc.constantFrom(null, undefined),
    fc.bigInt(),
    fc.date({ noInvalidDate: false }),
    fc.uint8Array(),
    fc.float64Array().map((floats) => floats.map((float) => (float === 0 ? 0 : float))),
    fc.int16Array(),
    fc.array(tie('anyValue'), { maxLength: 8 }),
    fc.dictionary(key, tie('anyValue'), { maxKeys: 8, noNullPrototype: true }),
    fc.array(fc.tuple(tie('anyValue'), tie('anyValue')), { maxLength: 4 }).map((pairs) => new Map(pairs)),
    fc.array(tie('anyValue'), { maxLength: 4 }).map((items) => new Set(items)),
  ),
}))

describe('values that survive', () => {
  test('any plain value with dates, maps, sets, bigints and typed arrays comes back equal', () => {
    fc.assert(
      fc.property(anyValue, (value) => {
        if (!isDeepStrictEqual(roundTrip(value), value)) expect(roundTrip(value)).toStrictEqual(value)
      }),
      { numRuns: 2_000 },
    )
  })

  test('many objects of the same shape come back equal, and their keys are written once', () => {
    const rows = Array.from({ length: 500 }, (_, index) => ({
      identifier: index,
      description: `row ${index}`,
      at: new Date(index),
    }))
    expect(roundTrip(rows)).toStrictEqual(rows)
    expect(packValue(rows)!.length).toBeLessThan(JSON.stringify(rows).length / 2)
  })

  test('more shapes than there are record numbers come back equal', () => {
    const shapes = Array.from({ length: 300 }, (_, index) => ({ [`a${index}`]: 1, [`b${index}`]: { inner: index } }))
    expect(roundTrip([...shapes, ...shapes])).toStrictEqual([...shapes, ...shapes])
  })

  test('an object with 100,000 keys comes back equal', () => {
    const large = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`key-${index}`, index]))
    expect(roundTrip(large)).toStrictEqual(large)
    expect(roundTrip([large, new Map([['x', 1]])])).toStrictEqual([large, new Map([['x', 1]])])
  })

  test('an error keeps its class, name, message and causes', () => {
    const error = new RangeError('too far', { cause: new TypeError('because', { cause: { code: 7 } }) })
    const back = roundTrip({ error }) as { error: RangeError & { cause: TypeError } }
    expect(back.error).toBeInstanceOf(RangeError)
    expect(back.error.message).toBe('too far')
    expect(back.error.cause).toBeInstanceOf(TypeError)
    expect(back.error.cause.cause).toEqual({ code: 7 })
    const named = new Error('stop')
    named.name = 'AbortError'
    expect((roundTrip(named) as Error).name).toBe('AbortError')
  })

  test.each([
    ['a RegExp', /a+[b]/giu],
    ['an invalid Date', new Date(Number.NaN)],
    ['NaN and the infinities', [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]],
    ['whole numbers about 2^53', [2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, -(2 ** 53) + 1]],
    ['bigints small and large', [0n, -1n, 5n, 2n ** 63n, 2n ** 64n, -(2n ** 200n)]],
    [
      'a Map with keys of any kind',
      new Map<unknown, unknown>([
        [1, 'a'],
        [{ a: 1 }, 'b'],
        ['constructor', 'c'],
        ['__proto__', 'd'],
      ]),
    ],
    [
      'dates of every form, to the millisecond',
      [0, 1, 500, 536, 537, 999].flatMap((ms) =>
        [0, 1_700_000_000_000, 2 ** 32 * 1_000, 2 ** 34 * 1_000 - 1_000, 2 ** 34 * 1_000, -62_000_000_000_000].map(
          (startMs) => new Date(startMs + ms),
        ),
      ),
    ],
    ['an ArrayBuffer', new Uint8Array([1, 2, 3]).buffer],
    ['undefined within an object and an array', { a: undefined, b: [undefined, null] }],
    ['empty containers', [{}, [], new Map(), new Set(), new Uint8Array(0), '']],
    ['text of all planes', 'a\u0000ü€😀\u{10ffff}'.repeat(40)],
    [
      'sparse numbers',
      [-1, -32, -33, -128, -129, -32_769, -2_147_483_649, 127, 128, 64, 63, 255, 256, 65_536, 4_294_967_296],
    ],
  ])('%s comes back equal', (_, value) => {
    expect(roundTrip(value)).toStrictEqual(value)
  })

  test('undefined is no value at all, and null is one', () => {
    expect(packValue(undefined)).toBeNull()
    expect(unpackValue(null)).toBeUndefined()
    expect(roundTrip(null)).toBeNull()
  })

  test('an object without a prototype becomes an ordinary object', () => {
    expect(roundTrip(Object.assign(Object.create(null), { a: 1 }))).toEqual({ a: 1 })
  })

  test('the same object at two places is packed twice', () => {
    const shared = { a: 1 }
    const back = roundTrip([shared, shared]) as unknown[]
    expect(back).toStrictEqual([shared, shared])
    expect(back[0]).not.toBe(back[1])
  })

  test('what was unpacked shares no memory with the payload', () => {
    const packed = packValue({ bytes: new Uint8Array([1, 2, 3]), buffer: Buffer.from([4, 5, 6]), text: 'abc' })!
    const back = unpackValue(packed)
    packed.fill(0xff)
    expect(back).toEqual({ bytes: new Uint8Array([1, 2, 3]), buffer: new Uint8Array([4, 5, 6]), text: 'abc' })
  })

  test('what was packed is not overwritten by the next value', () => {
    const first = packValue({ text: 'first'.repeat(10) })!
    for (let index = 0; index < 100; index++) packValue({ text: 'other'.repeat(index * 100) })
    expect(unpackValue(first)).toEqual({ text: 'first'.repeat(10) })
  })

  test('lone surrogates become replacement characters, and nothing around them is lost', () => {
    const back = roundTrip(['a\ud800b', `<${'\udc00'.repeat(70)}>`, { '\ud800': 1 }])
    expect(JSON.stringify(back).replace(/\ufffd+/g, '?')).toBe('["a?b","<?>",{"?":1}]')
  })
})

describe('values of other msgpack libraries', () => {
  test('maps become objects, and 64-bit numbers become numbers as long as they are exact', () => {
    const python = Uint8Array.from([
      0x82, 0xa1, 0x61, 0xcf, 0, 0, 0x01, 0x8b, 0xcf, 0xe5, 0x68, 0, 0xa1, 0x62, 0x91, 0x81, 0xa1, 0x63, 0xd3, 255, 255,
      255, 255, 255, 255, 255, 0,
    ])
    expect(unpackValue(python)).toStrictEqual({ a: 1_700_000_000_000, b: [{ c: -256 }] })
  })

  test('a whole number beyond 2^53 becomes a bigint', () => {
    expect(unpackValue(Uint8Array.from([0xcf, 255, 255, 255, 255, 255, 255, 255, 255]))).toBe(2n ** 64n - 1n)
  })

  test('numbers of 64 to 127 in one byte are numbers', () => {
    expect(unpackValue(Uint8Array.from([0x93, 0x40, 0x41, 0x7f]))).toEqual([64, 65, 127])
  })

  test('whatever msgpackr packs by default is read', () => {
    const value = { a: [1, { b: 2 }], c: new Date(1_000), d: [{ b: 1 }, { b: 2 }] }
    expect(unpackValue(new Packr().pack(value))).toEqual(value)
    expect(unpackValue(new Packr({ structuredClone: true }).pack(value))).toEqual(value)
  })

  test('JSON text is read as JSON', () => {
    expect(unpackValue('{"a":[1,"x"]}')).toEqual({ a: [1, 'x'] })
  })
})

describe('values that are refused', () => {
  class User {
    save(): void {}
  }

  test.each<[string, unknown, string]>([
    ['a method', { context: { user: { save(): void {} } } }, 'value.context.user.save is a function'],
    ['a function in an array', [1, [() => 1]], 'value[1][0] is a function'],
    ['a symbol', { a: Symbol('x') }, 'value.a is a symbol'],
    ['a promise', { result: Promise.resolve(1) }, 'value.result is a promise that was not awaited'],
    ['an instance of a class', { user: new User() }, 'value.user is an instance of User'],
    ['a subclass of Map', new (class Index extends Map {})(), 'value is an instance of Index'],
    ['a WeakMap', [new WeakMap()], 'value[0] is an instance of WeakMap'],
    ['a URL', { at: new URL('http://localhost') }, 'value.at is an instance of URL'],
    ['a function in a Map', new Map([['k', { f(): void {} }]]), 'value.get("k").f is a function'],
    ['a function as a key', new Map([[() => 1, 1]]), 'value.keys[0] is a function'],
    ['a function in a Set', new Set([1, () => 1]), 'value[1] is a function'],
    ['a function as a cause', new Error('x', { cause: () => 1 }), 'value.cause is a function'],
    ['an AggregateError', new AggregateError([]), 'value is an error that cannot be packed: AggregateError'],
    ['the key __proto__', JSON.parse('{"a":{"__proto__":1}}'), 'value.a.__proto__ has a key that is not allowed'],
    ['the key constructor', { constructor: 1 }, 'value.constructor has a key that is not allowed'],
    [
      'a Float16Array',
      new (globalThis as unknown as { Float16Array: new (n: number) => object }).Float16Array(2),
      'value is an instance of Float16Array',
    ],
  ])('%s', (_, value, message) => {
    const error = refusal(() => packValue(value))
    expect(error).toMatchObject({
      code: message.includes(' an instance of ') ? 'TROUPE_CLASS_INSTANCE' : 'TROUPE_NOT_SERIALIZABLE',
      message,
    })
    expect(error.details).toEqual({ path: message.split(' ', 1)[0] })
  })

  test('the root of the path has the name that the caller gives', () => {
    expect(refusal(() => packValue({ f: () => 1 }, 'snapshot')).message).toBe('snapshot.f is a function')
  })

  test('a cycle is refused by name, through objects, arrays, maps and errors', () => {
    const object: Record<string, unknown> = { a: {} }
    object.a = { back: [object] }
    expect(refusal(() => packValue(object)).message).toBe('value.a.back[0] refers back to something that contains it')
    const map = new Map<string, unknown>()
    map.set('self', map)
    expect(refusal(() => packValue(map))).toMatchObject({ code: 'TROUPE_CYCLIC_VALUE' })
    const error = new Error('x')
    error.cause = error
    expect(refusal(() => packValue(error)).message).toContain('refers back')
  })

  test('a getter or proxy that throws is refused', () => {
    const hostile = {
      get a(): never {
        throw new Error('no')
      },
    }
    expect(refusal(() => packValue(hostile))).toMatchObject({ code: 'TROUPE_NOT_SERIALIZABLE' })
    const proxy = new Proxy(
      {},
      {
        getPrototypeOf() {
          throw new Error('no')
        },
      },
    )
    expect(refusal(() => packValue([proxy]))).toMatchObject({ code: 'TROUPE_NOT_SERIALIZABLE' })
  })

  test('whatever is packed at the deepest level is unpacked, and one level more is refused at once', () => {
    const wraps: [string, number, (inner: unknown) => unknown][] = [
      ['arrays', 1, (inner) => [inner]],
      ['objects', 1, (inner) => ({ inner })],
      ['maps', 1, (inner) => new Map([['inner', inner]])],
      ['sets', 2, (inner) => new Set([inner])],
      ['errors', 2, (inner) => new Error('x', { cause: inner })],
    ]
    for (const [name, levels, wrap] of wraps) {
      const most = nested(limits.depthMax / levels, wrap)
      expect(() => roundTrip(most), name).not.toThrow()
      expect(
        refusal(() => packValue(wrap(most))),
        name,
      ).toMatchObject({ code: 'TROUPE_NOT_SERIALIZABLE' })
    }
  })

  test('shared parts that would blow up when packed are refused as too large', () => {
    const bomb = nested(40, (inner) => [inner, inner])
    expect(refusal(() => packValue(bomb))).toMatchObject({ code: 'TROUPE_TOO_LARGE' })
  })

  test('a value above the limit is refused as too large, before and after packing', () => {
    expect(refusal(() => packValue('x'.repeat(limits.valueBytesMax + 1)))).toMatchObject({ code: 'TROUPE_TOO_LARGE' })
    expect(refusal(() => packValue('€'.repeat(limits.valueBytesMax / 2)))).toMatchObject({ code: 'TROUPE_TOO_LARGE' })
    expect(refusal(() => unpackValue(new Uint8Array(limits.valueBytesMax + 1)))).toMatchObject({
      code: 'TROUPE_TOO_LARGE',
    })
  })

  test('a bigint of 64 KiB is packed and read, and one bit more is refused', () => {
    for (const most of [2n ** 524_287n - 1n, -(2n ** 524_287n)]) {
      expect(roundTrip(most) === most).toBe(true)
      expect(refusal(() => packValue(most < 0n ? most - 1n : most + 1n)).message).toContain('bigint above 64 KiB')
    }
  })

  test('an unreadable payload says so', () => {
    for (const payload of [new Uint8Array(0), Uint8Array.of(0xc1), Uint8Array.of(0xd4, 0x4d, 0x00), '{', '']) {
      expect(
        hasCode(
          refusal(() => unpackValue(payload)),
          'TROUPE_UNREADABLE',
        ),
      ).toBe(true)
    }
  })
})

test('keys that hardly differ are told apart, however often they come and in whatever order', () => {
  const letters = [...'abcdefghijklmnopqrstuvwxyz0123456789']
  for (const rest of ['', 'a', 'ab', 'abc', 'name', 'names']) {
    const keys = letters.flatMap((first) => [`${first}${rest}`, `${rest}${first}`, `a${first}${rest}`])
    for (const order of [keys, keys.toReversed(), keys]) {
      for (const key of order) expect(Object.keys(roundTrip({ [key]: 1 }) as object)).toEqual([key])
    }
  }
})
