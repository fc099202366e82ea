import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeUtf8, parseJson } from '../../src/protocol/json.ts'
import { limits } from '../../src/protocol/limits.ts'

function refusal(source: string | Uint8Array): { code: string; message: string; details?: { position?: number } } {
  try {
    parseJson(source)
  } catch (error) {
    return error as { code: string; message: string }
  }
  throw new Error(`nothing was thrown for ${String(source).slice(0, 80)}`)
}

const utf8 = (text: string) => new TextEncoder().encode(text)

describe('JSON that is read', () => {
  test('whatever JSON.stringify writes is parsed the same, from text and from bytes', () => {
    const dangerous = /__proto__|constructor|prototype/
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 8 }).filter((text) => !dangerous.test(text)),
        (text) => {
          expect(parseJson(text)).toStrictEqual(JSON.parse(text))
          expect(parseJson(utf8(text))).toStrictEqual(JSON.parse(text))
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test.each<[string, string, unknown]>([
    ['a byte order mark is dropped', '\ufeff{"a":1}', { a: 1 }],
    ['of duplicate keys the last counts', '{"a":1,"a":2}', { a: 2 }],
    ['digits beyond 2^53 are lost', '12345678901234567890', 12_345_678_901_234_567_000],
    ['an escaped lone surrogate stays', '"\\ud800"', '\ud800'],
    [
      'the dangerous words are fine as values',
      '["__proto__","constructor",{"a":"prototype"}]',
      ['__proto__', 'constructor', { a: 'prototype' }],
    ],
    [
      'brackets within texts do not nest',
      `"${'['.repeat(500)}\\"${'{'.repeat(500)}"`,
      `${'['.repeat(500)}"${'{'.repeat(500)}`,
    ],
  ])('%s', (_, text, value) => {
    expect(parseJson(utf8(text))).toStrictEqual(value)
  })

  test('nesting at the limit', () => {
    const text = '['.repeat(limits.depthMax) + ']'.repeat(limits.depthMax)
    expect(() => parseJson(text)).not.toThrow()
  })
})

describe('JSON that is refused', () => {
  test.each<[string, string, number | undefined]>([
    ['nothing', '', 0],
    ['spaces', '   ', 3],
    ['an end that is missing', '{"a":1', 6],
    ['more after the value', '{"a":1} x', 8],
    ['NaN', '{"a":NaN}', undefined],
    ['a trailing comma', '[1,]', undefined],
    ['single quotes', "{'a':1}", 1],
    ['a control character in a text', '"a\nb"', 2],
    ['nesting one level too deep', '['.repeat(limits.depthMax + 1) + ']'.repeat(limits.depthMax + 1), limits.depthMax],
    ['a bomb of a million levels', '[{"a":'.repeat(500_000), 6 * (limits.depthMax / 2)],
  ])('%s', (_, text, position) => {
    const error = refusal(text)
    expect(error.code).toBe('TROUPE_UNREADABLE')
    expect(error.details?.position).toBe(position)
    expect(error.message.length).toBeLessThan(400)
  })

  test.each([
    '{"__proto__":{"polluted":true}}',
    '{"a":[{"__proto__":1}]}',
    '{"\\u005f_proto__":1}',
    '{"constructor":{"prototype":{"polluted":true}}}',
    '{"\\u0063onstructor":1}',
    '[[{"prototype":null}]]',
    `{"pad":"${'x'.repeat(500)}","__proto__":1}`,
  ])('a dangerous key: %s', (text) => {
    expect(refusal(text)).toMatchObject({ code: 'TROUPE_UNREADABLE' })
    expect(refusal(utf8(text)).message).toContain('not allowed')
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  test.each([
    ['an overlong form', [0x22, 0xc0, 0xaf, 0x22]],
    ['a surrogate', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a lone continuation', [0x22, 0x80, 0x22]],
    ['a cut-off character', [0x22, 0xe2, 0x82, 0x22]],
    ['UTF-16', [0xff, 0xfe, 0x31, 0x00]],
  ])('invalid UTF-8: %s', (_, bytes) => {
    expect(refusal(Uint8Array.from(bytes))).toMatchObject({
      code: 'TROUPE_UNREADABLE',
      message: expect.stringContaining('UTF-8'),
    })
    expect(() => decodeUtf8(Uint8Array.from(bytes))).toThrow('UTF-8')
  })

  test('more items than the limit', () => {
    expect(refusal(`[${'0,'.repeat(limits.itemsMax + 1)}0]`)).toMatchObject({ code: 'TROUPE_TOO_LARGE' })
  })

  test('more bytes than the limit', () => {
    expect(refusal(new Uint8Array(limits.valueBytesMax + 1))).toMatchObject({ code: 'TROUPE_TOO_LARGE' })
  })
})
