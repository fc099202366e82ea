/** Messages of the log that somebody deleted: a task that needs them can never run, and says so. */
import { describe, expect, test } from 'vitest'
import { kind } from '../../../src/protocol/entries.ts'
import { checkState } from './describe.ts'
import { TestLog, taskProfile } from './test-log.ts'

const reason = 'its input of message 3 is not in the log any more'

function led() {
  const log = new TestLog()
  log.lead('s1')
  const node = log.join('a', 'a1', [taskProfile('work')])
  const id = log.submit()
  return { log, node, id, task: log.task(id) }
}

describe('values that are lost', () => {
  test('end a task that waits, for good', () => {
    const { log, id, task } = led()
    log.decide([kind.lost, id, 0, reason])
    expect(task).toMatchObject({
      status: 'failed',
      rare: { lastError: { code: 'TROUPE_VALUES_LOST', message: reason } },
    })
    log.decide([kind.retried, id])
    expect(task.status).toBe('failed')
    checkState(log.state)
  })

  test('do not matter to a task that runs, has gone on or has ended', () => {
    const { log, node, id, task } = led()
    node.write([kind.accepted, id, 1])
    log.decide([kind.lost, id, 1, reason])
    expect(task.status).toBe('running')
    node.write([kind.yielded, id, 1, null, 0])
    log.decide([kind.lost, id, 0, reason])
    expect(task.status).toBe('waiting')
    log.decide([kind.cancelled, id, ''])
    log.decide([kind.lost, id, 1, reason])
    expect(task.status).toBe('cancelled')
    checkState(log.state)
  })
})
