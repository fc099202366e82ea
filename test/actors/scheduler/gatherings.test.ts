/** Gangs that are held by halves: how long, and that what was said of it and got lost is said again. */
import { expect, test } from 'vitest'
import { Gatherings, gatherMs } from '../../../src/actors/scheduler/gatherings.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { TestLog } from '../ledger/test-log.ts'

function held() {
  const log = new TestLog()
  log.lead()
  const node = log.join('a')
  for (const id of ['m0', 'm1']) log.submit({ 'troupe-id': id, 'troupe-gang': 'g/2' })
  node.accept('m0')
  const gatherings = new Gatherings()
  gatherings.build(log.state, log.nowMs)
  return { log, node, gatherings, heldSince: log.messages.length }
}

test('what is held has its time, and is handed back then, again and again until the log says so', () => {
  const { log, gatherings, heldSince } = held()
  const handBack = [kind.ungathered, 'g', heldSince, expect.stringContaining('1 of 2')]
  expect(gatherings.nextMs).toBe(log.nowMs + gatherMs)
  expect(gatherings.lapsed(log.nowMs + gatherMs - 1)).toEqual([])
  expect(gatherings.lapsed(log.nowMs + gatherMs)).toEqual([handBack])
  const againAtMs = gatherings.nextMs
  expect(againAtMs).toBeGreaterThan(log.nowMs + gatherMs)
  expect(gatherings.lapsed(againAtMs - 1)).toEqual([])
  expect(gatherings.lapsed(againAtMs)).toEqual([handBack])
  log.decide([kind.ungathered, 'g', heldSince, 'too late'])
  expect(gatherings.lapsed(againAtMs + 60_000)).toEqual([])
  expect(gatherings.nextMs).toBe(Number.POSITIVE_INFINITY)
})

test('a gang that is held anew has all of its time again', () => {
  const { log, node, gatherings, heldSince } = held()
  log.advance(gatherMs - 1)
  log.decide([kind.ungathered, 'g', heldSince, 'too late'])
  node.accept('m1')
  gatherings.noteHeld(log.state, log.task('m1'), log.nowMs)
  expect(gatherings.lapsed(log.nowMs + gatherMs - 1)).toEqual([])
  expect(gatherings.lapsed(log.nowMs + gatherMs)).toHaveLength(1)
})
