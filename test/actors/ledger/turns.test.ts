/** Rule 1: whose turn it is. Promises P1 and P3 as far as they follow from the fold. */
import { describe, expect, test } from 'vitest'
import { retryDelayMs } from '../../../src/actors/ledger/delays.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { checkState } from './describe.ts'
import { boom, noJitter, startMs, TestLog, taskProfile } from './test-log.ts'

function running() {
  const log = new TestLog()
  const a = log.join('a')
  const b = log.join('b')
  const id = log.submit()
  a.accept(id)
  return { log, a, b, id, task: log.task(id) }
}

describe('an acceptance', () => {
  test('counts only for the first node in log order', () => {
    const { log, a, b, id, task } = running()
    log.takeChanges()
    b.accept(id)
    expect(task.owner).toBe(a.member)
    expect(task.turn).toBe(1)
    expect(log.takeChanges()).toContainEqual({ what: 'void-accept', member: b.member, id, turn: 1 })
    b.accept(id, 2)
    expect(task.owner).toBe(a.member)
  })

  test.each([0, 2, 5])('of turn %i of a task that never ran does not count', (turn) => {
    const log = new TestLog()
    const a = log.join('a')
    const id = log.submit()
    a.accept(id, turn)
    expect(log.task(id)).toMatchObject({ status: 'waiting', turn: 0 })
  })

  test('before the task is due does not count, and counts from then on to the millisecond', () => {
    const log = new TestLog()
    const a = log.join('a')
    const id = log.submit({ 'troupe-delay': '1s' })
    log.advance(999)
    a.accept(id)
    expect(log.task(id).status).toBe('waiting')
    log.advance(1)
    a.accept(id)
    expect(log.task(id)).toMatchObject({ status: 'running', turn: 1, turnAtMs: startMs + 1_000 })
  })

  test('by a node without the type does not count', () => {
    const log = new TestLog()
    const a = log.join('a', 'a1', [taskProfile('other')])
    const id = log.submit()
    a.accept(id)
    expect(log.task(id).status).toBe('waiting')
  })

  test('of a task that has ended, or is blocked, or parked without a due timer, does not count', () => {
    const { log, a, b, id } = running()
    const blocked = log.submit({ 'troupe-after': 'later' })
    b.accept(blocked)
    expect(log.task(blocked).status).toBe('blocked')
    a.park(id, 1, { onSignal: true })
    b.accept(id, 2)
    expect(log.task(id).status).toBe('parked')
    log.signal(id)
    b.accept(id, 2)
    b.complete(id, 2)
    a.accept(id, 3)
    expect(log.task(id)).toMatchObject({ status: 'completed', turn: 2 })
  })
})

describe('what a turn writes', () => {
  const later = [
    ['checkpointed', (id: string, turn: number) => [kind.checkpointed, id, turn, new Uint8Array([9]), 0]],
    ['progressed', (id: string, turn: number) => [kind.progressed, id, turn, 0.5, '']],
    ['parked', (id: string, turn: number) => [kind.parked, id, turn, null, 0, startMs * 2, false, []]],
    ['yielded', (id: string, turn: number) => [kind.yielded, id, turn, null, 0]],
    ['completed', (id: string, turn: number) => [kind.completed, id, turn, null]],
    ['failed', (id: string, turn: number) => [kind.failed, id, turn, boom, true]],
    ['submitted', (id: string, turn: number) => [kind.submitted, id, turn, 'work', null, { id: 'child' }]],
    ['signalled', (id: string, turn: number) => [kind.signalled, id, turn, id, '', null]],
  ] as const

  test.each(later)('%s counts for the owner in its turn alone', (_, entry) => {
    const { log, a, b, id, task } = running()
    log.takeChanges()
    b.write(entry(id, 1) as never)
    a.write(entry(id, 2) as never)
    a.write(entry(id, 0) as never)
    expect(log.takeChanges()).toEqual([])
    expect(task).toMatchObject({ status: 'running', turn: 1, owner: a.member, snapshot: undefined })
    expect(log.state.totals.void).toBe(3)
    a.write(entry(id, 1) as never)
    expect(log.takeChanges()).not.toEqual([])
  })

  test.each(later)('%s of a turn that was taken away is void', (_, entry) => {
    const { log, a, id, task } = running()
    log.lead()
    log.decide([kind.revoked, id, 1, 'lost'])
    log.takeChanges()
    a.write(entry(id, 1) as never)
    expect(log.takeChanges()).toEqual([])
    expect(task).toMatchObject({ status: 'waiting', turn: 1 })
  })

  test('in one block with its acceptance counts in order', () => {
    const log = new TestLog()
    const a = log.join('a')
    const id = log.submit()
    a.write([kind.accepted, id, 1], [kind.completed, id, 1, null], [kind.failed, id, 1, boom, true])
    expect(log.task(id)).toMatchObject({ status: 'completed', outcome: { sequence: log.messages.length, index: 1 } })
    expect(log.state.totals.void).toBe(1)
  })
})

test('of two owners of one task only the one whose turn it is commits, however their entries mix', () => {
  const { log, a, b, id, task } = running()
  log.fence(a)
  b.accept(id, 2)
  a.complete(id, 1)
  a.complete(id, 2)
  expect(task.status).toBe('running')
  b.complete(id, 2)
  a.fail(id, 2)
  expect(task.status).toBe('completed')
  expect(log.state.totals).toMatchObject({ completed: 1, failed: 0 })
})

test.each(['completed', 'failed', 'cancelled', 'expired'] as const)('%s is for ever', (status) => {
  const log = new TestLog()
  const a = log.join('a')
  const id = log.submit({ 'troupe-deadline': '1s' })
  log.lead()
  a.accept(id)
  if (status === 'completed') a.complete(id)
  else if (status === 'failed') a.fail(id, 1, false)
  else if (status === 'cancelled') log.decide([kind.cancelled, id, ''])
  log.advance(1_000)
  log.decide([kind.expired, id])
  const outcome = { ...log.task(id) }
  expect(outcome.status).toBe(status)
  log.takeChanges()
  a.complete(id)
  a.fail(id)
  a.accept(id, 2)
  log.decide([kind.cancelled, id, ''], [kind.expired, id], [kind.timedOut, id, 1], [kind.revoked, id, 1, ''])
  log.fence(a)
  expect(log.task(id)).toEqual(outcome)
  expect(log.takeChanges().filter((change) => 'task' in change)).toEqual([])
  checkState(log.state)
})

describe('a failed attempt', () => {
  test('is tried again after the backoff of the policy, then is a dead letter', () => {
    const { log, a, id, task } = running()
    a.fail(id)
    expect(task).toMatchObject({ status: 'waiting', attempt: 2, turn: 1, dueAtMs: log.nowMs + 1_000 })
    a.accept(id, 2)
    expect(task.status).toBe('waiting')
    log.advance(1_000)
    a.accept(id, 2)
    a.fail(id, 2)
    expect(task).toMatchObject({ attempt: 3, dueAtMs: log.nowMs + 2_000 })
    log.advance(2_000)
    a.accept(id, 3)
    a.fail(id, 3)
    expect(task).toMatchObject({ status: 'failed', attempt: 3, turn: 3 })
    expect(task.rare?.lastError).toEqual(boom)
    expect([...log.state.dead]).toEqual([task])
  })

  test('never waits longer than its policy says, however the delays grow', () => {
    const policy = { attempts: 9, backoffMs: 700, factor: 3, maxMs: 1_000, jitterPercent: 0 }
    expect([1, 2, 3, 8].map((attempt) => retryDelayMs(policy, attempt, 'id', 1))).toEqual([700, 1_000, 1_000, 1_000])
  })

  test('that cannot be tried again is a dead letter at once', () => {
    const { log, a, id } = running()
    a.fail(id, 1, false)
    expect(log.task(id)).toMatchObject({ status: 'failed', attempt: 1 })
  })

  test('waits with jitter that every fold computes alike', () => {
    const log = new TestLog()
    const jittery = taskProfile('work', { retry: { ...noJitter, jitterPercent: 50 } })
    const a = log.join('a', 'a1', [jittery])
    const dues = new Set<number>()
    for (let i = 0; i < 50; i++) {
      const id = log.submit()
      a.accept(id)
      a.fail(id)
      const delay = log.task(id).dueAtMs - log.nowMs
      expect(delay).toBeGreaterThanOrEqual(500)
      expect(delay).toBeLessThanOrEqual(1_500)
      dues.add(delay)
    }
    expect(dues.size).toBeGreaterThan(25)
    const again = log.refold()
    for (const { id, dueAtMs } of log.state.tasks.values()) expect(again.state.tasks.get(id)?.dueAtMs).toBe(dueAtMs)
  })

  test('waits as long in every version: another delay from the same log would make another ledger', () => {
    const policy = { attempts: 9, backoffMs: 1_000, factor: 2, maxMs: 60_000, jitterPercent: 25 }
    const turns = [1, 2, 3, 70_000]
    expect(turns.map((turn) => retryDelayMs(policy, 2, 'order-17', turn))).toEqual([2_384, 1_742, 1_704, 1_965])
    expect(turns.map((turn) => retryDelayMs(policy, 2, '0-17-3', turn))).toEqual([2_084, 1_574, 1_727, 2_205])
  })

  test('holds a bounded error, whatever the node sent along', () => {
    const { log, a, id, task } = running()
    const details = { text: 'x'.repeat(100_000) }
    a.fail(id, 1, false, { ...boom, details, cause: { ...boom, details } })
    expect(task.rare?.lastError).toEqual({ ...boom, cause: boom })
    const other = log.submit()
    a.accept(other)
    a.fail(other, 1, false, { ...boom, details: { small: 1 } })
    expect(log.task(other).rare?.lastError).toEqual({ ...boom, details: { small: 1 } })
  })
})

describe('parking and yielding', () => {
  test('end the turn and keep the attempt', () => {
    const { log, a, id, task } = running()
    a.write([kind.yielded, id, 1, new Uint8Array([1]), 0])
    expect(task).toMatchObject({ status: 'waiting', attempt: 1, turn: 1, owner: undefined })
    expect(task.snapshot).toEqual({ sequence: log.messages.length, index: 0 })
    a.accept(id, 2)
    a.park(id, 2, { wakeAtMs: log.nowMs + 100 })
    expect(task).toMatchObject({ status: 'parked', attempt: 1 })
    expect(task.snapshot).toEqual({ sequence: log.messages.length, index: 0 })
  })

  test('add up how long the turns have run', () => {
    const { log, a, id, task } = running()
    log.advance(300)
    a.write([kind.yielded, id, 1, null, 0])
    log.advance(1_000)
    a.accept(id, 2)
    log.advance(50)
    a.park(id, 2, { wakeAtMs: log.nowMs + 100 })
    expect(task.rare?.attainedMs).toBe(350)
  })

  test('without a snapshot keep the one before (P4)', () => {
    const { log, a, id, task } = running()
    const sequence = a.checkpoint(id)
    a.write([kind.checkpointed, id, 1, null, 0])
    a.write([kind.yielded, id, 1, null, 0])
    a.accept(id, 2)
    a.write([kind.parked, id, 2, null, 0, log.nowMs + 100, false, []])
    expect(task.snapshot).toEqual({ sequence, index: 0 })
  })

  test('with a timer may be accepted from then on, and not before (P6)', () => {
    const { log, a, b, id, task } = running()
    a.park(id, 1, { wakeAtMs: log.nowMs + 100 })
    log.advance(99)
    b.accept(id, 2)
    expect(task.status).toBe('parked')
    log.advance(1)
    b.accept(id, 2)
    expect(task).toMatchObject({ status: 'running', turn: 2 })
    expect(task.rare).toEqual({})
    checkState(log.state)
  })

  test('for nothing at all goes on at once', () => {
    const { a, id, task } = running()
    a.park(id)
    expect(task.status).toBe('waiting')
  })
})

test('log time is the greatest timestamp so far: a clock that steps back ends nothing and delays nothing (rule 7)', () => {
  const log = new TestLog()
  const a = log.join('a')
  log.advance(10_000)
  const id = log.submit({ 'troupe-delay': '1s' })
  log.advance(1_000)
  log.submit()
  log.advance(-60_000)
  a.accept(id)
  expect(log.task(id).status).toBe('running')
  expect(log.state.timeMs).toBe(startMs + 11_000)
})
