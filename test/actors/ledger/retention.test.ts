/** Ended tasks are kept by number and by age, results and dead letters each by rules of their own, and nothing else is. */
import { describe, expect, test } from 'vitest'
import { kind } from '../../../src/protocol/entries.ts'
import { checkState } from './describe.ts'
import { TestLog } from './test-log.ts'

function ended(log: TestLog, how: 'complete' | 'fail'): string {
  const node = log.state.members.size === 0 ? log.join('n') : undefined
  if (node !== undefined) writer = node
  const id = log.submit()
  writer?.accept(id)
  if (how === 'complete') writer?.complete(id)
  else writer?.fail(id, 1, false)
  return id
}

let writer: ReturnType<TestLog['join']> | undefined

describe.each([
  ['results', 'complete', { resultsKeepCount: 3 }, { resultsKeepMs: 1_000 }],
  ['dead letters', 'fail', { deadKeepCount: 3 }, { deadKeepMs: 1_000 }],
] as const)('%s', (_, how, count, age) => {
  test('are kept up to a number, the newest', () => {
    const log = new TestLog()
    log.lead('s1', count)
    const ids = [1, 2, 3, 4, 5].map(() => ended(log, how))
    expect(ids.map((id) => log.state.tasks.has(id))).toEqual([false, false, true, true, true])
    checkState(log.state)
  })

  test('are kept for a time, by log time', () => {
    const log = new TestLog()
    log.lead('s1', age)
    // From its end on, however long it has lived.
    const node = log.join('m')
    const old = log.submit()
    node.accept(old)
    log.advance(60_000)
    if (how === 'complete') node.complete(old)
    else node.fail(old, 1, false)
    expect(log.state.tasks.has(old)).toBe(true)
    writer = node
    const id = ended(log, how)
    log.advance(999)
    const later = ended(log, how)
    expect(log.state.tasks.has(id)).toBe(true)
    log.advance(1)
    log.submit()
    expect(log.state.tasks.has(id)).toBe(false)
    expect(log.state.tasks.has(later)).toBe(true)
    checkState(log.state)
  })
})

test('live tasks are kept, whatever their age', () => {
  const log = new TestLog()
  log.lead('s1', { resultsKeepMs: 0, resultsKeepCount: 0, deadKeepMs: 0, deadKeepCount: 0 })
  const id = log.submit({ 'troupe-delay': '1d' })
  log.advance(1e9)
  log.submit()
  expect(log.state.tasks.has(id)).toBe(true)
  expect(log.state.tasks.has(ended(log, 'complete'))).toBe(false)
})

test('new rules hold from the entry that brings them', () => {
  const log = new TestLog()
  const ids = [1, 2, 3].map(() => ended(log, 'complete'))
  log.lead('s1', { resultsKeepCount: 1 })
  expect(ids.map((id) => log.state.tasks.has(id))).toEqual([false, false, true])
})

test('what is retried is not forgotten while it runs again', () => {
  const log = new TestLog()
  log.lead('s1', { deadKeepMs: 1_000 })
  const id = ended(log, 'fail')
  log.decide([kind.retried, id])
  log.advance(5_000)
  log.submit()
  expect(log.task(id).status).toBe('waiting')
  checkState(log.state)
})
