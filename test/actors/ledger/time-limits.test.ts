/** The entries by which a leader ends what took too long count only when the log's own time agrees. */
import { expect, test } from 'vitest'
import { kind } from '../../../src/protocol/entries.ts'
import { TestLog, taskProfile } from './test-log.ts'

function started(options: object) {
  const log = new TestLog()
  log.lead()
  const node = log.join('a', 'a1', [taskProfile('work', options)])
  const id = log.submit()
  node.accept(id)
  return { log, node, id }
}

test('a turn that gives no sign of progress in time fails its attempt, and not before', () => {
  const { log, node, id } = started({ heartbeatMs: 5_000 })
  log.nowMs += 4_000
  node.write([kind.progressed, id, 1, 0.5, 'half'])
  log.nowMs += 4_999
  log.decide([kind.timedOut, id, 1])
  expect(log.task(id).status).toBe('running')
  log.nowMs += 1
  log.decide([kind.timedOut, id, 1])
  expect(log.task(id)).toMatchObject({ status: 'waiting', attempt: 2 })
  expect(log.task(id).rare?.lastError?.code).toBe('TROUPE_HEARTBEAT_TIMEOUT')
})

test('a checkpoint is a sign of progress', () => {
  const { log, node, id } = started({ heartbeatMs: 5_000 })
  log.nowMs += 4_000
  node.checkpoint(id)
  log.nowMs += 4_000
  log.decide([kind.timedOut, id, 1])
  expect(log.task(id).status).toBe('running')
})

test('a turn has its whole time, whenever the one before gave its last sign', () => {
  const { log, node, id } = started({ heartbeatMs: 5_000 })
  node.checkpoint(id)
  node.write([kind.yielded, id, 1, null, 0])
  log.nowMs += 60_000
  node.accept(id, 2)
  log.nowMs += 4_999
  log.decide([kind.timedOut, id, 2])
  expect(log.task(id).status).toBe('running')
})

test('of two limits on a turn the first to pass names the error', () => {
  const { log, id } = started({ heartbeatMs: 5_000, timeoutMs: 3_000 })
  log.nowMs += 6_000
  log.decide([kind.timedOut, id, 1])
  expect(log.task(id).rare?.lastError?.code).toBe('TROUPE_TIMEOUT')
})

test('a task that does not start in time expires; one that has started does not', () => {
  const log = new TestLog()
  log.lead()
  const node = log.join('a')
  const [slow, quick] = [log.submit({ 'troupe-start-within': '1s' }), log.submit({ 'troupe-start-within': '1s' })]
  node.accept(quick)
  log.nowMs += 999
  log.decide([kind.expired, slow])
  expect(log.task(slow).status).toBe('waiting')
  log.nowMs += 1
  log.decide([kind.expired, slow], [kind.expired, quick])
  expect(log.task(slow)).toMatchObject({ status: 'expired' })
  expect(log.task(slow).rare?.lastError?.code).toBe('TROUPE_START_TIMEOUT')
  expect(log.task(quick).status).toBe('running')
})

test('the time to start counts from when a task may start, once', () => {
  const log = new TestLog()
  log.lead()
  const node = log.join('a')
  const delayed = log.submit({ 'troupe-start-within': '1s', 'troupe-delay': '10s' })
  const revoked = log.submit({ 'troupe-start-within': '20s' })
  const members = { 'troupe-start-within': '20s', 'troupe-gang': 'pair/2' }
  const [held] = [log.submit(members), log.submit(members)]
  log.nowMs += 10_999
  log.decide([kind.expired, delayed])
  expect(log.task(delayed).status).toBe('waiting')
  log.nowMs += 1
  log.decide([kind.expired, delayed])
  expect(log.task(delayed).status).toBe('expired')
  // A member that was held and handed back has not started, and has no more time than before.
  node.accept(held!)
  log.decide([kind.ungathered, 'pair', log.messages.length, 'too late'])
  expect(log.task(held!).status).toBe('waiting')
  log.nowMs += 9_000
  log.decide([kind.expired, held!], [kind.expired, revoked])
  expect([held!, revoked].map((id) => log.task(id).status)).toEqual(['expired', 'expired'])
})

test('a dead letter that never started has its time to start again when it is retried', () => {
  const log = new TestLog()
  log.lead()
  const members = { 'troupe-start-within': '5s', 'troupe-gang': 'pair/2' }
  const [stays, goes] = [log.submit(members), log.submit(members)]
  log.decide([kind.cancelled, goes, ''])
  expect(log.task(stays).status).toBe('failed')
  log.nowMs += 60_000
  log.decide([kind.retried, stays])
  log.submit(members)
  log.decide([kind.expired, stays])
  expect(log.task(stays).status).toBe('waiting')
  log.nowMs += 5_000
  log.decide([kind.expired, stays])
  expect(log.task(stays).status).toBe('expired')
})

test('a parent that has no use for a child any more cancels it; nobody else can', () => {
  const log = new TestLog()
  log.lead()
  const node = log.join('a')
  const [parent, other] = [log.submit(), log.submit()]
  node.accept(parent)
  node.accept(other)
  node.child(parent, 1, 'kid')
  node.write([kind.dismissed, other, 1, 'kid'])
  node.write([kind.dismissed, parent, 2, 'kid'])
  expect(log.task('kid').status).toBe('waiting')
  node.write([kind.dismissed, parent, 1, 'kid'])
  expect(log.task('kid').status).toBe('cancelled')
})

test('a turn that waits for any of its children goes on with the first that ends, or at once if one has', () => {
  const log = new TestLog()
  log.lead()
  const node = log.join('a')
  const parent = log.submit()
  node.accept(parent)
  for (const id of ['one', 'two', 'three']) node.child(parent, 1, id)
  const park = (turn: number, children: string[]) =>
    node.write([kind.parked, parent, turn, new Uint8Array([1]), 0, 0, false, children, true])
  park(1, ['one', 'two', 'three'])
  expect(log.task(parent).status).toBe('parked')
  node.accept('two')
  node.complete('two')
  expect(log.task(parent).status).toBe('waiting')
  node.accept(parent, 2)
  park(2, ['one', 'two'])
  expect(log.task(parent).status).toBe('waiting')
})
