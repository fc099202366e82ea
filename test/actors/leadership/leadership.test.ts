import { describe, expect, test } from 'vitest'
import { mayAct } from '../../../src/actors/leadership/leadership.ts'
import { defaultLeadership } from '../../../src/actors/leadership/settings.ts'
import { Election } from './election.ts'

function settled(...names: string[]) {
  const election = new Election()
  const candidates = election.join(...names)
  election.run(1_000)
  const leader = candidates.find(({ leads }) => leads)!
  return { election, candidates, leader, others: candidates.filter((each) => each !== leader) }
}

/** How long from now until somebody other than `former` acts. */
function failoverMs(election: Election, former: { name: string }, withinMs = 10_000): number {
  const fromMs = election.nowMs
  while (election.nowMs - fromMs < withinMs) {
    election.run(5)
    if (election.acting().some(({ name }) => name !== former.name)) return election.nowMs - fromMs
  }
  return Number.POSITIVE_INFINITY
}

describe('an election', () => {
  test.each([1, 2, 5])('among %i has one leader at once, and the same one ten minutes later', (count) => {
    const names = Array.from({ length: count }, (_, index) => `s${index}`)
    const { election, leader, candidates } = settled(...names)
    expect(candidates.filter(({ leads }) => leads)).toHaveLength(1)
    election.run(600_000)
    expect(election.leader).toBe(leader.name)
    expect(election.term).toBe(1)
    expect(candidates.flatMap(({ stepDowns }) => stepDowns)).toEqual([])
  })

  test('renews about three times a second, and standbys write nothing', () => {
    const { election, leader, others } = settled('a', 'b', 'c')
    const before = election.revision
    election.run(30_000)
    expect(election.revision - before).toBeGreaterThan(80)
    expect(election.revision - before).toBeLessThan(105)
    const puts = (of: typeof leader) => of.said.filter(({ effect }) => effect.kind === 'put').length
    for (const other of others) expect(puts(other)).toBeLessThanOrEqual(1)
  })
})

describe('a killed leader', () => {
  test.each([1, 2, 4])('is replaced within 1.8 s with %i standbys, in the next term', (standbys) => {
    const { election, leader } = settled('a', ...Array.from({ length: standbys }, (_, index) => `b${index}`))
    leader.life = 'dead'
    expect(failoverMs(election, leader)).toBeLessThanOrEqual(1_800)
    expect(election.term).toBe(2)
  })
})

describe('a leader that is asked to stop', () => {
  test('gives the lease back, and its successor leads at once', () => {
    const { election, leader } = settled('a', 'b', 'c')
    leader.actor.send({ type: 'stop', release: true, nowMs: election.nowMs })
    expect(leader.stepDowns).toEqual(['it was asked to stop'])
    expect(failoverMs(election, leader)).toBeLessThanOrEqual(50)
    expect(leader.said.at(-1)?.effect.kind).toBe('stopped')
  })

  test('while a renewal is under way still gives the lease back', () => {
    const { election, leader } = settled('a', 'b')
    const puts = leader.said.length
    while (leader.said.length === puts) election.run(5)
    leader.actor.send({ type: 'stop', release: true, nowMs: election.nowMs })
    expect(failoverMs(election, leader)).toBeLessThanOrEqual(60)
  })

  test('without releasing just stops', () => {
    const { election, leader } = settled('a', 'b')
    leader.actor.send({ type: 'stop', release: false, nowMs: election.nowMs })
    expect(leader.actor.getSnapshot().status).toBe('done')
    expect(failoverMs(election, leader)).toBeGreaterThan(1_000)
  })

  test('stops although the store does not answer', () => {
    const { election, leader } = settled('a', 'b')
    election.store = 'down'
    leader.actor.send({ type: 'stop', release: true, nowMs: election.nowMs })
    election.run(1_500)
    expect(leader.actor.getSnapshot().status).toBe('done')
  })
})

describe('a leader', () => {
  test('that sees another’s lease steps down at once, without waiting for its own next write', () => {
    const { election, leader } = settled('a', 'b')
    const { nowMs } = election
    leader.actor.send({ type: 'lease', revision: election.revision + 1, holder: 'b', term: 2, nowMs })
    expect(leader.leads).toBe(false)
    expect(leader.stepDowns).toEqual(['another process holds the lease'])
  })

  test('does not write a second time because it reads its lease while the first write is under way', () => {
    const { election, leader } = settled('a', 'b')
    const before = leader.said.length
    leader.connected = false
    while (leader.said.length === before) election.run(5)
    const { revision, term, nowMs } = election
    const after = leader.said.length
    leader.actor.send({ type: 'lease', revision, holder: leader.name, term, nowMs })
    election.run(100)
    expect(leader.said.length).toBe(after)
  })

  test('whose renewal was answered late counts its lease from when it sent it', () => {
    const { election, leader } = settled('a', 'b')
    const before = leader.said.length
    leader.connected = false
    while (leader.said.length === before) election.run(5)
    const { atMs, effect } = leader.said.at(-1)!
    if (effect.kind !== 'put') throw new Error('a renewal was expected')
    const { giveUpMs } = defaultLeadership
    leader.actor.send({
      type: 'put.stored',
      put: effect.put,
      revision: effect.expected + 1,
      nowMs: atMs + giveUpMs - 10,
    })
    expect(mayAct(leader.actor.getSnapshot(), atMs + giveUpMs)).toBe(true)
    expect(mayAct(leader.actor.getSnapshot(), atMs + giveUpMs + 1)).toBe(false)
  })
})

describe('a leader that was stopped', () => {
  test('for longer than a failover finds its successor, and steps down before it acts', () => {
    const { election, leader } = settled('a', 'b')
    leader.life = 'stopped'
    election.run(5_000)
    leader.life = 'running'
    election.run(1_000)
    expect(leader.leads).toBe(false)
    expect(leader.stepDowns).toHaveLength(1)
    expect(election.acting()).toHaveLength(1)
  })

  test('takes no renewal from before its stop for a sign that it still leads', () => {
    const { election, leader } = settled('a', 'b')
    const before = leader.said.length
    leader.connected = false
    while (leader.said.length === before) election.run(5)
    const { effect } = leader.said.at(-1)!
    if (effect.kind !== 'put') throw new Error('a renewal was expected')
    const nowMs = election.nowMs + 500
    leader.actor.send({ type: 'tick', nowMs, connected: true })
    leader.actor.send({ type: 'put.stored', put: effect.put, revision: effect.expected + 1, nowMs })
    expect(leader.leads).toBe(true)
    expect(mayAct(leader.actor.getSnapshot(), nowMs)).toBe(false)
  })

  test('for a moment acts again only after a renewal, without a new term', () => {
    const { election, leader } = settled('a', 'b')
    leader.life = 'stopped'
    election.run(900)
    leader.life = 'running'
    election.run(5)
    expect(election.acting()).toEqual([])
    election.run(100)
    expect(election.acting()).toEqual([leader])
    expect(leader.stepDowns).toEqual([])
    expect(election.term).toBe(1)
  })
})

describe('a store that does not answer', () => {
  test('nor tell a leader that was stopped for a moment makes it step down, and it leads again when it is back', () => {
    const { election, leader } = settled('a')
    election.store = 'down'
    leader.life = 'stopped'
    election.run(900)
    leader.life = 'running'
    election.run(100)
    expect([leader.leads, election.acting()]).toEqual([true, []])
    election.run(5_000)
    expect(leader.stepDowns).toEqual(['the process was stopped and cannot renew the lease'])
    election.store = 'up'
    expect(failoverMs(election, { name: 'nobody' })).toBeLessThanOrEqual(2_500)
  })

  test('makes the leader step down by itself, and elects one again when it is back', () => {
    const { election, leader } = settled('a', 'b')
    election.store = 'down'
    election.run(1_200)
    expect(leader.stepDowns).toEqual(['the lease could not be renewed in time'])
    expect(election.acting()).toEqual([])
    election.run(10_000)
    election.store = 'up'
    expect(failoverMs(election, { name: 'nobody' })).toBeLessThanOrEqual(2_500)
  })

  test('but stores what it is sent does not cost the leader its lease, because the watch shows it', () => {
    const { election, leader } = settled('a', 'b')
    election.store = 'loses answers'
    election.run(5_000)
    expect(election.acting()).toEqual([leader])
    expect(leader.stepDowns).toEqual([])
  })
})

describe('a standby', () => {
  test('that reads the same lease again and again takes that for no sign of life', () => {
    const { election, leader, others } = settled('a', 'b')
    leader.life = 'dead'
    const { revision, holder, term } = election
    for (let again = 0; again < 18; again++) {
      election.run(100)
      others[0]!.send({ type: 'lease', revision, holder, term, nowMs: election.nowMs })
    }
    expect(failoverMs(election, leader)).toBeLessThanOrEqual(100)
  })

  test('that was stopped does not take its own pause for silence', () => {
    const { election, leader, others } = settled('a', 'b')
    others[0]!.life = 'stopped'
    election.run(60_000)
    const puts = others[0]!.said.length
    others[0]!.life = 'running'
    election.run(5_000)
    expect(others[0]!.said.length).toBe(puts)
    expect(election.acting()).toEqual([leader])
  })

  test('that was disconnected waits after its return before it claims', () => {
    const { election, leader, others } = settled('a', 'b')
    others[0]!.connected = false
    const said = others[0]!.said.length
    election.run(60_000)
    expect(others[0]!.said.length).toBe(said)
    others[0]!.connected = true
    election.run(5_000)
    expect(election.acting()).toEqual([leader])
    expect(leader.stepDowns).toEqual([])
  })

  test('whose watch has died in silence cannot take the lease of a leader that lives', () => {
    const { election, leader } = settled('a', 'b')
    election.watching = false
    election.run(30_000)
    expect(election.leader).toBe(leader.name)
    expect(election.term).toBe(1)
    leader.life = 'dead'
    expect(failoverMs(election, leader)).toBeLessThanOrEqual(3_500)
  })
})

test('a store that was set back to an older state elects again', () => {
  const { election } = settled('a', 'b')
  election.revision = 1
  election.holder = undefined
  election.run(8_000)
  expect(election.acting()).toHaveLength(1)
})
