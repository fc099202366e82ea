/**
 * Mutated input for every decoder: none may throw anything but its own error, take long, or touch Object.prototype.
 * TROUPE_FUZZ sets the number of inputs per decoder, TROUPE_FUZZ_SEED repeats a run.
 */
import { afterAll, describe, expect, test } from 'vitest'
import {
  type Packable,
  packBlock,
  unpackControlBlock,
  unpackHeartbeat,
  unpackJournalBlock,
  unpackNodeMessage,
  unpackNodeReport,
  unpackSubmissionBlock,
  unpackTell,
} from '../../src/protocol/blocks.ts'
import { checkControlEntry, checkJournalEntry } from '../../src/protocol/entry-check.ts'
import { TroupeError } from '../../src/protocol/errors.ts'
import { parseJson } from '../../src/protocol/json.ts'
import { jsonable } from '../../src/protocol/jsonable.ts'
import { defaultRestart, defaultRetry } from '../../src/protocol/options.ts'
import { packValue, unpackValue } from '../../src/protocol/payload.ts'
import { checkSubmissionOptions, readSubmission } from '../../src/protocol/submission.ts'

const inputs = Number(process.env.TROUPE_FUZZ ?? 20_000)
const seed = Number(process.env.TROUPE_FUZZ_SEED ?? Date.now() % 1_000_000)

/** Mulberry32: small, and the same everywhere. */
function randomFrom(state: number): (below: number) => number {
  let at = state
  return (below) => {
    at = (at + 0x6d2b79f5) | 0
    let mixed = Math.imul(at ^ (at >>> 15), 1 | at)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

/** Bytes that mean something to a msgpack or JSON reader, and words that mean something to an object. */
const heads = [
  0x40,
  0x41,
  0x7f,
  0x80,
  0x81,
  0x8f,
  0x90,
  0x91,
  0x9f,
  0xa0,
  0xa9,
  0xbf,
  ...Array.from({ length: 0x40 }, (_, index) => 0xc0 + index),
]
const words = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'AggregateError',
  'then',
  '"',
  '\\u005f',
  '[',
  '{',
  ']',
  '}',
  '\ud83d',
  '1e999',
].map((word) => new TextEncoder().encode(word))
const runs = [
  [0xd4, 0x72, 0x40],
  [0xd4, 0x73, 0x00],
  [0xd4, 0x65, 0x00, 0x93],
  [0xd4, 0x78, 0x00, 0x92],
  [0xd4, 0x4d, 0x00],
  [0xd6, 0x70, 0, 0, 0, 1],
  [0xdd, 0xff, 0xff, 0xff, 0xff],
  [0xdf, 0, 0, 0, 9],
  [0xc7, 0x09, 0x74, 0x08],
  [0xd7, 0xff],
  [0xc6, 0, 0, 0, 3],
]

function mutate(source: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes: Uint8Array = source.slice()
  for (let left = 1 + random(4); left > 0; left--) {
    const at = random(bytes.length + 1)
    switch (random(8)) {
      case 0:
        bytes[at] = random(256)
        break
      case 1:
        bytes[at] = heads[random(heads.length)]!
        break
      case 2:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8))
        break
      case 3:
        bytes = bytes.slice(0, at)
        break
      case 4:
        bytes = splice(bytes, at, 0, words[random(words.length)]!)
        break
      case 5:
        bytes = splice(bytes, at, random(4), Uint8Array.from(runs[random(runs.length)]!))
        break
      case 6:
        bytes = splice(bytes, at, random(12), bytes.slice(random(bytes.length + 1)).slice(0, random(40)))
        break
      default:
        bytes = splice(bytes, at, 1 + random(6), new Uint8Array(0))
    }
  }
  return bytes
}

function splice(bytes: Uint8Array, at: number, remove: number, insert: Uint8Array): Uint8Array {
  return Uint8Array.from([...bytes.subarray(0, at), ...insert, ...bytes.subarray(at + remove)])
}

const error = { code: 'X', message: 'boom', details: { a: [1, { b: null }] }, cause: { code: 'Y', message: 'z' } }
const reference = ['a'.repeat(64), 9, 1]
const value = {
  text: 'ünï',
  list: [1, -1, 1.5, 2 ** 40, null, undefined, true],
  at: new Date(1_700_000_000_123),
  pattern: /a/g,
  set: new Set([1, 'x']),
  error: new TypeError('x', { cause: 1 }),
  bytes: Uint8Array.of(1, 2),
  floats: Float64Array.of(1.5),
  nested: { a: { b: { c: [{}] } } },
}
const rows = Array.from({ length: 30 }, (_, id) => ({ id, name: `n${id}`, inner: { x: id } }))
const values = [
  value,
  rows,
  {
    ...value,
    map: new Map<unknown, unknown>([
      ['k', 1],
      [{ a: 1 }, rows.slice(0, 2)],
    ]),
    big: 2n ** 80n,
    small: 5n,
  },
  'text',
  7,
].map((each) => packValue(each)!)
const profile = {
  node: 'n',
  host: 'h',
  pid: 1,
  version: '1',
  slots: 2,
  resources: { cpu: 1 },
  labels: { a: 'b' },
  types: [
    {
      type: 't',
      logic: 'machine',
      retry: defaultRetry,
      restart: defaultRestart,
      timeoutMs: 0,
      resources: {},
      schema: false,
    },
  ],
}
const pack = (...blocks: unknown[]) => blocks.map((block) => packBlock(block as Packable))
const journals = pack(
  [
    1,
    5,
    [
      [1, profile],
      [10, 'a-1', 1],
      [15, 'a-1', 1, values[0]],
      [16, 'a-1', 300, error, true],
    ],
  ],
  [
    1,
    6,
    [
      [11, 'b', 1, '{}', 3],
      [12, 'b', 1, 0.5, 'note'],
      [13, 'b', 1, reference, 1, 2, true, ['c']],
      [20, 'b', 1, 't', null, { id: 'x', after: ['y'] }],
      [21, 'b', 1, 'c', 's', values[4]],
    ],
  ],
  [1, 7, [[2], [3], [4, 'why']]],
)
const controls = pack([
  1,
  5,
  [
    [40, { foldVersion: 1, resultsKeepMs: 1, resultsKeepCount: 1, deadKeepMs: 1, deadKeepCount: 1 }],
    [41, 'a', 1, 'r'],
    [42, 'a', 'r'],
    [44, 'a', 1],
    [47, 'a', 1, null, 2, '{}'],
  ],
])
const submissions = pack([
  1,
  [
    ['t', values[0]],
    ['t', '{"a":1}', { id: 'x', priority: 3, delayMs: 5, key: 'k', after: ['a'], replyTo: 'r.s' }],
    ['t', null],
  ],
])
const nodeMessages = pack(
  ['award', 1, 2, [['a', 't', 1, 1, values[4], null, [[1, 0, '{}']], { key: 'k' }]]],
  ['signal', 'a', 1, [5, 0, null]],
  ['drop', [['a', 1, 'r']]],
  ['drain'],
  ['fenced', 'x'],
)
const reports = pack(
  [
    'bid',
    { credits: 1, priceMs: 1, slowdown: 1, ttlMs: 1 },
    { loop: 0, loopDelayMs: 1, cpu: 1, memory: 1, rssBytes: 1 },
    1,
    2,
    'ready',
    { cpu: 1 },
  ],
  ['declined', [['a', 1, 'r']]],
  ['running', 5, [['a', 1]]],
  ['gap', 'a', 1, 5],
)
const tells = pack([
  ['0-1', 'a', 'completed', values[0]],
  ['0-2', 'b', 'failed', error],
])
const json = ['{"a":[1,{"b":null}],"c":"\\u00fc","d":-1.5e3}', `[${'{"k":"v"},'.repeat(20)}0]`, '"text"'].map((text) =>
  new TextEncoder().encode(text),
)

/** Runs a decoder that may throw its own error, and nothing else. */
function mayRefuse(run: () => void): void {
  try {
    run()
  } catch (error) {
    if (!(error instanceof TroupeError)) throw error
    if (error.code !== 'TROUPE_UNREADABLE') throw error
  }
}

/** Whatever was read can be shown, packed and read again. */
function passOn(value: unknown): void {
  JSON.stringify(jsonable(value))
  unpackValue(packValue(value))
}

/** Every entry that was let through is one that its check lets through. */
function checkEntries(entries: readonly unknown[], check: (entry: unknown) => string | undefined): void {
  for (const entry of entries) {
    const complaint = entry === undefined ? undefined : check(entry)
    if (complaint !== undefined) throw new Error(`${complaint}: ${JSON.stringify(entry)}`)
  }
}

const decoders: [string, Uint8Array[], (bytes: Uint8Array) => void][] = [
  ['unpackValue', values, (bytes) => mayRefuse(() => passOn(unpackValue(bytes)))],
  ['parseJson', json, (bytes) => mayRefuse(() => void parseJson(bytes))],
  [
    'unpackJournalBlock',
    journals,
    (bytes) => {
      const block = unpackJournalBlock(bytes)
      if (block.ok) checkEntries(block.entries, checkJournalEntry)
    },
  ],
  [
    'unpackControlBlock',
    controls,
    (bytes) => {
      const block = unpackControlBlock(bytes)
      if (block.ok) checkEntries(block.entries, checkControlEntry)
    },
  ],
  [
    'unpackSubmissionBlock',
    submissions,
    (bytes) => {
      const block = unpackSubmissionBlock(bytes)
      if (block.ok) for (const entry of block.entries) checkSubmissionOptions(entry?.[2])
    },
  ],
  ['unpackNodeMessage', nodeMessages, (bytes) => void unpackNodeMessage(bytes)],
  ['unpackNodeReport', reports, (bytes) => void unpackNodeReport(bytes)],
  ['unpackHeartbeat', pack([1, 2, 3]), (bytes) => void unpackHeartbeat(bytes)],
  ['unpackTell', tells, (bytes) => void unpackTell(bytes)],
  [
    'readSubmission',
    [...values, ...json],
    (bytes) => {
      const text = new TextDecoder().decode(bytes.subarray(0, 40))
      const headers = new Map([
        ['content-type', bytes.length % 2 === 0 ? 'application/msgpack' : ''],
        ['troupe-id', text],
        ['troupe-after', text],
        ['troupe-deadline', text],
        ['troupe-reply-to', text],
      ])
      for (const name of bytes.length % 3 === 0
        ? ['troupe-id', 'troupe-after', 'troupe-deadline', 'troupe-reply-to']
        : [])
        headers.delete(name)
      readSubmission({ subject: 's', sequence: 1, timestampMs: 1, data: bytes, headers }, 't')
    },
  ],
]

const prototypeBefore = JSON.stringify(Object.getOwnPropertyDescriptors(Object.prototype))

afterAll(() => {
  expect(JSON.stringify(Object.getOwnPropertyDescriptors(Object.prototype))).toBe(prototypeBefore)
})

describe(`${inputs} mutated inputs each, seed ${seed}`, () => {
  test.each(decoders)(
    '%s refuses or reads, and never fails otherwise',
    (_, sources, decode) => {
      const random = randomFrom(seed)
      for (let input = 0; input < inputs; input++) {
        const bytes = mutate(sources[random(sources.length)]!, random)
        try {
          decode(bytes)
        } catch (error) {
          throw new Error(`input ${input}: ${Buffer.from(bytes).toString('hex')}`, { cause: error })
        }
      }
      // What is valid is still read after all of that.
      for (const source of sources) decode(source)
    },
    10_000 + inputs,
  )
})
