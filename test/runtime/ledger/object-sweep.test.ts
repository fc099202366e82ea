/** Large values on a real server: what a log refers to stays, over restarts and partitions; the rest goes when it is old. */
import { describe, expect, test } from 'vitest'
import { checkpointFormat, type Manifest } from '../../../src/actors/ledger/checkpoint.ts'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { formatVersion, kind, type ObjectReference } from '../../../src/protocol/entries.ts'
import { packValue, unpackValue } from '../../../src/protocol/payload.ts'
import { ObjectSweep, type ObjectSweepOptions } from '../../../src/runtime/ledger/object-sweep.ts'
import { saveCheckpoint } from '../../../src/runtime/ledger/save-checkpoint.ts'
import { freshNamespace, type OpenTest, openTest, until, useServer } from '../../harness/server.ts'
import { LedgerProcess, logger } from './ledger-process.ts'

const server = useServer()

async function led(opened: OpenTest): Promise<LedgerProcess> {
  const leader = await LedgerProcess.start(opened)
  await leader.lead()
  await leader.join('a')
  return leader
}

async function stored({ objects }: OpenTest, text: string): Promise<ObjectReference> {
  return [await objects.put(Buffer.from(text)), text.length, 1]
}

/** A submission whose input is an object; resolves with the task's id. */
async function submitted(leader: LedgerProcess, input: ObjectReference): Promise<string> {
  const { subjects, partition } = leader.opened
  const sequence = await leader.append(subjects.block('c'), packBlock([formatVersion, [['work', input]]]))
  return `${partition}-${sequence}-0`
}

/** Looks every few ms until it is stopped; everything is old to it, unless told otherwise. */
function sweeping(leaders: readonly LedgerProcess[], options: Partial<ObjectSweepOptions> = {}) {
  const { objects } = leaders[0]!.opened
  const partitions = leaders.map(({ opened: { log }, reader }) => ({ log, reader }))
  const all = { objects, partitions, isInCharge: () => true, logger, everyMs: 50, ageMs: 0, tightAgeMs: 0, ...options }
  const sweep = new ObjectSweep(all)
  sweep.start()
  return { [Symbol.asyncDispose]: () => sweep.stop() }
}

/** Resolves when a sweep has come by: it has removed something that nobody needs. */
async function swept({ objects }: OpenTest): Promise<void> {
  const [bait] = await stored({ objects } as OpenTest, `bait ${Math.random()}`)
  await until(async () => (await objects.get(bait)) === undefined, 'what nothing refers to is removed')
}

async function areThere({ objects }: OpenTest, references: readonly ObjectReference[]): Promise<boolean[]> {
  return Promise.all(references.map(async ([name]) => (await objects.get(name)) !== undefined))
}

describe('the sweep', () => {
  test('removes what nothing refers to, and keeps what a task, a result or a dead letter needs', async () => {
    await using opened = await openTest(server)
    await using leader = await led(opened)
    const of = (text: string) => stored(opened, text)
    const [input, snapshot, result, failedInput] = await Promise.all(['i', 's', 'r', 'f'].map(of))
    const waits = await submitted(leader, input!)
    const runs = await leader.submit()
    const done = await leader.submit()
    const dead = await submitted(leader, failedInput!)
    await leader.write('a', [kind.accepted, runs, 1], [kind.checkpointed, runs, 1, snapshot!, 0])
    await leader.write('a', [kind.accepted, done, 1], [kind.completed, done, 1, result!])
    await leader.write('a', [kind.accepted, dead, 1], [kind.failed, dead, 1, { code: 'X', message: 'x' }, false])
    await using _ = sweeping([leader])
    await swept(opened)
    expect(await areThere(opened, [input!, snapshot!, result!, failedInput!])).toEqual([true, true, true, true])
    // Whatever is forgotten goes once the log is trimmed behind it.
    await leader.decideAll([[kind.removed, done]])
    await leader.decideAll([[kind.cancelled, waits, '']])
    await leader.write('a', [kind.completed, runs, 1, null])
    await leader.decideAll([waits, runs, dead].map((id) => [kind.removed, id]))
    leader.keepHouse({ messagesPerCheckpoint: 1, checkpointMs: 50 })
    await until(
      async () => (await areThere(opened, [input!, snapshot!, result!, failedInput!])).every((isThere) => !isThere),
      'nothing is left',
    )
  })

  test('keeps a value that was copied forward, when the log behind is gone', async () => {
    await using opened = await openTest(server)
    await using leader = await led(opened)
    const input = await stored(opened, 'copied')
    const id = await submitted(leader, input)
    const first = leader.task(id).input.sequence
    await leader.decideAll([[kind.kept, id, first, input, 0, null]])
    await using _ = sweeping([leader])
    await opened.log.trim(first + 1)
    await swept(opened)
    expect(await areThere(opened, [input])).toEqual([true])
  })

  test('leaves what is young, and what was renewed since it was found', async () => {
    await using opened = await openTest(server)
    await using leader = await led(opened)
    const young = await stored(opened, 'young')
    {
      let looks = 0
      const isInCharge = () => ++looks > 0
      await using _ = sweeping([leader], { ageMs: 3_600_000, tightAgeMs: 3_600_000, isInCharge })
      await until(() => looks > 40, 'several looks')
    }
    expect(await areThere(opened, [young])).toEqual([true])
    // Somebody else stores it before each removal.
    await using other = await openTest(server, opened.subjects.namespace)
    let renewed = 0
    const { objects } = opened
    const remove: typeof objects.remove = async (found) => {
      if (renewed++ === 0) await other.objects.put(Buffer.from('young'))
      const isRemoved = await objects.remove(found)
      expect(isRemoved).toBe(renewed > 1)
      return isRemoved
    }
    const late = new Proxy(objects, {
      get: (target, name) => (name === 'remove' ? remove : Reflect.get(target, name).bind(target)),
    })
    await using _ = sweeping([leader], { objects: late })
    await until(async () => !(await areThere(opened, [young]))[0], 'it goes with a later look')
    expect(renewed).toBeGreaterThan(1)
  })

  test('knows after a restart what the log before the checkpoint refers to', async () => {
    await using opened = await openTest(server)
    const input = await stored(opened, 'before')
    {
      await using leader = await led(opened)
      await submitted(leader, input)
      await saveCheckpoint(leader.reader.ledger, opened.log, opened.checkpoints)
    }
    await using leader = await LedgerProcess.start(opened)
    expect(leader.reader.loadedFrom).toBeGreaterThan(0)
    await using _ = sweeping([leader])
    await swept(opened)
    expect(await areThere(opened, [input])).toEqual([true])
  })

  test('removes nothing after a checkpoint of an older version, until the log behind that is gone', async () => {
    await using opened = await openTest(server)
    const orphan = await stored(opened, 'orphan')
    {
      await using leader = await led(opened)
      const { checkpoints } = opened
      // As it was saved before objects were noted.
      const older: typeof checkpoints.save = (manifest, parts, keep) => {
        const { objectsFrom: _, ...rest } = unpackValue(manifest) as Manifest
        expect(rest.format).toBe(checkpointFormat)
        return checkpoints.save(packValue(rest) as Uint8Array, parts, keep)
      }
      const store = { save: older, list: () => checkpoints.list() }
      await saveCheckpoint(leader.reader.ledger, opened.log, store)
    }
    await using leader = await LedgerProcess.start(opened)
    let looks = 0
    const isInCharge = () => ++looks > 0
    await using _ = sweeping([leader], { isInCharge })
    await until(() => looks > 40, 'several looks')
    expect(await areThere(opened, [orphan])).toEqual([true])
    await leader.submit()
    await opened.log.trim(leader.state.position)
    await swept(opened)
    expect(await areThere(opened, [orphan])).toEqual([false])
  })

  test('of a store that is nearly full closes the door, gives up results, and opens it again', async () => {
    await using opened = await openTest(server, freshNamespace(), { logBytesMax: 16 * 1024 * 1024, storage: 'memory' })
    await using leader = await led(opened)
    const kept = await stored(opened, 'kept')
    const waits = await submitted(leader, kept)
    for (let i = 0; i < 14; i++) {
      const id = await leader.submit()
      const result = await opened.objects.put(Buffer.alloc(1_000_000, i))
      await leader.write('a', [kind.accepted, id, 1], [kind.completed, id, 1, [result, 1_000_000, 1]])
    }
    // What copies the waiting task forward is housekeeping's business from a hundred messages on.
    for (let i = 0; i < 110; i++) await leader.write('a', [kind.alive])
    leader.keepHouse({ messagesPerCheckpoint: 1, checkpointMs: 50 })
    await until(async () => !(await opened.log.info()).doorOpen, 'no submissions are taken')
    const trial = opened.objects.put(Buffer.alloc(500_000, 'new'), { shareMax: 0.8 })
    await expect(trial).rejects.toMatchObject({ code: 'TROUPE_REFUSED' })
    await using _ = sweeping([leader])
    await until(async () => (await opened.log.info()).doorOpen, 'submissions are taken again')
    const { bytes, bytesMax } = await opened.objects.usage()
    expect(bytes / bytesMax).toBeLessThan(0.6)
    expect([await areThere(opened, [kept]), leader.task(waits).status]).toEqual([[true], 'waiting'])
  })

  test('asks every partition', async () => {
    await using opened = await openTest(server, freshNamespace(), { partitions: 2 })
    await using first = await led(opened)
    await using second = await led({ ...opened, ...opened.partitions[1]! })
    const [near, far] = [await stored(opened, 'near'), await stored(opened, 'far')]
    await submitted(first, near)
    await submitted(second, far)
    await using _ = sweeping([first, second])
    await swept(opened)
    expect(await areThere(opened, [near, far])).toEqual([true, true])
    // As long as one of them does not know all, nothing goes.
    second.reader.live = false
    const bait = await stored(opened, 'bait')
    let looks = 0
    const isInCharge = () => ++looks > 0
    await using __ = sweeping([first, second], { isInCharge })
    await until(() => looks > 40, 'several looks')
    expect(await areThere(opened, [bait])).toEqual([true])
    second.reader.live = true
    await until(async () => !(await areThere(opened, [bait]))[0], 'it goes when both know')
  })
})
