/** Which running task is asked to make room, and when. */
import { describe, expect, test } from 'vitest'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import type { OrderingPolicy } from '../../../src/actors/scheduler/ordering.ts'
import {
  preemptivePriority,
  roundRobinSlices,
  shortestRemaining,
} from '../../../src/actors/scheduler/policies/orderings.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { TestLog, type TestNode } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

class Leading {
  readonly log = new TestLog()
  readonly agenda: Agenda
  readonly node: TestNode

  constructor(ordering: OrderingPolicy, credits: number) {
    this.log.lead()
    this.agenda = new Agenda(this.log.state, { ordering })
    this.node = this.log.join('a')
    this.agenda.hear(this.node.incarnation, bid({ credits, ttlMs: 1e9 }), this.log.nowMs)
  }

  /** Places; what is awarded is accepted. Returns the ids of tasks that are to yield. */
  turn(): string[] {
    const { agenda, log, node } = this
    const effects = [
      ...agenda.note(log.takeChanges(), log.nowMs),
      ...agenda.alarm(log.nowMs),
      ...agenda.place(log.nowMs),
    ]
    const yields: string[] = []
    for (const effect of effects) {
      if (effect.do === 'yield') yields.push(effect.task.id)
      else if (effect.do === 'award') for (const task of effect.tasks) node.accept(task.id, task.turn + 1)
    }
    agenda.note(log.takeChanges(), log.nowMs)
    return yields
  }

  yielded(id: string): void {
    this.node.write([kind.yielded, id, this.log.task(id).turn, new Uint8Array([1]), 0])
  }

  get running(): string[] {
    return [...this.log.state.tasks.values()].filter(({ status }) => status === 'running').map(({ id }) => id)
  }
}

describe('preemption', () => {
  test('by priority takes the lowest, the latest of these, one at a time, and asks once', () => {
    const it = new Leading(preemptivePriority({ levels: 2 }), 3)
    const [middle, low] = ['4', '1'].map((level) => it.log.submit({ 'troupe-priority': level }))
    it.turn()
    it.log.advance(10)
    const late = it.log.submit({ 'troupe-priority': '1' })
    expect(it.turn()).toEqual([])
    it.log.submit({ 'troupe-priority': '2' })
    expect(it.turn()).toEqual([])
    const high = it.log.submit({ 'troupe-priority': '9' })
    expect(it.turn()).toEqual([late])
    expect(it.turn()).toEqual([])
    it.yielded(late)
    it.turn()
    expect(it.running.sort()).toEqual([middle, low, high].sort())
  })

  test('by slices takes what has had its slice, when others wait and not before', () => {
    const it = new Leading(roundRobinSlices({ quantumMs: 100 }), 1)
    const first = it.log.submit()
    it.turn()
    it.log.advance(500)
    expect(it.turn()).toEqual([])
    const second = it.log.submit()
    expect(it.turn()).toEqual([first])
    it.yielded(first)
    expect(it.turn()).toEqual([])
    expect(it.running).toEqual([second])
    expect(it.log.task(first).rare?.attainedMs).toBe(500)
    it.log.advance(60)
    expect(it.turn()).toEqual([])
    expect(it.agenda.nextAlarmMs(it.log.nowMs)).toBe(it.log.nowMs + 40)
    it.log.advance(40)
    expect(it.turn()).toEqual([second])
  })

  test('by remaining time counts what a task has had, and yields to shorter work by the margin', () => {
    const it = new Leading(shortestRemaining({ aging: 0, marginMs: 50 }), 1)
    const long = it.log.submit({ 'troupe-expected': '1000' })
    it.turn()
    it.log.advance(900)
    it.log.submit({ 'troupe-expected': '80' })
    // 100 ms are left of it: not worth it.
    expect(it.turn()).toEqual([])
    it.log.submit({ 'troupe-expected': '40' })
    expect(it.turn()).toEqual([long])
  })

  test('of a task that never yields is asked for again after some seconds, for the request may have been lost', () => {
    const it = new Leading(preemptivePriority(), 1)
    const low = it.log.submit({ 'troupe-priority': '0' })
    it.turn()
    it.log.submit({ 'troupe-priority': '9' })
    expect(it.turn()).toEqual([low])
    it.log.advance(4_000)
    expect(it.turn()).toEqual([])
    it.log.advance(2_000)
    expect(it.turn()).toEqual([low])
  })
})
