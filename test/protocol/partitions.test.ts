import { describe, expect, test } from 'vitest'
import type { SubmissionOptions } from '../../src/protocol/options.ts'
import { checkPartitions, homeOf, partitionOf, placeOf, placeOfFlow } from '../../src/protocol/partitions.ts'
import { Subjects } from '../../src/protocol/subjects.ts'

describe('the partition of a text', () => {
  test('stays the same for ever: tasks are found by it', () => {
    const texts = ['a', 'order-17', 'customer:7', 'gang job-1', 'ä€😀']
    expect(texts.map((text) => partitionOf(text, 64))).toEqual([51, 40, 5, 38, 14])
  })

  test.each([2, 3, 4, 7, 64])('%i partitions get nearly the same number of ids each', (count) => {
    const each = new Array<number>(count).fill(0)
    const ids = 20_000
    for (let n = 0; n < ids; n++) each[partitionOf(`order-${n}`, count)]!++
    const fair = ids / count
    for (const number of each) expect(Math.abs(number - fair)).toBeLessThan(6 * Math.sqrt(fair))
  })
})

describe('a submission', () => {
  const place = (options: SubmissionOptions) => placeOf(['work', '{"n":1}', options], 8)

  test('belongs to the partition of its id, and to any without one', () => {
    expect(place({ id: 'order-17' })).toBe(partitionOf('order-17', 8))
    expect(place({ priority: 9 })).toBeUndefined()
    expect(placeOf(['work', null], 8)).toBeUndefined()
    expect(placeOf(['work', null, { id: 'order-17' }], 1)).toBeUndefined()
  })

  test('meets those that it has to meet, whatever its id', () => {
    const gangs = ['a', 'b', 'c', 'd'].map((id) => place({ id, gang: { id: 'job-7', size: 4 } }))
    expect(new Set(gangs).size).toBe(1)
    const groups = ['a', 'b', 'c'].map((id) => place({ id, group: [{ name: 'shop' }, { name: id }] }))
    expect(new Set(groups).size).toBe(1)
    const keys = ['a', 'b', 'c'].map((id) => place({ id, unique: { key: 'once', withinMs: 1 } }))
    expect(new Set(keys).size).toBe(1)
    expect(place({ after: ['3-17'] })).toBe(3)
  })
})

test('an id of the system names its partition, also for its children; a flow goes where its first id in order is', () => {
  expect(homeOf('3-17', 8)).toBe(3)
  expect(homeOf('3-17-4', 8)).toBe(3)
  expect(homeOf('3-17-4:1:2', 8)).toBe(3)
  expect(homeOf('9-17', 8)).toBe(partitionOf('9-17', 8))
  expect(placeOfFlow(['c', 'a', 'b'], 8)).toBe(homeOf('a', 8))
})

test.each([0, 65, 1.5, 'many'])('%s is no number of partitions', (count) => {
  expect(() => checkPartitions(count)).toThrow(/not a whole number between 1 and 64/)
})

test('the first partition of several keeps the subjects of one, but for the blocks of clients', () => {
  const one = new Subjects('main')
  const first = new Subjects('main', 0, 4)
  const third = first.of(2)
  expect(first.submit('a')).toBe(one.submit('a'))
  expect(first.journal(0, 'n', 'i')).toBe(one.journal(0, 'n', 'i'))
  expect(first.block('c')).toBe('troupe.main.partition.0.block.c')
  expect(third.submit('a')).toBe('troupe.main.partition.2.submit.a')
  expect(third.event('t', 'i', 'done')).toBe(one.event('t', 'i', 'done'))
  expect(third.within(third.submit('a.b'))).toBe('submit.a.b')
  expect(first.within(first.block('c'))).toBe('block.c')
  expect(third.moved(third.task('x'), 0)).toBe(one.task('x'))
})
