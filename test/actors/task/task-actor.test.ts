import { describe, expect, test } from 'vitest'
import { createActor } from 'xstate'
import { TaskActor, type TaskActorEvent, taskRow } from '../../../src/actors/task/task-actor.ts'
import { type TaskEffect, type TaskState, taskEventTypes, taskMachine } from '../../../src/actors/task/task-machine.ts'

const finals: readonly TaskState[] = ['parked', 'yielded', 'completed', 'failed', 'cancelled']
const states = Object.keys(taskMachine.states) as TaskState[]

/** Every sequence of events that leads anywhere, each cycle walked once. */
function* paths(
  state: TaskState = 'accepted',
  path: TaskActorEvent[] = [],
  seen: string[] = [],
): Generator<TaskActorEvent[]> {
  yield path
  for (const type of taskEventTypes) {
    const row = taskRow(state, type)
    const step = `${state} ${type}`
    if (row !== undefined && !seen.includes(step)) yield* paths(row.target, [...path, { type }], [...seen, step])
  }
}

function machineRun(path: readonly TaskActorEvent[]): { state: unknown; effects: string[] } {
  const effects: string[] = []
  const names: TaskEffect[] = ['load', 'run', 'commit', 'hand-back', 'stop', 'release']
  const actions = Object.fromEntries(names.map((name) => [name, () => effects.push(name)]))
  const actor = createActor(taskMachine.provide({ actions: actions as never })).start()
  for (const event of path) actor.send(event)
  return { state: actor.getSnapshot().value, effects }
}

function tableRun(path: readonly TaskActorEvent[]): { state: unknown; effects: string[] } {
  const effects: string[] = []
  const actor = new TaskActor((effect) => effects.push(effect))
  for (const event of path) actor.send(event)
  return { state: actor.state, effects }
}

describe('the task actor', () => {
  test('does on every path what the machine does', () => {
    let walked = 0
    const reached = new Set<unknown>()
    for (const path of paths()) {
      const table = tableRun(path)
      expect(table).toEqual(machineRun(path))
      reached.add(table.state)
      walked++
    }
    expect(walked).toBeGreaterThan(100)
    expect([...reached].sort()).toEqual([...states].sort())
  })

  test('releases its slot exactly once, last, when and only when a final state is entered', () => {
    for (const path of paths()) {
      const { state, effects } = tableRun(path)
      expect(effects.filter((effect) => effect === 'release')).toHaveLength(finals.includes(state as TaskState) ? 1 : 0)
      if (finals.includes(state as TaskState)) expect(effects.at(-1)).toBe('release')
    }
  })

  test('takes nothing in a final state, and commits nothing when cancelled', () => {
    for (const state of finals) for (const type of taskEventTypes) expect(taskRow(state, type)).toBeUndefined()
    for (const state of states) expect(taskRow(state, 'ABORT')?.effects ?? []).not.toContain('commit')
  })

  test('takes events that its effects send after the one at hand', () => {
    const order: string[] = []
    const actor = new TaskActor((effect) => {
      order.push(effect)
      if (effect === 'load') actor.send({ type: 'LOADED' })
      if (effect === 'run') actor.send({ type: 'DONE' })
    })
    actor.send({ type: 'START' })
    expect(order).toEqual(['load', 'run', 'commit', 'release'])
  })

  test('that is over has no say in the turns that come after it', () => {
    const over = new TaskActor(() => {})
    over.send({ type: 'START' })
    over.send({ type: 'ABORT' })
    const next = new TaskActor(() => {})
    next.send({ type: 'START' })
    over.send({ type: 'ABORT' })
    next.send({ type: 'LOADED' })
    expect([over.state, next.state]).toEqual(['cancelled', 'running'])
  })
})
