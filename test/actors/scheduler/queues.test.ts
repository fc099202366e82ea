/** The heap, the ready queue and the offers, each by itself. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TaskRecord } from '../../../src/actors/ledger/task-record.ts'
import { Heap } from '../../../src/actors/scheduler/heap.ts'
import { awardTtlMs, Offers } from '../../../src/actors/scheduler/offers.ts'
import { fifo, priority } from '../../../src/actors/scheduler/ordering.ts'
import { costMs, leastDelay } from '../../../src/actors/scheduler/placement.ts'
import { ReadyQueue } from '../../../src/actors/scheduler/ready-queue.ts'
import { TestLog } from '../ledger/test-log.ts'
import { bid } from './bids.ts'

function record(sequence: number, type = 'work', rank = 4, index = -1): TaskRecord {
  const arrival = { partition: 0, sequence, submittedAtMs: 0, client: undefined }
  return new TaskRecord({ name: `${sequence}.${index}`, type, priority: rank, key: undefined, arrival, index, hash: 0 })
}

function drain(queue: ReadyQueue): string[] {
  const ids: string[] = []
  for (let task = queue.peek(); task !== undefined; task = queue.peek()) {
    expect(queue.take()).toBe(task)
    ids.push(task.id)
  }
  return ids
}

test('a heap gives back what it was given, smallest rank first, also after a sweep', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 99 })), (ranks) => {
      const heap = new Heap<number>()
      for (const rank of ranks) heap.push(rank, rank)
      heap.sweep((rank) => rank % 3 !== 0)
      const popped: number[] = []
      while (heap.length > 0) {
        expect(heap.peekRank()).toBe(heap.peek())
        popped.push(heap.pop()!)
      }
      expect(popped).toEqual(ranks.filter((rank) => rank % 3 !== 0).sort((a, b) => a - b))
      expect(heap.peekRank()).toBe(Number.POSITIVE_INFINITY)
    }),
  )
})

describe('orderings', () => {
  test('rank by arrival, and by priority before it, for ten years of submissions', () => {
    const early = record(1)
    const lastOfBlock = record(1, 'work', 4, 4_095)
    const later = record(2)
    const veryLate = record(2 ** 35)
    for (const policy of [fifo, priority]) {
      const ranks = [early, lastOfBlock, later, veryLate].map(policy.rank)
      expect(ranks).toEqual([...ranks].sort((a, b) => a - b))
      expect(new Set(ranks).size).toBe(4)
    }
    expect(priority.rank(record(2 ** 35, 'work', 5))).toBeLessThan(priority.rank(early))
    expect(Number.isSafeInteger(priority.rank(record(2 ** 35, 'work', 0, 4_095)))).toBe(true)
  })
})

describe('the ready queue', () => {
  test('orders across types as one queue would', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(5), fc.nat(9)), { maxLength: 60 }), (given) => {
        const queue = new ReadyQueue(priority, () => true)
        const tasks = given.map(([type, rank], i) => record(i + 1, `t${type}`, rank))
        for (const task of tasks) queue.add(task)
        const sorted = [...tasks].sort((a, b) => priority.rank(a) - priority.rank(b))
        expect(drain(queue)).toEqual(sorted.map(({ id }) => id))
      }),
    )
  })

  test('sets aside a type that nobody takes, which blocks nobody, until it is covered', () => {
    const queue = new ReadyQueue(fifo, () => true)
    const tasks = ['a', 'b', 'a', 'c', 'b'].map((type, i) => record(i + 1, type))
    for (const task of tasks) queue.add(task)
    queue.setUncovered('a')
    queue.setUncovered('unknown')
    expect(queue.uncoveredTypes()).toEqual(['a'])
    queue.add(record(9, 'a'))
    expect(drain(queue)).toEqual(['2.-1', '4.-1', '5.-1'])
    queue.setCovered('a')
    expect(drain(queue)).toEqual(['1.-1', '3.-1', '9.-1'])
  })

  test('skips what is not ready any more, and an earlier turn', () => {
    const over = new Set<TaskRecord>()
    const queue = new ReadyQueue(fifo, (task) => !over.has(task))
    const tasks = [1, 2, 3].map((i) => record(i))
    for (const task of tasks) queue.add(task)
    over.add(tasks[0]!)
    tasks[1]!.turn = 1
    expect(drain(queue)).toEqual(['3.-1'])
    queue.add(tasks[1]!)
    expect(drain(queue)).toEqual(['2.-1'])
  })

  test('costs the same for 10,000 types as for one', () => {
    const readiness = (types: number) => {
      let asked = 0
      const queue = new ReadyQueue(priority, () => {
        asked++
        return true
      })
      for (let i = 0; i < 20_000; i++) queue.add(record(i + 1, `t${i % types}`))
      expect(drain(queue).length).toBe(20_000)
      return asked
    }
    expect(readiness(10_000)).toBeLessThanOrEqual(readiness(1) * 2)
  })

  test('lets go of tasks that ended while their type was set aside', () => {
    const queue = new ReadyQueue(fifo, (task) => !task.ended)
    let held = 0
    for (let i = 0; i < 50_000; i++) {
      const task = record(i + 1, `t${i}`)
      queue.add(task)
      queue.setUncovered(task.type)
      task.status = 'expired'
      held = Math.max(held, queue.uncoveredTypes().length)
    }
    expect(held).toBeLessThan(20_001)
    queue.add(record(60_000, 'fine'))
    expect(drain(queue)).toEqual(['60000.-1'])
  })
})

describe('offers', () => {
  function offered(credits: number) {
    const log = new TestLog()
    const node = log.join('a')
    const offers = new Offers()
    const offer = offers.hear(node.member!, bid({ credits, ttlMs: 1_000 }), 0)
    const tasks = Array.from({ length: 5 }, () => log.task(log.submit()))
    return { log, node, offers, offer, tasks }
  }

  test('have the credits of the bid, less what runs and what was awarded', () => {
    const { node, offers, offer, tasks } = offered(3)
    expect(offers.freeCredits(offer, 0)).toBe(3)
    offers.award(tasks[0]!, offer, 0)
    offers.award(tasks[0]!, offer, 0)
    expect(offers.freeCredits(offer, 0)).toBe(2)
    node.accept(tasks[0]!.id)
    expect(offers.settle(tasks[0]!)).toBe(true)
    expect(offers.settle(tasks[0]!)).toBe(false)
    expect(offers.freeCredits(offer, 0)).toBe(2)
    node.complete(tasks[0]!.id)
    expect(offers.freeCredits(offer, 0)).toBe(3)
    offers.hear(node.member!, bid({ credits: 0 }), 0)
    expect(offers.freeCredits(offer, 0)).toBe(0)
  })

  test('take nothing when they have expired, drain, or their node is dead', () => {
    const { log, node, offers, offer } = offered(3)
    expect(offers.freeCredits(offer, 999)).toBe(3)
    expect(offers.freeCredits(offer, 1_000)).toBe(0)
    offers.hear(node.member!, bid({ credits: 3, status: 'draining' }), 1_000)
    expect(offers.freeCredits(offer, 1_000)).toBe(0)
    offers.hear(node.member!, bid({ credits: 3 }), 1_000)
    expect(offers.freeCredits(offer, 1_000)).toBe(3)
    log.fence(node)
    expect(offers.freeCredits(offer, 1_000)).toBe(0)
  })

  test('end awards that nobody accepts, the oldest first', () => {
    const { offers, offer, tasks } = offered(5)
    offers.award(tasks[0]!, offer, 0)
    offers.award(tasks[1]!, offer, 10)
    expect(offers.expired(awardTtlMs - 1)).toEqual([])
    expect(offers.expired(awardTtlMs)).toEqual([tasks[0]])
    expect(offers.awardedCount).toBe(1)
    expect(offer.awarded).toBe(1)
  })

  test('hear a refusal only of what was awarded to that life in that turn', () => {
    const { offers, offer, tasks } = offered(5)
    const [task] = tasks as [TaskRecord]
    offers.award(task, offer, 0)
    expect(offers.declined(task, 2, 'a1')).toBe(false)
    expect(offers.declined(task, 1, 'b1')).toBe(false)
    expect(offers.declined(task, 1, 'a1')).toBe(true)
    expect(offers.declined(task, 1, 'a1')).toBe(false)
    expect(offer.awarded).toBe(0)
  })

  test('give back what was awarded to a node that is gone', () => {
    const { offers, offer, tasks } = offered(5)
    offers.award(tasks[0]!, offer, 0)
    offers.award(tasks[1]!, offer, 0)
    expect(offers.remove('a1')).toEqual([tasks[0], tasks[1]])
    expect(offers.has('work')).toBe(false)
    expect(offers.awardedCount).toBe(0)
  })
})

describe('least delay', () => {
  const candidate = (node: string, options: Parameters<typeof bid>[0], free = options?.credits ?? 1) => {
    const log = new TestLog()
    return { offer: new Offers().hear(log.join(node).member!, bid(options), 0), free }
  }
  const cases: [string, ReturnType<typeof candidate>[], number, number][] = [
    ['the cheaper', [candidate('a', { priceMs: 5 }), candidate('b', { priceMs: 3 })], 0, 1],
    ['the faster, for a long task', [candidate('a', { slowdown: 2 }), candidate('b', { priceMs: 50 })], 100, 1],
    ['the cheaper, for a short one', [candidate('a', { slowdown: 2 }), candidate('b', { priceMs: 50 })], 10, 0],
    ['the emptier of equals', [candidate('a', { credits: 4 }, 1), candidate('b', { credits: 4 }, 3)], 0, 1],
    ['the first by name of equals', [candidate('b', {}), candidate('a', {})], 0, 1],
  ]
  test.each(cases)('chooses %s', (_, candidates, expectedMs, index) => {
    expect(leastDelay.choose(record(1), candidates, expectedMs)).toBe(candidates[index])
  })

  test('counts price, slowdown, what is there already, and use', () => {
    const one = candidate('a', { priceMs: 7, slowdown: 1.5, credits: 4, parallel: 2 }, 1)
    expect(costMs(one, 100)).toBe(7 + 150 + 0.75)
    one.offer.awarded = 2
    expect(costMs(one, 100)).toBe(7 + 150 * 1.5 + 0.75)
    expect(costMs({ ...one, pace: 2, extraMs: 30 }, 100)).toBe(7 + 30 + 300 * 1.5 + 0.75)
  })
})
