import { describe, expect, test } from 'vitest'
import { TaskRecord } from '../../../src/actors/ledger/task-record.ts'
import { TaskTable } from '../../../src/actors/ledger/task-table.ts'
import { systemTaskId } from '../../../src/protocol/names.ts'

const partition = 3

function added(table: TaskTable, sequence: number, index: number, name?: string): TaskRecord {
  const arrival = table.arrival(sequence, 0, undefined)
  const task = new TaskRecord({ name, type: 'work', priority: 4, key: undefined, arrival, index, hash: 0 })
  table.add(task)
  return task
}

const places = (table: TaskTable) => [...table.values()].map(({ sequence, index }) => [sequence, index])

describe('the table of tasks', () => {
  test('finds tasks by the ids that they were given, and by their places', () => {
    const table = new TaskTable(partition)
    const [first, alone, named, late] = [
      added(table, 7, 0),
      added(table, 8, -1),
      added(table, 9, 1, 'order-17'),
      added(table, 9, 4),
    ]
    expect(table.get('3-7-0')).toBe(first)
    expect(table.get('3-8')).toBe(alone)
    expect(table.get('order-17')).toBe(named)
    expect(table.get('3-9-4')).toBe(late)
    expect(table.size).toBe(4)
    expect(places(table)).toEqual([
      [7, 0],
      [8, -1],
      [9, 1],
      [9, 4],
    ])
  })

  test('knows nothing by another spelling of a place, nor by the place of a task that has a name', () => {
    const table = new TaskTable(partition)
    added(table, 7, 0)
    added(table, 9, 1, 'order-17')
    const other = [
      '3-07-0',
      '3-7-00',
      '3-7',
      '3-7-1',
      '3-7-0-0',
      '03-7-0',
      '2-7-0',
      '3-7-',
      '-7-0',
      '3--0',
      '3-9-1',
      '3-7-x',
      '',
    ]
    expect(other.filter((id) => table.has(id))).toEqual([])
    expect(table.has(`3-${'9'.repeat(30)}-0`)).toBe(false)
    expect(table.has('3-6-8192')).toBe(false)
  })

  test('a task of another partition that was brought here is found by the id from there', () => {
    const table = new TaskTable(partition)
    const brought = added(table, 9, 1, '2-44-1')
    expect(table.get('2-44-1')).toBe(brought)
    expect(table.has('3-9-1')).toBe(false)
  })

  test('whatever is deleted in whatever order, the others are still found, in order', () => {
    for (const step of [1, 3, 7, 13, 29]) {
      const table = new TaskTable(partition)
      const tasks = new Map<string, TaskRecord>()
      for (let sequence = 1; sequence <= 3; sequence++) {
        for (let index = 0; index < 50; index++) {
          const name = index % 9 === 4 ? `own-${sequence}-${index}x` : undefined
          const task = added(table, sequence, index, name)
          tasks.set(name ?? systemTaskId(partition, sequence, index), task)
        }
      }
      const ids = [...tasks.keys()]
      for (let at = 0; tasks.size > 0; at = (at + step) % ids.length) {
        while (!tasks.has(ids[at]!)) at = (at + 1) % ids.length
        const id = ids[at]!
        table.delete(tasks.get(id)!)
        tasks.delete(id)
        expect(table.has(id)).toBe(false)
        expect([...tasks.keys()].filter((other) => table.get(other) !== tasks.get(other))).toEqual([])
        expect([...table.values()]).toEqual([...tasks.values()])
        expect(table.size).toBe(tasks.size)
      }
    }
  })

  test('a message of which no task is left leaves nothing behind', () => {
    const table = new TaskTable(partition)
    const { blocks } = table as unknown as { blocks: ReadonlyMap<number, unknown> }
    for (let sequence = 1; sequence <= 100; sequence++) {
      const tasks = Array.from({ length: 1 + (sequence % 40) }, (_, index) => added(table, sequence, index))
      for (const task of tasks) table.delete(task)
    }
    expect(blocks.size).toBe(0)
  })

  test('going through it shows every task that stays, while others come and go', () => {
    const table = new TaskTable(partition)
    const stay = new Set<TaskRecord>()
    const go: TaskRecord[] = []
    for (let index = 0; index < 200; index++) {
      const task = added(table, 1 + Math.floor(index / 40), index % 40, index % 11 === 0 ? `own-${index}` : undefined)
      if (index % 5 === 0) stay.add(task)
      else go.push(task)
    }
    let sequence = 100
    for (const task of table.values()) {
      stay.delete(task)
      for (const gone of go.splice(-3)) table.delete(gone)
      if (sequence < 110) added(table, sequence++, 0)
    }
    expect(stay.size).toBe(0)
  })

  test('going through the rest of a block shows all of it, while those before are forgotten', () => {
    for (const left of [2, 7, 16]) {
      const table = new TaskTable(partition)
      const tasks = Array.from({ length: 64 }, (_, index) => added(table, 7, index))
      for (const task of tasks.splice(0, 64 - left)) table.delete(task)
      const shown = table.values()
      for (let gone = 0; gone < left; gone++) {
        expect(shown.next().value).toBe(tasks[gone])
        table.delete(tasks[gone]!)
      }
      expect(shown.next().done).toBe(true)
    }
  })
})
