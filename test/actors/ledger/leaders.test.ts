/** What leading schedulers decide: epochs, and decisions that still have to be true when they are folded (rules 6 to 8). */
import { describe, expect, test } from 'vitest'
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import { LedgerState } from '../../../src/actors/ledger/state.ts'
import { oldestSignal } from '../../../src/actors/ledger/task-record.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { checkState } from './describe.ts'
import { TestLog, taskProfile } from './test-log.ts'

function led() {
  const log = new TestLog()
  log.lead('s1')
  const a = log.join('a', 'a1', [taskProfile('work', { timeoutMs: 1_000 })])
  const id = log.submit()
  return { log, a, id, task: log.task(id) }
}

describe('an epoch', () => {
  test('is the sequence of the leader’s own entry', () => {
    const { log } = led()
    expect(log.state).toMatchObject({ leader: 's1', epoch: 1 })
    log.lead('s2')
    expect(log.state).toMatchObject({ leader: 's2', epoch: log.messages.length })
  })

  test('that is over makes decisions void', () => {
    const { log, id, task } = led()
    const old = log.epoch
    log.lead('s2')
    log.decideAs('s1', old, [kind.cancelled, id, ''])
    expect(task.status).toBe('waiting')
    log.decideAs('s1', log.epoch, [kind.cancelled, id, ''])
    expect(task.status).toBe('waiting')
    log.decideAs('s2', old, [kind.cancelled, id, ''])
    expect(task.status).toBe('waiting')
    expect(log.state.totals.void).toBe(3)
    log.decide([kind.cancelled, id, ''])
    expect(task.status).toBe('cancelled')
  })

  test('of the same leader that led twice is the later one', () => {
    const { log, id, task } = led()
    const old = log.epoch
    log.lead('s1')
    log.decideAs('s1', old, [kind.cancelled, id, ''])
    expect(task.status).toBe('waiting')
  })
})

test('rules that this code does not know end the fold there, also after a restart', () => {
  const { log, id } = led()
  log.lead('s2', { foldVersion: 2 })
  const { position } = log.state
  expect(log.ledger.outdated).toBe(true)
  log.decide([kind.cancelled, id, ''])
  log.submit()
  expect(log.state.position).toBe(position)
  expect(log.task(id).status).toBe('waiting')
  const state = new LedgerState(0)
  state.rules = log.state.rules
  expect(new Ledger(log.subjects, state).outdated).toBe(true)
})

describe('a decision counts only while it is true:', () => {
  test('revoked, for the running turn', () => {
    const { log, a, id, task } = led()
    log.decide([kind.revoked, id, 0, ''], [kind.revoked, id, 1, ''])
    a.accept(id)
    log.decide([kind.revoked, id, 2, ''], [kind.revoked, id, 0, ''])
    expect(task.status).toBe('running')
    log.decide([kind.revoked, id, 1, ''])
    expect(task).toMatchObject({ status: 'waiting', turn: 1, attempt: 1 })
    a.complete(id)
    expect(task.status).toBe('waiting')
    expect(a.member?.running.size).toBe(0)
  })

  test('timed out, when the turn has lasted so long', () => {
    const { log, a, id, task } = led()
    a.accept(id)
    log.advance(999)
    log.decide([kind.timedOut, id, 1])
    expect(task.status).toBe('running')
    log.advance(1)
    log.decide([kind.timedOut, id, 2])
    expect(task.status).toBe('running')
    log.decide([kind.timedOut, id, 1])
    expect(task).toMatchObject({ status: 'waiting', attempt: 2, dueAtMs: log.nowMs + 1_000 })
    a.complete(id)
    expect(task.status).toBe('waiting')
  })

  test('timed out, never without a timeout', () => {
    const { log } = led()
    const b = log.join('b')
    const id = log.submit()
    b.accept(id)
    log.advance(1e9)
    log.decide([kind.timedOut, id, 1])
    expect(log.task(id).status).toBe('running')
  })

  test('expired, when the deadline has passed in log time, whatever the task is doing', () => {
    const { log, a } = led()
    const ids = [1, 2, 3, 4].map((i) =>
      log.submit({ 'troupe-deadline': '5s', ...(i === 4 && { 'troupe-after': 'x' }) }),
    )
    a.accept(ids[1]!)
    a.accept(ids[2]!)
    a.park(ids[2]!, 1, { onSignal: true })
    log.advance(4_999)
    for (const id of ids) log.decide([kind.expired, id])
    expect(ids.map((id) => log.task(id).status)).toEqual(['waiting', 'running', 'parked', 'blocked'])
    log.advance(1)
    for (const id of ids) log.decide([kind.expired, id])
    expect(log.state.counts.expired).toBe(4)
    checkState(log.state)
  })

  test('expired, never without a deadline', () => {
    const { log, id, task } = led()
    log.advance(1e9)
    log.decide([kind.expired, id])
    expect(task.status).toBe('waiting')
  })

  test('cancelled, of a task that has not ended', () => {
    const { log, a, id, task } = led()
    a.accept(id)
    a.complete(id)
    log.decide([kind.cancelled, id, 'late'])
    expect(task.status).toBe('completed')
  })

  test('retried, of a dead letter: all its attempts, its last snapshot, no deadline', () => {
    const { log, a } = led()
    const id = log.submit({ 'troupe-deadline': '5s' })
    log.decide([kind.retried, id])
    a.accept(id)
    const sequence = a.checkpoint(id)
    log.decide([kind.retried, id])
    a.fail(id, 1, false)
    log.decide([kind.retried, id])
    const task = log.task(id)
    expect(task).toMatchObject({ status: 'waiting', attempt: 1, turn: 1, finishedAtMs: 0, outcome: undefined })
    expect(task.snapshot).toEqual({ sequence, index: 0 })
    expect([...log.state.dead]).toEqual([])
    log.advance(6_000)
    log.decide([kind.expired, id])
    a.accept(id, 2)
    a.complete(id, 2)
    expect(task.status).toBe('completed')
    checkState(log.state)
  })

  test('retried, of one that has used up its attempts: it has all of them again', () => {
    const { log, a, id } = led()
    const turns = [1, 2, 3]
    const useUp = (first: number) => {
      for (const turn of turns) {
        a.accept(id, first + turn)
        a.fail(id, first + turn)
        log.advance(60_000)
      }
    }
    useUp(0)
    expect(log.task(id)).toMatchObject({ status: 'failed', attempt: 3 })
    log.decide([kind.retried, id])
    expect(log.task(id)).toMatchObject({ status: 'waiting', attempt: 1 })
    useUp(3)
    expect(log.task(id)).toMatchObject({ status: 'failed', attempt: 3, turn: 6 })
  })

  test('retried, of nothing that keeps no input: completed, cancelled, unreadable', () => {
    const { log, a, id } = led()
    a.accept(id)
    a.complete(id)
    const cancelled = log.submit()
    log.decide([kind.cancelled, cancelled, ''])
    const unreadable = log.submit({ 'troupe-priority': 'high' })
    log.decide([kind.retried, id], [kind.retried, cancelled], [kind.retried, unreadable])
    expect([id, cancelled, unreadable].map((each) => log.task(each).status)).toEqual([
      'completed',
      'cancelled',
      'failed',
    ])
  })

  test('removed, of a task that has ended', () => {
    const { log, a, id } = led()
    log.decide([kind.removed, id])
    a.accept(id)
    a.fail(id, 1, false)
    log.decide([kind.removed, id])
    expect(log.state.tasks.has(id)).toBe(false)
    expect([...log.state.dead]).toEqual([])
    checkState(log.state)
  })
})

describe('values that are kept', () => {
  test('stand from then on where they were copied to', () => {
    const { log, a, id, task } = led()
    a.accept(id)
    const snapshot = a.checkpoint(id)
    log.decide([kind.kept, id, task.sequence, 'null', snapshot, new Uint8Array([7])])
    const place = { sequence: log.messages.length, index: 0 }
    expect(task.input).toEqual(place)
    expect(task.snapshot).toEqual(place)
    log.decide([kind.kept, id, place.sequence, 'null', place.sequence, new Uint8Array([7])])
    expect(task.input.sequence).toBe(log.messages.length)
  })

  test('of signals and of what children came to are needed from where they were copied to, and keep their order', () => {
    const { log, a, id, task } = led()
    a.accept(id)
    a.child(id, 1, 'child')
    a.accept('child')
    a.complete('child')
    const [one, two] = [log.signal(id), log.signal(id)]
    const { sequence } = log.task('child').outcome!
    log.decide([kind.carried, id, 'signal', one, '1'], [kind.carried, 'child', 'result', sequence, 'null'])
    const at = log.messages.length
    const signals = [
      { sequence: one, previous: 0, copy: { sequence: at, index: 0 } },
      { sequence: two, previous: one },
    ]
    expect(task.rare?.signals).toMatchObject(signals)
    expect(log.task('child').outcome).toEqual({ sequence: at, index: 1 })
    expect(oldestSignal(task)).toBe(two)
    const before = log.state.totals.void
    log.decide(
      [kind.carried, id, 'signal', at, '1'],
      [kind.carried, id, 'result', at, '1'],
      [kind.carried, 'child', 'result', sequence, 'null'],
      [kind.carried, 'nobody', 'signal', one, '1'],
    )
    expect(log.state.totals.void).toBe(before + 4)
    expect(task.rare?.signals).toMatchObject(signals)
    a.checkpoint(id, 1, one)
    expect(task.rare?.signals).toMatchObject([{ sequence: two }])
    log.decide([kind.carried, id, 'signal', one, '1'])
    expect(log.state.totals.void).toBe(before + 5)
  })

  test('are void when the task went on meanwhile: no snapshot is ever rolled back', () => {
    const { log, a, id, task } = led()
    a.accept(id)
    const old = a.checkpoint(id)
    const newer = a.checkpoint(id)
    log.decide([kind.kept, id, task.sequence, 'null', old, new Uint8Array([7])])
    log.decide([kind.kept, id, task.sequence, 'null', 0, null])
    log.decide([kind.kept, id, task.sequence + 1, 'null', newer, new Uint8Array([7])])
    expect(task.snapshot?.sequence).toBe(newer)
    expect(task.input.sequence).toBe(task.sequence)
  })
})
