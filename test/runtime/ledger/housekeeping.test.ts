/** Rules 10, 11 and 2 on a real log of 16 MiB: it is trimmed behind what is needed, its door closes in time, old values move. */
import { describe, expect, test } from 'vitest'
import { inputAt, snapshotAt, unpackMessage } from '../../../src/actors/ledger/values.ts'
import type { CheckpointStore } from '../../../src/nats/bus.ts'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { formatVersion, type JournalEntry, kind } from '../../../src/protocol/entries.ts'
import { unpackValue } from '../../../src/protocol/payload.ts'
import { OldValues } from '../../../src/runtime/ledger/old-values.ts'
import { saveCheckpoint } from '../../../src/runtime/ledger/save-checkpoint.ts'
import { outcomeOf } from '../../../src/runtime/scheduler/task-outcome.ts'
import { describeState } from '../../actors/ledger/describe.ts'
import { freshNamespace, type OpenTest, openTest, until, useServer } from '../../harness/server.ts'
import { LedgerProcess, logger } from './ledger-process.ts'

const server = useServer()
const mebibyte = 1024 * 1024
const often = { messagesPerCheckpoint: 1, checkpointMs: 50 }

async function led(): Promise<{ opened: OpenTest; leader: LedgerProcess } & AsyncDisposable> {
  const opened = await openTest(server, freshNamespace(), { logBytesMax: 16 * mebibyte, storage: 'memory' })
  const leader = await LedgerProcess.start(opened)
  await leader.lead()
  await leader.join('a')
  const close = async () => {
    await leader.stop()
    await opened.close()
  }
  return { opened, leader, [Symbol.asyncDispose]: close }
}

const accepted = (id: string, turn = 1): JournalEntry => [kind.accepted, id, turn]
const completed = (id: string, turn = 1): JournalEntry => [kind.completed, id, turn, null]

/** Tasks that come and go, until the log has so many bytes. */
async function fill(leader: LedgerProcess, bytes: number, node = 'a'): Promise<void> {
  while ((await leader.opened.log.info()).bytes < bytes) {
    const ids = await Promise.all(Array.from({ length: 4 }, () => leader.submit(100_000)))
    await leader.write(node, ...ids.flatMap((id) => [accepted(id), completed(id)]))
  }
}

describe('trimming', () => {
  test('removes what nothing needs, and nothing that something needs', async () => {
    await using it = await led()
    const { leader, opened } = it
    const gone = await leader.submit()
    const live = await leader.submit()
    await leader.write('a', accepted(gone), completed(gone))
    await leader.decideAll([[kind.removed, gone]])
    leader.keepHouse(often)
    await leader.trimmedTo(leader.task(live).sequence)
    for (let i = 0; i < 20; i++) await leader.submit()
    const { length } = await opened.checkpoints.list()
    expect(length).toBeGreaterThan(0)
    expect(await leader.firstSequence()).toBe(leader.task(live).sequence)
  })

  test('keeps dead letters, which can be retried, and results, which can be read', async () => {
    await using it = await led()
    const { leader } = it
    const [dead, done, tail] = [await leader.submit(), await leader.submit(), await leader.submit()]
    await leader.write('a', accepted(dead), [kind.failed, dead, 1, { code: 'X', message: 'x' }, false])
    await leader.write('a', accepted(done), completed(done))
    leader.keepHouse(often)
    await leader.trimmedTo(leader.task(dead).sequence)
    await leader.decideAll([[kind.removed, dead]])
    await leader.write('a', accepted(tail), completed(tail))
    await leader.trimmedTo(leader.task(done).outcome!.sequence)
    await leader.decideAll([[kind.removed, done]])
    await leader.trimmedTo(leader.task(tail).outcome!.sequence)
  })

  test('keeps the last block of every live incarnation, so that a healthy writer goes on', async () => {
    await using it = await led()
    const { leader } = it
    const idle = await leader.join('idle')
    for (let i = 0; i < 10; i++) {
      const id = await leader.submit()
      await leader.write('a', accepted(id), completed(id))
      await leader.decideAll([[kind.removed, id]])
    }
    leader.keepHouse(often)
    await leader.trimmedTo(idle)
    expect(await leader.firstSequence()).toBe(idle)
    await leader.write('idle', [kind.alive])
    await leader.trimmedTo(idle + 1)
  })

  test('is not done behind a checkpoint that cannot be read back', async () => {
    await using it = await led()
    const { leader, opened } = it
    const gone = await leader.submit()
    await leader.write('a', accepted(gone), completed(gone))
    await leader.decideAll([[kind.removed, gone]])
    await saveCheckpoint(leader.reader.ledger, opened.log, opened.checkpoints)
    let read = 0
    const torn: CheckpointStore = {
      save: () => Promise.reject(new Error('the store is full')),
      list: async () => {
        const list = await opened.checkpoints.list()
        return list.map((stored) => ({
          ...stored,
          // biome-ignore lint/correctness/useYield: it ends before the first part
          async *parts() {
            read++
          },
        }))
      },
    }
    leader.keepHouse({ checkpoints: torn })
    await until(() => read > 2, 'it was tried')
    expect(await leader.firstSequence()).toBe(1)
  })

  test('is done by a leader alone', async () => {
    await using it = await led()
    const { leader, opened } = it
    const gone = await leader.submit()
    await leader.write('a', accepted(gone), completed(gone))
    await leader.decideAll([[kind.removed, gone]])
    leader.leader.leading = false
    leader.keepHouse(often)
    await until(async () => (await opened.checkpoints.list()).length > 0, 'a standby saves checkpoints')
    for (let i = 0; i < 5; i++) await leader.submit()
    expect(await leader.firstSequence()).toBe(1)
    leader.leader.leading = true
    await leader.trimmedTo(3)
  })
})

describe('a log that fills', () => {
  test('closes its door although no checkpoint can be saved, and is trimmed and opened once one can', async () => {
    await using it = await led()
    const { leader, opened } = it
    let isFull = true
    const { checkpoints } = opened
    const store: CheckpointStore = {
      save: (...all) => (isFull ? Promise.reject(new Error('the store is full')) : checkpoints.save(...all)),
      list: () => checkpoints.list(),
    }
    leader.keepHouse({ ...often, checkpoints: store })
    await expect(fill(leader, 16 * mebibyte)).rejects.toThrow('no-responders')
    expect((await opened.log.info()).firstSequence).toBe(1)
    isFull = false
    await until(async () => (await opened.log.info()).doorOpen, 'submissions are taken again')
    expect(await leader.firstSequence()).toBeGreaterThan(1)
  })

  test('closes its door at 80 %, journals go on, and it opens again at 60 %', async () => {
    await using it = await led()
    const { leader, opened } = it
    const id = await leader.submit()
    // No checkpoint, so nothing is trimmed yet.
    leader.keepHouse({ messagesPerCheckpoint: 1e9, checkpointMs: 1e9 })
    await fill(leader, 8 * mebibyte)
    // A quarter of the log, which is needed all the time.
    for (let i = 0; i < 8; i++) await leader.submit(500_000)
    await fill(leader, 12 * mebibyte)
    expect((await opened.log.info()).doorOpen).toBe(true)
    await expect(fill(leader, 16 * mebibyte)).rejects.toThrow('no-responders')
    const full = await opened.log.info()
    expect(full.bytes / full.bytesMax).toBeGreaterThanOrEqual(0.8)
    expect(full.bytes / full.bytesMax).toBeLessThan(0.95)
    expect(full.doorOpen).toBe(false)
    // Refused before it was acknowledged; what is inside goes on.
    await expect(leader.submit()).rejects.toThrow('no-responders')
    const body = new TextEncoder().encode('{"type":"GO"}')
    await expect(leader.append(opened.subjects.signal(id), body)).rejects.toThrow('no-responders')
    await leader.write('a', accepted(id), [kind.checkpointed, id, 1, new Uint8Array(50_000), 0])
    await leader.write('a', completed(id))
    await leader.decideAll([[kind.removed, id]])
    expect(leader.state.tasks.has(id)).toBe(false)

    await leader.stop()
    await using next = await LedgerProcess.start(opened)
    next.keepHouse(often)
    await until(async () => (await opened.log.info()).doorOpen, 'the door opens again')
    expect((await opened.log.info()).bytes / full.bytesMax).toBeLessThanOrEqual(0.6)
    await next.submit()
  })

  test('is trimmed past old tasks, which run on with their inputs, their snapshots and the same history', async () => {
    await using it = await led()
    const { leader, opened } = it
    const parked = await leader.submit(1_000)
    const waiting = await leader.submit(2_000)
    const dead = await leader.submit(3_000)
    const unreadable = await leader.append(opened.subjects.submit('work'), new TextEncoder().encode('{'))
    const wakeAtMs = leader.state.timeMs + 3_600_000
    const snapshot = new Uint8Array([7, 7, 7])
    await leader.write('a', accepted(parked), [kind.parked, parked, 1, snapshot, 0, wakeAtMs, true, []])
    await leader.write('a', accepted(dead), [kind.failed, dead, 1, { code: 'X', message: 'x' }, false])
    await leader.write('a', ...Array.from({ length: 500 }, () => [kind.alive] as const))
    // Enough messages that copying pays.
    const { subjects, log } = opened
    const body = new TextEncoder().encode('{"type":"GO"}')
    const many = Array.from({ length: 1_200 }, () => log.append(subjects.signal('nobody'), body))
    await Promise.all(many)
    await fill(leader, 9 * mebibyte)
    const place = leader.task(parked).sequence
    leader.keepHouse(often)
    await until(() => leader.task(parked).input.sequence > place, 'its values are copied')
    await leader.trimmedTo(unreadable + 1)
    expect(leader.task(parked)).toMatchObject({ status: 'parked', turn: 1, rare: { wakeAtMs, onSignal: true } })
    for (const [id, size] of [
      [parked, 1_000],
      [waiting, 2_000],
      [dead, 3_000],
    ] as const) {
      const { input } = leader.task(id)
      const message = await log.get(input.sequence)
      const value = inputAt(unpackMessage(subjects, message!), input.index)
      expect(unpackValue(value as string)).toBe('x'.repeat(size))
    }
    const kept = leader.task(parked).snapshot!
    const message = await log.get(kept.sequence)
    expect(snapshotAt(unpackMessage(subjects, message!), kept.index)).toEqual(snapshot)
    await leader.stop()

    // A restart finds them as they were, and they run.
    await using next = await LedgerProcess.start(opened)
    expect(describeState(next.state)).toEqual(describeState(leader.state))
    await next.append(subjects.signal(parked), body)
    expect(next.task(parked).status).toBe('waiting')
  })

  test('is trimmed past signals that a task has not consumed, and past what a child came to while its parent lives', async () => {
    await using it = await led()
    const { leader, opened } = it
    const { subjects, log } = opened
    const [parent, dead] = [await leader.submit(), await leader.submit()]
    await leader.write('a', accepted(parent), [kind.submitted, parent, 1, 'work', null, { id: 'child' }])
    await leader.write('a', accepted('child'), [kind.completed, 'child', 1, '"of the child"'])
    await leader.write('a', accepted(dead))
    const events = ['{"type":"ONE"}', '{"type":"TWO"}']
    const signals: number[] = []
    for (const event of events)
      signals.push(await leader.append(subjects.signal(dead), new TextEncoder().encode(event)))
    await leader.write('a', [kind.failed, dead, 1, { code: 'X', message: 'x' }, false])
    const body = new TextEncoder().encode('{"type":"GO"}')
    const grow = () => Promise.all(Array.from({ length: 1_200 }, () => log.append(subjects.signal('nobody'), body)))
    await grow()
    await fill(leader, 9 * mebibyte)
    leader.keepHouse(often)
    await leader.trimmedTo(signals[1]! + 1)
    await leader.stop()

    await using next = await LedgerProcess.start(opened)
    expect(describeState(next.state)).toEqual(describeState(leader.state))
    const { values } = next.leader
    expect((await values.load([next.task(dead)])).get(next.task(dead))?.signals).toEqual(events)
    expect(next.task(dead).rare?.signals).toMatchObject([
      { sequence: signals[0], previous: 0 },
      { sequence: signals[1], previous: signals[0] },
    ])
    expect(await outcomeOf(next.task('child'), opened)).toEqual({ status: 'completed', value: '"of the child"' })
    // Copied once more, from where they stand now.
    await next.lead()
    await next.append(subjects.journal(0, 'a', 'a1'), packBlock([formatVersion, 0, [[kind.fenced, 'gone']]]))
    await next.join('b')
    await grow()
    await fill(next, 9 * mebibyte, 'b')
    const copy = next.task(dead).rare!.signals![1]!.copy!.sequence
    next.keepHouse(often)
    await next.trimmedTo(copy + 1)
    expect(await values.signals(next.task(dead).rare!.signals!)).toEqual(events)
    expect(await outcomeOf(next.task('child'), opened)).toMatchObject({ value: '"of the child"' })
  })

  test('copies no queue that moves, but a task that waits on and on', async () => {
    await using it = await led()
    const { leader, opened } = it
    const [next, stuck, dead] = [await leader.submit(), await leader.submit(), await leader.submit()]
    await leader.write('a', accepted(dead), [kind.failed, dead, 1, { code: 'X', message: 'x' }, false])
    for (let i = 0; i < 10; i++) await leader.write('a', [kind.alive])
    const oldValues = new OldValues(leader.reader, leader.leader, logger, 1_000)
    const places = () => [next, stuck, dead].map((id) => leader.task(id).input.sequence)
    const [first, second, third] = places()
    await oldValues.copyForward(await opened.log.info(), 0)
    expect(places()).toEqual([first, second, expect.toSatisfy((place: number) => place > third!)])
    await leader.write('a', accepted(next), completed(next))
    await oldValues.copyForward(await opened.log.info(), 999)
    expect(places()[1]).toBe(second)
    await oldValues.copyForward(await opened.log.info(), 1_000)
    expect(places()).toEqual([first, expect.toSatisfy((place: number) => place > second!), expect.any(Number)])
  })

  test('never copies an older snapshot over a newer one', async () => {
    await using it = await led()
    const { leader, opened } = it
    const id = await leader.submit()
    await leader.write('a', accepted(id), [kind.checkpointed, id, 1, new Uint8Array([1]), 0])
    await Promise.all(
      Array.from({ length: 1_200 }, () => opened.log.append(opened.subjects.signal('x'), new Uint8Array(0))),
    )
    await fill(leader, 9 * mebibyte)
    const { values } = leader.leader
    const load = values.load.bind(values)
    let newer: Promise<number> | undefined
    values.load = async (tasks) => {
      const loaded = await load(tasks)
      newer ??= leader.write('a', [kind.checkpointed, id, 1, new Uint8Array([2]), 0])
      await newer
      return loaded
    }
    leader.keepHouse(often)
    const first = leader.task(id).sequence
    await until(() => newer !== undefined, 'it was read')
    await newer
    await leader.write('a', [kind.yielded, id, 1, null, 0])
    await until(() => leader.task(id).input.sequence > first, 'its values are copied in the end')
    const { sequence, index } = leader.task(id).snapshot!
    const message = await opened.log.get(sequence)
    expect(snapshotAt(unpackMessage(opened.subjects, message!), index)).toEqual(new Uint8Array([2]))
  })
})

test('the last checkpoint is saved when the process stops, unless nothing was folded', async () => {
  await using it = await led()
  const { leader, opened } = it
  leader.keepHouse({ messagesPerCheckpoint: 1e9, checkpointMs: 1e9 })
  await leader.submit()
  await leader.stop()
  const [newest] = await opened.checkpoints.list()
  expect(unpackValue(newest!.manifest)).toMatchObject({ position: leader.state.position, tasks: 1 })
  const next = await LedgerProcess.start(opened)
  next.keepHouse({ messagesPerCheckpoint: 1e9, checkpointMs: 1e9 })
  await next.stop()
  expect((await opened.checkpoints.list()).length).toBe(1)
})

test('a checkpoint that is noise does not keep the next one from being saved', async () => {
  await using it = await led()
  const { leader, opened } = it
  await opened.checkpoints.save(new Uint8Array([0xc1]), [], 3)
  leader.keepHouse(often)
  await leader.submit()
  await until(async () => (await opened.checkpoints.list()).length > 1, 'another is saved')
})
