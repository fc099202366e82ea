/** Gangs in the fold: when members are held, when all begin, and what becomes of the rest when one is lost. */
import { describe, expect, test } from 'vitest'
import { type CheckpointPart, LedgerSaving, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { noJitter, TestLog, type TestNode, taskProfile } from './test-log.ts'

function gangOf(log: TestLog, size: number, more = ''): string[] {
  return Array.from({ length: size }, (_, n) => log.submit({ 'troupe-id': `m${n}`, 'troupe-gang': `g/${size}${more}` }))
}

function statuses(log: TestLog, ids: readonly string[]): string[] {
  return ids.map((id) => log.task(id).status)
}

/** A gang of three that runs on two nodes. */
function started(more = ''): { log: TestLog; a: TestNode; b: TestNode; ids: string[] } {
  const log = new TestLog()
  log.lead()
  const [a, b] = [log.join('a'), log.join('b')]
  const ids = gangOf(log, 3, more)
  a.write([kind.accepted, 'm0', 1], [kind.accepted, 'm1', 1])
  b.accept('m2')
  return { log, a, b, ids }
}

describe('a gang', () => {
  test('begins with the accept of its last member, and nothing that a held one says counts before', () => {
    const log = new TestLog()
    const [a, b] = [log.join('a'), log.join('b')]
    const ids = gangOf(log, 3)
    a.accept('m0')
    b.accept('m1')
    a.complete('m0')
    b.checkpoint('m1')
    expect(statuses(log, ids)).toEqual(['held', 'held', 'waiting'])
    expect(log.task('m0')).toMatchObject({ startedAtMs: 0, snapshot: undefined })
    log.advance(500)
    log.takeChanges()
    b.accept('m2')
    expect(statuses(log, ids)).toEqual(['running', 'running', 'running'])
    expect(new Set(ids.map((id) => log.task(id).startedAtMs))).toEqual(new Set([log.nowMs]))
    expect(log.takeChanges().map(({ what }) => what)).toEqual(['held', 'running', 'running', 'running'])
    a.complete('m0')
    expect(log.task('m0').status).toBe('completed')
  })

  test('gives a member that is held its whole time once it begins', () => {
    const log = new TestLog()
    log.lead()
    const a = log.join('a', 'a1', [taskProfile('work', { timeoutMs: 1_000, heartbeatMs: 500 })])
    const ids = gangOf(log, 2)
    a.accept('m0')
    log.advance(2_000)
    log.decide([kind.timedOut, 'm0', 1])
    expect(log.task('m0')).toMatchObject({ status: 'held', turn: 1 })
    a.accept('m1')
    log.advance(499)
    log.decide([kind.timedOut, 'm0', 1])
    expect(statuses(log, ids)).toEqual(['running', 'running'])
    log.advance(1)
    log.decide([kind.timedOut, 'm0', 1])
    expect(log.task('m0')).toMatchObject({ status: 'waiting', attempt: 2 })
  })

  test('waits for members that have not been submitted', () => {
    const log = new TestLog()
    const a = log.join('a')
    log.submit({ 'troupe-id': 'm0', 'troupe-gang': 'g/2' })
    a.accept('m0')
    expect(log.task('m0').status).toBe('held')
    log.submit({ 'troupe-id': 'm1', 'troupe-gang': 'g/2' })
    a.accept('m1')
    expect(statuses(log, ['m0', 'm1'])).toEqual(['running', 'running'])
  })

  test('of which a full queue refuses one ends with all that came in the same message', () => {
    const log = new TestLog()
    log.lead()
    log.join('a')
    log.decide([kind.limited, 'crowded', { queuedMax: 1 }])
    log.submitBlock('client', [['crowded', null]])
    const gang = { id: 'g', size: 3 }
    const member = (id: string, type: string) => [type, null, { id, gang }] as const
    log.submitBlock('client', [member('m0', 'crowded'), member('m1', 'work'), member('m2', 'work')])
    log.submitBlock('client', [member('n0', 'work'), member('n1', 'crowded'), member('n2', 'work')])
    const ids = ['m0', 'm1', 'm2', 'n0', 'n1', 'n2']
    expect(statuses(log, ids)).toEqual(ids.map(() => 'failed'))
    expect(log.task('m2').rare?.lastError?.code).toBe('TROUPE_GANG_BROKEN')
    // Its name is free for a gang that comes whole.
    log.submitBlock('client', [member('o0', 'work'), member('o1', 'work'), member('o2', 'work')])
    expect(statuses(log, ['o0', 'o1', 'o2'])).toEqual(['waiting', 'waiting', 'waiting'])
  })

  test('goes back as a whole when its gathering is over, once, and not when it has begun', () => {
    const log = new TestLog()
    log.lead()
    const a = log.join('a')
    const ids = gangOf(log, 3)
    a.accept('m0')
    const { heldSince } = log.state.gangs.get('g')!
    a.accept('m1')
    log.decide([kind.ungathered, 'g', heldSince - 1, 'another gathering'])
    expect(statuses(log, ids)).toEqual(['held', 'held', 'waiting'])
    log.takeChanges()
    log.decide([kind.ungathered, 'g', heldSince, 'it took too long'])
    expect(statuses(log, ids)).toEqual(['waiting', 'waiting', 'waiting'])
    expect(log.takeChanges().filter(({ what }) => what === 'recalled')).toHaveLength(2)
    for (const id of ids) a.accept(id, log.task(id).turn + 1)
    expect(statuses(log, ids)).toEqual(['running', 'running', 'running'])
    log.decide([kind.ungathered, 'g', log.messages.length - 1, 'too late'])
    expect(statuses(log, ids)).toEqual(['running', 'running', 'running'])
  })

  test('whose held member loses its node keeps the others held, and nobody is charged', () => {
    const log = new TestLog()
    const [a, b] = [log.join('a'), log.join('b')]
    const ids = gangOf(log, 3)
    a.accept('m0')
    b.accept('m1')
    log.fence(a)
    expect(statuses(log, ids)).toEqual(['waiting', 'held', 'waiting'])
    expect(log.task('m0').rare?.restarts).toBeUndefined()
    b.accept('m0', 2)
    b.accept('m2')
    expect(statuses(log, ids)).toEqual(['running', 'running', 'running'])
  })

  test('ends as a whole when a member ends before the start', () => {
    const log = new TestLog()
    log.lead()
    const a = log.join('a')
    const ids = gangOf(log, 3)
    a.accept('m0')
    log.decide([kind.cancelled, 'm2', ''])
    expect(statuses(log, ids)).toEqual(['failed', 'failed', 'cancelled'])
    expect(log.task('m0').rare?.lastError).toMatchObject({ code: 'TROUPE_GANG_BROKEN', details: { task: 'm2' } })
    expect(log.state.gangs.size).toBe(0)
    // Retried, it is whole again with another in the place of the one that was cancelled.
    log.decide([kind.retried, 'm0'], [kind.retried, 'm1'])
    a.accept('m0', 2)
    a.accept('m1')
    expect(statuses(log, ['m0', 'm1'])).toEqual(['held', 'held'])
    log.submit({ 'troupe-id': 'm3', 'troupe-gang': 'g/3' })
    a.accept('m3')
    expect(statuses(log, ['m0', 'm1', 'm3'])).toEqual(['running', 'running', 'running'])
  })

  test('takes no more members than its size, and none of another size', () => {
    const log = new TestLog()
    gangOf(log, 2)
    log.submit({ 'troupe-id': 'third', 'troupe-gang': 'g/2' })
    log.submit({ 'troupe-id': 'one', 'troupe-gang': 'h/2' })
    log.submit({ 'troupe-id': 'other', 'troupe-gang': 'h/3' })
    for (const id of ['third', 'other']) {
      expect(log.task(id)).toMatchObject({ status: 'failed', rare: { lastError: { code: 'TROUPE_GANG_CONFLICT' } } })
    }
    log.submit({ 'troupe-gang': 'g/0' })
    expect(log.state.dead.length).toBe(3)
  })
})

describe('when a member loses its node after the start', () => {
  test('those that run start again with it, and only its own loss is charged', () => {
    const { log, a, ids } = started()
    a.checkpoint('m0')
    log.takeChanges()
    log.fence(log.join('c'))
    log.fence(a)
    expect(statuses(log, ids)).toEqual(['waiting', 'waiting', 'waiting'])
    expect(log.takeChanges()).toContainEqual(expect.objectContaining({ what: 'recalled', id: 'm2', turn: 1 }))
    expect(log.task('m2').rare?.restarts).toBeUndefined()
    const c = log.join('d')
    for (const id of ids.slice(1)) c.accept(id, 2)
    expect(statuses(log, ids)).toEqual(['waiting', 'held', 'held'])
    c.accept('m0', 2)
    expect(statuses(log, ids)).toEqual(['running', 'running', 'running'])
    expect(log.task('m0').snapshot).toBeDefined()
  })

  test('what has completed, parked or yielded is not called back', () => {
    const { log, a, b, ids } = started()
    a.complete('m0')
    b.park('m2', 1, { onSignal: true })
    log.fence(a)
    expect(statuses(log, ids)).toEqual(['completed', 'waiting', 'parked'])
    b.accept('m1', 2)
    expect(log.task('m1').status).toBe('running')
    log.signal('m2')
    b.accept('m2', 2)
    expect(log.task('m2').status).toBe('running')
  })

  test('it goes on alone if the gang wants it so', () => {
    const { log, a, b, ids } = started('/alone')
    log.fence(a)
    expect(statuses(log, ids)).toEqual(['waiting', 'waiting', 'running'])
    b.accept('m0', 2)
    expect(statuses(log, ids)).toEqual(['running', 'waiting', 'running'])
  })

  test('a failed attempt, a yield and a leaving node: the first two are its own, the third is a loss', () => {
    const { log, a, b, ids } = started()
    a.fail('m0')
    b.write([kind.yielded, 'm2', 1, null, 0])
    expect(statuses(log, ids)).toEqual(['waiting', 'running', 'waiting'])
    b.accept('m2', 2)
    expect(log.task('m2').status).toBe('running')
    a.write([kind.left])
    expect(statuses(log, ids)).toEqual(['waiting', 'waiting', 'waiting'])
  })
})

test('a checkpoint keeps gangs as they are', () => {
  const log = new TestLog()
  log.lead()
  const [a, b] = [log.join('a'), log.join('b')]
  const ids = gangOf(log, 3)
  a.accept('m0')
  b.accept('m1')
  const saving = new LedgerSaving(log.state, 1)
  const parts: CheckpointPart[] = []
  for (let rows = saving.rows(2); rows !== undefined; rows = saving.rows(2)) parts.push(['tasks', rows])
  parts.push(...saving.others())
  log.ledger = Object.assign(log.refold(), { state: restoreState(saving.manifest(0, 0), parts) })
  expect(statuses(log, ids)).toEqual(['held', 'held', 'waiting'])
  b.accept('m2')
  expect(statuses(log, ids)).toEqual(['running', 'running', 'running'])
})

test('the time that a member is held for its gang is no part of the time that its turn may take', () => {
  const log = new TestLog()
  log.lead()
  const types = [taskProfile('work', { timeoutMs: 1_000, retry: { ...noJitter, attempts: 1 } })]
  const [a, b] = [log.join('a', 'a1', types), log.join('b', 'b1', types)]
  gangOf(log, 2)
  a.accept('m0')
  log.advance(900)
  b.accept('m1')
  log.advance(999)
  log.decide([kind.timedOut, 'm0', 1], [kind.timedOut, 'm1', 1])
  expect(statuses(log, ['m0', 'm1'])).toEqual(['running', 'running'])
  log.advance(1)
  log.decide([kind.timedOut, 'm0', 1])
  expect(log.task('m0').status).toBe('failed')
})
