import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { adviceFor, errorCodes, hasCode, TroupeError } from '../../src/protocol/errors.ts'
import { limits } from '../../src/protocol/limits.ts'
import { checkName, checkTaskId, isName, isSystemId, systemTaskId } from '../../src/protocol/names.ts'
import { durationMs, integerBetween } from '../../src/protocol/options.ts'
import { checkIdentityName } from '../../src/protocol/permissions.ts'
import { checkScheduleName } from '../../src/protocol/schedule.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { hostileNames } from './hostile-names.ts'

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return (error as TroupeError).code
  }
  return 'nothing thrown'
}

describe('names', () => {
  test('none of more than 500 hostile texts is a name', () => {
    const names = Object.values(hostileNames).flat()
    expect(new Set(names).size).toBeGreaterThan(500)
    expect(names.filter(isName)).toEqual([])
    for (const name of names) {
      expect(codeOf(() => checkName('task id', name))).toBe('TROUPE_INVALID_NAME')
      expect(codeOf(() => checkScheduleName(name))).toBe('TROUPE_INVALID_NAME')
      expect(codeOf(() => checkIdentityName(name))).toBe('TROUPE_INVALID_NAME')
      expect(codeOf(() => new Subjects(name))).toBe('TROUPE_INVALID_OPTION')
    }
  })

  test('no character outside of the alphabet can be part of a name, wherever it stands', () => {
    for (let code = 0; code < 0x3000; code++) {
      const character = String.fromCharCode(code)
      if (/[A-Za-z0-9_:=@-]/.test(character)) continue
      expect([`${character}ab`, `a${character}b`, `ab${character}`].filter(isName)).toEqual([])
    }
  })

  test('whatever is a name is one token of a subject', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        if (isName(text)) expect(text).toMatch(/^[^\s.*>$\p{Cc}]{1,128}$/u)
      }),
      { numRuns: 5_000 },
    )
  })

  test('values that are no text are no names', () => {
    for (const value of [undefined, null, 5, {}, ['a'], Symbol('a'), 1n, new String('a'), { toString: () => 'a' }]) {
      expect(isName(value)).toBe(false)
      expect(codeOf(() => checkName('node id', value))).toBe('TROUPE_INVALID_NAME')
    }
  })

  test('ordinary ids are names, up to 128 characters', () => {
    for (const name of [
      'a',
      'img-1',
      'order_7',
      'user@host',
      'a:b=c',
      crypto.randomUUID(),
      'x'.repeat(limits.nameCharsMax),
    ]) {
      expect(checkName('task id', name)).toBe(name)
    }
  })

  test('a refusal names what was refused, and shows at most a part of it', () => {
    const error = expect(() => checkName('task type', `${'x'.repeat(10_000)}`))
    error.toThrow(/^task type "x{80}" is not a valid name$/)
  })

  test('ids of the system have a form that users cannot take', () => {
    expect(systemTaskId(0, 12)).toBe('0-12')
    expect(systemTaskId(0, 12, 3)).toBe('0-12-3')
    for (const id of ['0-12', '0-12-3', '17-9007199254740991-4095']) {
      expect(isSystemId(id)).toBe(true)
      expect(codeOf(() => checkTaskId(id))).toBe('TROUPE_RESERVED_ID')
    }
    for (const id of ['0', '0-', '-1-2', 'a-1', '1-2-3-4', '1-2a', '2026-01-02T']) {
      expect(isSystemId(id)).toBe(false)
    }
    expect(checkTaskId('order-1-2')).toBe('order-1-2')
  })
})

describe('durations and numbers', () => {
  test.each<[unknown, number]>([
    [0, 0],
    [500, 500],
    [0.2, 1],
    ['500', 500],
    ['250ms', 250],
    ['1.5s', 1_500],
    [' 30 s ', 30_000],
    ['10m', 600_000],
    ['12h', 43_200_000],
    ['7d', 604_800_000],
    [limits.delayMsMax, limits.delayMsMax],
    ['3650d', limits.delayMsMax],
  ])('%j is %i ms', (duration, ms) => {
    expect(durationMs('delay', duration)).toBe(ms)
  })

  test.each<[unknown]>([
    [-1],
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [limits.delayMsMax + 1],
    ['3651d'],
    ['-5s'],
    ['5 weeks'],
    ['s'],
    [''],
    ['1e3'],
    ['0x10'],
    ['1,5s'],
    ['9'.repeat(400)],
    [null],
    [undefined],
    [{}],
    [[]],
    [true],
    ['1s\n2s'],
    [`${'1'.repeat(100_000)}s`],
  ])('%j is no duration', (duration) => {
    expect(codeOf(() => durationMs('delay', duration))).toBe('TROUPE_INVALID_DURATION')
  })

  test('whole numbers are taken as numbers or text, within their range', () => {
    expect(integerBetween('priority', 9, 0, 9)).toBe(9)
    expect(integerBetween('priority', ' 4 ', 0, 9)).toBe(4)
    for (const value of [-1, 10, 4.5, '4.5', '', ' ', 'x', null, undefined, Number.NaN, '1e1', '0x1', [4], {}]) {
      expect(codeOf(() => integerBetween('priority', value, 0, 9))).toBe('TROUPE_INVALID_OPTION')
    }
  })
})

describe('errors and limits', () => {
  test('every code has advice, and an unknown one has none', () => {
    for (const code of errorCodes) {
      expect(code).toMatch(/^TROUPE_[A-Z_]+$/)
      expect(adviceFor(code)).toMatch(/\S/)
      expect(new TroupeError(code, 'x').next).toBe(adviceFor(code))
    }
    for (const code of ['TROUPE_OF_TOMORROW', 'constructor', '__proto__', 'toString', '']) {
      expect(adviceFor(code)).toBeUndefined()
      const error = new TroupeError(code as 'TROUPE_INTERNAL', 'x')
      expect([error.next, error.retryable]).toEqual(['', false])
    }
  })

  test('an error has its cause and is known by its code', () => {
    const cause = new Error('why')
    const error = new TroupeError('TROUPE_REFUSED', 'full', { cause, details: { a: 1 } })
    expect(error).toMatchObject({ name: 'TroupeError', message: 'full', cause, details: { a: 1 }, retryable: true })
    expect(hasCode(error, 'TROUPE_REFUSED')).toBe(true)
    expect(hasCode(error, 'TROUPE_CLOSED')).toBe(false)
    expect(hasCode({ code: 'TROUPE_REFUSED' }, 'TROUPE_REFUSED')).toBe(false)
    expect('cause' in new TroupeError('TROUPE_REFUSED', 'x')).toBe(false)
  })

  test('every limit is a whole number, and they fit together', () => {
    for (const limit of Object.values(limits)) expect(Number.isSafeInteger(limit) && limit > 0).toBe(true)
    expect(limits.inlineBytesMax * 2).toBeLessThan(limits.blockBytesMax)
    expect(limits.blockBytesMax * 2).toBeLessThanOrEqual(1024 * 1024)
    expect(limits.inlineBytesMax).toBeLessThan(limits.valueBytesMax)
  })
})
