/** Which checkpoint a process begins with: one of this very log, whole, and behind which nothing is missing (rule 12). */
import { expect, test } from 'vitest'
import { type CheckpointPart, LedgerSaving, type Manifest } from '../../../src/actors/ledger/checkpoint.ts'
import type { CheckpointStore, Log, LogInfo, StoredCheckpoint } from '../../../src/nats/bus.ts'
import type { LogMessage } from '../../../src/protocol/entries.ts'
import { inputHash } from '../../../src/protocol/input-hash.ts'
import { packValue } from '../../../src/protocol/payload.ts'
import { loadCheckpoint } from '../../../src/runtime/ledger/load-checkpoint.ts'
import { describeState } from '../../actors/ledger/describe.ts'
import { TestLog } from '../../actors/ledger/test-log.ts'
import { logger } from './ledger-process.ts'

const identity = 'this log'
let saves = 0

function saved(log: TestLog, more: Partial<Manifest> = {}): StoredCheckpoint {
  const saving = new LedgerSaving(log.state, ++saves)
  const parts: CheckpointPart[] = []
  for (let rows = saving.rows(3); rows !== undefined; rows = saving.rows(3)) parts.push(['tasks', rows])
  parts.push(...saving.others())
  const { data, timestampMs: storedAtMs } = log.messages.at(-1)!
  const manifest = packValue({
    ...saving.manifest(1, inputHash(data)),
    log: identity,
    storedAtMs,
    ...more,
  }) as Uint8Array
  const packed = parts.map((part) => packValue(part) as Uint8Array)
  return {
    manifest,
    savedAtMs: 1,
    async *parts() {
      yield* packed
    },
  }
}

/** Ten tasks, a checkpoint of six of them, and what the log is like now. */
function scene(now: { info?: Partial<LogInfo>; first?: number; messages?: readonly LogMessage[] } = {}) {
  const log = new TestLog()
  for (let i = 0; i < 6; i++) log.submit()
  const stored = saved(log)
  const position = log.state.position
  const before = describeState(log.state)
  for (let i = 0; i < 4; i++) log.submit()
  const { first = 1, messages = log.messages } = now
  const info = { identity, createdAtMs: 1, firstSequence: first, lastSequence: messages.length, ...now.info }
  const source = {
    info: async () => info,
    get: async (sequence: number) => (sequence < first ? undefined : messages[sequence - 1]),
  } as unknown as Log
  const load = (...list: StoredCheckpoint[]) => {
    const checkpoints = { list: async () => list } as unknown as CheckpointStore
    return loadCheckpoint({ log: source, checkpoints, subjects: log.subjects, logger })
  }
  return { log, stored, position, before, load }
}

const mismatch = expect.objectContaining({ code: 'TROUPE_LOG_MISMATCH' })

test('the newest that fits is taken, also when the log begins right behind it', async () => {
  for (const first of [1, 3, 6, 7]) {
    const { load, stored, position, before } = scene({ first })
    const ledger = await load(stored)
    expect(ledger.state.position).toBe(position)
    expect(describeState(ledger.state)).toEqual(before)
  }
})

test('one behind which something is missing already is not, nor an empty ledger instead', async () => {
  const { load, stored } = scene({ first: 8 })
  await expect(load(stored)).rejects.toEqual(mismatch)
  await expect(load()).rejects.toEqual(mismatch)
})

test('a log that lost its newest messages, and has others in their place, is not the one that was saved', async () => {
  const other = new TestLog()
  for (let i = 0; i < 10; i++) other.submit({}, 'work', '"other"')
  const replaced = scene({ messages: other.messages })
  await expect(replaced.load(replaced.stored)).rejects.toEqual(mismatch)
  // The same bytes for another type, or under another id.
  const alike = new TestLog()
  alike.advance(1)
  for (let i = 0; i < 10; i++) alike.submit({ 'troupe-id': `order-${i}` }, 'play')
  const same = scene({ messages: alike.messages })
  await expect(same.load(same.stored)).rejects.toEqual(mismatch)
  const shorter = scene({ messages: other.messages.slice(0, 5) })
  await expect(shorter.load(shorter.stored)).rejects.toEqual(mismatch)
})

test('one of a log that was there before is none of this one', async () => {
  const { load, stored } = scene({ info: { identity: 'another' } })
  await expect(load(stored)).rejects.toEqual(mismatch)
})

test('one that is incomplete or noise is passed over for an older one, or the beginning of the log', async () => {
  const { load, stored, position } = scene()
  const torn: StoredCheckpoint = { ...stored, parts: async function* () {} }
  const noise: StoredCheckpoint = { ...stored, manifest: new Uint8Array([0xc1]) }
  expect((await load(torn, noise, stored)).state.position).toBe(position)
  expect((await load(torn, noise)).state.position).toBe(0)
  expect((await load()).state.position).toBe(0)
})
