/** What partitions say to each other through their logs: each thing counts once, whoever brings it and how often. */
import { describe, expect, test } from 'vitest'
import { LedgerSaving, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { type ForwardEntry, formatVersion, kind } from '../../../src/protocol/entries.ts'
import { homeOf, partitionOf } from '../../../src/protocol/partitions.ts'
import { TestLog } from './test-log.ts'

const partitions = 4

function idAt(partition: number, prefix = 'id'): string {
  for (let n = 0; ; n++) if (homeOf(`${prefix}-${n}`, partitions) === partition) return `${prefix}-${n}`
}

function bring(log: TestLog, from: number, ...entries: ForwardEntry[]): void {
  log.append(log.subjects.forward(from), packBlock([formatVersion, entries]))
}

/** The ledger as a checkpoint of it has it. */
function saved(log: TestLog): { ledger: Ledger; neededFrom: number } {
  const saving = new LedgerSaving(log.state, 1)
  const rows = []
  for (let slice = saving.rows(100); slice !== undefined; slice = saving.rows(100)) rows.push(...slice)
  const manifest = saving.manifest(0, 0)
  const state = restoreState(manifest, [['tasks', rows], ...saving.others()])
  return { ledger: new Ledger(log.subjects, state), neededFrom: manifest.neededFrom }
}

describe('a submission that landed in the wrong log', () => {
  test('makes no task there, and is needed until it was brought where it belongs', () => {
    const log = new TestLog(partitions)
    log.lead()
    const here = log.submit({ 'troupe-id': idAt(0) })
    const anywhere = log.submit()
    log.submit({ 'troupe-id': idAt(2) })
    const stray = log.messages.length
    expect([...log.state.tasks.values()].map(({ id }) => id)).toEqual([here, anywhere])
    expect([...log.state.strays.submissions]).toEqual([[stray, 2]])
    const { ledger, neededFrom } = saved(log)
    expect(neededFrom).toBeLessThanOrEqual(stray)
    expect([...ledger.state.strays.submissions]).toEqual([[stray, 2]])
    log.decide([kind.forwarded, 3, stray])
    expect(log.state.strays.submissions.size).toBe(1)
    log.decide([kind.forwarded, 2, stray])
    expect(log.state.strays.submissions.size).toBe(0)
  })

  test('counts once where it was brought, also after its task has been forgotten, and a checkpoint', () => {
    const log = new TestLog(partitions, 2)
    log.lead('s1', { resultsKeepCount: 0, resultsKeepMs: 0 })
    const node = log.join('n1')
    const id = idAt(2)
    bring(log, 0, [kind.brought, 7, 'work', null, { id }], [kind.brought, 9, 'work', null, {}])
    expect([...log.state.tasks.values()].map(({ id }) => id)).toEqual([id, '0-9'])
    for (const task of [id, '0-9']) {
      node.accept(task)
      node.complete(task)
    }
    log.advance(1)
    log.submit()
    expect(log.state.tasks.has(id)).toBe(false)
    bring(log, 0, [kind.brought, 7, 'work', null, { id }])
    expect(log.state.tasks.has(id)).toBe(false)
    bring(log, 1, [kind.brought, 7, 'work', null, { id: idAt(2, 'of-another-log') }])
    expect(log.state.totals.submitted).toBe(4)
    const { ledger } = saved(log)
    expect(ledger.state.strays.isNew(0, 9)).toBe(false)
    expect(ledger.state.strays.isNew(0, 10)).toBe(true)
  })

  test('is set aside alone when it makes the fold throw, a defect of ours', () => {
    const log = new TestLog(partitions, 2)
    const [poison, fine] = [idAt(2), idAt(2, 'fine')]
    const { tasks } = log.state
    const get = tasks.get.bind(tasks)
    tasks.get = (id) => {
      if (id === poison) throw new Error('defect')
      return get(id)
    }
    bring(log, 0, [kind.brought, 7, 'work', null, { id: poison }], [kind.brought, 9, 'work', null, { id: fine }])
    expect([...tasks.values()].map(({ id }) => id)).toEqual([fine])
    expect([...log.state.setAsides].map(({ reason }) => reason.code)).toEqual(['TROUPE_INTERNAL'])
  })

  test('counts only if it came from a partition that there is', () => {
    const log = new TestLog(partitions, 2)
    const entries: ForwardEntry[] = [[kind.brought, 7, 'work', null, { id: idAt(2) }]]
    const origins = ['', '4', '-1', '00', '1.5', '1e0', 'x', '0.1']
    for (const origin of origins) {
      const subject = log.subjects.forward(0).replace(/0$/, origin)
      log.append(subject, packBlock([formatVersion, entries]))
    }
    expect(log.state.tasks.size).toBe(0)
    expect(log.state.strays.rows()).toEqual([])
    expect([...log.state.setAsides].map(({ reason }) => reason.code)).toEqual(origins.map(() => 'TROUPE_UNREADABLE'))
    bring(log, 0, [kind.brought, 7, 'work', null, { id: idAt(2) }])
    expect(log.state.tasks.size).toBe(1)
  })

  test('meets its gang', () => {
    const log = new TestLog(partitions, partitionOf('gang job', partitions))
    for (const id of ['a', 'b', 'c']) log.submit({ 'troupe-id': id, 'troupe-gang': 'job/3' })
    expect([...log.state.tasks.values()].map(({ id }) => id)).toEqual(['a', 'b', 'c'])
  })
})

describe('a signal for a task that is not here', () => {
  test('waits until its task is found, or there is none', () => {
    const log = new TestLog(partitions)
    log.lead()
    const found = log.signal('elsewhere', 's1')
    const lost = log.signal('nowhere')
    expect([...log.state.strays.signals.values()].map(({ task }) => task)).toEqual(['elsewhere', 'nowhere'])
    expect([...saved(log).ledger.state.strays.signals.keys()]).toEqual([...log.state.strays.signals.keys()])
    log.decide([kind.astray, found, -1, true], [kind.astray, lost, -1, false])
    expect(log.state.strays.signals.size).toBe(0)
    expect(log.state.setAsides.length).toBe(1)
    expect(log.state.setAsides.peek()).toMatchObject({ reason: { code: 'TROUPE_UNKNOWN_TASK' } })
  })

  test('counts once for the task that it was brought to', () => {
    const log = new TestLog(partitions)
    const id = log.submit()
    bring(log, 1, [kind.broughtSignal, id, '1-5', '{"type":"GO"}'])
    bring(log, 1, [kind.broughtSignal, id, '1-5', '{"type":"GO"}'])
    expect(log.task(id).rare?.signals?.length).toBe(1)
    bring(log, 1, [kind.broughtSignal, 'gone-meanwhile', '1-6', '{"type":"GO"}'])
    expect(log.state.strays.signals.size).toBe(0)
    expect(log.state.setAsides.length).toBe(1)
  })
})

test('nothing that waits to be brought elsewhere may be trimmed, though no task needs it', () => {
  const log = new TestLog(partitions)
  log.lead()
  log.submit({ 'troupe-id': idAt(2) })
  const submission = log.messages.length
  const signal = log.signal('elsewhere', 's1')
  log.lead('s2')
  expect(saved(log).neededFrom).toBe(submission)
  log.decide([kind.forwarded, 2, submission])
  expect(saved(log).neededFrom).toBe(signal)
  log.decide([kind.astray, signal, -1, true])
  expect(saved(log).neededFrom).toBe(log.messages.length)
})

test('tasks that wait for one of another partition go on when it is said how that ended', () => {
  const log = new TestLog(partitions)
  log.lead()
  const good = log.submit({ 'troupe-id': idAt(0, 'good'), 'troupe-after': 'far-a' })
  const bad = log.submit({ 'troupe-id': idAt(0, 'bad'), 'troupe-after': 'far-b' })
  log.decide([kind.settled, 'far-a', 'completed'], [kind.settled, 'far-b', 'failed'])
  expect(log.task(good).status).toBe('waiting')
  expect(log.task(bad)).toMatchObject({ status: 'failed', rare: { lastError: { code: 'TROUPE_DEPENDENCY_FAILED' } } })
  const before = log.state.totals.void
  log.decide([kind.settled, good, 'failed'], [kind.settled, 'nobody-waits', 'completed'])
  expect(log.state.totals.void).toBe(before + 2)
})

test('with one partition nothing is a stray, and nothing is forwarded', () => {
  const log = new TestLog()
  log.submit({ 'troupe-id': idAt(2) })
  log.signal('nobody')
  expect(log.state.tasks.size).toBe(1)
  expect(log.state.strays.rows()).toEqual([])
  expect(log.state.setAsides.length).toBe(1)
})
