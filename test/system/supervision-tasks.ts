/** Tasks that the tests of supervision run. Loaded by every node process of a test. */
import { randomUUID } from 'node:crypto'
import { assign, setup } from 'xstate'
import { task } from '../../src/client/index.ts'

/** Tells its life, which is new at each beginning and kept over each restart from a snapshot; then does as it is told. */
export const member = task(
  'member',
  async (_: unknown, ctx) => {
    const life = (ctx.restored as string | undefined) ?? randomUUID()
    if (ctx.restored === undefined) await ctx.checkpoint(life)
    await ctx.progress(0.5, life)
    const failing = ctx.waitFor('FAIL').then(async () => {
      // Otherwise the event would come to the next life as well.
      await ctx.step('heard', () => true)
      throw new Error('told to')
    })
    await Promise.race([ctx.waitFor('GO'), failing])
    return life
  },
  { linger: '10m', retry: { attempts: 10, backoff: 0 } },
)

/** An event that it cannot bear. */
export const fragile = task(
  'fragile',
  setup({
    types: { context: {} as { heard: number } },
    actions: {
      choke: () => {
        throw new Error('it does not go down')
      },
    },
  }).createMachine({
    context: { heard: 0 },
    initial: 'open',
    states: {
      open: {
        on: {
          BAD: { actions: 'choke' },
          GOOD: { actions: assign({ heard: ({ context }) => context.heard + 1 }) },
          END: 'closed',
        },
      },
      closed: { type: 'final' },
    },
    output: ({ context }) => context.heard,
  }),
  { retry: { attempts: 100, backoff: 0 } },
)

export const suicidal = task('suicidal', () => process.exit(3), {
  isolate: 'process',
  retry: { attempts: 100, backoff: 0 },
})
