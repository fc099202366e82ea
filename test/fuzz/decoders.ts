/**
 * Every decoder with valid bytes to begin with, and what it may do: read, or refuse with its own error. Anything else that is
 * thrown is a bug.
 */
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
import { ledgerDecoders } from './ledger-decoders.ts'
import { storedDecoders } from './stored-decoders.ts'

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
const many = Array.from({ length: 30 }, (_, id) => ({ id, name: `n${id}`, inner: { x: id } }))
const values = [
  value,
  many,
  {
    ...value,
    map: new Map<unknown, unknown>([
      ['k', 1],
      [{ a: 1 }, many.slice(0, 2)],
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
    [49, 'a', 'signal', 2, '{}'],
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

export interface Decoder {
  readonly name: string
  readonly sources: readonly Uint8Array[]
  readonly decode: (bytes: Uint8Array) => void
}

const rows: [string, Uint8Array[], (bytes: Uint8Array) => void][] = [
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

export const decoders: readonly Decoder[] = [
  ...rows.map(([name, sources, decode]) => ({ name, sources, decode })),
  ...ledgerDecoders(),
  ...storedDecoders(),
]
