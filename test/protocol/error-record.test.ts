import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { errorFromRecord, errorRecord } from '../../src/protocol/error-record.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { jsonable } from '../../src/protocol/jsonable.ts'
import { limits } from '../../src/protocol/limits.ts'
import { errorRecordComplaint } from '../../src/protocol/shapes.ts'

function throwing(): never {
  throw new Error('a trap')
}

const hostile: [string, unknown][] = [
  ['a getter that throws', Object.defineProperty(new Error('x'), 'message', { get: throwing })],
  ['a stack that throws', Object.defineProperty(new Error('x'), 'stack', { get: throwing })],
  ['a code that is an object', Object.assign(new Error('x'), { code: { toString: throwing } })],
  [
    'details that throw',
    Object.assign(new Error('x'), {
      details: {
        get a(): never {
          return throwing()
        },
      },
    }),
  ],
  [
    'a proxy of which everything throws',
    new Proxy({}, { get: throwing, has: throwing, ownKeys: throwing, getPrototypeOf: throwing }),
  ],
  [
    'a revoked proxy',
    (() => {
      const { proxy, revoke } = Proxy.revocable({}, {})
      revoke()
      return proxy
    })(),
  ],
  [
    'a cause that is itself',
    (() => {
      const error = new Error('x')
      error.cause = error
      return error
    })(),
  ],
  ['an object without a prototype', Object.create(null)],
  ['an object that cannot be text', { toString: throwing, toJSON: throwing }],
  ['a message that is no text', Object.assign(new Error(), { message: { a: 1 } })],
  ['a symbol', Symbol('x')],
  ['a bigint', 10n ** 40n],
  ['a function', throwing],
  ['undefined', undefined],
  ['null', null],
  ['a class', class Foo {}],
]

describe('records of errors', () => {
  test.each(hostile)('%s becomes a bounded record', (_, thrown) => {
    const record = errorRecord(thrown)
    expect(errorRecordComplaint(record, 5)).toBeUndefined()
    expect(record.code).toBe('TROUPE_TASK_FAILED')
    expect(() => JSON.stringify(record)).not.toThrow()
    expect(errorFromRecord(record)).toBeInstanceOf(TroupeError)
  })

  test('anything at all becomes a bounded record', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withTypedArray: true,
          withSparseArray: true,
        }),
        (thrown) => {
          expect(errorRecordComplaint(errorRecord(thrown), 5)).toBeUndefined()
          expect(errorRecordComplaint(errorRecord(new Error('x', { cause: thrown })), 5)).toBeUndefined()
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test('our own error keeps its code and details; a foreign one has the code that the caller gives', () => {
    expect(errorRecord(new TroupeError('TROUPE_TIMEOUT', 'late', { details: { ms: 5 } }))).toMatchObject({
      code: 'TROUPE_TIMEOUT',
      message: 'late',
      details: { ms: 5 },
      stack: expect.stringContaining('late'),
    })
    const foreign = Object.assign(new TypeError('no such file'), { code: 'ENOENT' })
    expect(errorRecord(foreign, 'TROUPE_INTERNAL')).toMatchObject({
      code: 'TROUPE_INTERNAL',
      message: 'no such file',
      details: { name: 'TypeError', code: 'ENOENT' },
    })
    expect(errorRecord({ name: 'TroupeError', code: 'NOT_OURS', message: 'x' }).code).toBe('TROUPE_TASK_FAILED')
    expect(errorRecord('just text')).toEqual({ code: 'TROUPE_TASK_FAILED', message: 'just text' })
    expect(errorRecord({ reason: [1] }).message).toBe('{"reason":[1]}')
  })

  test('long messages and stacks are cut, and causes end after five', () => {
    const long = new Error('m'.repeat(100_000))
    long.stack = 's'.repeat(100_000)
    const record = errorRecord(long)
    expect(record.message).toHaveLength(limits.errorMessageCharsMax)
    expect(record.stack).toHaveLength(limits.errorStackCharsMax)
    let chain: unknown = 'the root'
    for (let level = 0; level < 50; level++) chain = new Error(`level ${level}`, { cause: chain })
    let causes = 0
    for (let at = errorRecord(chain); at.cause !== undefined; at = at.cause) causes++
    expect(causes).toBe(5)
  })

  test('large details are cut', () => {
    const record = errorRecord(
      new TroupeError('TROUPE_INTERNAL', 'x', {
        details: { rows: new Array(100_000).fill('row'), text: 'y'.repeat(1e6) },
      }),
    )
    expect(JSON.stringify(record.details).length).toBeLessThan(20_000)
  })

  test('an error comes back with code, message, details, stack and causes', () => {
    const back = errorFromRecord(
      errorRecord(new TroupeError('TROUPE_REFUSED', 'full', { details: [1], cause: new Error('why') })),
    )
    expect(back).toMatchObject({ code: 'TROUPE_REFUSED', message: 'full', details: [1], cause: { message: 'why' } })
    expect(back.stack).toContain('error-record.test')
    expect(errorFromRecord({ code: 'TROUPE_OF_TOMORROW', message: 'x' })).toMatchObject({
      code: 'TROUPE_OF_TOMORROW',
      next: '',
    })
  })
})

describe('values as JSON shows them', () => {
  test('everything that JSON does not know has a form', () => {
    const value = {
      at: new Date(0),
      never: new Date(Number.NaN),
      big: 2n ** 70n,
      set: new Set([1]),
      map: new Map([['a', 1]]),
      pairs: new Map([[1, 'x']]),
      bytes: Uint8Array.of(1, 2),
      buffer: Uint8Array.of(3).buffer,
      pattern: /a/g,
      error: new TypeError('x'),
      url: new URL('http://localhost/a'),
      nothing: undefined,
      call: () => 1,
      list: [undefined, () => 1, Symbol('x')],
    }
    expect(jsonable(value)).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      never: null,
      big: String(2n ** 70n),
      set: [1],
      map: { a: 1 },
      pairs: [[1, 'x']],
      bytes: 'AQI=',
      buffer: 'Aw==',
      pattern: '/a/g',
      error: { name: 'TypeError', message: 'x' },
      url: 'http://localhost/a',
      list: [null, null, null],
    })
    expect(jsonable(undefined)).toBeUndefined()
  })

  test('whatever it is given, JSON shows it, and the form no longer changes', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withSet: true, withTypedArray: true }),
        (value) => {
          const shown = jsonable(value)
          expect(JSON.stringify(jsonable(shown))).toBe(JSON.stringify(shown))
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test('cycles, depth, number and hostile parts are bounded', () => {
    const cycle: Record<string, unknown> = { a: [] }
    cycle.a = [cycle]
    expect(jsonable(cycle)).toEqual({ a: ['[circular]'] })
    let deep: unknown = 1
    for (let level = 0; level < 10_000; level++) deep = [deep]
    expect(JSON.stringify(jsonable(deep))).toContain('[nested too deeply]')
    expect(jsonable(new Array(1_000).fill(1), 10)).toEqual([...new Array(9).fill(1), '[cut]'])
    let bomb: unknown = 1
    for (let level = 0; level < 60; level++) bomb = [bomb, bomb]
    expect(JSON.stringify(jsonable(bomb, 1_000)).length).toBeLessThan(20_000)
    expect(
      jsonable({
        a: { toJSON: throwing },
        get b(): never {
          return throwing()
        },
      }),
    ).toBe('[unreadable]')
    const endless = { toJSON: (): unknown => ({ toJSON: endless.toJSON }) }
    expect(() => jsonable(endless)).not.toThrow()
    expect(jsonable(JSON.parse('{"__proto__":{"x":1},"a":1}'))).toEqual({ a: 1 })
    expect(({} as Record<string, unknown>).x).toBeUndefined()
  })
})
