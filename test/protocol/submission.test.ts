import { describe, expect, test } from 'vitest'
import type { LogMessage } from '../../src/protocol/entries.ts'
import { inputHash } from '../../src/protocol/input-hash.ts'
import { limits } from '../../src/protocol/limits.ts'
import type { SubmissionOptions } from '../../src/protocol/options.ts'
import { packValue } from '../../src/protocol/payload.ts'
import { checkReplyTo, checkSubmissionOptions, readSubmission } from '../../src/protocol/submission.ts'

const nowMs = Date.parse('2026-01-01T00:00:00Z')

function message(body: string | Uint8Array, headers: Record<string, string> = {}): LogMessage {
  return {
    subject: 'troupe.main.submit.resize',
    sequence: 5,
    timestampMs: nowMs,
    data: typeof body === 'string' ? new TextEncoder().encode(body) : body,
    headers: new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  }
}

function read(headers: Record<string, string>): SubmissionOptions {
  const result = readSubmission(message('{}', headers), 'resize')
  if (!result.ok) throw new Error(result.reason.message)
  return result.submission[2] ?? {}
}

function reason(headers: Record<string, string>, body: string | Uint8Array = '{}', type = 'resize'): string {
  const result = readSubmission(message(body, headers), type)
  return result.ok ? 'accepted' : result.reason.code
}

describe('a plain message as a submission', () => {
  test('all headers are understood', () => {
    expect(
      read({
        'Troupe-Id': 'img-1',
        'Troupe-Priority': '9',
        'Troupe-Delay': '1.5s',
        'Troupe-Deadline': '2026-01-02T03:04:05.678+01:00',
        'Troupe-Key': 'kunde 7, Köln',
        'Troupe-After': 'a, 0-12-3 ,b,a',
        'Troupe-Reply-To': '_INBOX.abc.1',
        'Troupe-Expected': '40s',
        'Troupe-Start-Within': '5s',
        'Troupe-Unique': '1h',
        'Troupe-Unique-Key': 'order 7',
        'Troupe-Gang': 'job/3/alone',
        'Troupe-Group': '{"name":"h","strategy":"one-for-all","parent":"g"}',
        'Troupe-Restart': 'temporary',
      }),
    ).toEqual({
      id: 'img-1',
      priority: 9,
      delayMs: 1_500,
      deadlineAtMs: Date.parse('2026-01-02T02:04:05.678Z'),
      key: 'kunde 7, Köln',
      after: ['a', '0-12-3', 'b'],
      replyTo: '_INBOX.abc.1',
      expectedMs: 40_000,
      startWithinMs: 5_000,
      unique: { withinMs: 3_600_000, key: 'order 7' },
      gang: { id: 'job', size: 3, restart: 'alone' },
      group: [{ name: 'g' }, { name: 'h', strategy: 'one-for-all' }],
      restart: 'temporary',
    })
  })

  test('without headers there are no options, and empty headers count as absent', () => {
    const plain: LogMessage = { ...message('1'), headers: undefined }
    expect(readSubmission(plain, 'resize')).toEqual({ ok: true, submission: ['resize', '1'] })
    expect(read({ 'Troupe-Id': ' ', 'Troupe-After': '', 'Troupe-Priority': '' })).toEqual({})
  })

  test.each([
    ['an instant', '2026-01-01T00:00:30Z', nowMs + 30_000],
    ['an instant with an offset', '2026-01-01T01:00:30+01:00', nowMs + 30_000],
    ['an instant before 1973', '1971-01-01T00:00:00Z', Date.parse('1971-01-01T00:00:00Z')],
    ['milliseconds since 1970', String(nowMs + 7), nowMs + 7],
    ['a duration', '30s', nowMs + 30_000],
    ['a duration in milliseconds', '30000', nowMs + 30_000],
  ])('a deadline may be %s', (_, text, deadlineAtMs) => {
    expect(read({ 'Troupe-Deadline': text })).toEqual({ deadlineAtMs })
  })

  test.each([
    ['Troupe-Id', 'a b', 'TROUPE_INVALID_NAME'],
    ['Troupe-Id', 'x'.repeat(129), 'TROUPE_INVALID_NAME'],
    ['Troupe-Id', '0-123', 'TROUPE_RESERVED_ID'],
    ['Troupe-Priority', '10', 'TROUPE_INVALID_PRIORITY'],
    ['Troupe-Priority', '-1', 'TROUPE_INVALID_PRIORITY'],
    ['Troupe-Priority', '4.5', 'TROUPE_INVALID_PRIORITY'],
    ['Troupe-Priority', 'high', 'TROUPE_INVALID_PRIORITY'],
    ['Troupe-Delay', 'soon', 'TROUPE_INVALID_DURATION'],
    ['Troupe-Delay', '-5', 'TROUPE_INVALID_DURATION'],
    ['Troupe-Delay', '11000d', 'TROUPE_INVALID_DURATION'],
    ['Troupe-Deadline', 'tomorrow', 'TROUPE_INVALID_DURATION'],
    ['Troupe-Deadline', '2026-01-02T03:04:05', 'TROUPE_INVALID_DURATION'],
    ['Troupe-Deadline', '2026-13-02T03:04:05Z', 'TROUPE_INVALID_DURATION'],
    ['Troupe-Deadline', '9999999999999999', 'TROUPE_INVALID_INSTANT'],
    ['Troupe-Key', 'x'.repeat(129), 'TROUPE_INVALID_OPTION'],
    ['Troupe-Key', 'a\u0007b', 'TROUPE_INVALID_OPTION'],
    ['Troupe-After', 'a,,b', 'TROUPE_INVALID_NAME'],
    ['Troupe-After', 'a,>', 'TROUPE_INVALID_NAME'],
    ['Troupe-After', new Array(limits.afterMax + 1).fill('a').join(','), 'TROUPE_TOO_LARGE'],
    ['Content-Type', 'text/html', 'TROUPE_UNREADABLE'],
    ['Content-Type', 'application/octet-stream', 'TROUPE_UNREADABLE'],
  ])('%s: %s is refused with %s', (name, value, code) => {
    expect(reason({ [name]: value })).toBe(code)
  })

  test('a subject for the outcome cannot be one of the server, of Troupe, or many', () => {
    const bad = [
      'a.*',
      'a.>',
      '>',
      'a b',
      'a\tb',
      'a\r\nPUB x',
      '$JS.API.STREAM.DELETE.X',
      '$SYS.REQ',
      'troupe',
      'troupe.main.submit.x',
      'troupe.x.fenced',
      '_R_.x',
      '_GR_.x',
      '.a',
      'a.',
      'a..b',
      '',
      'x'.repeat(257),
      'ä',
      'a\0',
      '_',
    ]
    for (const subject of bad) {
      expect(() => checkReplyTo('replyTo', subject), subject).toThrow(
        expect.objectContaining({ code: 'TROUPE_INVALID_OPTION' }),
      )
      expect(checkSubmissionOptions({ replyTo: subject }), subject).toMatchObject({ code: 'TROUPE_INVALID_OPTION' })
    }
    for (const subject of ['_INBOX.a.b', '_INBOX_me.1', 'orders.done', 'trouper.x', 'a', 'a$.b'])
      expect(checkReplyTo('replyTo', subject)).toBe(subject)
  })

  test('an empty body is no input', () => {
    expect(readSubmission(message(''), 'resize')).toEqual({ ok: true, submission: ['resize', null] })
    expect(readSubmission(message('', { 'Content-Type': 'application/msgpack' }), 'resize')).toEqual({
      ok: true,
      submission: ['resize', null],
    })
  })

  test('JSON is kept as text, msgpack as bytes, whatever the letters of the type', () => {
    const packed = packValue({ a: new Map([[1, 2]]) })!
    for (const type of [
      'application/json',
      'APPLICATION/JSON; charset=utf-8',
      'text/json',
      'application/cloudevents+json',
      '',
    ]) {
      expect(readSubmission(message('{"a":1}', { 'Content-Type': type }), 'resize')).toEqual({
        ok: true,
        submission: ['resize', '{"a":1}'],
      })
    }
    for (const type of ['application/msgpack', 'application/x-msgpack', 'application/vnd.msgpack']) {
      expect(readSubmission(message(packed, { 'Content-Type': type }), 'resize')).toEqual({
        ok: true,
        submission: ['resize', packed],
      })
    }
  })

  test('a body that cannot be read is refused, with the id and the subject of who waits', () => {
    const waiting = { 'Troupe-Id': 'x-1', 'Troupe-Reply-To': 'r' }
    for (const [body, type] of [
      ['{"a":', ''],
      ['{"__proto__":1}', ''],
      ['[1]', 'application/msgpack'],
      [Uint8Array.of(0xff, 0xfe), ''],
    ] as const) {
      expect(readSubmission(message(body, { ...waiting, 'Content-Type': type }), 'resize')).toMatchObject({
        ok: false,
        id: 'x-1',
        replyTo: 'r',
        reason: { code: 'TROUPE_UNREADABLE' },
      })
    }
    expect(reason({}, new Uint8Array(limits.blockBytesMax + 1).fill(0x31))).toBe('TROUPE_TOO_LARGE')
    expect(reason({}, '1', 'a.b')).toBe('TROUPE_INVALID_NAME')
  })
})

describe('the options of an SDK', () => {
  test('what is known is kept, what is not is dropped', () => {
    const options = { id: '0-1-2', priority: 3, delayMs: 5, deadlineAtMs: 0, key: 'k', after: ['a', 'a'], replyTo: 'r' }
    expect(checkSubmissionOptions({ ...options, admin: true })).toEqual({ ...options, after: ['a'] })
    expect(checkSubmissionOptions(undefined)).toEqual({})
    expect(checkSubmissionOptions(Object.create({ id: 'inherited' }))).toEqual({})
  })

  test.each<[unknown, string]>([
    ['x', 'TROUPE_INVALID_OPTION'],
    [[], 'TROUPE_INVALID_OPTION'],
    [{ id: 5 }, 'TROUPE_INVALID_NAME'],
    [{ id: 'a.b' }, 'TROUPE_INVALID_NAME'],
    [{ priority: 10 }, 'TROUPE_INVALID_PRIORITY'],
    [{ priority: '5' }, 'TROUPE_INVALID_PRIORITY'],
    [{ priority: Number.NaN }, 'TROUPE_INVALID_PRIORITY'],
    [{ delayMs: -1 }, 'TROUPE_INVALID_OPTION'],
    [{ delayMs: limits.delayMsMax + 1 }, 'TROUPE_INVALID_OPTION'],
    [{ deadlineAtMs: 1.5 }, 'TROUPE_INVALID_INSTANT'],
    [{ deadlineAtMs: 9e15 }, 'TROUPE_INVALID_INSTANT'],
    [{ key: '' }, 'TROUPE_INVALID_OPTION'],
    [{ key: '\ud800' }, 'TROUPE_INVALID_OPTION'],
    [{ after: 'a' }, 'TROUPE_INVALID_OPTION'],
    [{ after: [1] }, 'TROUPE_INVALID_NAME'],
    [{ after: new Array(limits.afterMax + 1).fill('a') }, 'TROUPE_TOO_LARGE'],
    [{ replyTo: '$SYS' }, 'TROUPE_INVALID_OPTION'],
  ])('%j is refused', (options, code) => {
    expect(checkSubmissionOptions(options)).toMatchObject({ code })
  })

  test('options that throw when they are read are refused', () => {
    expect(
      checkSubmissionOptions({
        get id(): never {
          throw new Error('no')
        },
      }),
    ).toMatchObject({ code: 'TROUPE_UNREADABLE' })
  })
})

describe('the hash of an input', () => {
  test('is a whole number below 2^52, and the same for the same payload', () => {
    for (const payload of [null, '', '{}', 'ü', new Uint8Array(0), Uint8Array.of(1), ['a'.repeat(64), 1, 1] as const]) {
      const hash = inputHash(payload)
      expect(Number.isSafeInteger(hash) && hash >= 0 && hash < 2 ** 52).toBe(true)
      expect(inputHash(payload instanceof Uint8Array ? Buffer.from(payload) : payload)).toBe(hash)
    }
  })

  test('does not change between versions: it is in the ledger', () => {
    expect(inputHash('{"url":"x"}')).toMatchInlineSnapshot(`3895247683540103`)
    expect(inputHash(Uint8Array.of(1, 2, 3))).toMatchInlineSnapshot(`2573947956609107`)
    expect(inputHash(['a'.repeat(64), 1, 1])).toMatchInlineSnapshot(`2607411685894917`)
  })

  test('differs between a hundred thousand inputs that hardly differ', () => {
    const hashes = new Set<number>()
    for (let index = 0; index < 50_000; index++) {
      hashes.add(inputHash(`{"n":${index}}`))
      hashes.add(inputHash(Uint8Array.of(index, index >> 8, 0, 0, 0, 0)))
    }
    expect(hashes.size).toBe(100_000)
  })

  test('differs when two bytes are swapped, zeros are added, or one bit is flipped', () => {
    const base = new Uint8Array(64)
    const hashes = new Set([inputHash(base), inputHash(new Uint8Array(63)), inputHash(new Uint8Array(65))])
    for (let bit = 0; bit < 512; bit++) {
      const flipped = base.slice()
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      hashes.add(inputHash(flipped))
    }
    hashes.add(inputHash('ab')).add(inputHash('ba'))
    expect(hashes.size).toBe(517)
  })

  test('differs by one byte or character anywhere in a large input', () => {
    const size = 100_000
    const text = 'x'.repeat(size)
    const hashes = new Set([inputHash(new Uint8Array(size)), inputHash(text)])
    for (const at of [0, 4_095, 4_096, 65_535, 65_536, size - 1]) {
      const changed = new Uint8Array(size)
      changed[at] = 1
      hashes.add(inputHash(changed)).add(inputHash(`${text.slice(0, at)}y${text.slice(at + 1)}`))
    }
    expect(hashes.size).toBe(14)
  })
})
