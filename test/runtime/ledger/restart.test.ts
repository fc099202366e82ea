/** Rule 12: a ledger that is loaded again is the ledger that was, or says loudly why it cannot be. */
import { describe, expect, test } from 'vitest'
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import type { CheckpointStore, Log } from '../../../src/nats/bus.ts'
import { openNamespace } from '../../../src/nats/setup.ts'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { packValue, unpackValue } from '../../../src/protocol/payload.ts'
import { LedgerReader } from '../../../src/runtime/ledger/ledger-reader.ts'
import { loadCheckpoint } from '../../../src/runtime/ledger/load-checkpoint.ts'
import { saveCheckpoint } from '../../../src/runtime/ledger/save-checkpoint.ts'
import { describeState } from '../../actors/ledger/describe.ts'
import { freshNamespace, type OpenTest, openTest, until, useServer } from '../../harness/server.ts'
import { LedgerProcess, logger } from './ledger-process.ts'

const server = useServer()

/** Some of everything, and a checkpoint in the middle. */
async function busy(opened: OpenTest): Promise<LedgerProcess> {
  const started = await LedgerProcess.start(opened)
  await started.lead()
  await started.join('a')
  for (let i = 0; i < 30; i++) await started.submit()
  await started.write('a', [kind.accepted, '0-3', 1], [kind.accepted, '0-4', 1], [kind.completed, '0-4', 1, null])
  return started
}

function save({ reader, opened }: LedgerProcess) {
  return saveCheckpoint(reader.ledger, opened.log, opened.checkpoints)
}

/** The log, but for how it is read. */
function withRead(log: Log, read: Log['read']): Log {
  return {
    append: (subject, data, options) => log.append(subject, data, options),
    read,
    get: (sequence) => log.get(sequence),
    getRange: (sequence, messages, bytes) => log.getRange(sequence, messages, bytes),
    lastOf: (subject) => log.lastOf(subject),
    info: () => log.info(),
    trim: (sequence) => log.trim(sequence),
    setDoor: (open) => log.setDoor(open),
    takeReserve: () => log.takeReserve(),
  }
}

/** A store that holds what `change` makes of the parts of the real one. */
function changed(
  store: CheckpointStore,
  change: (parts: Uint8Array[]) => Uint8Array[],
  newest = true,
): CheckpointStore {
  return {
    save: (manifest, parts, keep) => store.save(manifest, parts, keep),
    async list() {
      const list = await store.list()
      return list.map((stored, i) => {
        if (newest && i > 0) return stored
        return {
          ...stored,
          async *parts() {
            const parts: Uint8Array[] = []
            for await (const part of stored.parts()) parts.push(part)
            yield* change(parts)
          },
        }
      })
    },
  }
}

test('a restart goes on from the checkpoint and the tail', async () => {
  await using opened = await openTest(server)
  await using first = await busy(opened)
  const { position } = await save(first)
  for (let i = 0; i < 10; i++) await first.submit()
  await first.write('a', [kind.completed, '0-3', 1, null])
  await using second = await LedgerProcess.start(opened)
  expect(second.reader.loadedFrom).toBe(position)
  expect(describeState(second.state)).toEqual(describeState(first.state))
})

test('what is folded while a checkpoint is saved is not in it', async () => {
  await using opened = await openTest(server)
  await using first = await busy(opened)
  const before = describeState(first.state)
  const saving = save(first)
  for (let i = 0; i < 5; i++) await first.submit()
  await first.write('a', [kind.completed, '0-3', 1, null])
  const { position } = await saving
  const log = withRead(opened.log, () => Promise.reject(new Error('not yet')))
  const reader = new LedgerReader({ ...opened, log, logger })
  await expect(reader.start()).rejects.toThrow('not yet')
  await reader.stop()
  expect(describeState(reader.ledger.state)).toEqual(before)
  await using second = new LedgerProcess(opened)
  await second.reader.start()
  expect(second.reader.loadedFrom).toBe(position)
  expect(describeState(second.state)).toEqual(describeState(first.state))
})

describe('a checkpoint that is', () => {
  const torn: [string, (parts: Uint8Array[]) => Uint8Array[]][] = [
    ['incomplete', (parts) => parts.slice(1)],
    ['noise', (parts) => parts.map(() => new Uint8Array([0xc1, 2, 3]))],
    ['empty', () => []],
    ['of rows that are none', (parts) => [...parts, packValue(['tasks', [[1], 'x']])!]],
  ]
  test.each(torn)('%s is passed over for the one before', async (_, change) => {
    await using opened = await openTest(server)
    await using first = await busy(opened)
    const { position } = await save(first)
    await first.submit()
    await save(first)
    await using second = new LedgerProcess({ ...opened, checkpoints: changed(opened.checkpoints, change) } as OpenTest)
    await second.reader.start()
    expect(second.reader.loadedFrom).toBe(position)
    expect(describeState(second.state)).toEqual(describeState(first.state))
  })

  test('of a format that is not known here is passed over', async () => {
    await using opened = await openTest(server)
    await using first = await busy(opened)
    await save(first)
    const [newest] = await opened.checkpoints.list()
    const manifest = { ...(unpackValue(newest!.manifest) as object), format: 999 }
    await opened.checkpoints.save(packValue(manifest)!, [], 3)
    await opened.checkpoints.save(new Uint8Array([0xc1]), [], 3)
    await using second = await LedgerProcess.start(opened)
    expect(second.reader.loadedFrom).toBe(first.state.position)
  })

  test('unreadable, all of them, is no harm while the log is whole', async () => {
    await using opened = await openTest(server)
    await using first = await busy(opened)
    await save(first)
    const checkpoints = changed(opened.checkpoints, () => [], false)
    await using second = new LedgerProcess({ ...opened, checkpoints } as OpenTest)
    await second.reader.start()
    expect(second.reader.loadedFrom).toBe(0)
    expect(describeState(second.state)).toEqual(describeState(first.state))
  })

  test('unreadable, all of them, is a mismatch once the log is trimmed', async () => {
    await using opened = await openTest(server)
    await using first = await busy(opened)
    await save(first)
    await opened.log.trim(first.state.position)
    const checkpoints = changed(opened.checkpoints, () => [], false)
    const second = new LedgerProcess({ ...opened, checkpoints } as OpenTest)
    await expect(second.reader.start()).rejects.toMatchObject({ code: 'TROUPE_LOG_MISMATCH' })
    await second.stop()
  })
})

test('a log that was made anew is a mismatch, not an empty ledger', async () => {
  await using opened = await openTest(server)
  const first = await busy(opened)
  await save(first)
  await first.stop()
  const { stream } = opened.log
  const messages = await opened.log.getRange(1, 1_000, 1_000_000)
  await opened.bus.request(`$JS.API.STREAM.DELETE.${stream}`, new Uint8Array(0))
  await openNamespace(opened.bus, { namespace: opened.subjects.namespace, logBytesMax: 64 * 1024 * 1024 })
  const empty = new LedgerProcess(opened)
  await expect(empty.reader.start()).rejects.toMatchObject({ code: 'TROUPE_LOG_MISMATCH' })
  await empty.stop()
  // Nor is it the old log when it says the same.
  for (const { subject, data } of messages) await opened.log.append(subject, data)
  const second = new LedgerProcess(opened)
  await expect(second.reader.start()).rejects.toMatchObject({ code: 'TROUPE_LOG_MISMATCH' })
  await second.stop()
})

test('a log whose servers disagree on when it was created is one log', async () => {
  await using opened = await openTest(server)
  await using first = await busy(opened)
  const { position } = await save(first)
  await opened.log.trim(position)
  // Replicas have a time of creation each, and the next leader of the stream tells its own.
  const info = async () => {
    const told = await opened.log.info()
    return { ...told, createdAtMs: told.createdAtMs + 140 }
  }
  const ledger = await loadCheckpoint({ ...opened, log: { ...withRead(opened.log, opened.log.read), info }, logger })
  expect(ledger.state.position).toBe(position)
})

test('a reader that the trimming has overtaken starts again from a checkpoint, and says so before it folds on', async () => {
  await using opened = await openTest(server, freshNamespace())
  await using first = await busy(opened)
  // The second reads a log in which the messages after its position are gone before it gets there.
  const { log } = opened
  let stall: Promise<void> | undefined
  const slow = withRead(log, async (options) => {
    await stall
    return log.read(options)
  })
  await using second = new LedgerProcess({ ...opened, log: slow } as OpenTest)
  const gate = Promise.withResolvers<void>()
  stall = gate.promise
  const starting = second.reader.start()
  await first.submit()
  const { position } = await save(first)
  await first.submit()
  await log.trim(position)
  const told: [string, number][] = []
  second.reader.listen({
    folded: (_, messages) => told.push(['folded', messages[0]?.sequence ?? 0]),
    replaced: (ledger) => {
      expect(ledger).toBeInstanceOf(Ledger)
      told.push(['replaced', ledger.state.position])
    },
  })
  gate.resolve()
  await starting
  expect(told).toEqual([
    ['replaced', position],
    ['folded', position + 1],
  ])
  expect(describeState(second.state)).toEqual(describeState(first.state))
  const id = await first.submit()
  await until(() => second.state.tasks.has(id), 'it follows the log again')
})

test('a listener that throws harms nobody else', async () => {
  await using opened = await openTest(server)
  await using first = await LedgerProcess.start(opened)
  first.reader.listen({
    folded: () => {
      throw new Error('mine')
    },
    replaced: () => undefined,
  })
  let folded = 0
  first.reader.listen({ folded: () => folded++, replaced: () => undefined })
  await first.submit()
  await first.submit()
  expect(folded).toBe(2)
})

test('a reader that is stopped while it starts leaves nothing behind', async () => {
  await using opened = await openTest(server)
  const gate = Promise.withResolvers<void>()
  let asked = false
  let reading = 0
  const log = withRead(opened.log, async (options) => {
    asked = true
    await gate.promise
    const started = await opened.log.read(options)
    reading++
    return { stop: () => started.stop().finally(() => reading--) }
  })
  const reader = new LedgerReader({ ...opened, log, logger })
  const starting = reader.start()
  await until(() => asked, 'it begins to read')
  await reader.stop()
  gate.resolve()
  await expect(starting).rejects.toMatchObject({ code: 'TROUPE_CLOSED' })
  expect(reading).toBe(0)
})

test('a ledger of 5,000 tasks with signals and children is saved in parts and is the same again', async () => {
  await using opened = await openTest(server)
  await using first = await busy(opened)
  const { subjects } = opened
  const blocks = []
  for (let block = 0; block < 5; block++) {
    const tasks = Array.from({ length: 1_000 }, (_, i) => ['work', null, { id: `t${block}-${i}x`, key: 'k' }] as const)
    blocks.push(opened.log.append(subjects.block('c'), packBlock([1, tasks])))
  }
  await Promise.all(blocks)
  await first.write('a', [kind.submitted, '0-3', 1, 'work', null, { id: 'child' }])
  const body = new TextEncoder().encode('{"type":"GO"}')
  const signals = Array.from({ length: 900 }, () => opened.log.append(subjects.signal('child'), body))
  const last = (await Promise.all(signals)).map((result) => (result.outcome === 'stored' ? result.sequence : 0))
  await first.reader.reached(Math.max(...last))
  await save(first)
  await using second = await LedgerProcess.start(opened)
  expect(second.reader.loadedFrom).toBe(first.state.position)
  expect(describeState(second.state)).toEqual(describeState(first.state))
})
