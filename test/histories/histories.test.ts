/** Histories of people with a plain NATS client, and the judge of them, which must find what is wrong in those made by hand. */
import { describe, expect, test } from 'vitest'
import type { Call, Effect, Operation, Told } from './history.ts'
import { explain, judge, rules } from './judge.ts'
import { trial } from './trial.ts'

test('through kills of nodes, schedulers and the server nobody is ever told what cannot be', async () => {
  const history = await trial({ seed: 6, actMs: 10_000, say: (line) => console.log(line) })
  expect(judge(history).map(explain)).toEqual([])
  expect(history.operations.length).toBeGreaterThan(200)
  expect(Object.values(history.faults).reduce((sum, times) => sum + times, 0)).toBeGreaterThanOrEqual(3)
}, 180_000)

describe('the judge', () => {
  const submit = (value: number, delayMs = 0): Call => ({ f: 'submit', type: 'plain', value, delayMs })
  const run = (value: number): Call => ({ ...submit(value), f: 'run' }) as Call
  const read: Call = { f: 'read' }
  const op = (fromMs: number, call: Call, told: Told, end: Operation['end'] = 'ok'): Operation => {
    return { who: 'p0', id: 'a', call, fromMs, toMs: fromMs + 5, end, told }
  }
  const effect = (atMs: number, more: Partial<Effect> = {}): Effect => {
    return { id: 'a', step: 'only', key: 'k', attempt: 1, atMs, ...more }
  }
  const taken = op(0, submit(1), { sequence: 7 })
  const completed = (fromMs: number, value = 1, more: object = {}) =>
    op(fromMs, read, { status: 'completed', turn: 1, result: { value, steps: ['only'], ...more } })
  const found = (operations: Operation[], effects: Effect[] = [effect(20)]) =>
    judge({ operations, effects }).map(({ rule }) => rule.name)

  test('finds nothing in a history as it should be', () => {
    const running = op(10, read, { status: 'running', turn: 1 })
    expect(
      found([
        taken,
        running,
        op(20, run(1), { status: 'completed', result: { value: 1, steps: ['only'] } }),
        completed(30),
      ]),
    ).toEqual([])
  })

  const signal = (fromMs: number, value: number, sequence: number) =>
    op(fromMs, { f: 'signal', signalId: `s${value}`, value }, { sequence })
  const broken: readonly [string, Operation[], Effect[]?][] = [
    ['known', [taken, op(10, read, { error: 'TROUPE_UNKNOWN_TASK' }), completed(30)]],
    ['ends', [taken, op(10, read, { status: 'running', turn: 1 })]],
    ['one-end', [taken, completed(10), op(20, read, { status: 'cancelled', turn: 1, error: 'X' })]],
    [
      'never-backwards',
      [taken, op(10, read, { status: 'running', turn: 2 }), op(20, read, { status: 'parked', turn: 1 }), completed(30)],
    ],
    [
      'never-backwards',
      [taken, op(10, read, { status: 'ready', turn: 1 }), op(20, read, { status: 'running', turn: 1 }), completed(30)],
    ],
    ['one-task', [taken, op(10, submit(2), { sequence: 8 }), completed(30, 2)]],
    ['one-task', [taken, completed(30, 3)]],
    [
      'own-answer',
      [taken, op(10, run(2), { status: 'completed', result: { value: 1, steps: ['only'] } }), completed(30)],
    ],
    ['own-answer', [taken, op(10, run(1), { error: 'TROUPE_ID_CONFLICT' }), completed(30)]],
    ['no-phantom', [op(0, submit(1), {}, 'fail')]],
    ['one-key', [taken, completed(30)], [effect(10), effect(20, { key: 'other' })]],
    ['effects-happened', [taken, completed(30)], []],
    ['effects-happened', [taken, completed(30)], [effect(20, { attempt: 5 })]],
    ['never-early', [op(0, submit(1, 500), { sequence: 7 }), completed(900)], [effect(450)]],
    [
      'never-early',
      [taken, completed(900)],
      [effect(10), effect(20, { step: 'before:300' }), effect(200, { step: 'after' })],
    ],
    ['signals-in-order', [taken, signal(5, 1, 8), signal(6, 2, 9), completed(30, 1, { heard: [2, 1] })]],
    ['signals-in-order', [taken, signal(5, 1, 8), completed(30, 1, { heard: [1, 1] })]],
  ]
  test.each(broken)('finds what breaks "%s"', (name, operations, effects) => {
    expect(found(operations, effects)).toEqual([name])
  })

  test('has a history for each of its rules', () => {
    expect([...new Set(broken.map(([rule]) => rule))].toSorted()).toEqual(rules.map(({ name }) => name).toSorted())
  })
})
