/** What a node tells of the tasks that it completed. */
import { expect, test } from 'vitest'
import { Completions } from '../../../src/actors/node/completions.ts'

test('times are told once, as geometric means, without what the tasks did to each other', () => {
  const completions = new Completions()
  completions.completed('t', 10)
  completions.completed('t', 1_000)
  const [[type, count, meanMs] = ['', 0, 0]] = completions.untold(2)
  expect([type, count]).toEqual(['t', 2])
  expect(meanMs).toBeCloseTo(50)
  expect(completions.untold()).toHaveLength(1)
  completions.told(completions.untold())
  expect(completions.untold()).toEqual([])
})

test('of many types the rest follows with the next bid', () => {
  const completions = new Completions()
  for (let i = 0; i < 70; i++) completions.completed(`t${i}`, 1)
  const first = completions.untold()
  completions.told(first)
  expect([first.length, completions.untold().length]).toEqual([50, 20])
})
