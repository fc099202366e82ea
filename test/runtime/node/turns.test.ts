/** The turns of a node: what is awarded, accepted, begun, listed and dropped, and what becomes of slots and quantities. */
import pino from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { task } from '../../../src/client/index.ts'
import { type JournalEntry, kind } from '../../../src/protocol/entries.ts'
import { TroupeError } from '../../../src/protocol/errors.ts'
import type { AwardAbout, AwardedTask, NodeReport } from '../../../src/protocol/messages.ts'
import { Capacity } from '../../../src/runtime/node/capacity.ts'
import { Turns, type TurnsOwner } from '../../../src/runtime/node/turns.ts'
import { until } from '../../harness/server.ts'

/** A node of two slots and one camera, on which tasks run until they are let go. */
function open() {
  const begun: string[] = []
  const aborted: string[] = []
  const going = new Map<string, () => void>()
  const run = (_: unknown, ctx: { id: string; attempt: number; signal: AbortSignal }) => {
    begun.push(`${ctx.id} ${ctx.attempt}`)
    ctx.signal.addEventListener('abort', () => aborted.push(ctx.id))
    return new Promise<void>((resolve) => going.set(ctx.id, resolve))
  }
  const definitions = [task('work', run), task('film', run, { resources: { cameras: 1 } })]
  const written: { entries: readonly JournalEntry[]; onStored: (() => void) | undefined }[] = []
  const reports: NodeReport[] = []
  let stored = 0
  const owner = {
    status: 'ready',
    namespace: 'main',
    log: pino({ level: 'silent' }),
    nowMs: () => Date.now(),
    nowAtMostMs: () => Date.now(),
    write: (entries: readonly JournalEntry[], onStored?: () => void) => written.push({ entries, onStored }),
    commit: (entries: readonly JournalEntry[], onStored?: () => void) => void written.push({ entries, onStored }),
    ended: (turn: Parameters<Turns['ended']>[0]) => void turns.ended(turn),
    report: (report: NodeReport) => void reports.push(report),
    bid: () => undefined,
    storeObject: () => Promise.reject(new Error('there are no objects')),
    loadObject: () => Promise.reject(new Error('there are no objects')),
    ask: () => Promise.reject(new Error('nobody answers')),
  } satisfies TurnsOwner & { status: string }
  const capacity = new Capacity(2, { cameras: 1 })
  const turns: Turns = new Turns(owner, capacity, definitions, 0)
  const award = (id: string, turn = 1, about: AwardAbout | null = null, type = 'work') =>
    turns.awarded(60_000, [[id, type, turn, turn, null, null, null, about] satisfies AwardedTask])
  /** The journal stores what was written so far, or so much of it. */
  const store = (count = written.length) => {
    for (; stored < count; stored++) written[stored]?.onStored?.()
  }
  /** What was written and is not stored. */
  const unstored = () => written.slice(stored).flatMap(({ entries }) => entries)
  const entries = () => written.flatMap((one) => one.entries.map(([what, id, turn]) => [what, id, turn]))
  const declined = () =>
    reports.flatMap((report) => (report[0] === 'declined' ? report[1].map(([id, turn]) => [id, turn]) : []))
  const listed = () => turns.listed(stored, unstored())
  const end = async (id: string) => {
    const before = written.length
    going.get(id)?.()
    await until(() => written.length > before, `${id} has ended`)
  }
  return { owner, turns, capacity, begun, aborted, award, store, entries, declined, listed, end }
}

// A busy machine ends the slice of time in which a node begins turns in one go; here no time passes.
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => void vi.useRealTimers())

const gone = new TroupeError('TROUPE_FENCED', 'silent')

describe('an award', () => {
  test('is accepted and begun while slots are free, and held after that', async () => {
    const it = open()
    for (const id of ['a', 'b', 'c']) it.award(id)
    expect(it.entries()).toEqual([
      [kind.accepted, 'a', 1],
      [kind.accepted, 'b', 1],
    ])
    await it.end('a')
    await until(() => it.begun.includes('c 1'), 'the third begins')
    expect(it.turns.slots.running.size).toBe(2)
  })

  test('of a second turn is declined while the first has not ended here', async () => {
    const it = open()
    it.award('a')
    it.award('a', 2)
    expect(it.declined()).toEqual([['a', 2]])
    expect(it.begun).toEqual(['a 1'])
    await it.end('a')
    it.award('a', 2)
    expect(it.begun).toEqual(['a 1', 'a 2'])
  })

  test.each(['draining', 'rejoining'])('that comes while the node is %s is handed back', (status) => {
    const it = open()
    it.owner.status = status
    it.award('a')
    expect([it.declined(), it.entries()]).toEqual([[['a', 1]], []])
  })

  test('that may have choked a node before begins once the log knows that it is here', () => {
    const it = open()
    it.award('a', 2, { careful: true })
    expect([it.entries(), it.begun]).toEqual([[[kind.accepted, 'a', 2]], []])
    it.store()
    expect(it.begun).toEqual(['a 2'])
  })

  test('that may have choked a node before is given back if the node drains meanwhile', () => {
    const it = open()
    it.award('a', 2, { careful: true })
    it.owner.status = 'draining'
    it.store()
    expect(it.begun).toEqual([])
    expect(it.entries().at(-1)).toEqual([kind.yielded, 'a', 2])
    expect(it.turns.slots.running.size).toBe(0)
  })

  test('of a gang begins when all of the gang has been accepted, however well its accept is stored', () => {
    const it = open()
    it.award('a', 1, { gang: true })
    it.store()
    expect(it.begun).toEqual([])
    it.turns.beginHeld('a', 2)
    expect(it.begun).toEqual([])
    it.turns.beginHeld('a', 1)
    it.turns.beginHeld('a', 1)
    expect(it.begun).toEqual(['a 1'])
  })
})

describe('quantities', () => {
  test('are taken by a turn and given back at its end', async () => {
    const it = open()
    it.award('a', 1, null, 'film')
    it.award('b', 1, null, 'film')
    expect(it.declined()).toEqual([['b', 1]])
    expect(it.turns.freeQuantities).toEqual({ cameras: 0 })
    await it.end('a')
    expect(it.turns.freeQuantities).toEqual({ cameras: 1 })
    it.award('b', 2, null, 'film')
    expect(it.begun).toEqual(['a 1', 'b 2'])
  })

  test('are given back by turns that are aborted with the life of their node, and so are their slots', () => {
    const it = open()
    it.award('a', 1, null, 'film')
    it.award('b')
    it.award('c')
    it.turns.abortAll('silent')
    expect(it.aborted).toEqual(['a', 'b'])
    expect([it.turns.slots.running.size, it.turns.slots.heldCount, it.capacity.free]).toEqual([0, 0, 2])
    expect(it.turns.freeQuantities).toEqual({ cameras: 1 })
    it.award('a', 2, null, 'film')
    expect(it.begun.at(-1)).toBe('a 2')
  })
})

describe('a drop', () => {
  test('ends the turn that it names and no other', () => {
    const it = open()
    it.award('a', 2)
    it.turns.drop('a', 1, 'the turn belongs to another')
    it.turns.drop('a', 3, 'the turn belongs to another')
    expect(it.aborted).toEqual([])
    it.turns.drop('a', 2, 'the turn belongs to another')
    expect(it.aborted).toEqual(['a'])
  })

  test.each([{ gang: true }, { careful: true }])(
    'frees the slot of a turn that has not begun, by its number (%o)',
    (about) => {
      const it = open()
      it.award('a', 2, about)
      it.turns.drop('a', 1, 'the turn belongs to another')
      expect(it.turns.slots.running.size).toBe(1)
      it.turns.drop('a', 2, 'the turn belongs to another')
      expect(it.turns.slots.running.size).toBe(0)
      it.store()
      it.turns.beginHeld('a', 2)
      expect(it.begun).toEqual([])
    },
  )

  test('of what is held for a slot forgets it', async () => {
    const it = open()
    for (const id of ['a', 'b', 'c']) it.award(id)
    it.turns.drop('c', 1, 'the turn belongs to another')
    await it.end('a')
    expect(it.entries().filter(([, id]) => id === 'c')).toEqual([])
  })
})

describe('the list of turns', () => {
  test('has those whose accept is stored, held ones marked, until their end is stored', async () => {
    const it = open()
    it.award('a')
    it.award('b', 3, { gang: true })
    expect(it.listed()).toEqual([])
    it.store(1)
    expect(it.listed()).toEqual([['a', 1]])
    it.store()
    expect(it.listed()).toEqual([
      ['a', 1],
      ['b', 3, true],
    ])
    await it.end('a')
    // The ledger cannot know of its end yet, and would take it back.
    expect(it.listed()).toEqual([
      ['b', 3, true],
      ['a', 1],
    ])
    it.store()
    expect(it.listed()).toEqual([['b', 3, true]])
  })

  test('has no turn whose accept and end are both on their way', async () => {
    const it = open()
    it.award('a')
    await it.end('a')
    expect(it.listed()).toEqual([])
  })
})

describe('places kept for a call for bids', () => {
  test('are nobody else’s, until they are used, released or lapse', () => {
    const it = open()
    expect(it.turns.reserve('call', [['work', 2]], 60_000).places).toEqual([['work', 2]])
    it.award('other')
    expect(it.begun).toEqual([])
    it.award('a', 1, { tender: 'call' })
    expect(it.begun).toEqual(['a 1'])
    it.turns.release('call', [])
    expect(it.begun).toEqual(['a 1', 'other 1'])
  })

  test('that nobody has used in time are for others', () => {
    const it = open()
    it.turns.reserve('call', [['work', 2]], -1)
    it.award('other')
    expect(it.begun).toEqual([])
    it.turns.expireReservations()
    expect(it.begun).toEqual(['other 1'])
    it.award('late', 1, { tender: 'call' })
    expect(it.declined()).toEqual([['late', 1]])
  })
})

test('a node that drains asks its turns to yield, and declines what it holds', () => {
  const it = open()
  for (const id of ['a', 'b', 'c']) it.award(id)
  it.owner.status = 'draining'
  it.turns.yieldAll(60_000)
  expect(it.declined()).toEqual([['c', 1]])
  it.turns.drop('a', 1, gone.message)
  expect(it.begun).toEqual(['a 1', 'b 1'])
})
