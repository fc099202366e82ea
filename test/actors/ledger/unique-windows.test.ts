/** Of submissions with the same key within a time the first runs; the others end at once and name it. */
import { expect, test } from 'vitest'
import { LedgerSaving, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import { UniqueWindows } from '../../../src/actors/ledger/unique-windows.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { TestLog } from './test-log.ts'

function submitted(log: TestLog, key: string | undefined, within = '1m', body = '1', type = 'work') {
  const id = log.submit({ 'troupe-unique': within, ...(key !== undefined && { 'troupe-unique-key': key }) }, type, body)
  const { status, rare } = log.task(id)
  return { id, status, error: rare?.lastError }
}

test('the second within the time is cancelled and names the first; after it, one runs again', () => {
  const log = new TestLog()
  const first = submitted(log, 'k')
  log.advance(59_999)
  const second = submitted(log, 'k', '1m', '2')
  expect([first.status, second.status]).toEqual(['waiting', 'cancelled'])
  expect(second.error).toMatchObject({ code: 'TROUPE_NOT_UNIQUE', details: { task: first.id } })
  log.advance(1)
  const third = submitted(log, 'k')
  expect([third.status, submitted(log, 'k').error]).toMatchObject(['waiting', { details: { task: third.id } }])
})

test('each submission says for itself how long ago the first may be', () => {
  const log = new TestLog()
  const first = submitted(log, 'k', '1s')
  log.advance(30_000)
  expect(submitted(log, 'k', '1m').error).toMatchObject({ details: { task: first.id } })
  expect(submitted(log, 'k', '30s').status).toBe('waiting')
})

test('types and keys are told apart; without a key the input is the key', () => {
  const log = new TestLog()
  const given = [
    submitted(log, 'a'),
    submitted(log, 'b'),
    submitted(log, 'a', '1m', '1', 'play'),
    submitted(log, undefined, '1m', '{"n":1}'),
    submitted(log, undefined, '1m', '{"n":2}'),
    submitted(log, undefined, '1m', '{"n":1}'),
  ]
  expect(given.map(({ status }) => status)).toEqual([...Array(5).fill('waiting'), 'cancelled'])
})

test('the same id is the same task, before any window is asked', () => {
  const log = new TestLog()
  const headers = { 'troupe-id': 'x', 'troupe-unique': '1m', 'troupe-unique-key': 'k' }
  log.submit(headers)
  log.submit(headers)
  expect([log.state.tasks.size, log.task('x').status]).toEqual([1, 'waiting'])
})

test('a window that cannot be read makes a dead letter with the reason', () => {
  const log = new TestLog()
  expect(submitted(log, 'k', 'soon')).toMatchObject({ status: 'failed', error: { code: 'TROUPE_INVALID_DURATION' } })
})

test('windows outlive a checkpoint', () => {
  const log = new TestLog()
  submitted(log, 'k')
  const saving = new LedgerSaving(log.state, 1)
  const rows = saving.rows(10)!
  const restored = restoreState(saving.manifest(0, 0), [['tasks', rows], ...saving.others()])
  expect([...restored.uniques]).toEqual([...log.state.uniques])
  expect([...restored.uniques]).toHaveLength(1)
})

test('no more than a bounded number of keys is remembered, those that are over go first', () => {
  const windows = new UniqueWindows()
  windows.rivalOf('over', 'over', 10, 0)
  windows.rivalOf('kept', 'kept', 10_000, 0)
  for (let n = 2; n < limits.uniqueKeysMax; n++) windows.rivalOf(`t${n}`, `k${n}`, 10_000, 1)
  expect(windows.rivalOf('new', 'new', 10_000, 20)).toBeUndefined()
  expect([windows.rivalOf('x', 'kept', 10_000, 20), [...windows].length]).toEqual(['kept', limits.uniqueKeysMax])
  expect(windows.rivalOf('newer', 'newer', 10_000, 20)).toBeUndefined()
  expect([windows.rivalOf('x', 'new', 10_000, 20), [...windows].length]).toEqual(['new', limits.uniqueKeysMax])
})
