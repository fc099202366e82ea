/**
 * What packing and unpacking cost: blocks per entry, values per value. `node bench/codec.ts` prints nanoseconds, the best of
 * several rounds, so that a busy machine matters little.
 */
import { Packr, Unpackr } from 'msgpackr'
import { packBlock, unpackJournalBlock, unpackJournalEntry } from '../src/protocol/blocks.ts'
import { formatVersion, type JournalBlock, type JournalEntry, type SubmissionBlock } from '../src/protocol/entries.ts'
import { inputHash } from '../src/protocol/input-hash.ts'
import { parseJson } from '../src/protocol/json.ts'
import { scanMsgpack } from '../src/protocol/msgpack-scan.ts'
import { packValue, unpackValue } from '../src/protocol/payload.ts'

function bestNs(run: () => unknown, times: number, rounds = 15): number {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round++) {
    const startedAt = process.hrtime.bigint()
    for (let time = 0; time < times; time++) sink = run()
    best = Math.min(best, Number(process.hrtime.bigint() - startedAt) / times)
  }
  return best
}

/** Keeps results alive, so that no run is optimised away. */
export let sink: unknown

function print(what: string, ns: number): void {
  console.log(`${what.padEnd(64)} ${Math.round(ns).toString().padStart(9)} ns`)
}

const result = new Uint8Array(100).map((_, index) => index)
const entries: JournalEntry[] = []
for (let index = 0; index < 128; index++) {
  entries.push([10, `0-123456-${index}`, 1], [15, `0-123450-${index}`, 1, result])
}
const block: JournalBlock = [formatVersion, 42, entries]
const packed = packBlock(block)
const library = new Packr({ useRecords: false, variableMapSize: true })
const reader = new Unpackr({ useRecords: false, int64AsType: 'number' })

console.log(`a journal block of ${entries.length} accepted and completed entries, ${packed.length} bytes; per entry:`)
print('packBlock', bestNs(() => packBlock(block), 500) / entries.length)
print('  msgpackr, copied', bestNs(() => new Uint8Array(library.pack(block)), 500) / entries.length)
print('unpackJournalBlock', bestNs(() => unpackJournalBlock(packed), 500) / entries.length)
const received = Buffer.from(packed)
print('unpackJournalBlock of a Buffer', bestNs(() => unpackJournalBlock(received), 500) / entries.length)
print(
  'unpackJournalEntry, the last alone, for all that it steps over',
  bestNs(() => unpackJournalEntry(packed, 255), 500),
)
print('  scan', bestNs(() => scanMsgpack(packed), 500) / entries.length)
print('  msgpackr alone, unchecked', bestNs(() => reader.unpack(packed), 500) / entries.length)

const submissions: SubmissionBlock = [formatVersion, entries.slice(0, 100).map(() => ['square', result] as const)]
print('packBlock of submissions', bestNs(() => packBlock(submissions), 500) / 100)

console.log('values; per value:')
const small = { url: 'https://example.com/picture.png', width: 200, tags: ['a', 'b'], at: 1.5 }
const snapshot = {
  status: 'active',
  value: { checkout: { payment: 'pending' } },
  historyValue: {},
  context: {
    user: { id: 'u-1', name: 'Ada' },
    items: Array.from({ length: 200 }, (_, id) => ({ id, name: `item ${id}`, price: id / 4, tags: ['x'] })),
  },
  children: {},
}
const values: [string, unknown][] = [
  ['number', 42],
  ['small object', small],
  ['small with Map', { ...small, map: new Map([['k', 1]]) }],
  ['ten objects', Array.from({ length: 10 }, () => small)],
  ['snapshot, 200 items', snapshot],
]
for (const [name, value] of values) {
  const bytes = packValue(value)!
  const times = bytes.length > 1000 ? 200 : 20_000
  print(
    `packValue ${name}, ${bytes.length} bytes`,
    bestNs(() => packValue(value), times),
  )
  print(
    `unpackValue ${name}`,
    bestNs(() => unpackValue(bytes), times),
  )
  print(
    `  scan ${name}`,
    bestNs(() => (bytes[1] === 0x4d ? undefined : scanMsgpack(bytes)), times),
  )
  if (name.includes('Map')) continue
  const json = JSON.stringify(value)
  print(
    `  JSON.stringify ${name}, ${json.length} chars`,
    bestNs(() => JSON.stringify(value), times),
  )
  print(
    `  parseJson ${name}`,
    bestNs(() => parseJson(json), times),
  )
  print(
    `  JSON.parse ${name}`,
    bestNs(() => JSON.parse(json), times),
  )
}
print(
  'inputHash of 100 bytes',
  bestNs(() => inputHash(result), 20_000),
)
