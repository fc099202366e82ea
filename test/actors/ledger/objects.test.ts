/** The ledger knows of each object which message refers to it last: every kind of entry, counted or not, over checkpoints. */
import { describe, expect, test } from 'vitest'
import { type CheckpointPart, LedgerSaving, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import { ObjectReferences } from '../../../src/actors/ledger/object-references.ts'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { type ControlEntry, formatVersion, type JournalEntry, kind } from '../../../src/protocol/entries.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { packValue, unpackValue } from '../../../src/protocol/payload.ts'
import { TestLog } from './test-log.ts'

const nameOf = (n: number) => n.toString(16).padStart(64, '0')
const object = (n: number) => [nameOf(n), 200_000, 1] as const

function known({ state }: TestLog, ...numbers: number[]): boolean[] {
  return numbers.map((n) => state.objects.has(nameOf(n), 1))
}

/** The state that is saved and restored. */
function restored({ state }: TestLog, older = false) {
  const saving = new LedgerSaving(state, 1)
  const parts: CheckpointPart[] = []
  for (let rows = saving.rows(100); rows !== undefined; rows = saving.rows(100)) parts.push(['tasks', rows])
  parts.push(...saving.others())
  const { objectsFrom, ...manifest } = saving.manifest(1, 2)
  const stored = parts.map((part) => unpackValue(packValue(part)) as CheckpointPart)
  const isKnown = ([of]: CheckpointPart) => !older || of !== 'objects'
  return restoreState(older ? manifest : { ...manifest, objectsFrom: objectsFrom! }, stored.filter(isKnown))
}

const ofJournal: readonly [string, JournalEntry][] = [
  ['a checkpoint', [kind.checkpointed, 'nobody', 1, object(1), 0]],
  ['a parking', [kind.parked, 'nobody', 1, object(1), 0, 0, false, []]],
  ['a yield', [kind.yielded, 'nobody', 1, object(1), 0]],
  ['a completion', [kind.completed, 'nobody', 1, object(1)]],
  ['a child', [kind.submitted, 'nobody', 1, 'work', object(1), {}]],
  ['a signal', [kind.signalled, 'nobody', 1, 'other', 's1', object(1)]],
  ['a kind of a later version', [99, 'what', { nested: [object(1)] }] as never],
]
const ofControl: readonly [string, ControlEntry][] = [
  ['a copy', [kind.kept, 'nobody', 1, null, 2, object(1)]],
  ['a firing', [kind.fired, 'nightly', 1_000, 2_000, object(1)]],
]

describe('an object is known to be referred to', () => {
  test.each(ofJournal)('by %s in a journal, whether it counts or not', (_, entry) => {
    const log = new TestLog()
    log.join('a', 'a1').write(entry)
    expect(known(log, 1, 2)).toEqual([true, false])
  })

  test.each(ofControl)('by %s of a leader, or of who was one', (_, entry) => {
    const log = new TestLog()
    log.append(log.subjects.control(0, 'former'), packBlock([formatVersion, 7, [entry]]))
    expect(known(log, 1)).toEqual([true])
  })

  test('by a submission, and by what another partition brings', () => {
    const log = new TestLog(2)
    log.append(
      log.subjects.block('c'),
      packBlock([
        formatVersion,
        [
          ['work', object(1)],
          ['' as never, object(2)],
        ],
      ]),
    )
    const brought = [
      [kind.brought, 5, 'work', object(3), {}],
      [kind.broughtSignal, 'task', 's', object(4)],
    ] as const
    log.append(log.subjects.forward(1), packBlock([formatVersion, brought]))
    expect(known(log, 1, 2, 3, 4)).toEqual([true, true, true, true])
  })

  test('by the newest message that does, as long as the log has it', () => {
    const log = new TestLog()
    const node = log.join('a', 'a1')
    const first = node.write([kind.completed, 'x', 1, object(1)])
    node.write([kind.completed, 'x', 1, object(2)])
    const last = node.write([kind.completed, 'x', 1, object(1)])
    const { objects } = log.state
    expect([objects.has(nameOf(1), last), objects.has(nameOf(1), last + 1)]).toEqual([true, false])
    objects.forgetBefore(last)
    expect(known(log, 1, 2)).toEqual([true, false])
    expect(first).toBeLessThan(last)
  })
})

test('objects are the same after a checkpoint, and references that an older one does not have are said to be missing', () => {
  const log = new TestLog()
  const node = log.join('a', 'a1')
  for (let n = 1; n <= 9_000; n++) node.write([kind.completed, 'x', 1, object(n)])
  const { objects } = restored(log)
  expect(objects.pages().flat()).toEqual(log.state.objects.pages().flat())
  expect([objects.completeFrom, objects.pages().length]).toEqual([1, 3])
  expect(restored(log, true).objects.completeFrom).toBe(log.state.position + 1)
})

test('more references than are remembered make the older ones unknown', () => {
  const { objectsReferredMax } = limits
  Object.assign(limits, { objectsReferredMax: 3 })
  try {
    const references = new ObjectReferences()
    for (const sequence of [10, 20, 30, 40, 50]) references.note([nameOf(sequence)], sequence)
    expect(references.completeFrom).toBe(21)
    expect(references.has(nameOf(30), 21)).toBe(true)
    expect(references.has(nameOf(20), 1)).toBe(false)
  } finally {
    Object.assign(limits, { objectsReferredMax })
  }
})
