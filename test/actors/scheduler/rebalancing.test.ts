/** Which running task is moved to a better node, and when none is. */
import { describe, expect, test } from 'vitest'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import type { SchedulerEffect } from '../../../src/actors/scheduler/effects.ts'
import { rebalancingNamed } from '../../../src/actors/scheduler/policies/named.ts'
import { defaultRebalancing } from '../../../src/actors/scheduler/policies/rebalance.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { Bid, NodeLoad } from '../../../src/protocol/messages.ts'
import type { TaskProfile } from '../../../src/protocol/options.ts'
import { TestLog, type TestNode, taskProfile } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

const { afterMs, ageMinMs, pauseMs } = defaultRebalancing

interface Said {
  readonly bid?: Partial<Bid>
  readonly load?: Partial<NodeLoad>
}

class Leading {
  readonly log = new TestLog()
  readonly agenda: Agenda
  readonly a: TestNode
  readonly b: TestNode

  constructor({ logic = 'machine', ...more }: Partial<TaskProfile> = {}) {
    this.log.lead()
    this.agenda = new Agenda(this.log.state, { rebalancing: defaultRebalancing })
    const types = [taskProfile('work', { logic, ...more })]
    this.a = this.log.join('a', 'a1', types, { labels: { zone: 'a' } })
    this.b = this.log.join('b', 'b1', types)
    this.says(this.a)
  }

  says({ incarnation }: TestNode, said: Said = {}): void {
    const [what, given, load, ...rest] = bid({ credits: 4, ttlMs: 1e9, ...said.bid })
    this.agenda.hear(incarnation, [what, given, { ...load, ...said.load }, ...rest], this.log.nowMs)
  }

  turn(): SchedulerEffect[] {
    const { agenda, log } = this
    const { nowMs } = log
    return [...agenda.note(log.takeChanges(), nowMs), ...agenda.alarm(nowMs), ...agenda.place(nowMs)]
  }

  /** Rounds each second; returns what was asked to yield, and what was awarded where. */
  pass(ms: number): { yields: string[]; awards: [string, string][] } {
    const yields: string[] = []
    const awards: [string, string][] = []
    for (const endMs = this.log.nowMs + ms; this.log.nowMs <= endMs; this.log.advance(1_000)) {
      for (const effect of this.turn()) {
        if (effect.do === 'yield') yields.push(effect.task.id)
        else if (effect.do === 'award') for (const task of effect.tasks) awards.push([effect.member.node, task.id])
      }
    }
    return { yields, awards }
  }

  /** A task that runs on `a`. */
  begin(headers: Record<string, string> = {}): string {
    const id = this.log.submit(headers)
    this.turn()
    this.a.accept(id)
    this.turn()
    return id
  }

  yielded(id: string, node = this.a): void {
    node.write([kind.yielded, id, this.log.task(id).turn, new Uint8Array([1]), 0])
  }
}

const slow: Said = { load: { wait: 3 }, bid: { slowdown: 4, priceMs: 20 } }

describe('rebalancing', () => {
  test('moves the oldest task off a node on which tasks are slow, once that has lasted, and not back there', () => {
    const it = new Leading()
    const old = it.begin()
    it.pass(20_000)
    const young = it.begin()
    it.says(it.a, slow)
    it.says(it.b)
    expect(it.pass(afterMs - 2_000).yields).toEqual([])
    expect(it.pass(3_000).yields).toEqual([old])
    // It goes on there until its next boundary.
    expect(it.agenda.moveOf(it.log.task(old))).toBeUndefined()
    it.yielded(old)
    // Even when the bids have changed in the meantime.
    it.says(it.a)
    it.says(it.b, { bid: { priceMs: 500 } })
    expect(it.pass(1_000).awards).toEqual([['b', old]])
    expect(it.log.task(old).rare?.attainedMs).toBeGreaterThan(20_000)
    expect(it.agenda.moveOf(it.log.task(old))).toMatchObject({
      from: 'a',
      to: 'b',
      reason: expect.stringMatching(/4\.0/),
    })
    expect(it.log.task(young).owner?.node).toBe('a')
  })

  test('moves one at a time, each as long after the one before as the first took', () => {
    const it = new Leading()
    const ids = [it.begin(), it.begin()]
    it.says(it.a, slow)
    it.says(it.b)
    const { yields } = it.pass(afterMs + 5_000)
    expect(yields).toHaveLength(1)
    expect(it.pass(afterMs).yields).toEqual(ids.filter((id) => !yields.includes(id)))
  })

  test('lets a task be for a time once it was moved', () => {
    const it = new Leading()
    const id = it.begin()
    it.says(it.a, slow)
    it.says(it.b)
    it.pass(afterMs + 1_000)
    it.yielded(id)
    it.pass(0)
    it.b.accept(id, 2)
    it.says(it.b, slow)
    it.says(it.a)
    expect(it.pass(pauseMs - afterMs - 5_000).yields).toEqual([])
    expect(it.pass(afterMs + 10_000).yields).toEqual([id])
  })

  test('knows what a busy main loop means: the turns share it, and each step waits', () => {
    const it = new Leading()
    it.begin()
    it.says(it.b)
    // One task alone is slowed down by nobody but itself.
    it.says(it.a, { load: { loop: 0.99 }, bid: { slowdown: 2 } })
    expect(it.pass(3 * afterMs).yields).toEqual([])
    it.says(it.a, { load: { loop: 0.99, loopDelayMs: 400 } })
    expect(it.pass(afterMs + 1_000).yields).toHaveLength(1)
    const other = new Leading()
    for (let count = 0; count < 3; count++) other.begin()
    other.says(other.b)
    other.says(other.a, { load: { loop: 0.99 } })
    expect(other.pass(afterMs + 1_000).yields).toHaveLength(1)
  })

  test.each<[string, Partial<TaskProfile>, (it: Leading) => void]>([
    ['while no other node is clearly better', {}, (it) => it.says(it.b, { bid: { slowdown: 2.25 } })],
    ['while the better node has no free slot', {}, (it) => it.says(it.b, { bid: { credits: 0 } })],
    ['whose logic has stored nothing, so that it may have no boundaries', { logic: 'function' }, () => {}],
    ['that the better node could never take', { labels: { required: { zone: 'a' } } }, () => {}],
  ])('moves nothing %s', (_when, profile, arrange) => {
    const it = new Leading(profile)
    it.begin()
    it.pass(ageMinMs)
    it.says(it.a, slow)
    it.says(it.b)
    arrange(it)
    expect(it.pass(3 * afterMs).yields).toEqual([])
    expect(it.log.task('0-4').status).toBe('running')
  })

  test('starts to count anew when it was better for a moment', () => {
    const it = new Leading()
    it.begin()
    it.pass(ageMinMs)
    it.says(it.b)
    for (let round = 0; round < 5; round++) {
      it.says(it.a, slow)
      expect(it.pass(afterMs - 2_000).yields).toEqual([])
      it.says(it.a)
      expect(it.pass(0).yields).toEqual([])
    }
  })

  test('takes the one with most left by what its submitter said', () => {
    const it = new Leading()
    const ids = ['40s', '10m', '30s'].map((expected) => it.begin({ 'troupe-expected': expected }))
    it.says(it.a, slow)
    it.says(it.b)
    expect(it.pass(afterMs + 1_000).yields).toEqual([ids[1]])
  })
})

test('the policy is known by name, with parameters that are checked', () => {
  expect(rebalancingNamed('threshold')).toEqual(defaultRebalancing)
  expect(rebalancingNamed('threshold:ratio=3,afterMs=500')).toEqual({ ...defaultRebalancing, ratio: 3, afterMs: 500 })
  expect(rebalancingNamed('off')).toBeUndefined()
  for (const text of ['on', 'threshold:ratio=0.5', 'threshold:speed=1', 'off:ratio=2']) {
    expect(() => rebalancingNamed(text), text).toThrow(expect.objectContaining({ code: 'TROUPE_INVALID_OPTION' }))
  }
})
