/** Types with a `bid` hook: nodes are asked what each task costs there, and the answers decide with the standing bids. */
import { expect, test } from 'vitest'
import { Agenda } from '../../../src/actors/scheduler/agenda.ts'
import type { SchedulerEffect } from '../../../src/actors/scheduler/effects.ts'
import { roundRobin } from '../../../src/actors/scheduler/policies/placements.ts'
import { refusedPauseMs } from '../../../src/actors/scheduler/quotes.ts'
import type { Quote } from '../../../src/protocol/quotes.ts'
import { TestLog, type TestNode, taskProfile } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

const hooked = taskProfile('hooked', { quotes: true })

class World {
  readonly log = new TestLog()
  readonly agenda: Agenda
  readonly nodes: Readonly<Record<string, TestNode>>
  /** What nodes say, by node and task; without a row they say nothing. */
  answers: (node: string, task: string) => number | string | undefined = () => 0
  asked: string[][] = []
  priceMs: Readonly<Record<string, number>> = {}
  credits: Readonly<Record<string, number>> = {}

  constructor(names: readonly string[], policies: ConstructorParameters<typeof Agenda>[1] = {}) {
    this.log.lead()
    this.agenda = new Agenda(this.log.state, policies)
    this.agenda.epoch = this.log.epoch
    const types = (name: string) => [name === 'old' ? taskProfile('hooked') : hooked, taskProfile('work')]
    this.nodes = Object.fromEntries(names.map((name) => [name, this.log.join(name, `${name}1`, types(name))]))
  }

  /** Places, lets nodes answer, and so on until nothing follows; returns who was awarded what. */
  round(): Record<string, string[]> {
    const { agenda, log } = this
    const awarded: Record<string, string[]> = {}
    for (const [name, { incarnation }] of Object.entries(this.nodes)) {
      const terms = { credits: this.credits[name] ?? 4, priceMs: this.priceMs[name] ?? 0, ttlMs: 1e9 }
      agenda.hear(incarnation, bid(terms), log.nowMs)
    }
    for (let more = true; more; ) {
      agenda.note(log.takeChanges(), log.nowMs)
      agenda.alarm(log.nowMs)
      const effects = agenda.place(log.nowMs)
      more = effects.some((effect) => effect.do === 'award' || effect.do === 'quote')
      for (const effect of effects) this.carryOut(effect, awarded)
    }
    return awarded
  }

  private carryOut(effect: SchedulerEffect, awarded: Record<string, string[]>): void {
    if (effect.do === 'award') {
      for (const { id, turn } of effect.tasks) {
        const { node } = effect.member
        this.nodes[node]!.accept(id, turn + 1)
        awarded[node] = [...(awarded[node] ?? []), id]
      }
    } else if (effect.do === 'quote') {
      this.asked.push(effect.tasks.map(({ id }) => id))
      for (const { node, incarnation } of effect.members) {
        const quotes = effect.tasks.flatMap(({ id }): Quote[] => {
          const said = this.answers(node, id)
          if (said === undefined) return []
          return [typeof said === 'number' ? [id, said, ''] : [id, null, said]]
        })
        if (quotes.length > 0) this.agenda.hear(incarnation, ['quoted', quotes], this.log.nowMs)
      }
    }
  }

  submit(id: string, type = 'hooked'): string {
    return this.log.submit({ 'troupe-id': id }, type)
  }

  why(id: string): string | undefined {
    return this.agenda.waitingReason(this.log.task(id), this.log.nowMs)
  }
}

test('a task goes to the node that holds its data, though its bid is dearer by less', () => {
  const world = new World(['a', 'b'])
  world.priceMs = { b: 100 }
  world.answers = (node, task) => (node === (task === 'x' ? 'b' : 'a') ? 0 : 5_000)
  world.submit('x')
  world.submit('y')
  expect(world.round()).toEqual({ a: ['y'], b: ['x'] })
  expect(world.agenda.quotesFor(world.log.task('x'))).toEqual([
    { node: 'a', extraMs: 5_000, reason: '' },
    { node: 'b', extraMs: 0, reason: '' },
  ])
})

test('it goes elsewhere when the node that holds its data is dearer by more', () => {
  const world = new World(['a', 'b'])
  world.priceMs = { b: 6_000 }
  world.answers = (node) => (node === 'b' ? 0 : 5_000)
  world.submit('x')
  expect(world.round()).toEqual({ a: ['x'] })
})

test('many tasks are asked about at once, and types without a hook are not asked about', () => {
  const world = new World(['a', 'b'])
  for (let n = 0; n < 6; n++) world.submit(`t${n}`)
  for (let n = 0; n < 2; n++) world.submit(`w${n}`, 'work')
  world.round()
  expect(world.asked).toEqual([['t0', 't1', 't2', 't3', 't4', 't5']])
  expect(world.log.state.counts.running).toBe(8)
})

test('a quote for one task is no part of the price of another', () => {
  const world = new World(['a', 'b'])
  world.priceMs = { b: 50 }
  world.answers = (node) => (node === 'a' ? 1_000 : 0)
  world.submit('x')
  world.submit('w', 'work')
  expect(world.round()).toEqual({ a: ['w'], b: ['x'] })
})

test('what refuses gets nothing under any placement policy, and is named with its reason', () => {
  const world = new World(['a', 'b'], { placement: roundRobin() })
  world.answers = (node) => (node === 'a' ? 'it is full of holes' : 0)
  for (let n = 0; n < 3; n++) world.submit(`t${n}`)
  expect(world.round()).toEqual({ b: ['t0', 't1', 't2'] })
  expect(world.agenda.quotesFor(world.log.task('t0'))?.[0]).toMatchObject({
    extraMs: null,
    reason: 'it is full of holes',
  })
})

test('a task that all refuse says so, holds nothing up, and is asked about again', () => {
  const world = new World(['a', 'b'])
  let refuses = true
  world.answers = (node, task) => (task === 'x' && refuses ? `no data on ${node}` : 0)
  world.submit('x')
  world.submit('y')
  expect(Object.values(world.round())).toEqual([['y']])
  expect(world.why('x')).toBe(
    'no node bids for it (a: no data on a; b: no data on b); they are asked again each second',
  )
  refuses = false
  world.log.advance(refusedPauseMs)
  expect(Object.values(world.round())).toEqual([['x']])
})

test('a node that does not answer does not get the task, and holds it up for half a second at most', () => {
  const world = new World(['a', 'b'])
  world.answers = (node) => (node === 'a' ? undefined : 100)
  world.submit('x')
  expect(world.round()).toEqual({})
  expect(world.agenda.nextAlarmMs(world.log.nowMs)).toBeLessThanOrEqual(world.log.nowMs + 500)
  world.log.advance(500)
  expect(world.round()).toEqual({ b: ['x'] })
})

test('a node whose version of the type has no hook takes the task as it bids', () => {
  const world = new World(['a', 'old'])
  world.answers = () => 5_000
  world.submit('x')
  expect(world.round()).toEqual({ old: ['x'] })
})

test('a node that dies before it answers is not waited for', () => {
  const world = new World(['a', 'b'])
  world.answers = (node) => (node === 'a' ? undefined : 0)
  world.submit('x')
  expect(world.round()).toEqual({})
  world.log.fence(world.nodes.a!)
  expect(world.round()).toEqual({ b: ['x'] })
})

test('a task waits for the node that holds its data while that is soon free, and no longer than getting the data takes', () => {
  const world = new World(['a', 'b'])
  world.credits = { a: 1, b: 1 }
  world.answers = (node) => (node === 'a' ? 0 : 5_000)
  world.submit('x')
  expect(world.round()).toEqual({ a: ['x'] })
  world.submit('y')
  // Nothing is known yet of how long tasks of this type take: to wait may cost nothing.
  expect(world.round()).toEqual({})
  world.log.advance(100)
  world.nodes.a!.complete('x')
  expect(world.round()).toEqual({ a: ['y'] })
  world.submit('z')
  expect(world.round()).toEqual({})
  for (let ms = 0; ms < 6_000; ms += 250) {
    world.log.advance(250)
    if (world.round().b?.[0] === 'z') break
  }
  expect(world.log.task('z').owner?.node).toBe('b')
})

test('with thousands that wait, only those that may come next are asked about', () => {
  const world = new World(['a'])
  for (let n = 0; n < 3_000; n++) world.submit(`t${n}`)
  world.round()
  expect(world.asked.flat().length).toBeLessThanOrEqual(64)
  expect(world.log.state.counts.running).toBe(4)
})
