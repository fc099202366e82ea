/** Timers of very many tasks: those that nobody wants any more are swept out, and no other. */
import { expect, test } from 'vitest'
import type { TaskRecord } from '../../../src/actors/ledger/task-record.ts'
import { Calendar } from '../../../src/actors/scheduler/calendar.ts'
import { limitOf, type Timer, Timers } from '../../../src/actors/scheduler/timers.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { TestLog } from '../ledger/test-log.ts'

test('of very many timers those of tasks that have ended are swept out, and all others ring in time', () => {
  const log = new TestLog()
  const node = log.join('a')
  const live: TaskRecord[] = []
  const timers = new Timers()
  const wanted = new Map<Timer, number>()
  for (let round = 0; round < 4_000; round++) {
    const task = log.task(log.submit())
    const { turn } = task
    const all: Timer[] = (['due', 'wake', 'deadline', 'timeout'] as const).map((what) => ({ task, what, turn }))
    for (const [n, timer] of all.entries()) timers.set(timer, 1_000_000 - round * 7 + n)
    if (round % 100 === 0) {
      live.push(task)
      for (const [n, timer] of all.entries()) wanted.set(timer, 1_000_000 - round * 7 + n)
    } else {
      node.accept(task.id)
      node.complete(task.id)
    }
  }
  expect(timers.length).toBeLessThan(11_000)
  const rung = new Set<Timer>()
  for (let nowMs = timers.nextMs; nowMs < Infinity; nowMs = timers.nextMs) {
    expect(timers.next(nowMs - 1)).toBeUndefined()
    const timer = timers.next(nowMs)!
    rung.add(timer)
    if (wanted.has(timer)) expect(nowMs).toBe(wanted.get(timer))
  }
  expect([...wanted.keys()].filter((timer) => !rung.has(timer))).toEqual([])
  expect(live.length).toBe(40)
})

test('nothing is said or handed on a millisecond before its time', () => {
  const log = new TestLog()
  const { nowMs } = log
  const delayed = log.task(log.submit({ 'troupe-delay': '5s' }))
  const expiring = log.task(log.submit({ 'troupe-deadline': '7s' }))
  const due: TaskRecord[] = []
  const calendar = new Calendar((task) => due.push(task))
  calendar.enter(delayed, nowMs)
  calendar.watchDeadline(expiring)
  expect(calendar.due(nowMs + 4_999)).toEqual([])
  calendar.enter(delayed, nowMs + 4_999)
  expect(due).toEqual([])
  expect(calendar.due(nowMs + 5_000)).toEqual([])
  expect(new Set(due)).toEqual(new Set([delayed]))
  expect(calendar.due(nowMs + 6_999)).toEqual([])
  expect(limitOf({ task: expiring, what: 'deadline', turn: 0 }, nowMs + 6_999)).toEqual({ nextMs: nowMs + 7_000 })
  expect(calendar.due(nowMs + 7_000)).toEqual([[kind.expired, expiring.id]])
})
