import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { TaskRecord } from '../../../../src/actors/ledger/task-record.ts'
import { type OrderingPolicy, priority } from '../../../../src/actors/scheduler/ordering.ts'
import { LaneQueue } from '../../../../src/actors/scheduler/policies/lane-queue.ts'
import {
  agedPriority,
  earliestDeadline,
  fairShares,
  ordered,
  shortestFirst,
} from '../../../../src/actors/scheduler/policies/orderings.ts'
import { waitingTask } from './tasks.ts'

const isReady = (task: TaskRecord): boolean => task.status === 'waiting'

function drained(queue: LaneQueue): TaskRecord[] {
  const tasks: TaskRecord[] = []
  for (let task = queue.peek(); task !== undefined; task = queue.peek()) {
    expect(queue.take()).toBe(task)
    tasks.push(task)
  }
  return tasks
}

const types = ['a', 'b', 'c']
const keys = ['x', 'y', 'z']
const steps = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constant('add' as const),
      type: fc.constantFrom(...types),
      key: fc.constantFrom(...keys),
      priority: fc.integer({ min: 0, max: 9 }),
    }),
    fc.record({ do: fc.constant('take' as const) }),
    fc.record({ do: fc.constant('end' as const) }),
    fc.record({
      do: fc.constantFrom('cover' as const, 'uncover' as const, 'hold' as const, 'release' as const),
      type: fc.constantFrom(...types),
      key: fc.constantFrom(...keys),
    }),
  ),
  { maxLength: 200 },
)

describe('a queue of lanes', () => {
  test('gives the best ready task of those that are neither uncovered nor held, whatever happened before', () => {
    fc.assert(
      fc.property(steps, (given) => {
        const queue = new LaneQueue(priority, isReady, { byKey: true })
        const model = new Set<TaskRecord>()
        const uncovered = new Set<string>()
        const held = new Set<string>()
        const best = () => {
          const able = [...model].filter(
            ({ type, key, status }) => status === 'waiting' && !uncovered.has(type) && !held.has(`${type} ${key}`),
          )
          return able.sort((a, b) => priority.rank(a) - priority.rank(b))[0]
        }
        let sequence = 0
        for (const step of given) {
          if (step.do === 'add') {
            const task = waitingTask(++sequence, step)
            model.add(task)
            queue.add(task)
          } else if (step.do === 'take') {
            const task = queue.peek()
            expect(task).toBe(best())
            if (task === undefined) continue
            queue.take()
            task.turn++
            model.delete(task)
          } else if (step.do === 'end') {
            const task = best()
            if (task !== undefined) task.status = 'cancelled'
          } else if (step.do === 'uncover') {
            queue.setUncovered(step.type)
            for (const type of queue.uncoveredTypes()) uncovered.add(type)
          } else if (step.do === 'cover') {
            queue.setCovered(step.type)
            uncovered.delete(step.type)
          } else if (step.do === 'hold') {
            queue.hold(step.type, step.key)
            held.add(`${step.type} ${step.key}`)
          } else {
            queue.release(step.type, step.key)
            held.delete(`${step.type} ${step.key}`)
          }
          // A type without tasks is not remembered as uncovered: it is asked about again when it has some.
          for (const type of types) if (!queue.uncoveredTypes().includes(type)) uncovered.delete(type)
          expect(queue.peek()).toBe(best())
        }
      }),
      { numRuns: 300 },
    )
  })

  test('forgets tasks that ended while they waited aside', () => {
    const queue = new LaneQueue(priority, isReady)
    const tasks = Array.from({ length: 30_000 }, (_, i) => waitingTask(i + 1))
    for (const task of tasks) {
      queue.add(task)
      queue.setUncovered('job')
      task.status = 'cancelled'
    }
    queue.setCovered('job')
    expect(queue.peek()).toBeUndefined()
    expect(queue.uncoveredTypes()).toEqual([])
  })
})

describe('an order', () => {
  const taken = (policy: OrderingPolicy, tasks: readonly TaskRecord[]): string[] => {
    const queue = new LaneQueue(policy, isReady)
    for (const task of tasks) queue.add(task)
    return drained(queue).map(({ id }) => id)
  }

  test('by aged priority lets one level of priority weigh as much as its aging time', () => {
    const policy = agedPriority({ agingMs: 1_000 })
    const tasks = [
      waitingTask(1, { priority: 4, atMs: 0 }),
      waitingTask(2, { priority: 5, atMs: 999 }),
      waitingTask(3, { priority: 5, atMs: 1_001 }),
      waitingTask(4, { priority: 4, atMs: 0 }),
    ]
    expect(taken(policy, tasks)).toEqual(['t-2', 't-1', 't-4', 't-3'])
  })

  test('by deadline puts tasks without one last, first in first out', () => {
    const tasks = [
      waitingTask(1),
      waitingTask(2, { deadlineAtMs: 9 }),
      waitingTask(3),
      waitingTask(4, { deadlineAtMs: 5 }),
    ]
    expect(taken(earliestDeadline, tasks)).toEqual(['t-4', 't-2', 't-1', 't-3'])
  })

  test('by duration moves tasks that wait already when their type has been learned', () => {
    const queue = new LaneQueue(shortestFirst({ aging: 0 }), isReady)
    const first = [waitingTask(1, { type: 'long' }), waitingTask(2, { type: 'short' })]
    for (const task of first) queue.add(task)
    for (let i = 3; i < 103; i++) queue.add(waitingTask(i, { type: i % 2 === 1 ? 'long' : 'short' }))
    for (const task of first) {
      queue.take()
      task.status = 'completed'
      queue.turnEnded(task, task.type === 'long' ? 1_000 : 10)
    }
    expect(drained(queue).map(({ type }) => type)).toEqual([...Array(50).fill('short'), ...Array(50).fill('long')])
  })

  test('of the user may throw or return nonsense: such tasks come last', () => {
    const policy = ordered('mine', ({ priority, id }) => {
      if (id === 't-1') throw new Error('no')
      return id === 't-2' ? Number.NaN : -priority
    })
    const tasks = [waitingTask(1), waitingTask(2), waitingTask(3, { priority: 1 }), waitingTask(4, { priority: 2 })]
    expect(taken(policy, tasks)).toEqual(['t-4', 't-3', 't-1', 't-2'])
  })

  test('by fair shares charges nothing for an award that nobody took', () => {
    const queue = new LaneQueue(fairShares(), isReady)
    const x = waitingTask(1, { key: 'x', expectedMs: 1_000 })
    queue.add(x)
    queue.add(waitingTask(2, { key: 'y', expectedMs: 10 }))
    expect(queue.take()).toBe(x)
    queue.add(x)
    expect(drained(queue)[0]).toBe(x)
  })
})
