/** Parents and children that end when they are told to. Loaded by every node process of a test. */
import { setup } from 'xstate'
import { fromTask, task } from '../../src/client/index.ts'

const once = { retry: { attempts: 1 } }

/** Completes when it is told to GO, and fails when it is told to FAIL. */
export const leaf = task(
  'leaf',
  async (_: unknown, ctx) => {
    const { type } = await Promise.race([ctx.waitFor('GO'), ctx.waitFor('FAIL')])
    if (type === 'FAIL') throw new Error('told to')
    return type
  },
  once,
)

export const branch = task('branch', async (_: unknown, ctx) => {
  const child = await ctx.submit(leaf, null)
  return child.result()
})

export const tree = task(
  'tree',
  async (_: unknown, ctx) => {
    const children = [await ctx.submit(branch, null), await ctx.submit(leaf, null)]
    return Promise.all(children.map((child) => child.result()))
  },
  once,
)

const invoking = (src: 'branch' | 'leaf') =>
  ({ initial: 'on', states: { on: { invoke: { src, onDone: 'off' } }, off: { type: 'final' } } }) as const

export const machineTree = task(
  'machine-tree',
  setup({ actors: { branch: fromTask('branch'), leaf: fromTask('leaf') } }).createMachine({
    type: 'parallel',
    states: { first: invoking('branch'), second: invoking('leaf') },
    output: () => ['GO', 'GO'],
  }),
  once,
)
