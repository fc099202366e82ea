/** Schedules in the ledger: a firing counts once, in its time; the rules of overlap; what a checkpoint holds. */
import { expect, test } from 'vitest'
import { LedgerSaving, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import { type ControlEntry, kind } from '../../../src/protocol/entries.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { firingId, type OverlapRule, type Schedule } from '../../../src/protocol/schedule.ts'
import { startMs, TestLog } from './test-log.ts'

const everyMs = 10_000
const input = '{"n":1}'
/** The due time of the nth firing. */
const due = (n: number) => startMs + n * everyMs
const id = (n: number) => firingId('tick', due(n))

function schedule(overlap: OverlapRule = 'allow', more: Partial<Schedule> = {}): Schedule {
  return { schedule: '*/10 * * * * *', timeZone: 'UTC', type: 'work', missed: 'latest', overlap, ...more }
}

function set(overlap?: OverlapRule, more?: Partial<Schedule>): ControlEntry {
  return [kind.scheduled, 'tick', schedule(overlap, more), input, due(1)]
}

function fired(n: number): ControlEntry {
  return [kind.fired, 'tick', due(n), due(n + 1), input]
}

/** A leader, a node, and the schedule, whose first firing is due. */
function ticking(overlap?: OverlapRule) {
  const log = new TestLog()
  log.lead()
  const node = log.join('a')
  log.decide(set(overlap))
  const fire = (n: number) => {
    log.nowMs = due(n)
    log.decide(fired(n))
  }
  const record = () => log.state.schedules.get('tick')!
  const tasks = () => [...log.state.tasks.values()].map(({ id, status }) => [id, status])
  return { log, node, fire, record, tasks }
}

test('a firing makes one task, known by name and due time, however often it is said', () => {
  const { log, fire, record, tasks } = ticking()
  fire(1)
  log.decide(fired(1))
  fire(1)
  expect(id(1)).toMatch(/^tick@20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
  expect(tasks()).toEqual([[id(1), 'waiting']])
  expect(record()).toMatchObject({ nextAtMs: due(2), lastAtMs: due(1), lastTask: id(1), fired: 1, skipped: 0 })
  expect(log.state.totals.void).toBe(2)
  expect(log.takeChanges().filter(({ what }) => what === 'ready')).toHaveLength(1)
})

test('a firing that was decided on by the schedule before is void: its next due time is of another pattern', () => {
  const { log, record, tasks } = ticking()
  const before = record().setSequence
  log.decide(set('allow', { schedule: '*/5 * * * * *' }))
  expect(record()).toMatchObject({ nextAtMs: due(1), setSequence: log.state.position })
  log.nowMs = due(1)
  log.decide([kind.missed, 'tick', due(1), due(2), before], [kind.fired, 'tick', due(1), due(2), input, before])
  expect(tasks()).toEqual([])
  expect(record().nextAtMs).toBe(due(1))
  log.decide([kind.fired, 'tick', due(1), due(1) + 5_000, input, record().setSequence])
  expect(tasks()).toEqual([[id(1), 'waiting']])
})

test('a firing before its time, of another due time, of a deposed leader or of a removed schedule is void', () => {
  const { log, fire, tasks } = ticking()
  log.nowMs = due(1) - 1
  log.decide(fired(1))
  log.nowMs = due(2)
  log.decide(fired(2))
  const { epoch } = log
  log.lead('s2')
  log.decideAs('s1', epoch, fired(1))
  expect(tasks()).toEqual([])
  log.decide([kind.scheduled, 'tick', null, null, 0])
  fire(2)
  log.decide([kind.scheduled, 'tick', null, null, 0])
  expect([tasks(), log.state.schedules.size, log.state.totals.void]).toEqual([[], 0, 5])
})

test('the task has the input and the options of its schedule', () => {
  const { log, fire } = ticking()
  log.decide(set('allow', { options: { priority: 9, key: 'k', startWithinMs: 5_000 } }))
  fire(1)
  expect(log.task(id(1))).toMatchObject({ type: 'work', priority: 9, key: 'k', rare: { startByMs: due(1) + 5_000 } })
  const submitted = log.takeChanges().find(({ what }) => what === 'submitted')
  expect(submitted).toMatchObject({ input })
})

test('missed firings make no task and move the schedule on', () => {
  const { log, record, tasks } = ticking()
  log.nowMs = due(8)
  log.decide([kind.missed, 'tick', due(1), due(8)], fired(8))
  expect(tasks()).toEqual([[id(8), 'waiting']])
  expect(record()).toMatchObject({ nextAtMs: due(9), missedAtMs: due(1), fired: 1 })
})

test('setting a schedule anew keeps the firing that is due, unless its time has changed', () => {
  const { log, record } = ticking()
  log.nowMs = due(3)
  log.decide([kind.scheduled, 'tick', schedule('skip', { type: 'other' }), '2', due(4)])
  expect(record()).toMatchObject({ nextAtMs: due(1), input: '2', schedule: { type: 'other', overlap: 'skip' } })
  log.decide([kind.scheduled, 'tick', schedule('skip', { timeZone: 'Europe/Vienna' }), '2', due(4)])
  expect(record().nextAtMs).toBe(due(4))
})

test('a schedule that was removed and set again does not run a firing a second time', () => {
  const { log, fire, tasks } = ticking()
  fire(1)
  log.decide([kind.scheduled, 'tick', null, null, 0], set())
  fire(1)
  expect(tasks()).toEqual([[id(1), 'waiting']])
})

test('overlap allow: both run', () => {
  const { fire, tasks } = ticking('allow')
  for (const n of [1, 2]) fire(n)
  expect(tasks()).toEqual([1, 2].map((n) => [id(n), 'waiting']))
})

test('overlap skip: a firing makes no task while an earlier one has not ended', () => {
  const { node, fire, tasks, record } = ticking('skip')
  for (const n of [1, 2]) fire(n)
  expect([tasks(), record().skipped]).toEqual([[[id(1), 'waiting']], 1])
  node.accept(id(1))
  fire(3)
  node.complete(id(1))
  fire(4)
  expect(tasks()).toEqual([
    [id(1), 'completed'],
    [id(4), 'waiting'],
  ])
  expect(record()).toMatchObject({ fired: 2, skipped: 2, lastTask: id(4) })
})

test('overlap replace: the earlier task is cancelled', () => {
  const { log, node, fire, tasks } = ticking('replace')
  fire(1)
  node.accept(id(1))
  for (const n of [2, 3]) fire(n)
  expect(tasks()).toEqual([
    [id(1), 'cancelled'],
    [id(2), 'cancelled'],
    [id(3), 'waiting'],
  ])
  expect(log.task(id(1)).rare?.lastError?.message).toBe(`"${id(2)}" took its place`)
})

test('overlap queue: each waits for the end of the one before, however it ends', () => {
  const { log, node, fire, tasks } = ticking('queue')
  for (const n of [1, 2, 3]) fire(n)
  expect(tasks().map(([, status]) => status)).toEqual(['waiting', 'blocked', 'blocked'])
  node.accept(id(1))
  node.fail(id(1), 1, false)
  expect(tasks().map(([, status]) => status)).toEqual(['failed', 'waiting', 'blocked'])
  log.decide([kind.cancelled, id(2), 'enough'])
  expect(tasks().map(([, status]) => status)).toEqual(['failed', 'cancelled', 'waiting'])
  expect(log.state.dependents.size).toBe(0)
  fire(4)
  node.accept(id(3))
  node.complete(id(3))
  expect(tasks().map(([, status]) => status)).toEqual(['failed', 'cancelled', 'completed', 'waiting'])
})

test('no more than a bounded number of firings wait for each other', () => {
  const { fire, tasks, record } = ticking('queue')
  for (let n = 1; n <= limits.firingsQueuedMax + 3; n++) fire(n)
  expect([tasks().length, record().skipped]).toEqual([limits.firingsQueuedMax, 3])
})

test('a checkpoint holds the schedules, and a fold goes on from it as from the beginning', () => {
  const { log, node, fire } = ticking('queue')
  for (const n of [1, 2]) fire(n)
  const saving = new LedgerSaving(log.state, 1)
  fire(3)
  const rows = saving.rows(1_000)!
  const restored = restoreState(saving.manifest(0, 0), [['tasks', rows], ...saving.others()])
  expect(restored.schedules.get('tick')).toMatchObject({ fired: 2, nextAtMs: due(3), open: [id(1), id(2)] })
  node.accept(id(1))
  node.fail(id(1), 1, false)
  const whole = log.refold().state
  expect([...whole.tasks.values()].map(({ status }) => status)).toEqual(['failed', 'waiting', 'blocked'])
  expect([...whole.schedules]).toEqual([...log.state.schedules])
  const after = new TestLog()
  after.ledger = Object.assign(after.ledger, { state: restored })
  for (const message of log.messages.slice(restored.position)) after.ledger.fold(message)
  expect([...restored.tasks.values()].map(({ status }) => status)).toEqual(['failed', 'waiting', 'blocked'])
  expect([...restored.schedules]).toEqual([...whole.schedules])
})

test('an entry with a due time that is no whole second, or a next one that is not later, is void', () => {
  const { log, record } = ticking()
  log.nowMs = due(2)
  log.decide([kind.fired, 'tick', due(1), due(1), input])
  log.decide([kind.fired, 'tick', due(1), due(2) + 1, input])
  log.decide([kind.missed, 'tick', due(1), -1])
  log.decide([kind.scheduled, 'tock', { ...schedule(), overlap: 'sometimes' as never }, null, due(3)])
  expect([record().fired, log.state.schedules.size, log.state.totals.setAside]).toEqual([0, 1, 4])
})

test('a schedule that is set anew knows of the firing that still runs', () => {
  const { log, fire, record, tasks } = ticking('skip')
  fire(1)
  log.decide(set('skip', { type: 'other' }))
  fire(2)
  expect(tasks()).toEqual([[id(1), 'waiting']])
  expect(record()).toMatchObject({ fired: 1, skipped: 1 })
})

test('a firing that is made late is known by when it was due', () => {
  const { log, record, tasks } = ticking()
  log.nowMs = due(1) + 3_000
  log.decide(fired(1))
  expect(tasks()).toEqual([[id(1), 'waiting']])
  expect(record()).toMatchObject({ nextAtMs: due(2), lastAtMs: due(1), lastTask: id(1) })
})
