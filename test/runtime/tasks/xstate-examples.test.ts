/** XState's examples as tasks: killed at every snapshot, here and on to another process, they end as if nothing had been. */
import { type ChildProcess, fork } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CrashPoint, expectDurable, runTask } from '../../../src/testing/index.ts'
import { Run, type RunHistory, type TaskRun } from '../../../src/testing/run-task.ts'
import { examples } from './fixtures/xstate-examples.ts'

/** What an uninterrupted run comes to, and how long it takes by the delays alone. */
const expected: Readonly<Record<string, { result?: unknown; state?: unknown; tookMs?: number }>> = {
  toggle: { state: { value: 'active', context: { count: 2 } } },
  'traffic light': { tookMs: 2 * 35_500 },
  'fetch with retry': { result: { tries: 3, dog: 'Rex', error: 'no dog at try 2' } },
  feedback: { result: 'too slow' },
  'word (parallel)': { state: { value: { bold: 'off', italics: 'on', list: 'bullets' }, context: {} } },
  'payment (history)': { result: 'paid' },
  'stopwatch (callback)': { result: 5 },
  'nested invocations': { result: 'nested', tookMs: 120_000 },
  'spawned children': { result: ['B', 'c'] },
  'delayed raise and sendTo': { result: ['snooze', 'alarm'], tookMs: 12_000 },
  'always and guards': { result: ['last ball'] },
}

/** Timers may ring so much later than their absolute due time. */
const lateMs = 100

describe.each(Object.keys(examples))('%s', (name) => {
  const { definition, input, options } = examples[name]!
  const { result, state, tookMs } = expected[name]!

  test('ends as it should, and the same wherever its node is killed', async () => {
    const run =
      name === 'traffic light'
        ? await runTask(definition, input, options)
        : await expectDurable(definition, input, options)
    if (result !== undefined) expect(run.result).toEqual(result)
    if (state !== undefined) expect(run.state).toEqual(state)
    for (let commit = 1; commit <= run.commits.length; commit++) {
      for (const side of ['before', 'after'] as const) {
        const broken = await runTask(definition, input, { ...options, crash: { commit, side } })
        if (tookMs === undefined) continue
        expect(broken.tookMs).toBeGreaterThanOrEqual(tookMs)
        expect(broken.tookMs).toBeLessThan(tookMs + lateMs)
      }
    }
  })

  test('goes on in another process from every snapshot', async () => {
    const whole = await runTask(definition, input, options)
    for (let commit = 1; commit <= whole.commits.length; commit++) {
      const crash: CrashPoint = { commit, side: 'after' }
      const history = await new Run(definition, input, { ...options, crash }).toTheCrash()
      expect(outcome(await goOn(name, history))).toEqual(outcome(whole))
    }
  })
})

test('the lights of a traffic light change at their absolute times, wherever its node is killed', async () => {
  const { definition, input, options } = examples['traffic light']!
  const whole = await runTask(definition, input, options)
  const times = whole.result as number[]
  const due = [0, 20_000, 20_500, 35_500, 55_500, 56_000].map((ms) => times[0]! + ms)
  expect(times).toHaveLength(due.length)
  for (let commit = 1; commit <= whole.commits.length; commit++) {
    const broken = await runTask(definition, input, { ...options, crash: { commit, side: 'before' } })
    expect(broken.result).toHaveLength(due.length)
    for (const [index, time] of (broken.result as number[]).entries()) {
      expect(time).toBeGreaterThanOrEqual(due[index]!)
      expect(time).toBeLessThan(due[index]! + lateMs)
    }
  }
})

function outcome({ status, result, state, error }: TaskRun): unknown {
  return { status, result, state, error }
}

let other: ChildProcess

beforeAll(() => {
  const program = new URL('./fixtures/other-process.ts', import.meta.url)
  other = fork(program, [], { serialization: 'advanced', execArgv: [] })
})

afterAll(async () => {
  const ended = new Promise((resolve) => other.once('exit', resolve))
  other.disconnect()
  await ended
})

function goOn(name: string, history: RunHistory): Promise<TaskRun> {
  return new Promise((resolve, reject) => {
    other.once('message', (answer: { run?: TaskRun; error?: string }) => {
      if (answer.run === undefined) reject(new Error(answer.error))
      else resolve(answer.run)
    })
    other.send({ name, history })
  })
}
