/** What an agenda awards when types ask for quantities or labels, or have limits. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Agenda, type AgendaOptions } from '../../../src/actors/scheduler/agenda.ts'
import type { SchedulerEffect } from '../../../src/actors/scheduler/effects.ts'
import { Claims } from '../../../src/actors/scheduler/policies/claims.ts'
import { Limiter } from '../../../src/actors/scheduler/policies/limiter.ts'
import { fairShares, shortestFirst } from '../../../src/actors/scheduler/policies/orderings.ts'
import { affinity } from '../../../src/actors/scheduler/policies/placements.ts'
import { TokenBucket } from '../../../src/actors/scheduler/policies/token-bucket.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { TypeLimits } from '../../../src/protocol/options.ts'
import { TestLog, type TestNode, taskProfile } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

class Leading {
  readonly log = new TestLog()
  agenda: Agenda
  private readonly options: AgendaOptions

  constructor(options: AgendaOptions = {}) {
    this.options = options
    this.log.lead()
    this.agenda = new Agenda(this.log.state, options)
    this.log.takeChanges()
  }

  /** Another leader takes over. */
  replace(): void {
    this.agenda = new Agenda(this.log.state, this.options)
    this.agenda.build(this.log.nowMs)
    this.log.takeChanges()
  }

  limit(limits: TypeLimits | null, type = 'work'): void {
    this.log.decide([kind.limited, type, limits])
  }

  bid(node: TestNode, credits = 4): void {
    this.agenda.hear(node.incarnation, bid({ credits, ttlMs: 1e9 }), this.log.nowMs)
  }

  /** Ids by node, of what is awarded now. */
  awards(): Record<string, string[]> {
    const { agenda, log } = this
    const { nowMs } = log
    const effects: SchedulerEffect[] = [
      ...agenda.note(log.takeChanges(), nowMs),
      ...agenda.alarm(nowMs),
      ...agenda.place(nowMs),
    ]
    const awarded: Record<string, string[]> = {}
    for (const effect of effects) {
      if (effect.do !== 'award') continue
      awarded[effect.member.node] = [...(awarded[effect.member.node] ?? []), ...effect.tasks.map(({ id }) => id)]
    }
    return awarded
  }

  waiting(id: string): string | undefined {
    return this.agenda.waitingReason(this.log.task(id), this.log.nowMs)
  }
}

const gpuWork = [taskProfile('work', { resources: { gpu: 1 } })]

describe('quantities', () => {
  test('are never given twice: the third task waits until one of two has ended', () => {
    const it = new Leading()
    const a = it.log.join('a', 'a1', gpuWork, { resources: { gpu: 2 } })
    const ids = [it.log.submit(), it.log.submit(), it.log.submit()]
    it.bid(a)
    expect(it.awards()).toEqual({ a: ids.slice(0, 2) })
    a.accept(ids[0]!)
    a.accept(ids[1]!)
    expect(it.awards()).toEqual({})
    expect(it.waiting(ids[2]!)).toBe('it asks for 1 gpu, of which none of the 1 nodes that could has enough left now')
    a.complete(ids[0]!)
    expect(it.awards()).toEqual({ a: [ids[2]] })
  })

  test('that nobody has are said at once, and the task starts when such a node joins', () => {
    const it = new Leading()
    const a = it.log.join('a', 'a1', gpuWork, { resources: { cpu: 4 } })
    it.bid(a)
    const id = it.log.submit()
    expect(it.awards()).toEqual({})
    expect(it.waiting(id)).toBe(
      'none of the 1 nodes with the type can ever take it: it asks for 1 gpu and the node has 0 ("a")',
    )
    const b = it.log.join('b', 'b1', gpuWork, { resources: { gpu: 1 } })
    it.bid(b)
    expect(it.awards()).toEqual({ b: [id] })
  })

  test('do not keep others waiting that ask for none', () => {
    const it = new Leading()
    const types = [...gpuWork, taskProfile('light')]
    const a = it.log.join('a', 'a1', types, { resources: { gpu: 1 } })
    const first = it.log.submit({ 'troupe-priority': '9' })
    const second = it.log.submit({ 'troupe-priority': '9' })
    const light = it.log.submit({}, 'light')
    it.bid(a)
    expect(it.awards()).toEqual({ a: [first, light] })
    expect(it.waiting(second)).toContain('1 gpu')
  })

  test('stay counted when another leader takes over', () => {
    const it = new Leading()
    const a = it.log.join('a', 'a1', gpuWork, { resources: { gpu: 1 } })
    const [first, second] = [it.log.submit(), it.log.submit()]
    it.bid(a)
    it.awards()
    a.accept(first!)
    it.awards()
    it.replace()
    it.bid(a)
    expect(it.awards()).toEqual({})
    a.complete(first!)
    expect(it.awards()).toEqual({ a: [second] })
  })

  test('are never exceeded, whatever happens to tasks, nodes and leaders', () => {
    const step = fc.record({
      do: fc.constantFrom(
        'submit',
        'submit',
        'accept',
        'accept',
        'complete',
        'fail',
        'park',
        'decline',
        'fence',
        'lead',
      ),
      at: fc.nat(1_000),
      big: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
        const it = new Leading()
        const types = [
          taskProfile('work', { resources: { cpu: 0.1, memory: 3 } }),
          taskProfile('big', { resources: { cpu: 0.7 } }),
        ]
        const resources = { cpu: 1, memory: 10 }
        let lives = 0
        const join = (node: string) => {
          const joined = it.log.join(node, `${node}${++lives}`, types, { resources })
          it.awards()
          it.bid(joined, 20)
          return joined
        }
        const nodes = [join('a'), join('b')]
        for (const { do: what, at, big } of steps) {
          const all = [...it.log.state.tasks.values()].filter((task) => !task.ended)
          const task = all.length === 0 ? undefined : all[at % all.length]
          const owner = task && nodes.find(({ member }) => member !== undefined && member === task.owner)
          const awardee = task && nodes.find(({ member }) => member && member === it.agenda.awardedTo(task))
          it.log.advance(at % 7 === 0 ? 3_000 : 5)
          if (what === 'submit') it.log.submit({}, big ? 'big' : 'work')
          else if (what === 'accept' && task && awardee) awardee.accept(task.id, task.turn + 1)
          else if (what === 'complete' && task && owner) owner.complete(task.id, task.turn)
          else if (what === 'fail' && task && owner) owner.fail(task.id, task.turn)
          else if (what === 'park' && task && owner) owner.park(task.id, task.turn, { wakeAtMs: it.log.nowMs + 50 })
          else if (what === 'decline' && task && awardee)
            it.agenda.hear(awardee.incarnation, ['declined', [[task.id, task.turn + 1, 'no']]], it.log.nowMs)
          else if (what === 'fence') {
            const i = at % 2
            it.log.fence(nodes[i]!)
            nodes[i] = join(i === 0 ? 'a' : 'b')
          } else if (what === 'lead' && at % 5 === 0) {
            it.replace()
            for (const node of nodes) it.bid(node, 20)
          }
          it.awards()
          for (const { member } of nodes) {
            const used = { cpu: 0, memory: 0 }
            for (const one of it.log.state.tasks.values()) {
              if (member === undefined || (one.owner !== member && it.agenda.awardedTo(one) !== member)) continue
              used.cpu += one.type === 'big' ? 0.7 : 0.1
              used.memory += one.type === 'big' ? 0 : 3
            }
            expect(used.cpu).toBeLessThanOrEqual(1 + 1e-6)
            expect(used.memory).toBeLessThanOrEqual(10)
          }
        }
        // Whatever it was: what is left gets done.
        for (let round = 0; round < 500 && [...it.log.state.tasks.values()].some((task) => !task.ended); round++) {
          it.log.advance(30_000)
          it.awards()
          for (const task of it.log.state.tasks.values()) {
            const node = nodes.find(({ member }) => member && member === (it.agenda.awardedTo(task) ?? task.owner))
            if (task.ended || node === undefined) continue
            if (task.owner === undefined) node.accept(task.id, task.turn + 1)
            node.complete(task.id, task.turn)
          }
        }
        expect([...it.log.state.tasks.values()].filter((task) => !task.ended)).toEqual([])
      }),
      { numRuns: 60 },
    )
  })
})

describe('labels', () => {
  const types = [
    taskProfile('work', { labels: { required: { zone: 'x' }, preferred: { disk: 'ssd' }, avoided: { spot: 'yes' } } }),
  ]

  test('that are required are had, preferred ones sought, and avoided ones taken last', () => {
    const it = new Leading()
    const plain = it.log.join('plain', 'p1', types, { labels: { zone: 'x' } })
    const spot = it.log.join('spot', 's1', types, { labels: { zone: 'x', spot: 'yes' } })
    const ssd = it.log.join('ssd', 'd1', types, { labels: { zone: 'x', disk: 'ssd' } })
    const other = it.log.join('other', 'o1', types, { labels: { zone: 'y', disk: 'ssd' } })
    const ids = Array.from({ length: 4 }, () => it.log.submit())
    for (const node of [plain, spot, ssd, other]) it.bid(node, 1)
    expect(it.awards()).toEqual({ ssd: [ids[0]], plain: [ids[1]], spot: [ids[2]] })
    expect(it.waiting(ids[3]!)).toBe('all credits of the 4 nodes with the type are in use')
  })
})

describe('limits of a type', () => {
  test('pause it until it is resumed, also for the next leader', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.bid(a)
    it.limit({ paused: true })
    const id = it.log.submit()
    expect(it.awards()).toEqual({})
    expect(it.waiting(id)).toBe('the type "work" is paused')
    it.replace()
    it.bid(a)
    expect(it.awards()).toEqual({})
    it.limit(null)
    expect(it.awards()).toEqual({ a: [id] })
  })

  test('keep so many running at once, of a type and of a key', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.limit({ runningMax: 3, runningPerKeyMax: 2 })
    const ofX = Array.from({ length: 4 }, () => it.log.submit({ 'troupe-key': 'x' }))
    const ofY = it.log.submit({ 'troupe-key': 'y' })
    const without = it.log.submit()
    it.bid(a, 10)
    expect(it.awards()).toEqual({ a: [ofX[0], ofX[1], ofY] })
    expect(it.waiting(ofX[2]!)).toBe('3 of the type "work" run, which is its limit')
    a.accept(ofY)
    a.complete(ofY)
    expect(it.awards()).toEqual({ a: [without] })
    a.accept(without)
    a.complete(without)
    expect(it.awards()).toEqual({})
    expect(it.waiting(ofX[2]!)).toBe('2 with the key "x" run, which is the limit of the type "work"')
    a.accept(ofX[0]!)
    a.complete(ofX[0]!)
    expect(it.awards()).toEqual({ a: [ofX[2]] })
  })

  test('with a breaker let nothing start while it is open, and then so many as are to try it', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.limit({ breaker: { failurePercent: 50, attempts: 2, openMs: 10_000, trials: 2 } })
    const failing = [it.log.submit(), it.log.submit()]
    it.bid(a, 10)
    for (const id of failing) {
      a.accept(id)
      a.fail(id, 1, false)
    }
    const waiting = Array.from({ length: 4 }, () => it.log.submit())
    expect(it.awards()).toEqual({})
    expect(it.waiting(waiting[0]!)).toContain('is open until')
    it.log.advance(9_999)
    expect(it.awards()).toEqual({})
    it.log.advance(1)
    expect(it.awards()).toEqual({ a: waiting.slice(0, 2) })
    for (const id of waiting.slice(0, 2)) {
      a.accept(id)
      a.complete(id)
    }
    expect(it.awards()).toEqual({ a: waiting.slice(2) })
  })

  test('on rates take nothing for a step back of the clock', () => {
    const bucket = new TokenBucket(2, 1_000, 10_000)
    bucket.spend(10_000)
    expect(bucket.openAtMs(4_000)).toBe(4_000)
    bucket.spend(4_000)
    expect(bucket.openAtMs(10_000)).toBe(10_500)
    expect(bucket.openAtMs(10_500)).toBe(10_500)
  })

  test('on rates save up no more than one burst, however long nothing started', () => {
    const bucket = new TokenBucket(2, 1_000, 0)
    for (const _ of [1, 2]) bucket.spend(3_600_000)
    expect(bucket.openAtMs(3_600_000)).toBe(3_600_500)
    expect(bucket.isFull(3_601_000)).toBe(true)
  })

  test('let tasks that start together do so only when there is room for all of them', () => {
    const log = new TestLog()
    const limits = new Map<string, TypeLimits>([['work', { runningMax: 3 }]])
    const claims = new Claims()
    const limiter = new Limiter({ limits, breakers: new Map() }, claims)
    const node = log.join('a')
    const [first, second, ...gang] = Array.from({ length: 4 }, () => log.task(log.submit()))
    claims.take(first!, node.member!)
    expect(limiter.blocksAll(gang, log.nowMs)).toBeUndefined()
    claims.take(second!, node.member!)
    expect(limiter.blocksAll(gang, log.nowMs)?.reason).toContain('its limit of 3')
    expect(limiter.blocksAll(gang.slice(1), log.nowMs)).toBeUndefined()
  })

  test('let tasks of one key that start together do so only when there is room for all of them', () => {
    const log = new TestLog()
    const limits = new Map<string, TypeLimits>([['work', { runningPerKeyMax: 2 }]])
    const claims = new Claims()
    const limiter = new Limiter({ limits, breakers: new Map() }, claims)
    const node = log.join('a')
    const of = (key: string) => log.task(log.submit({ 'troupe-key': key }))
    const gang = [of('x'), of('x'), of('y')]
    expect(limiter.blocksAll(gang, log.nowMs)).toBeUndefined()
    expect(limiter.blocksAll([...gang, of('x')], log.nowMs)).toMatchObject({ scope: 'key' })
    claims.take(of('x'), node.member!)
    expect(limiter.blocksAll(gang, log.nowMs)?.reason).toContain('2 more with the key "x"')
    expect(limiter.blocksAll(gang.slice(1), log.nowMs)).toBeUndefined()
  })

  test('on rates let tasks start together when as many starts are left, or a whole burst', () => {
    const log = new TestLog()
    const limits = new Map<string, TypeLimits>([['work', { startsMax: 4, startsPeriodMs: 1_000 }]])
    const limiter = new Limiter({ limits, breakers: new Map() }, new Claims())
    const [first, ...others] = Array.from({ length: 7 }, () => log.task(log.submit()))
    expect(limiter.blocksAll(others, log.nowMs)).toBeUndefined()
    limiter.spend(first!, log.nowMs)
    expect(limiter.blocksAll(others.slice(0, 3), log.nowMs)).toBeUndefined()
    for (const many of [4, 6]) {
      expect(limiter.blocksAll(others.slice(0, many), log.nowMs)).toMatchObject({ untilMs: log.nowMs + 250 })
    }
  })

  test('set while tasks wait tell keys apart from then on', () => {
    const it = new Leading()
    const a = it.log.join('a')
    const ids = Array.from({ length: 4 }, (_, i) => it.log.submit({ 'troupe-key': i < 3 ? 'x' : 'y' }))
    expect(it.awards()).toEqual({})
    it.limit({ runningPerKeyMax: 1 })
    it.bid(a, 10)
    expect(it.awards()).toEqual({ a: [ids[0], ids[3]] })
  })

  test('let so many start in a time, and the alarm is set for the next', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.limit({ startsMax: 2, startsPeriodMs: 1_000 })
    const ids = Array.from({ length: 5 }, () => it.log.submit())
    it.bid(a, 10)
    expect(it.awards()).toEqual({ a: ids.slice(0, 2) })
    expect(it.agenda.nextAlarmMs(it.log.nowMs)).toBeLessThanOrEqual(it.log.nowMs + 500)
    it.log.advance(499)
    expect(it.awards()).toEqual({})
    expect(it.waiting(ids[2]!)).toBe('its type starts at most 2 in 1000 ms')
    it.log.advance(1)
    expect(it.awards()).toEqual({ a: [ids[2]] })
  })

  test('count starts that were made under an earlier leader', () => {
    const it = new Leading()
    const a = it.log.join('a')
    it.limit({ startsMax: 2, startsPerKeyMax: 1, startsPeriodMs: 1_000 })
    const ids = ['x', 'y', 'z', 'x'].map((key) => it.log.submit({ 'troupe-key': key }))
    it.bid(a, 10)
    expect(it.awards()).toEqual({ a: [ids[0], ids[1]] })
    for (const id of ids.slice(0, 2)) a.accept(id)
    it.replace()
    it.bid(a, 10)
    expect(it.awards()).toEqual({})
    it.log.advance(500)
    expect(it.awards()).toEqual({ a: [ids[2]] })
    it.log.advance(500)
    expect(it.awards()).toEqual({ a: [ids[3]] })
  })

  test('do not hold up other types', () => {
    const it = new Leading()
    const a = it.log.join('a', 'a1', [taskProfile('work'), taskProfile('other')])
    it.limit({ paused: true })
    it.log.submit({ 'troupe-priority': '9' })
    const other = it.log.submit({}, 'other')
    it.bid(a)
    expect(it.awards()).toEqual({ a: [other] })
  })
})

describe('an agenda with another order or placement', () => {
  test('learns durations from what the log says', () => {
    const it = new Leading({ ordering: shortestFirst({ aging: 0 }) })
    const a = it.log.join('a', 'a1', [taskProfile('long'), taskProfile('short')])
    const ids = [it.log.submit({}, 'long'), it.log.submit({}, 'short')]
    it.bid(a, 2)
    it.awards()
    for (const id of ids) a.accept(id)
    it.log.advance(10)
    a.complete(ids[1]!)
    it.log.advance(1_000)
    a.complete(ids[0]!)
    const waiting = ['long', 'short', 'long', 'short'].map((type) => it.log.submit({}, type))
    expect(it.awards()).toEqual({ a: [waiting[1], waiting[3]] })
  })

  test('takes the word of the submitter about a duration', () => {
    const it = new Leading({ ordering: shortestFirst({ aging: 0 }) })
    const a = it.log.join('a')
    const ids = ['10s', '1s', '5s'].map((expected) => it.log.submit({ 'troupe-expected': expected }))
    it.bid(a, 3)
    expect(it.awards()).toEqual({ a: [ids[1], ids[2], ids[0]] })
  })

  test('shares among keys', () => {
    const it = new Leading({ ordering: fairShares({ weights: { y: 2 } }) })
    const a = it.log.join('a')
    const x = Array.from({ length: 9 }, () => it.log.submit({ 'troupe-key': 'x' }))
    const y = Array.from({ length: 9 }, () => it.log.submit({ 'troupe-key': 'y' }))
    it.bid(a, 9)
    const given = it.awards().a ?? []
    expect(given.filter((id) => x.includes(id))).toHaveLength(3)
    expect(given.filter((id) => y.includes(id))).toHaveLength(6)
  })

  test('places one type by affinity and says how it was decided', () => {
    const it = new Leading({ placements: new Map([['work', affinity()]]) })
    const nodes = ['a', 'b', 'c'].map((node) => it.log.join(node, `${node}1`, undefined, { slots: 100 }))
    for (const node of nodes) it.bid(node, 100)
    const ids = Array.from({ length: 1 }, () => it.log.submit({ 'troupe-key': 'k' }))
    const [[node]] = Object.entries(it.awards()) as [[string, string[]]]
    const decision = it.agenda.decisionOf(it.log.task(ids[0]!))
    expect(decision).toMatchObject({ node, policy: 'affinity' })
    expect(decision?.bids.map((seen) => [seen.node, seen.free])).toEqual([
      ['a', 100],
      ['b', 100],
      ['c', 100],
    ])
  })
})
