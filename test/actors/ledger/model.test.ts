/** Promises P1 and P3 under random actors: after every message the ledger agrees with itself and with what it said before. */
import { expect, test } from 'vitest'
import { checkState, describeState } from './describe.ts'
import { RandomActors } from './random-log.ts'
import { TestLog } from './test-log.ts'

const mayBeRetried: (string | undefined)[] = ['failed', 'cancelled']

test('50,000 entries of nodes that die, zombies and stale leaders break nothing', () => {
  const log = new TestLog()
  const actors = new RandomActors(log, 11)
  const seen = new Map<string, { order: number; turn: number; ended: string | undefined }>()
  let committed = 0
  for (let step = 0; log.messages.length < 30_000; step++) {
    actors.step()
    // Every message at first; later the ledger is large, and what is wrong once stays wrong.
    if (log.messages.length < 3_000 || step % 10 === 0) checkState(log.state)
    for (const change of log.takeChanges()) {
      if (!('task' in change) || change.what === 'duplicate') continue
      const { task } = change
      const before = seen.get(task.id)
      if (change.what === 'removed') continue
      const known = before?.order === task.order ? before : { order: task.order, turn: 0, ended: undefined }
      if (task.turn < known.turn) throw new Error(`turn of ${task.id} went from ${known.turn} to ${task.turn}`)
      const ending = ['completed', 'failed', 'cancelled', 'expired'].find((status) => status === change.what)
      if (change.what === 'retried' || (change.what === 'blocked' && mayBeRetried.includes(known.ended)))
        known.ended = undefined
      else if (known.ended !== undefined) throw new Error(`${task.id} was ${known.ended}, and then ${change.what}`)
      if (ending !== undefined) committed++
      seen.set(task.id, { order: task.order, turn: task.turn, ended: ending })
    }
  }
  const { totals } = log.state
  expect(committed).toBe(totals.completed + totals.failed + totals.cancelled + totals.expired)
  // The history has everything in it.
  for (const [what, count] of Object.entries(totals)) expect(count, what).toBeGreaterThan(20)
  expect(describeState(log.refold().state)).toEqual(describeState(log.state))
}, 400_000)
