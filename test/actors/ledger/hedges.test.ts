/** Two turns side by side: which of them the log takes, and what becomes of the other. */
import { beforeEach, describe, expect, test } from 'vitest'
import { type CheckpointPart, LedgerSaving, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { TaskProfile } from '../../../src/protocol/options.ts'
import { checkState, describeState } from './describe.ts'
import { TestLog, type TestNode, taskProfile } from './test-log.ts'

const hedge = { afterMs: 100, budget: 1 }
const types = [taskProfile('work', { hedge, timeoutMs: 5_000 })]

let log: TestLog
let [a, b, c]: TestNode[] = []
let id: string

function begin(profiles: readonly TaskProfile[] = types): void {
  log = new TestLog()
  log.lead()
  ;[a, b, c] = ['a', 'b', 'c'].map((node) => log.join(node, `${node}1`, profiles))
  id = log.submit()
  a!.accept(id)
}

function open(turn = 1): void {
  log.advance(200)
  log.decide([kind.hedged, id, turn, 'slow'])
}

/** The task runs on `a` by turn 1 and on `b` by turn 2. */
function beside(): void {
  open()
  b!.accept(id, 2)
  log.takeChanges()
}

function recalled(): [string, number][] {
  return log.takeChanges().flatMap((change) => (change.what === 'recalled' ? [[change.member.node, change.turn]] : []))
}

beforeEach(() => begin())

describe('a hedge', () => {
  test('lets a second node run the next turn while the owner stays', () => {
    open()
    b!.accept(id, 2)
    expect(log.task(id)).toMatchObject({ status: 'running', turn: 1, owner: { node: 'a' } })
    expect(log.task(id).rare?.hedge).toMatchObject({ turn: 2, first: 'a', second: 'b', reason: 'slow' })
    expect(log.takeChanges().map(({ what }) => what)).toEqual(expect.arrayContaining(['hedged', 'running-beside']))
  })

  test('is void for a type without one, for another turn, twice, and for what does not run', () => {
    const voids = log.state.totals.void
    open(2)
    open(0)
    expect(log.task(id).rare?.hedge).toBeUndefined()
    open()
    open()
    a!.complete(id)
    open()
    expect(log.state.totals.void).toBe(voids + 4)
    begin([taskProfile('work')])
    open()
    expect(log.task(id).rare?.hedge).toBeUndefined()
  })

  test('is not for the node of the first turn, in whichever life, nor for a third', () => {
    open()
    a!.accept(id, 2)
    c!.accept(id, 3)
    expect(log.task(id).rare?.hedge?.second).toBeUndefined()
    b!.accept(id, 2)
    c!.accept(id, 2)
    expect(log.task(id).rare?.hedge?.second).toBe('b')
    expect(log.takeChanges().filter(({ what }) => what === 'void-accept')).toHaveLength(3)
  })

  test('is over when its turn ends before anybody accepts; who accepts late has begun from what was before', () => {
    open()
    a!.checkpoint(id, 1)
    log.fence(a!)
    b!.accept(id, 2)
    expect(log.task(id)).toMatchObject({ status: 'waiting', turn: 2 })
    b!.accept(id, 3)
    expect(log.task(id)).toMatchObject({ turn: 3, owner: { node: 'b' } })
    open(3)
    c!.accept(id, 4)
    expect(log.task(id).rare?.hedge).toMatchObject({ turn: 4, first: 'b', second: 'c' })
  })
})

describe('of two turns', () => {
  test('the second wins when it completes first, and nothing of the first counts any more', () => {
    beside()
    b!.complete(id, 2)
    expect(log.task(id)).toMatchObject({ status: 'completed', turn: 2 })
    expect(recalled()).toEqual([['a', 1]])
    const { outcome } = log.task(id)
    a!.complete(id, 1)
    expect(log.task(id).outcome).toEqual(outcome)
    expect([a, b].map((node) => node!.member?.running.size)).toEqual([0, 0])
  })

  test('the first wins when it completes first', () => {
    beside()
    a!.complete(id, 1)
    expect(log.task(id).status).toBe('completed')
    expect(recalled()).toEqual([['b', 2]])
    b!.complete(id, 2)
    expect(log.state.totals.completed).toBe(1)
  })

  test.each([
    ['a state', (node: TestNode, turn: number) => node.checkpoint(id, turn)],
    ['a child', (node: TestNode, turn: number) => node.child(id, turn, 'child')],
    ['a signal', (node: TestNode, turn: number) => node.write([kind.signalled, id, turn, id, 's', null])],
  ])('the one that first commits %s stays alone', (_what, commit) => {
    for (const [winner, turn] of [
      ['a', 1],
      ['b', 2],
    ] as const) {
      begin()
      beside()
      commit(winner === 'a' ? a! : b!, turn)
      expect(log.task(id)).toMatchObject({ turn, owner: { node: winner } })
      expect(recalled()).toEqual([winner === 'a' ? ['b', 2] : ['a', 1]])
      const loser = winner === 'a' ? b! : a!
      const voids = log.state.totals.void
      commit(loser, 3 - turn)
      loser.complete(id, 3 - turn)
      expect(log.state.totals.void).toBe(voids + 2)
      ;(winner === 'a' ? a! : b!).complete(id, turn)
      expect(log.task(id).status).toBe('completed')
    }
  })

  test('both may tell of their progress', () => {
    beside()
    a!.write([kind.progressed, id, 1, 0.2, ''])
    b!.write([kind.progressed, id, 2, 0.4, ''])
    expect(log.task(id).rare?.progress?.fraction).toBe(0.4)
    expect(recalled()).toEqual([])
  })

  test('one that fails leaves the other, and costs no attempt; the last one does', () => {
    beside()
    a!.fail(id, 1, false)
    expect(log.task(id)).toMatchObject({ status: 'running', turn: 2, attempt: 1, owner: { node: 'b' } })
    b!.fail(id, 2)
    expect(log.task(id)).toMatchObject({ status: 'waiting', turn: 2, attempt: 2 })
    begin()
    beside()
    b!.fail(id, 2)
    expect(log.task(id)).toMatchObject({ status: 'running', turn: 1, attempt: 1, owner: { node: 'a' } })
    a!.fail(id, 1)
    expect(log.task(id)).toMatchObject({ status: 'waiting', attempt: 2 })
    // Number 2 is spent.
    log.advance(60_000)
    c!.accept(id, 2)
    expect(log.task(id).status).toBe('waiting')
    c!.accept(id, 3)
    expect(log.task(id)).toMatchObject({ status: 'running', turn: 3, owner: { node: 'c' } })
  })

  test.each([
    ['is fenced', (node: TestNode) => log.fence(node)],
    ['leaves', (node: TestNode) => node.write([kind.left])],
    ['has it revoked', (node: TestNode) => log.decide([kind.revoked, id, node === a ? 1 : 2, 'forgotten'])],
    ['gives it back', (node: TestNode) => node.write([kind.yielded, id, node === a ? 1 : 2, null, 0])],
  ])('one whose node %s leaves the other', (_how, lose) => {
    beside()
    lose(a!)
    expect(log.task(id)).toMatchObject({ status: 'running', turn: 2, owner: { node: 'b' } })
    expect(log.task(id).rare?.hedge).toMatchObject({ kept: 'second' })
    // It is not hedged once more before it starts again.
    open(2)
    expect(log.task(id).rare?.hedge?.turn).toBe(2)
    begin()
    beside()
    lose(b!)
    expect(log.task(id)).toMatchObject({ status: 'running', turn: 1, owner: { node: 'a' } })
    a!.complete(id, 1)
    expect(log.task(id).status).toBe('completed')
  })

  test('both end with the task, and both are recalled when another takes it from them', () => {
    beside()
    log.decide([kind.cancelled, id, ''])
    expect(recalled()).toEqual([['b', 2]])
    expect(log.task(id)).toMatchObject({ status: 'cancelled', owner: undefined })
    for (const node of [a!, b!]) expect(node.member?.running.size).toBe(0)
  })

  test('the first that runs too long leaves the second its own time', () => {
    log.advance(4_000)
    beside()
    log.advance(1_000)
    log.decide([kind.timedOut, id, 1])
    expect(log.task(id)).toMatchObject({ status: 'running', turn: 2, attempt: 1 })
    expect(recalled()).toEqual([['a', 1]])
    log.decide([kind.timedOut, id, 2])
    expect(log.task(id).status).toBe('running')
    log.advance(4_000)
    log.decide([kind.timedOut, id, 2])
    expect(log.task(id)).toMatchObject({ status: 'waiting', attempt: 2 })
  })

  test('the second takes over with its own time and place', () => {
    beside()
    const accepted = log.messages.length
    const acceptedAtMs = log.nowMs
    log.advance(70)
    b!.checkpoint(id, 2)
    expect(log.task(id)).toMatchObject({ turnAtMs: acceptedAtMs, turnSequence: accepted })
    const change = log.takeChanges().find(({ what }) => what === 'overtaken')
    expect(change).toMatchObject({ member: { node: 'b' }, loser: { node: 'a' }, lastedMs: 270 })
  })
})

test('a second turn survives a checkpoint: its node still holds it, and gives it back when it dies', () => {
  beside()
  const saving = new LedgerSaving(log.state, 1)
  const parts: CheckpointPart[] = [['tasks', saving.rows(10) ?? []], ...saving.others()]
  saving.rows(10)
  const restored = restoreState(saving.manifest(0, 0), parts)
  expect(describeState(restored)).toEqual(describeState(log.state))
  log.ledger = new Ledger(log.subjects, restored)
  log.fence(b!)
  expect(log.task(id).rare?.hedge).toMatchObject({ kept: 'first' })
  checkState(log.state)
})
