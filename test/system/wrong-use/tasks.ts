/** Tasks with a mistake each, which shows only when they run. */
import { createMachine, setup, spawnChild } from 'xstate'
import { type AnyTaskEvent, type TaskContext, task } from '../../../src/client/index.ts'

class Money {
  readonly cents = 1
}

const cyclic: { self?: unknown } = {}
cyclic.self = cyclic
const idle = { initial: 'idle', states: { idle: {} } } as const
const child = createMachine({ ...idle, id: 'child' })
const run = (name: string, work: (ctx: TaskContext<AnyTaskEvent>, input: unknown) => unknown) =>
  task(name, async (input: unknown, ctx: TaskContext<AnyTaskEvent>) => work(ctx, input))

export const functionInContext = task('function-in-context', createMachine({ ...idle, context: { call: () => 1 } }))
export const instanceInContext = task(
  'instance-in-context',
  createMachine({ ...idle, context: { price: new Money() } }),
)
export const cyclicContext = task('cyclic-context', createMachine({ ...idle, context: { cyclic } }))
export const inlineChild = task(
  'inline-child',
  createMachine({ ...idle, context: ({ spawn }) => ({ ref: spawn(child, { id: 'kid' }) }) }),
)
export const namelessChild = task(
  'nameless-child',
  setup({ actors: { child } }).createMachine({ ...idle, entry: spawnChild('child') }),
)
export const twoSteps = run('two-steps', async ({ step }) => {
  await step('pay', () => 1)
  await step('pay', () => 2)
})
let runs = 0
export const otherOrder = run('other-order', async ({ step, waitFor }) => {
  const names = runs++ === 0 ? ['a', 'b'] : ['b', 'a']
  for (const name of names) await step(name, () => name)
  await waitFor('GO')
})
export const stepInStep = run('step-in-step', ({ step }) => step('outer', () => step('inner', () => 1)))
export const badStepRetry = run('bad-step-retry', ({ step }) => step('s', () => 1, { retry: { attempts: 0 } }))
export const promiseResult = run('promise-result', () => ({ value: Promise.resolve(1) }))
export const badSleep = run('bad-sleep', ({ sleep }) => sleep('a while'))
export const badInstant = run('bad-instant', ({ sleepUntil }) => sleepUntil('some day'))
export const misspeltChild = run('misspelt-child', ({ submit }) => submit('patient', 1, { prio: 3 } as never))
export const dishonoured = run('dishonoured', ({ submit }) => submit('patient', 1, { priority: 33 }))
/** Tells by the error of the late call. */
let late: Promise<unknown> | undefined
export const lateCall = run('late-call', async ({ step, attempt }) => {
  if (attempt === 1) {
    late = new Promise((resolve) => setTimeout(resolve, 50)).then(() => step('late', () => 1))
    late.catch(() => {})
    throw new Error('it ends early')
  }
  return late
})
export const patient = run('patient', ({ waitFor }) => waitFor('GO'))
export const strict = task('strict', async (input: { n: number }) => input.n, {
  input: {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate: (value) =>
        typeof (value as { n?: unknown } | undefined)?.n === 'number'
          ? { value: value as { n: number } }
          : { issues: [{ message: 'must be a number', path: ['n'] }] },
    },
  },
})
