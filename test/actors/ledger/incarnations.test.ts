/** Rules 3 and 13, and restart intensity: the lives of nodes, and what becomes of what they ran. */
import { describe, expect, test } from 'vitest'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { formatVersion, kind } from '../../../src/protocol/entries.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { checkState } from './describe.ts'
import { nodeProfile, TestLog, TestNode, taskProfile } from './test-log.ts'

describe('an incarnation', () => {
  test('that never joined counts for nothing', () => {
    const log = new TestLog()
    const id = log.submit()
    const stranger = new TestNode(log, 'x', 'x1')
    stranger.accept(id)
    stranger.complete(id)
    expect(log.task(id).status).toBe('waiting')
    expect(log.state.totals.void).toBe(2)
  })

  test('that joins fences the ones before of its node, whose tasks are ready again', () => {
    const log = new TestLog()
    const first = log.join('a', 'a1')
    const id = log.submit()
    first.accept(id)
    const second = log.join('a', 'a2')
    expect(log.task(id)).toMatchObject({ status: 'waiting', turn: 1 })
    first.complete(id)
    expect(log.task(id).status).toBe('waiting')
    second.accept(id, 2)
    second.complete(id, 2)
    expect(log.task(id).status).toBe('completed')
    expect([...log.state.members.keys()]).toEqual(['a2'])
  })

  test('that was fenced never lives again, and its whole blocks are void', () => {
    const log = new TestLog()
    const zombie = log.join('a')
    const id = log.submit()
    log.fence(zombie)
    zombie.write([kind.joined, nodeProfile('a')], [kind.accepted, id, 1], [kind.completed, id, 1, null])
    expect(log.task(id).status).toBe('waiting')
    expect(log.state.members.size).toBe(0)
    expect(log.state.totals.void).toBe(2)
  })

  test('that was fenced before it joined never joins', () => {
    const log = new TestLog()
    log.fence(new TestNode(log, 'a', 'a1'))
    log.join('a', 'a1')
    expect(log.state.members.size).toBe(0)
    log.join('a', 'a2')
    expect(log.state.members.size).toBe(1)
  })

  test('that leaves hands its tasks back without a charge', () => {
    const log = new TestLog()
    const a = log.join('a')
    const id = log.submit()
    a.accept(id)
    log.takeChanges()
    a.write([kind.left], [kind.completed, id, 1, null])
    expect(log.task(id)).toMatchObject({ status: 'waiting', dueAtMs: 0 })
    expect(log.task(id).rare?.restarts).toBeUndefined()
    expect(log.takeChanges().map(({ what }) => what)).toEqual(['yielded', 'left'])
  })

  test('remembers its last message, which trimming must keep', () => {
    const log = new TestLog()
    const a = log.join('a')
    log.submit()
    const sequence = a.write([kind.alive])
    expect(a.member).toMatchObject({ lastSequence: sequence, lastBlock: 2 })
  })

  test('counts each of its blocks once, even if the broker has stored one twice', () => {
    const log = new TestLog()
    const a = log.join('a')
    const id = log.submit()
    a.accept(id)
    const older = log.messages.length
    a.checkpoint(id)
    a.checkpoint(id)
    const snapshot = log.task(id).snapshot
    for (const { subject, data } of log.messages.slice(older, older + 1)) log.append(subject, data)
    expect(log.task(id).snapshot).toEqual(snapshot)
    expect(a.member).toMatchObject({ lastSequence: log.messages.length, lastBlock: 4 })
    expect(log.state.totals.void).toBe(1)
  })

  test('of which there were many costs no memory for ever', () => {
    const log = new TestLog()
    for (let i = 0; i < 10_050; i++) log.fence(new TestNode(log, 'a', `i${i}`))
    expect(log.state.deadIncarnations.size).toBe(10_000)
    const last = log.join('b', 'b1')
    log.fence(last)
    expect(log.state.deadIncarnations.has('b1')).toBe(true)
    expect(log.state.members.size).toBe(0)
  })
})

describe('who wrote an entry follows from its subject', () => {
  test('a node cannot join under the name of another', () => {
    const log = new TestLog()
    new TestNode(log, 'a', 'a1').write([kind.joined, nodeProfile('b')])
    expect(log.state.members.size).toBe(0)
  })

  test('a node cannot take the incarnation of another, nor fence it', () => {
    const log = new TestLog()
    const a = log.join('a', 'a1')
    const id = log.submit()
    a.accept(id)
    const impostor = new TestNode(log, 'b', 'a1')
    impostor.write([kind.joined, nodeProfile('b')])
    impostor.write([kind.fenced, 'out with it'])
    impostor.complete(id)
    expect(log.task(id)).toMatchObject({ status: 'running', owner: a.member })
    expect(a.member?.live).toBe(true)
  })

  test('a kind is legal on its own subject alone', () => {
    const log = new TestLog()
    log.lead()
    const a = log.join('a')
    const id = log.submit()
    a.write([kind.cancelled, id, ''] as never, [kind.accepted, id, 1])
    expect(log.task(id).status).toBe('running')
    log.decide([kind.completed, id, 1, null] as never, [kind.revoked, id, 1, ''])
    expect(log.task(id).status).toBe('waiting')
    expect([...log.state.setAsides].map(({ reason }) => reason.code)).toEqual([
      'TROUPE_UNREADABLE',
      'TROUPE_UNREADABLE',
    ])
  })
})

describe('a task whose node dies', () => {
  const fragile = taskProfile('work', { restart: { intensity: 2, periodMs: 10_000 } })

  function die(log: TestLog, id: string, life: number): void {
    const node = log.join('a', `a${life}`, [fragile])
    node.accept(id, life)
    expect(log.task(id)).toMatchObject({ status: 'running', turn: life })
    log.fence(node)
  }

  test('is ready at once the first time, later the next, and is a dead letter beyond its intensity', () => {
    const log = new TestLog()
    const id = log.submit()
    die(log, id, 1)
    expect(log.task(id)).toMatchObject({ status: 'waiting', attempt: 1, dueAtMs: 0 })
    die(log, id, 2)
    expect(log.task(id)).toMatchObject({ status: 'waiting', attempt: 1, dueAtMs: log.nowMs + 200 })
    log.advance(200)
    die(log, id, 3)
    expect(log.task(id)).toMatchObject({ status: 'failed', attempt: 1, turn: 3 })
    expect(log.task(id).rare?.lastError?.code).toBe('TROUPE_RESTART_INTENSITY')
    checkState(log.state)
  })

  test('is charged the same when its node just joins again: a task that ends its process each time ends as a dead letter', () => {
    const log = new TestLog()
    const id = log.submit()
    for (let life = 1; life <= 3; life++) {
      log.join('a', `a${life}`, [fragile]).accept(id, life)
      expect(log.task(id)).toMatchObject({ status: 'running', turn: life })
      log.join('a', `b${life}`)
      log.advance(200)
    }
    expect(log.task(id)).toMatchObject({ status: 'failed', attempt: 1, turn: 3 })
    expect(log.task(id).rare?.lastError?.code).toBe('TROUPE_RESTART_INTENSITY')
  })

  test('is a dead letter when node after node dies of it and it never gets any further, however long each takes', () => {
    const log = new TestLog()
    const id = log.submit()
    for (let life = 1; life < limits.deathsInARowMax; life++) {
      die(log, id, life)
      log.advance(60_000)
      expect(log.task(id).status).toBe('waiting')
    }
    die(log, id, limits.deathsInARowMax)
    expect(log.task(id)).toMatchObject({ status: 'failed', attempt: 1 })
    expect(log.task(id).rare?.lastError).toMatchObject({
      code: 'TROUPE_RESTART_INTENSITY',
      message: expect.stringContaining('stood at the same snapshot'),
    })
    checkState(log.state)
  })

  test('may lose any number of nodes that way as long as it gets further between', () => {
    const log = new TestLog()
    const id = log.submit()
    for (let life = 1; life <= 2 * limits.deathsInARowMax; life++) {
      const node = log.join('a', `a${life}`, [fragile])
      node.accept(id, life)
      node.checkpoint(id, life)
      log.fence(node)
      log.advance(60_000)
    }
    expect(log.task(id).status).toBe('waiting')
  })

  test('is not charged for what was longer ago than the period', () => {
    const log = new TestLog()
    const id = log.submit()
    for (let life = 1; life <= 6; life++) {
      die(log, id, life)
      log.advance(10_000)
    }
    expect(log.task(id)).toMatchObject({ status: 'waiting', turn: 6 })
  })

  test('dies before those that were submitted later, whatever was accepted first', () => {
    const log = new TestLog()
    const ids = [log.submit(), log.submit(), log.submit()]
    const node = log.join('a', 'a1', [taskProfile('work', { restart: { intensity: 0, periodMs: 1 } })])
    for (const id of [2, 0, 1]) node.accept(ids[id]!)
    log.fence(node)
    expect([...log.state.dead].map(({ id }) => id)).toEqual(ids)
  })

  test('goes on from its last snapshot (P4)', () => {
    const log = new TestLog()
    const id = log.submit()
    const a = log.join('a')
    a.accept(id)
    a.checkpoint(id)
    const sequence = a.checkpoint(id)
    log.fence(a)
    a.checkpoint(id)
    expect(log.task(id).snapshot).toEqual({ sequence, index: 0 })
  })
})

test('a fence in the middle of a block ends the block there', () => {
  const log = new TestLog()
  const a = log.join('a')
  const [one, two] = [log.submit(), log.submit()]
  log.append(
    a.subject,
    packBlock([
      formatVersion,
      9,
      [
        [kind.accepted, one, 1],
        [kind.fenced, ''],
        [kind.accepted, two, 1],
      ],
    ]),
  )
  expect(log.task(one).status).toBe('waiting')
  expect(log.task(two)).toMatchObject({ status: 'waiting', turn: 0 })
})
