/** Dependencies (`after`), parents and children: who waits for whom, and who ends with whom. */
import { describe, expect, test } from 'vitest'
import { kind } from '../../../src/protocol/entries.ts'
import { checkState, describeState } from './describe.ts'
import { TestLog } from './test-log.ts'

function finish(log: TestLog, id: string, how: 'complete' | 'fail' = 'complete'): void {
  const worker = log.join('worker', `w${log.messages.length}`)
  const turn = log.task(id).turn + 1
  worker.accept(id, turn)
  if (how === 'complete') worker.complete(id, turn)
  else worker.fail(id, turn, false)
}

describe('a task that comes after others', () => {
  test('is blocked until all have completed, and then waits for its own delay', () => {
    const log = new TestLog()
    const ids = [log.submit(), log.submit()]
    const c = log.submit({ 'troupe-after': ids.join(','), 'troupe-delay': '1m' })
    const dueAtMs = log.nowMs + 60_000
    expect(log.task(c).status).toBe('blocked')
    finish(log, ids[1]!)
    expect(log.task(c).status).toBe('blocked')
    finish(log, ids[0]!)
    expect(log.task(c)).toMatchObject({ status: 'waiting', dueAtMs })
    expect(log.state.dependents.size).toBe(0)
    checkState(log.state)
  })

  test('that have completed already is ready at once', () => {
    const log = new TestLog()
    const a = log.submit()
    finish(log, a)
    expect(log.task(log.submit({ 'troupe-after': a })).status).toBe('waiting')
  })

  test('that are not known yet waits for them to come', () => {
    const log = new TestLog()
    const b = log.submit({ 'troupe-after': 'later' })
    log.submit({ 'troupe-id': 'later' })
    expect(log.task(b).status).toBe('blocked')
    finish(log, 'later')
    expect(log.task(b).status).toBe('waiting')
  })

  test.each(['failed', 'cancelled', 'expired'] as const)('one of which is %s fails with it, and says why', (status) => {
    const log = new TestLog()
    log.lead()
    const a = log.submit({ 'troupe-deadline': '1s' })
    const b = log.submit({ 'troupe-after': a })
    const c = log.submit({ 'troupe-after': `${b},never` })
    log.advance(1_000)
    if (status === 'failed') finish(log, a, 'fail')
    else log.decide(status === 'cancelled' ? [kind.cancelled, a, ''] : [kind.expired, a])
    expect(log.task(b).rare?.lastError).toMatchObject({ code: 'TROUPE_DEPENDENCY_FAILED', details: { task: a } })
    expect(log.task(c).rare?.lastError).toMatchObject({ code: 'TROUPE_DEPENDENCY_FAILED', details: { task: b } })
    const late = log.submit({ 'troupe-after': a })
    expect(log.task(late)).toMatchObject({ status: 'failed', rare: { lastError: { details: { task: a } } } })
    expect(log.state.dependents.size).toBe(0)
    checkState(log.state)
  })

  test('that fail together fails once', () => {
    const log = new TestLog()
    log.lead()
    const a = log.submit()
    const b = log.submit({ 'troupe-after': a })
    const c = log.submit({ 'troupe-after': `${a},${b}` })
    log.decide([kind.cancelled, a, ''])
    expect(log.task(c).status).toBe('failed')
    expect(log.state.totals.failed).toBe(2)
    expect([...log.state.dead].map(({ id }) => id)).toEqual([b, c])
    checkState(log.state)
  })

  test('ends a chain of any length without a stack', () => {
    const log = new TestLog()
    log.lead()
    log.submitBlock('c', [['work', null, { id: 't0' }]])
    for (let from = 1; from < 40_000; from += 4_000) {
      const chain = Array.from({ length: 4_000 }, (_, i) => {
        return ['work', null, { id: `t${from + i}`, after: [`t${from + i - 1}`] }] as const
      })
      log.submitBlock('c', chain)
    }
    log.decide([kind.cancelled, 't0', ''])
    expect(log.state.totals).toMatchObject({ cancelled: 1, failed: 40_000 })
    expect(log.state.counts.blocked).toBe(0)
    expect(log.state.setAsides.length).toBe(0)
  })

  test('that failed can be retried in any order, and waits again', () => {
    const log = new TestLog()
    log.lead()
    const a = log.submit()
    const b = log.submit({ 'troupe-after': a })
    finish(log, a, 'fail')
    log.decide([kind.retried, b])
    expect(log.task(b).status).toBe('blocked')
    log.decide([kind.retried, a])
    checkState(log.state)
    finish(log, a)
    expect(log.task(b).status).toBe('waiting')
    finish(log, b)
    expect(log.state.counts.completed).toBe(2)
  })

  test('does not outlive itself in the index', () => {
    const log = new TestLog()
    log.lead()
    const b = log.submit({ 'troupe-after': 'never,ever' })
    log.decide([kind.cancelled, b, ''])
    expect(log.state.dependents.size).toBe(0)
  })
})

function family(children: string[]) {
  const log = new TestLog()
  log.lead()
  const a = log.join('a')
  const parent = log.submit({ 'troupe-id': 'parent' })
  a.accept(parent)
  for (const id of children) a.child(parent, 1, id)
  return { log, a, parent: log.task(parent) }
}

describe('a parent', () => {
  test('parked for its children goes on when the last has ended, however it ended', () => {
    const { log, a, parent } = family(['c1', 'c2'])
    a.park('parent', 1, { children: ['c1', 'c2'] })
    expect(parent.status).toBe('parked')
    finish(log, 'c1')
    expect(parent.status).toBe('parked')
    log.takeChanges()
    finish(log, 'c2', 'fail')
    expect(parent.status).toBe('waiting')
    expect(log.takeChanges()).toContainEqual({ what: 'ready', task: parent })
    checkState(log.state)
  })

  test('parked when all of them have ended already goes on at once (rule 5)', () => {
    const { log, a, parent } = family(['c1'])
    finish(log, 'c1')
    a.park('parent', 1, { children: ['c1'] })
    expect(parent.status).toBe('waiting')
  })

  test('parked for its children or a timer goes on at once when the children have ended', () => {
    const { log, a, parent } = family(['c1'])
    finish(log, 'c1')
    a.park('parent', 1, { children: ['c1'], wakeAtMs: log.nowMs + 1e6 })
    expect(parent.status).toBe('waiting')
  })

  test('may wait for a task that is not its child', () => {
    const { log, a, parent } = family([])
    log.submit({ 'troupe-id': 'other' })
    a.child('parent', 1, 'other')
    a.park('parent', 1, { children: ['other'] })
    finish(log, 'other')
    expect(parent.status).toBe('waiting')
    checkState(log.state)
  })

  test('submits a child once, whatever it repeats', () => {
    const { log, a, parent } = family(['c1'])
    a.child('parent', 1, 'c1')
    expect(log.state.totals.submitted).toBe(2)
    expect(log.task('c1')).toMatchObject({ rare: { parent: 'parent' } })
    expect([...(parent.rare?.children ?? [])]).toEqual(['c1'])
  })

  test('that fails or is cancelled takes its live children and theirs along, and no others', () => {
    const { log, a, parent } = family(['c1', 'c2', 'c3'])
    a.accept('c1')
    a.child('c1', 1, 'grandchild')
    finish(log, 'c2')
    log.decide([kind.cancelled, 'parent', ''])
    const statuses = ['parent', 'c1', 'grandchild', 'c2', 'c3'].map((id) => log.task(id).status)
    expect(statuses).toEqual(['cancelled', 'cancelled', 'cancelled', 'completed', 'cancelled'])
    expect(parent.rare?.children).toBeUndefined()
    checkState(log.state)
  })

  test('that fails or expires takes them along as well', () => {
    for (const how of ['failed', 'expired'] as const) {
      const { log, a } = family(['c1'])
      if (how === 'failed') a.fail('parent', 1, false)
      else {
        log.task('parent').more.deadlineAtMs = log.nowMs
        log.decide([kind.expired, 'parent'])
      }
      expect([log.task('parent').status, log.task('c1').status]).toEqual([how, 'cancelled'])
    }
  })

  test('that completes lets its children run on', () => {
    const { log, a } = family(['c1'])
    a.complete('parent')
    expect(log.task('c1').status).toBe('waiting')
    finish(log, 'c1')
    checkState(log.state)
  })

  test('has what its children did for as long as it lives; then they are forgotten like all others', () => {
    const { log, a } = family(['c1', 'c2'])
    log.lead('s1', { resultsKeepCount: 1, deadKeepCount: 1, resultsKeepMs: 1_000, deadKeepMs: 1_000 })
    finish(log, 'c1')
    finish(log, 'c2')
    log.advance(5_000)
    finish(log, log.submit())
    expect([log.state.tasks.has('c1'), log.state.tasks.has('c2')]).toEqual([true, true])
    a.complete('parent')
    log.submit()
    expect([log.state.tasks.has('c1'), log.state.tasks.has('c2')]).toEqual([false, false])
    checkState(log.state)
  })

  test('of the same id that comes later is no parent of theirs', () => {
    const { log, a } = family(['c1'])
    a.complete('parent')
    log.decide([kind.removed, 'parent'])
    log.submit({ 'troupe-id': 'parent' })
    finish(log, 'c1')
    expect([...log.state.results].map(({ id }) => id)).toEqual(['c1'])
    checkState(log.state)
  })
})

describe('a failed parent that is retried', () => {
  /** One child ran, one had completed, one was delayed, one waited for another task, and one had a child of its own. */
  function failedFamily() {
    const { log, a, parent } = family(['ran', 'done', 'mother'])
    a.write([kind.submitted, 'parent', 1, 'work', null, { id: 'delayed', delayMs: 60_000 }])
    a.write([kind.submitted, 'parent', 1, 'work', null, { id: 'blocked', after: ['later'] }])
    const dueAtMs = log.task('delayed').dueAtMs
    a.accept('ran')
    a.write([kind.checkpointed, 'ran', 1, new Uint8Array([7]), 0])
    a.accept('mother')
    a.child('mother', 1, 'grandchild')
    a.write([kind.parked, 'mother', 1, null, 0, 0, false, ['grandchild']])
    finish(log, 'done')
    a.fail('parent', 1, false)
    return { log, a, parent, dueAtMs }
  }
  const cancelled = ['ran', 'mother', 'delayed', 'blocked', 'grandchild']

  test('runs again with those of its children that were cancelled because it failed', () => {
    const { log, a, dueAtMs } = failedFamily()
    expect(cancelled.map((id) => log.task(id).status)).toEqual(cancelled.map(() => 'cancelled'))
    const snapshot = log.task('ran').snapshot
    checkState(log.state)
    log.decide([kind.retried, 'parent'])
    checkState(log.state)
    expect(['parent', ...cancelled].map((id) => log.task(id).status)).toEqual([
      'waiting',
      'waiting',
      'waiting',
      'waiting',
      'blocked',
      'waiting',
    ])
    expect(log.task('ran')).toMatchObject({ snapshot, turn: 1, attempt: 1, dueAtMs: 0 })
    expect(log.task('delayed').dueAtMs).toBe(dueAtMs)
    expect(log.task('done').status).toBe('completed')
    a.accept('parent', 2)
    a.park('parent', 2, { children: ['ran', 'done'] })
    a.accept('ran', 2)
    a.complete('ran', 2)
    expect(log.task('parent').status).toBe('waiting')
    expect(describeState(log.refold().state)).toEqual(describeState(log.state))
  })

  test('has what they did for as long as it lives', () => {
    const { log } = failedFamily()
    log.lead('s1', { resultsKeepCount: 0, deadKeepCount: 10, resultsKeepMs: 1_000, deadKeepMs: 1e9 })
    log.decide([kind.retried, 'parent'])
    log.advance(5_000)
    log.submit()
    expect(log.state.tasks.has('done')).toBe(false)
    finish(log, 'ran')
    log.advance(5_000)
    log.submit()
    expect(log.state.tasks.has('ran')).toBe(true)
    checkState(log.state)
  })

  test('does so as often as it fails', () => {
    const { log, a } = failedFamily()
    for (const turn of [2, 3]) {
      log.decide([kind.retried, 'parent'])
      a.accept('parent', turn)
      a.fail('parent', turn, false)
      expect(cancelled.map((id) => log.task(id).status)).toEqual(cancelled.map(() => 'cancelled'))
      checkState(log.state)
    }
  })

  test('leaves alone those that somebody else has cancelled, and those that failed by themselves', () => {
    const { log, a } = family(['c1', 'c2', 'c3'])
    log.decide([kind.cancelled, 'c1', 'not needed'])
    finish(log, 'c2', 'fail')
    a.fail('parent', 1, false)
    log.decide([kind.retried, 'parent'])
    expect(['c1', 'c2', 'c3'].map((id) => log.task(id).status)).toEqual(['cancelled', 'failed', 'waiting'])
    checkState(log.state)
  })

  test('finds those that were retried before it', () => {
    const { log, a } = family(['c1'])
    finish(log, 'c1', 'fail')
    a.fail('parent', 1, false)
    log.decide([kind.retried, 'c1'], [kind.retried, 'parent'])
    a.accept('parent', 2)
    a.park('parent', 2, { children: ['c1'] })
    finish(log, 'c1')
    expect(log.task('parent').status).toBe('waiting')
    checkState(log.state)
  })

  test.each(['removed', 'forgotten'])(
    'cannot be once it was %s, and its children keep nothing for it any more',
    (how) => {
      const { log } = failedFamily()
      const isKept = () => cancelled.map((id) => log.task(id).mayRun)
      expect(isKept()).toEqual(cancelled.map(() => true))
      if (how === 'removed') log.decide([kind.removed, 'parent'])
      else {
        log.lead('s1', { resultsKeepCount: 100, deadKeepCount: 0, resultsKeepMs: 1e9, deadKeepMs: 1e9 })
        expect(log.state.tasks.has('parent')).toBe(false)
      }
      expect(isKept()).toEqual(cancelled.map(() => false))
      expect(log.state.cancelledWithParents.length).toBe(0)
      checkState(log.state)
    },
  )

  test('was not cancelled: what ends with a cancelled parent is gone', () => {
    const { log } = family(['c1'])
    log.decide([kind.cancelled, 'parent', ''])
    expect([log.task('c1').mayRun, log.task('parent').rare?.children]).toEqual([false, undefined])
    checkState(log.state)
  })
})

test('what ends together is forgotten in an order that does not depend on who folds', () => {
  const { log, a } = family(['c3', 'c1', 'c2'])
  for (const id of ['x', 'b', 'y']) log.submit({ 'troupe-id': id, 'troupe-after': 'parent' })
  a.fail('parent', 1, false)
  expect(describeState(log.refold().state)).toEqual(describeState(log.state))
  expect([...log.state.dead].map(({ id }) => id)).toEqual(['parent', 'x', 'b', 'y'])
})
