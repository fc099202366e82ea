/** What a leading scheduler decides, from a ledger, bids and the time. */
import { describe, expect, test } from 'vitest'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import type { SchedulerEffect } from '../../../src/actors/scheduler/effects.ts'
import { awardTtlMs } from '../../../src/actors/scheduler/offers.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { TestLog, type TestNode, taskProfile } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

class Leading {
  readonly log = new TestLog()
  readonly agenda: Agenda

  constructor() {
    this.log.lead()
    this.agenda = new Agenda(this.log.state)
    this.agenda.epoch = this.log.epoch
    this.log.takeChanges()
  }

  /** Notes what was folded, then what has come due, then places. */
  turn(): SchedulerEffect[] {
    const { agenda, log } = this
    const { nowMs } = log
    return [...agenda.note(log.takeChanges(), nowMs), ...agenda.alarm(nowMs), ...agenda.place(nowMs)]
  }

  awards(): [node: string, ids: string[]][] {
    return this.turn().flatMap((effect) => {
      return effect.do === 'award' ? [[effect.member.node, effect.tasks.map(({ id }) => id)] as [string, string[]]] : []
    })
  }

  entries(): readonly unknown[] {
    return this.turn().flatMap((effect) => (effect.do === 'append' ? effect.entries : []))
  }

  bid(node: TestNode, options: Parameters<typeof bid>[0] = {}): void {
    this.agenda.hear(node.incarnation, bid({ credits: 4, ttlMs: 1e9, ...options }), this.log.nowMs)
  }
}

describe('placing', () => {
  test('goes by order over all types, to the least price, as far as credits go', () => {
    const it = new Leading()
    const [a, b] = [it.log.join('a'), it.log.join('b')]
    const ids = Array.from({ length: 8 }, (_, i) => it.log.submit({ 'troupe-priority': String(i) }))
    it.bid(a, { credits: 2, priceMs: 1 })
    it.bid(b, { credits: 3, priceMs: 9 })
    expect(it.awards()).toEqual([
      ['a', [ids[7], ids[6]]],
      ['b', [ids[5], ids[4], ids[3]]],
    ])
    expect(it.awards()).toEqual([])
    expect(it.agenda.awardedTo(it.log.task(ids[7]!))).toBe(a.member)
  })

  test('puts at most so many tasks into one award', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.log.submitBlock(
      'c',
      Array.from({ length: 600 }, () => ['work', null] as const),
    )
    it.bid(a, { credits: 600 })
    expect(it.awards().map(([, ids]) => ids.length)).toEqual([limits.awardTasksMax, limits.awardTasksMax, 88])
  })

  test('is not held up by a type that no node has, which waits for one that does', () => {
    const it = new Leading()
    const a = it.log.join('a')
    const rare = it.log.submit({ 'troupe-priority': '9' }, 'rare')
    const id = it.log.submit()
    it.bid(a)
    expect(it.awards()).toEqual([['a', [id]]])
    const late = it.log.submit({}, 'rare')
    expect(it.awards()).toEqual([])
    expect(it.agenda.waitingReason(it.log.task(rare), it.log.nowMs)).toBe('none of 1 nodes has the task type "rare"')
    const b = it.log.join('b', 'b1', [taskProfile('rare')])
    it.bid(b)
    expect(it.awards()).toEqual([['b', [rare, late]]])
  })

  test('is not held up by a type whose nodes are busy, which goes on when they are free', () => {
    const it = new Leading()
    const a = it.log.join('a')
    const b = it.log.join('b', 'b1', [taskProfile('other')])
    const [first, second] = [it.log.submit(), it.log.submit()]
    const other = it.log.submit({}, 'other')
    it.bid(a, { credits: 1 })
    it.bid(b, { credits: 1 })
    expect(it.awards()).toEqual([
      ['a', [first]],
      ['b', [other]],
    ])
    expect(it.agenda.waitingReason(it.log.task(second), it.log.nowMs)).toBe(
      'all credits of the 1 nodes with the type are in use',
    )
    a.accept(first)
    expect(it.awards()).toEqual([])
    a.complete(first)
    expect(it.awards()).toEqual([['a', [second]]])
  })

  test('never spends more credits than were bid, whatever is lost', () => {
    const it = new Leading()
    const a = it.log.join('a')
    for (let i = 0; i < 20; i++) it.log.submit()
    it.bid(a, { credits: 3 })
    let open = 0
    for (let round = 0; round < 10; round++) {
      for (const [, ids] of it.awards()) open += ids.length
      expect(open).toBeLessThanOrEqual(3)
      const [id] = [...it.log.state.tasks.values()].filter((task) => it.agenda.awardedTo(task) !== undefined)
      if (id !== undefined) a.accept(id.id)
      if (round === 5) {
        it.log.advance(awardTtlMs)
        open = a.member!.running.size
      }
    }
    expect(a.member?.running.size).toBe(3)
  })
})

describe('an award', () => {
  test('that nobody accepts is made again', () => {
    const it = new Leading()
    const a = it.log.join('a')
    const id = it.log.submit()
    it.bid(a)
    expect(it.awards()).toEqual([['a', [id]]])
    expect(it.agenda.nextAlarmMs(it.log.nowMs)).toBeLessThanOrEqual(it.log.nowMs + awardTtlMs)
    it.log.advance(awardTtlMs - 1)
    expect(it.awards()).toEqual([])
    it.log.advance(1)
    expect(it.awards()).toEqual([['a', [id]]])
  })

  test('that is declined is made again a moment later, elsewhere if that is cheaper', () => {
    const it = new Leading()
    const [a, b] = [it.log.join('a'), it.log.join('b')]
    const id = it.log.submit()
    it.bid(a)
    expect(it.awards()).toEqual([['a', [id]]])
    it.bid(a, { status: 'draining' })
    it.bid(b)
    it.agenda.hear('a1', ['declined', [[id, 1, 'draining']]], it.log.nowMs)
    expect(it.awards()).toEqual([])
    expect(it.agenda.nextAlarmMs(it.log.nowMs)).toBeLessThan(it.log.nowMs + 100)
    it.log.advance(100)
    expect(it.awards()).toEqual([['b', [id]]])
  })

  test('is not ended by word of another turn, or of another node', () => {
    const it = new Leading()
    const [a, b] = [it.log.join('a'), it.log.join('b')]
    const id = it.log.submit()
    it.bid(a)
    expect(it.awards()).toEqual([['a', [id]]])
    it.agenda.hear('a1', ['declined', [[id, 0, 'of before']]], it.log.nowMs)
    it.agenda.hear('b1', ['declined', [[id, 1, 'of another']]], it.log.nowMs)
    expect(it.agenda.awardedTo(it.log.task(id))).toBe(a.member)
    expect(b.member?.live).toBe(true)
  })

  test('is not made on a bid that has expired', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.bid(a, { ttlMs: 1_000 })
    it.log.advance(1_000)
    const id = it.log.submit()
    expect(it.awards()).toEqual([])
    it.bid(a, { ttlMs: 1_000 })
    expect(it.awards()).toEqual([['a', [id]]])
  })

  test('to a node that dies is made to another at once', () => {
    const it = new Leading()
    const [a, b] = [it.log.join('a'), it.log.join('b')]
    const [held, run] = [it.log.submit(), it.log.submit()]
    it.bid(a)
    it.awards()
    a.accept(run)
    it.bid(b)
    it.log.fence(a)
    expect(it.awards()).toEqual([['b', [held, run]]])
  })
})

describe('timers', () => {
  test('make delayed tasks placeable when they are due', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.bid(a)
    const id = it.log.submit({ 'troupe-delay': '5s' })
    expect(it.awards()).toEqual([])
    expect(it.agenda.nextAlarmMs(it.log.nowMs)).toBe(it.log.nowMs + 5_000)
    expect(it.agenda.waitingReason(it.log.task(id), it.log.nowMs)).toContain('is delayed until')
    it.log.advance(4_999)
    expect(it.awards()).toEqual([])
    it.log.advance(1)
    expect(it.awards()).toEqual([['a', [id]]])
  })

  test('of a task that was awarded at once and came back with a delay are its own', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.bid(a)
    const id = it.log.submit({ 'troupe-delay': '1s' })
    it.awards()
    it.log.advance(1_000)
    it.awards()
    a.accept(id)
    a.fail(id)
    // What was to wake it before does not wake it now.
    it.log.advance(awardTtlMs / 4)
    expect(it.awards()).toEqual([])
    it.log.advance(1_000)
    expect(it.awards()).toEqual([['a', [id]]])
  })

  test('are all kept, however many there are', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.bid(a, { credits: 1e6 })
    const count = 12_000
    for (let from = 0; from < count; from += 4_000) {
      const options = { delayMs: 5_000 }
      it.log.submitBlock(
        'c',
        Array.from({ length: 4_000 }, () => ['work', null, options] as const),
      )
    }
    expect(it.awards()).toEqual([])
    it.log.advance(5_000)
    expect(it.awards().flatMap(([, ids]) => ids).length).toBe(count)
  })

  test('of what runs already are set by a new leader', () => {
    const it = new Leading()
    const a = it.log.join('a', 'a1', [taskProfile('work', { timeoutMs: 1_000 })])
    const id = it.log.submit()
    a.accept(id)
    const next = new Agenda(it.log.state)
    next.build(it.log.nowMs)
    it.log.advance(60_000)
    const entries = next.alarm(it.log.nowMs).flatMap((effect) => (effect.do === 'append' ? effect.entries : []))
    expect(entries).toEqual([[kind.timedOut, id, 1]])
  })

  test('wake parked tasks', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.bid(a)
    const id = it.log.submit()
    a.accept(id)
    a.park(id, 1, { wakeAtMs: it.log.nowMs + 1_000 })
    expect(it.awards()).toEqual([])
    it.log.advance(1_000)
    expect(it.awards()).toEqual([['a', [id]]])
  })

  test('expire a task at its deadline, whatever it does, and again if the decision was lost', () => {
    const it = new Leading()
    const a = it.log.join('a')
    const deadline = { 'troupe-deadline': '1s' }
    const ids = [it.log.submit(deadline), it.log.submit({ ...deadline, 'troupe-after': 'x' }), it.log.submit(deadline)]
    a.accept(ids[2]!)
    a.park(ids[2]!, 1, { onSignal: true })
    expect(it.entries()).toEqual([])
    it.log.advance(1_000)
    const expired = ids.map((id) => [kind.expired, id])
    expect([...it.entries()].sort()).toEqual(expired)
    expect(it.entries()).toEqual([])
    it.log.advance(5_000)
    expect([...it.entries()].sort()).toEqual(expired)
    it.log.decide(...(expired as never[]))
    it.log.advance(5_000)
    expect(it.entries()).toEqual([])
    expect(it.log.state.counts.expired).toBe(3)
  })

  test('time out a turn some time after its node should have, and no other turn', () => {
    const it = new Leading()
    const a = it.log.join('a', 'a1', [taskProfile('work', { timeoutMs: 1_000 })])
    const [slow, quick] = [it.log.submit(), it.log.submit()]
    a.accept(slow)
    a.accept(quick)
    it.turn()
    a.write([kind.yielded, quick, 1, null, 0])
    a.accept(quick, 2)
    it.log.advance(1_000)
    expect(it.entries()).toEqual([])
    a.write([kind.yielded, quick, 2, null, 0])
    it.log.advance(2_000)
    expect(it.entries()).toEqual([[kind.timedOut, slow, 1]])
  })

  test('of tasks that have ended are not kept until they are due', () => {
    const it = new Leading()
    const a = it.log.join('a')
    const heap = (it.agenda as unknown as { calendar: { timers: { length: number } } }).calendar.timers
    let most = 0
    for (let round = 0; round < 15; round++) {
      const sequence = it.log.submitBlock(
        'c',
        Array.from({ length: 3_000 }, () => ['work', null, { deadlineAtMs: it.log.nowMs + 1e9 }] as const),
      )
      const ids = Array.from({ length: 3_000 }, (_, i) => `0-${sequence}-${i}`)
      for (let from = 0; from < 3_000; from += 1_000) {
        const some = ids.slice(from, from + 1_000)
        a.write(...some.flatMap((id) => [[kind.accepted, id, 1] as const, [kind.completed, id, 1, null] as const]))
      }
      it.turn()
      most = Math.max(most, heap.length)
    }
    expect(most).toBeLessThanOrEqual(13_000)
  })
})

describe('a gang', () => {
  const begins = (effects: readonly SchedulerEffect[]) =>
    effects.flatMap((effect) => (effect.do === 'begin' ? effect.turns.map(([id]) => id) : []))

  test('is told to begin once all are held, and again while a node holds a member that runs', () => {
    const it = new Leading()
    const a = it.log.join('a')
    const ids = [it.log.submit({ 'troupe-gang': 'pair/2' }), it.log.submit({ 'troupe-gang': 'pair/2' })]
    a.accept(ids[0]!)
    expect(begins(it.turn())).toEqual([])
    a.accept(ids[1]!)
    expect(begins(it.turn())).toEqual(ids)
    const { position } = it.log.state
    const held = [...ids.map((id) => [id, 1, true] as const)]
    expect(begins(it.agenda.hear('a1', ['running', position, held], it.log.nowMs))).toEqual(ids)
    const begun = ids.map((id) => [id, 1] as const)
    expect(begins(it.agenda.hear('a1', ['running', position, begun], it.log.nowMs))).toEqual([])
  })
})

describe('signals', () => {
  test('that came between the award and the turn are handed over with it', () => {
    const it = new Leading()
    const a = it.log.join('a')
    const id = it.log.submit()
    it.bid(a)
    it.awards()
    const sequence = it.log.signal(id)
    expect(it.turn()).toEqual([])
    a.accept(id)
    expect(it.turn()).toMatchObject([{ do: 'signal', task: it.log.task(id), signals: [{ sequence }] }])
  })
})

describe('comparing with a node (rule 6)', () => {
  function compared() {
    const it = new Leading()
    const [a, b] = [it.log.join('a'), it.log.join('b')]
    const [mine, other] = [it.log.submit(), it.log.submit()]
    a.accept(mine)
    const acceptedAt = it.log.messages.length
    b.accept(other)
    it.turn()
    const compare = (last: number, turns: [string, number][]) => {
      return it.agenda.hear('a1', ['running', last, turns], it.log.nowMs)
    }
    return { it, a, mine, other, compare, acceptedAt, position: it.log.state.position }
  }

  test('finds nothing when both agree', () => {
    const { mine, compare, position } = compared()
    expect(compare(position, [[mine, 1]])).toEqual([])
  })

  test('drops what the node does not own: another’s, an old turn, an unknown task', () => {
    const { a, mine, other, compare, position } = compared()
    const turns = [
      [mine, 0],
      [other, 1],
      ['unknown', 1],
    ] as [string, number][]
    const [drop] = compare(position - 10, turns)
    expect(drop).toMatchObject({ do: 'drop', member: a.member })
    expect(drop?.do === 'drop' && drop.turns.map(([id, turn]) => [id, turn])).toEqual(turns)
  })

  test('revokes what the node lacks, once the node has had a block stored since', () => {
    const { mine, compare, acceptedAt } = compared()
    expect(compare(acceptedAt - 1, [])).toEqual([])
    expect(compare(acceptedAt, [])).toMatchObject([
      { do: 'append', entries: [[kind.revoked, mine, 1, expect.any(String)]] },
    ])
  })

  test('waits until the ledger is as far as the node', () => {
    const { compare, position } = compared()
    expect(compare(position + 1, [['unknown', 1]])).toEqual([])
  })

  test('hears nobody who is not live', () => {
    const { it, a, compare, position } = compared()
    it.log.fence(a)
    expect(compare(position + 1, [['unknown', 1]])).toEqual([])
    it.agenda.hear('nobody', bid(), it.log.nowMs)
    expect([...it.agenda.offers.all()]).toEqual([])
  })

  test('drops at once a turn whose acceptance was void', () => {
    const { it, a, other } = compared()
    a.accept(other)
    expect(it.turn()).toContainEqual({ do: 'drop', member: a.member, turns: [[other, 1, expect.any(String)]] })
  })
})

test('signals are handed to the running turn, and again from where it asks', () => {
  const it = new Leading()
  const a = it.log.join('a')
  const id = it.log.submit()
  a.accept(id)
  it.turn()
  const sequences = [it.log.signal(id), it.log.signal(id), it.log.signal(id)]
  const sent = it
    .turn()
    .flatMap((effect) => (effect.do === 'signal' ? effect.signals.map(({ sequence }) => sequence) : []))
  expect(sent.at(-1)).toBe(sequences[2])
  const ask = (turn: number, after: number) => {
    return it.agenda
      .hear('a1', ['gap', id, turn, after], 0)
      .flatMap((effect) => (effect.do === 'signal' ? effect.signals : []))
  }
  expect(ask(1, sequences[0]!).map(({ sequence }) => sequence)).toEqual(sequences.slice(1))
  expect(ask(2, 0)).toEqual([])
})

test('a new leader builds the same agenda from the ledger', () => {
  const it = new Leading()
  const a = it.log.join('a')
  const ready = it.log.submit()
  const delayed = it.log.submit({ 'troupe-delay': '2s' })
  const parked = it.log.submit()
  it.log.submit({ 'troupe-after': 'x', 'troupe-deadline': '3s' })
  a.accept(parked)
  a.park(parked, 1, { wakeAtMs: it.log.nowMs + 1_000 })
  it.log.takeChanges()
  const next = new Agenda(it.log.state)
  next.build(it.log.nowMs)
  const placed = () => {
    next.alarm(it.log.nowMs)
    return next.place(it.log.nowMs).flatMap((effect) => (effect.do === 'award' ? effect.tasks.map(({ id }) => id) : []))
  }
  next.hear('a1', bid({ credits: 9, ttlMs: 1e9 }), it.log.nowMs)
  expect(placed()).toEqual([ready])
  a.accept(ready)
  next.note(it.log.takeChanges(), it.log.nowMs)
  it.log.advance(1_000)
  expect(placed()).toEqual([parked])
  it.log.advance(1_000)
  expect(placed()).toEqual([delayed])
  it.log.advance(1_000)
  expect(next.alarm(it.log.nowMs)).toMatchObject([{ do: 'append', entries: [[kind.expired, '0-6']] }])
})
