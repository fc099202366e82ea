/** Tasks that fail again and again at the same place are set aside with the evidence, and can move on. */
import { expect, test } from 'vitest'
import { kind } from '../../../src/protocol/entries.ts'
import { checkState } from './describe.ts'
import { boom, noJitter, TestLog, taskProfile } from './test-log.ts'

const crash = { code: 'TROUPE_TASK_CRASHED', message: 'its process ended' }

function started() {
  const log = new TestLog()
  log.lead()
  const node = log.join('n', 'n1', [taskProfile('work', { retry: { ...noJitter, attempts: 100, backoffMs: 0 } })])
  const id = log.submit()
  node.accept(id)
  const fail = (error = boom, event = 0) => {
    const { turn } = log.task(id)
    node.write([kind.failed, id, turn, error, true, event])
    checkState(log.state)
    if (log.task(id).status === 'waiting') node.accept(id, turn + 1)
  }
  return { log, node, id, fail, task: () => log.task(id) }
}

test('three failures on the same event in the same state, and no more', () => {
  const { log, node, id, fail, task } = started()
  const snapshot = node.checkpoint(id)
  const event = log.signal(id, 'approve')
  fail(boom, event)
  fail(boom, event)
  expect(task().status).toBe('running')
  fail(boom, event)
  expect(task().status).toBe('failed')
  expect(task().rare?.lastError).toEqual({
    code: 'TROUPE_POISONED',
    message: `it failed 3 times in the state that entry ${snapshot} stored on the event of entry ${event}: boom`,
    details: { times: 3, snapshot: { sequence: snapshot, index: 0 }, event: { sequence: event, id: 'approve' } },
    cause: boom,
  })
})

test('three crashes in the same state', () => {
  const { fail, task } = started()
  for (let times = 0; times < 3; times++) fail(crash)
  expect(task().rare?.lastError).toMatchObject({
    code: 'TROUPE_POISONED',
    message: 'it crashed 3 times in its initial state: its process ended',
  })
})

test('failures without an event are for the retry policy, though events wait', () => {
  const { log, id, fail, task } = started()
  log.signal(id)
  for (let times = 0; times < 10; times++) fail()
  expect(task().status).toBe('running')
})

test('another event, another kind of failure or, for crashes, a new state begins a new count', () => {
  const { log, node, id, fail, task } = started()
  const [first, second] = [log.signal(id), log.signal(id)]
  fail(boom, first)
  fail(boom, first)
  fail(boom, second)
  fail(boom, second)
  fail()
  fail(boom, second)
  fail(boom, second)
  fail(crash)
  fail(crash)
  node.checkpoint(id, task().turn)
  fail(crash)
  fail(crash)
  expect(task().status).toBe('running')
})

test('an operator skips the event on which it failed; the others come, in one chain', () => {
  const { log, id, fail, task } = started()
  const [first, bad, last] = [log.signal(id), log.signal(id), log.signal(id)]
  for (let times = 0; times < 3; times++) fail(boom, bad)
  log.decide([kind.retried, id, true])
  checkState(log.state)
  expect(task().status).toBe('waiting')
  expect(task().rare?.signals).toMatchObject([
    { sequence: first, previous: 0 },
    { sequence: last, previous: first },
  ])
})

test('the last event skipped, the next one follows on those before it', () => {
  const { log, id, fail, task } = started()
  const [first, bad] = [log.signal(id), log.signal(id)]
  for (let times = 0; times < 3; times++) fail(boom, bad)
  log.decide([kind.retried, id, true])
  const next = log.signal(id)
  expect(task().rare?.signals).toMatchObject([{ sequence: first }, { sequence: next, previous: first }])
})

test('retried without skipping, it has its chances with the event again', () => {
  const { log, node, id, fail, task } = started()
  const event = log.signal(id)
  for (let times = 0; times < 3; times++) fail(boom, event)
  log.decide([kind.retried, id])
  node.accept(id, task().turn + 1)
  fail(boom, event)
  fail(boom, event)
  expect(task().status).toBe('running')
  fail(boom, event)
  expect(task().status).toBe('failed')
})

test('it is known as retried until it stores a state of its own again', () => {
  const { log, node, id, fail, task } = started()
  const event = log.signal(id)
  for (let times = 0; times < 3; times++) fail(boom, event)
  log.decide([kind.retried, id])
  expect(task().rare?.retried).toBeUndefined()
  node.accept(id, task().turn + 1)
  node.checkpoint(id, task().turn)
  for (let times = 0; times < 3; times++) fail(boom, event)
  log.decide([kind.retried, id])
  checkState(log.state)
  expect(task().rare?.retried).toBe(true)
  node.accept(id, task().turn + 1)
  expect(task().rare?.retried).toBe(true)
  node.checkpoint(id, task().turn)
  expect(task().rare?.retried).toBeUndefined()
})
