import fc from 'fast-check'
import { Packr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import {
  entryBytes,
  type Packable,
  packBlock,
  unpackControlBlock,
  unpackHeartbeat,
  unpackJournalBlock,
  unpackJournalEntry,
  unpackNodeMessage,
  unpackNodeReport,
  unpackSubmissionBlock,
  unpackTell,
} from '../../src/protocol/blocks.ts'
import type { ControlEntry, JournalEntry, Submission } from '../../src/protocol/entries.ts'
import { checkJournalEntry } from '../../src/protocol/entry-check.ts'
import { limits } from '../../src/protocol/limits.ts'
import type { NodeMessage, NodeReport, Tell } from '../../src/protocol/messages.ts'
import { isName } from '../../src/protocol/names.ts'
import { defaultRestart, defaultRetry, type NodeProfile } from '../../src/protocol/options.ts'

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_:=@-'
const reference = ['a'.repeat(64), 200_000, 1] as const
const error = {
  code: 'TROUPE_TASK_FAILED',
  message: 'boom',
  stack: 'at x',
  details: { a: [1] },
  cause: { code: 'X', message: 'y' },
}
const profile: NodeProfile = {
  node: 'n-1',
  host: 'räumchen.local',
  pid: 4711,
  version: '0.1.0',
  slots: 8,
  resources: { cpu: 4, gpu: 0.5 },
  labels: { zone: 'a' },
  types: [
    {
      type: 'resize',
      logic: 'function',
      retry: defaultRetry,
      restart: defaultRestart,
      timeoutMs: 0,
      resources: {},
      schema: true,
      version: '2',
    },
  ],
}

const name = fc.string({ unit: fc.constantFrom(...alphabet), minLength: 1, maxLength: limits.nameCharsMax })
const count = fc.oneof(fc.nat(300), fc.nat(), fc.maxSafeNat())
const payload = fc.oneof(
  fc.uint8Array({ maxLength: 70_000, size: 'medium' }),
  fc.constant(null),
  fc.string({ unit: 'grapheme', size: 'large' }),
  fc.constant(reference),
)
const reason = fc.string({ unit: 'grapheme', maxLength: 80 })
const options = fc.record(
  { id: name, priority: fc.integer({ min: 0, max: 9 }), after: fc.array(name, { maxLength: 3 }) },
  { requiredKeys: [], noNullPrototype: true },
)
const journalEntry = fc.oneof(
  fc.constant([1, profile] as const),
  fc.constantFrom([2] as const, [3] as const),
  fc.tuple(fc.constant(4 as const), reason),
  fc.tuple(fc.constant(10 as const), name, count),
  fc.tuple(fc.constant(11 as const), name, count, payload, count),
  fc.tuple(
    fc.constant(12 as const),
    name,
    count,
    fc.double({ min: 0, max: 1, noNaN: true }).map((part) => part + 0),
    reason,
  ),
  fc.tuple(
    fc.constant(13 as const),
    name,
    count,
    payload,
    count,
    count,
    fc.boolean(),
    fc.array(name, { maxLength: 20 }),
  ),
  fc.tuple(fc.constant(14 as const), name, count, payload, count),
  fc.tuple(fc.constant(15 as const), name, count, payload),
  fc.tuple(fc.constant(16 as const), name, count, fc.constant(error), fc.boolean()),
  fc.tuple(fc.constant(20 as const), name, count, name, payload, options),
  fc.tuple(fc.constant(21 as const), name, count, name, reason, payload),
) as fc.Arbitrary<JournalEntry>
const rules = { foldVersion: 1, resultsKeepMs: 1, resultsKeepCount: 2, deadKeepMs: 3, deadKeepCount: 4 }
const controlEntry = fc.oneof(
  fc.constant([40, rules] as const),
  fc.tuple(fc.constant(41 as const), name, count, reason),
  fc.tuple(fc.constant(42 as const), name, reason),
  fc.tuple(fc.constantFrom(43 as const, 45 as const, 46 as const), name),
  fc.tuple(fc.constant(44 as const), name, count),
  fc.tuple(fc.constant(47 as const), name, count, payload, count, payload),
  fc.tuple(fc.constant(49 as const), name, fc.constantFrom('signal' as const, 'result' as const), count, payload),
) as fc.Arbitrary<ControlEntry>

function journal(...entries: readonly unknown[]): ReturnType<typeof unpackJournalBlock> {
  return unpackJournalBlock(packBlock([1, 7, entries] as unknown as Packable))
}

describe('blocks', () => {
  test('any journal block is read as it was written', () => {
    fc.assert(
      fc.property(count, fc.array(journalEntry, { maxLength: 30 }), (number, entries) => {
        const packed = packBlock([1, number, entries])
        expect(unpackJournalBlock(packed)).toStrictEqual({
          ok: true,
          number,
          entries,
          rejected: [],
          objects: expect.any(Array),
        })
        expect(packed.length).toBeLessThanOrEqual(entries.reduce((sum, entry) => sum + entryBytes(entry), 32))
      }),
      { numRuns: 300 },
    )
  })

  test('any entry is read by itself as it is in its block, behind others that are void too', () => {
    const invalid = fc.constantFrom(null, [10], [999, 'a', 1], [10, 'a', 1, { deep: [[]] }], { not: 'an entry' })
    fc.assert(
      fc.property(fc.array(fc.oneof(journalEntry, invalid), { maxLength: 30 }), (entries) => {
        const packed = packBlock([1, 7, entries] as unknown as Packable)
        const block = unpackJournalBlock(packed)
        const alone = entries.map((_, index) => unpackJournalEntry(packed, index))
        expect(alone).toStrictEqual(block.ok ? block.entries : [])
        expect(unpackJournalEntry(packed, entries.length)).toBeUndefined()
        expect(unpackJournalEntry(packed.subarray(0, -1), entries.length - 1)).toBeUndefined()
      }),
      { numRuns: 300 },
    )
  })

  test('any control block is read as it was written', () => {
    fc.assert(
      fc.property(count, fc.array(controlEntry, { maxLength: 30 }), (epoch, entries) => {
        expect(unpackControlBlock(packBlock([1, epoch, entries]))).toStrictEqual({
          ok: true,
          epoch,
          entries,
          rejected: [],
          objects: expect.any(Array),
        })
      }),
      { numRuns: 300 },
    )
  })

  test('any block of submissions is read as it was written', () => {
    const submission = fc.oneof(fc.tuple(name, payload), fc.tuple(name, payload, options)) as fc.Arbitrary<Submission>
    fc.assert(
      fc.property(fc.array(submission, { maxLength: 30 }), (entries) => {
        expect(unpackSubmissionBlock(packBlock([1, entries]))).toStrictEqual({
          ok: true,
          entries,
          rejected: [],
          objects: expect.any(Array),
        })
      }),
      { numRuns: 300 },
    )
  })

  test('a block packed by msgpackr or any other library is read the same', () => {
    const entries: JournalEntry[] = [
      [10, 'a', 300],
      [16, 'b', 70_000, error, true],
      [13, 'c', 1, null, 2 ** 40, 0, true, ['d']],
      [12, 'd', 1, 0.25, 'ü'.repeat(300)],
    ]
    for (const settings of [{ useRecords: false }, { useRecords: false, variableMapSize: true, useFloat32: 4 }]) {
      const packed = new Packr(settings).pack([1, 2, entries])
      expect(unpackJournalBlock(packed)).toMatchObject({ ok: true, entries, rejected: [] })
    }
    // A 64-bit turn, as Go writes whole numbers.
    const go = Uint8Array.from([0x93, 1, 2, 0x91, 0x93, 0xcc, 10, 0xa1, 0x61, 0xd3, 0, 0, 0, 0, 0, 0, 0, 5])
    expect(unpackJournalBlock(go)).toMatchObject({ ok: true, entries: [[10, 'a', 5]] })
  })

  test('payloads are views of the message, and never of class Buffer', () => {
    const received = Buffer.concat([
      Buffer.from([0, 0, 0]),
      packBlock([1, 1, [[15, 'a', 1, Uint8Array.of(1, 2, 3)]]]),
    ]).subarray(3)
    const block = unpackJournalBlock(received)
    const result = (block.ok ? block.entries[0]?.[3] : undefined) as Uint8Array
    expect(result.buffer).toBe(received.buffer)
    expect(result.constructor).toBe(Uint8Array)
    expect([...result]).toEqual([1, 2, 3])
  })

  test('a packed block has memory of its own and no more than it needs', () => {
    const first = packBlock([1, 1, [[10, 'first', 1]]])
    const bytes = [...first]
    packBlock([1, 2, [[15, 'x', 1, new Uint8Array(3_000_000).fill(7)]]])
    packBlock([1, 3, [[10, 'other', 1]]])
    expect([...first]).toEqual(bytes)
    expect(first.buffer.byteLength).toBe(first.length)
  })

  test('one bad entry voids only itself, and keeps its place', () => {
    const block = journal([10, 'a', 1], [10, 'a b', 1], [15, 'c', 1, null], [99], [10, 'd', -1], 'text', [10, 'e', 1])
    expect(block).toEqual({
      ok: true,
      number: 7,
      entries: [[10, 'a', 1], undefined, [15, 'c', 1, null], undefined, undefined, undefined, [10, 'e', 1]],
      objects: [],
      rejected: [
        { index: 1, reason: 'the task id is not a name' },
        { index: 3, reason: 'the kind 99 is not known here' },
        { index: 4, reason: 'the turn is not a count' },
        { index: 5, reason: 'an entry is not an array' },
      ],
    })
  })

  test('an entry with an extension, a dangerous key, bad text or a pit of arrays voids only itself', () => {
    const inner: [string, number[]][] = [
      ['extension types have no place here', [0x93, 10, 0xd4, 0x65, 0x00, 0x01]],
      ['extension types have no place here', [0x93, 10, 0xc7, 2, 0x74, 1, 1, 0x01]],
      ['the byte 0xc1 means nothing', [0x93, 10, 0xc1, 0x01]],
      ['the key "__proto__" is not allowed', [0x92, 1, 0x81, 0xa9, ...Buffer.from('__proto__'), 0x80]],
      ['a key is not a text', [0x92, 1, 0x81, 0x01, 0x01]],
      ['a text is not UTF-8', [0x93, 10, 0xa2, 0xc0, 0xaf, 0x01]],
      ['nested more than 24 deep', [0x92, 10, ...new Array(100_000).fill(0x91), 0x01]],
      ['nested more than 24 deep', [0x92, 10, ...new Array(3_000).fill([0x81, 0x01]).flat(), 0x01]],
    ]
    for (const [reason, bytes] of inner) {
      const packed = Uint8Array.from([0x93, 1, 7, 0x93, 0x93, 10, 0xa1, 0x61, 1, ...bytes, 0x93, 10, 0xa1, 0x62, 1])
      expect(unpackJournalBlock(packed)).toEqual({
        ok: true,
        number: 7,
        entries: [[10, 'a', 1], undefined, [10, 'b', 1]],
        objects: [],
        rejected: [{ index: 1, reason }],
      })
    }
  })

  test('a later version may add fields at the end of an entry', () => {
    expect(journal([10, 'a', 1, { more: true }], [2, 'x'])).toMatchObject({ ok: true, rejected: [] })
  })

  test.each<[string, unknown, string]>([
    ['another format version', [2, 1, []], 'format version 2 is not known here'],
    ['no array', { a: 1 }, 'an array was expected'],
    ['a negative number', [1, -1, []], 'the number of a block is not a count'],
    ['a fractional number', [1, 1.5, []], 'the number of a block is not a count'],
    ['entries that are no array', [1, 1, 'x'], 'an array was expected'],
    ['more parts than known', [1, 1, [], 1], '1 bytes follow the message'],
    ['fewer parts than needed', [1], 'a block has 3 parts'],
    [
      'too many entries',
      [1, 1, new Array(limits.blockEntriesMax + 1).fill(null)],
      `${limits.blockEntriesMax + 1} entries are more than ${limits.blockEntriesMax}`,
    ],
  ])('a block with %s is refused as a whole', (_, block, reason) => {
    expect(unpackJournalBlock(packBlock(block as Packable))).toEqual({ ok: false, reason })
  })

  test('every cut of a block is refused as a whole', () => {
    const packed = packBlock([
      1,
      1,
      [
        [1, profile],
        [10, 'abc', 300],
        [15, 'abc', 1, new Uint8Array(40)],
        [16, 'abc', 1, error, true],
      ],
    ])
    for (let length = 0; length < packed.length; length++) {
      expect(unpackJournalBlock(packed.subarray(0, length)), `cut at ${length}`).toMatchObject({ ok: false })
    }
  })

  test('announced lengths beyond the bytes left are refused before anything is made', () => {
    const heads = [
      [0xdd, 0xff, 0xff, 0xff, 0xff],
      [0xdf, 0xff, 0xff, 0xff, 0xff],
      [0xc6, 0xff, 0xff, 0xff, 0xff],
      [0xdb, 0xff, 0xff, 0xff, 0xff],
    ]
    for (const head of heads) {
      expect(unpackJournalBlock(Uint8Array.from([0x93, 1, 1, ...head]))).toMatchObject({ ok: false })
      expect(unpackJournalBlock(Uint8Array.from([0x93, 1, 1, 0x91, 0x94, 15, 0xa1, 0x61, 1, ...head]))).toMatchObject({
        ok: false,
      })
    }
  })

  test('the quick way for accepted and completed entries takes exactly the names that are valid', () => {
    for (let code = 0; code < 256; code++) {
      const packed = Uint8Array.from([0x93, 1, 1, 0x91, 0x93, 10, 0xa3, 0x61, code, 0x62, 1, 0xc0].slice(0, 11))
      const padded = Uint8Array.from([
        0x93,
        1,
        1,
        0x92,
        0x93,
        10,
        0xa3,
        0x61,
        code,
        0x62,
        1,
        0x94,
        15,
        0xa1,
        0x61,
        1,
        0xc4,
        9,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
      ])
      const id = `a${String.fromCharCode(code)}b`
      const valid = isName(id) && code < 0x80
      for (const bytes of [packed, padded]) {
        const block = unpackJournalBlock(bytes)
        expect(block.ok && block.entries[0]?.[1], `byte ${code}`).toBe(valid ? id : undefined)
      }
    }
  })

  test('the quick way takes no entry of another kind for whole, and checks it as any', () => {
    for (let kind = 0; kind < 128; kind++) {
      for (const entry of [
        [kind, 'a', 1],
        [kind, 'a', 0],
        [kind, 'a', 1, new Uint8Array(9)],
        [kind, 'a', 1, null],
      ]) {
        const block = journal(entry, [15, 'a', 1, new Uint8Array(9)])
        const isValid = checkJournalEntry(entry) === undefined
        expect(block.ok && block.entries.map((read) => read !== undefined), `[${entry}]`).toEqual([isValid, true])
      }
    }
  })

  test('names at the limit are read, and one character more voids the entry', () => {
    const most = 'x'.repeat(limits.nameCharsMax)
    expect(journal([10, most, 1], [15, most, 1, null])).toMatchObject({
      ok: true,
      entries: [
        [10, most, 1],
        [15, most, 1, null],
      ],
    })
    expect(journal([10, `${most}x`, 1], [15, `${most}x`, 1, new Uint8Array(20)])).toMatchObject({
      entries: [undefined, undefined],
    })
  })
})

describe('entries that are rejected', () => {
  const bad: [unknown[], string][] = [
    [[10, 'a'], 'the turn'],
    [[10, '', 1], 'the task id'],
    [[10, 'a.b', 1], 'the task id'],
    [[10, 'a', 1.5], 'the turn'],
    [[10, 'a', Number.NaN], 'the turn'],
    [[10, 'a', 2 ** 53], 'the turn'],
    [[10, 'a', '1'], 'the turn'],
    [[15, 'a', 1], 'the result'],
    // As short as an acceptance, of every other kind that names a turn.
    ...[11, 13, 14].map((kind): [unknown[], string] => [[kind, 'a', 1], 'the snapshot']),
    [[12, 'a', 1], 'the progress'],
    [[16, 'a', 1], 'retryable'],
    [[20, 'a', 1], 'the task type'],
    [[21, 'a', 1], 'the signalled task'],
    [[22, 'a', 1], 'the id of the child'],
    [[15, 'a', 1, 5], 'the result'],
    [[15, 'a', 1, { a: 1 }], 'the result'],
    [[15, 'a', 1, ['name', 1, 1]], 'the result'],
    [[15, 'a', 1, ['A'.repeat(64), 1, 1]], 'the result'],
    [[15, 'a', 1, ['a'.repeat(64), -1, 1]], 'the result'],
    [[15, 'a', 1, ['a'.repeat(64), 1, 2]], 'the result'],
    [[15, 'a', 1, ['a'.repeat(64), limits.valueBytesMax + 1, 1]], 'the result'],
    [[11, 'a', 1, null, -1], 'the consumed position'],
    [[12, 'a', 1, 1.01, ''], 'the progress'],
    [[12, 'a', 1, Number.NaN, ''], 'the progress'],
    [[12, 'a', 1, 0.5, 'x'.repeat(5_000)], 'the note'],
    [[13, 'a', 1, null, 0, -5, true, []], 'the wake-up time'],
    [[13, 'a', 1, null, 0, 0, 1, []], 'the wish'],
    [[13, 'a', 1, null, 0, 0, true, ['a b']], 'a child'],
    [[13, 'a', 1, null, 0, 0, true, new Array(limits.afterMax + 1).fill('x')], 'the children'],
    [[16, 'a', 1, 'boom', true], 'the error is not an object'],
    [[16, 'a', 1, { code: 'X', message: 'm'.repeat(limits.errorMessageCharsMax + 1) }, true], 'the message'],
    [[16, 'a', 1, { code: 'X', message: 'm' }, 'yes'], 'retryable'],
    [[16, 'a', 1, { code: 'X', message: 'm', cause: { message: 'm' } }, true], 'the code'],
    [[20, 'a', 1, 'type.x', null, {}], 'the task type'],
    [[20, 'a', 1, 'type', null, []], 'the options'],
    [[21, 'a', 1, '>', 's', null], 'the signalled task'],
    [[1, { ...profile, node: '*' }], 'the node id'],
    [[1, { ...profile, slots: -1 }], 'the slots'],
    [[1, { ...profile, resources: { cpu: -1 } }], 'the resources'],
    [[1, { ...profile, types: [{ ...profile.types[0], retry: { ...defaultRetry, factor: 11 } }] }], 'the retry policy'],
    [[1, { ...profile, types: new Array(limits.typesPerNodeMax + 1).fill(null) }], 'the types'],
    [[4, 7], 'the reason'],
    [[40, rules], 'the kind 40'],
    [[], 'the kind of type undefined'],
  ]

  test.each(bad)('%j: %s', (entry, complaint) => {
    const block = journal(entry)
    expect(block).toMatchObject({
      ok: true,
      entries: [undefined],
      rejected: [{ index: 0, reason: expect.stringContaining(complaint) }],
    })
  })

  test.each<[unknown[], string]>([
    [[40, { ...rules, resultsKeepMs: -1 }], 'resultsKeepMs'],
    [[41, 'a', 1], 'the reason'],
    [[42, '$JS', 'x'], 'the task id'],
    [[47, 'a', 1, null, -1, null], 'a sequence'],
    [[49, 'a', 'input', 1, null], 'neither a signal nor a result'],
    [[49, 'a', 'signal', -1, null], 'the sequence'],
    [[49, 'a', 'result', 1, 7], 'the value is not a payload'],
    [[41, 'a', -1, 'x'], 'the turn'],
    [[53, 'tick', 5_000, 5_000, null], 'not after this one'],
    [[54, 'tick', 5_000, 4_000], 'not after this one'],
    [[53, 'tick', 5_001, 6_000, null], 'a due time'],
    [[10, 'a', 1], 'the kind 10'],
  ])('%j in a control block: %s', (entry, complaint) => {
    expect(unpackControlBlock(packBlock([1, 5, [entry]] as unknown as Packable))).toMatchObject({
      ok: true,
      rejected: [{ index: 0, reason: expect.stringContaining(complaint) }],
    })
  })
})

describe('messages between the actors', () => {
  const load = { loop: 0.5, loopDelayMs: 1.25, cpu: 1, memory: 0.1, rssBytes: 1e8 }
  const nodeMessages: NodeMessage[] = [
    [
      'award',
      9,
      2_000,
      [
        ['0-1', 'resize', 1, 1, Uint8Array.of(1), null, null, null],
        ['0-2', 'order', 2, 1, '{}', reference, [[5, 0, null]], { key: 'k', priority: 3 }],
      ],
    ],
    ['signal', 'a', 1, [5, 0, '{"type":"GO"}']],
    ['drop', [['a', 1, 'revoked']]],
    ['drain'],
    ['fenced', 'silent'],
  ]
  const reports: NodeReport[] = [
    ['bid', { credits: 4, priceMs: 0.5, slowdown: 1, ttlMs: 3_000 }, load, 1, 2, 'ready', { cpu: 4 }],
    ['declined', [['a', 1, 'full']]],
    ['running', 77, [['a', 1]]],
    ['gap', 'a', 1, 70],
  ]
  const tell: Tell = [
    ['0-1-0', 'a', 'completed', Uint8Array.of(1)],
    ['0-1-1', '0-1-1', 'failed', { code: 'X', message: 'y' }],
    ['0-1-2', '', 'refused', { code: 'X', message: 'y' }],
  ]

  test.each(nodeMessages)('a node reads what it is told: %s', (...message) => {
    expect(unpackNodeMessage(packBlock(message as NodeMessage))).toEqual({ ok: true, message, rejected: [] })
  })

  test.each(reports)('a scheduler reads what a node reports: %s', (...report) => {
    expect(unpackNodeReport(packBlock(report as NodeReport))).toEqual({ ok: true, message: report, rejected: [] })
  })

  test('a client reads its outcomes, a supervisor a heartbeat', () => {
    expect(unpackTell(packBlock(tell))).toEqual({ ok: true, message: tell, rejected: [] })
    expect(unpackHeartbeat(packBlock([1, 2, 0.5]))).toEqual({ ok: true, message: [1, 2, 0.5], rejected: [] })
  })

  test('a bad task of an award and a bad outcome void only themselves', () => {
    const award = [
      'award',
      1,
      1,
      [
        ['a', 't', 1, 1, null, null, null, null],
        ['a', 't', -1, 1, null, null, null, null],
      ],
    ]
    expect(unpackNodeMessage(packBlock(award as unknown as Packable))).toEqual({
      ok: true,
      message: ['award', 1, 1, [['a', 't', 1, 1, null, null, null, null]]],
      rejected: [{ index: 1, reason: 'the turn or the attempt of an awarded task is not a count' }],
    })
    expect(unpackTell(packBlock([...tell, ['x']] as unknown as Packable))).toMatchObject({
      ok: true,
      message: tell,
      rejected: [{ index: 3 }],
    })
  })

  test.each<[unknown]>([
    ['drain'],
    [['unknown']],
    [['award', 1, 1, 'x']],
    [['award', 1, 1, new Array(limits.awardTasksMax + 1).fill(null)]],
    [['signal', 'a', 1, [1, 2, 3]]],
    [['drop', [['a', 1]]]],
    [['fenced']],
    [[]],
    [null],
  ])('a node does not take %j', (message) => {
    expect(unpackNodeMessage(packBlock(message as Packable))).toMatchObject({ ok: false })
  })

  test.each<[unknown]>([
    [['bid', { credits: -1, priceMs: 1, slowdown: 1, ttlMs: 1 }, load, 0, 0, 'ready', {}]],
    [['bid', { credits: 1, priceMs: Number.POSITIVE_INFINITY, slowdown: 1, ttlMs: 1 }, load, 0, 0, 'ready', {}]],
    [['bid', { credits: 1, priceMs: 1, slowdown: 1, ttlMs: 1 }, { ...load, cpu: Number.NaN }, 0, 0, 'ready', {}]],
    [['bid', { credits: 1, priceMs: 1, slowdown: 1, ttlMs: 1 }, load, 0, 0, 'gone', {}]],
    [['running', 1, [['a']]]],
    [['gap', 'a', 1]],
    [['declined', [['a', 1, 5]]]],
  ])('a scheduler does not take %j', (report) => {
    expect(unpackNodeReport(packBlock(report as Packable))).toMatchObject({ ok: false })
  })

  test('what is not plain data cannot be packed', () => {
    const cycle: unknown[] = []
    cycle.push(cycle)
    const ring: Record<string, unknown> = {}
    ring.next = ring
    for (const value of [[() => 1], [Symbol('x')], [1n], cycle, [ring]]) {
      expect(() => packBlock(value as unknown as Packable)).toThrow(
        expect.objectContaining({ code: 'TROUPE_NOT_SERIALIZABLE' }),
      )
    }
  })
})
