/** Tasks that ask for something, for the tests of scheduling on real processes. */
import { setTimeout as delay } from 'node:timers/promises'
import { assign, setup } from 'xstate'
import { task } from '../../src/client/index.ts'

/** Says when it ran, by the clock of the machine that all nodes of a test share. */
const ran = async ({ ms = 30 }: { ms?: number }) => {
  const from = Date.now()
  await delay(ms)
  return { pid: process.pid, from, to: Date.now() }
}

export const licensed = task('licensed', ran, { resources: { licence: 1 } })
export const heavy = task('heavy', ran, { resources: { gpu: 2 } })
export const zoned = task('zoned', ran, { labels: { required: { zone: 'west' } } })
export const plain = task('plain', ran)

/** May run twice at once, from half a second on. */
export const hedged = task('hedged', ran, { hedge: { after: '500ms', budget: 1 } })

/** How far the long machine goes on in another process before it ends. */
const stepsElsewhere = 20

/** A long machine: counts, and notes in which processes it did. It ends when it has moved, or has no more steps. */
export const marching = task(
  'marching',
  setup({
    types: {
      input: {} as { steps: number },
      context: {} as { left: number; pids: readonly number[] },
      output: {} as { pids: readonly number[] },
    },
    actions: {
      step: assign(({ context: { left, pids } }) => ({ left: left - 1, pids: [...pids, process.pid] })),
    },
  }).createMachine({
    context: ({ input }) => ({ left: input.steps, pids: [] }),
    initial: 'marching',
    output: ({ context }) => ({ pids: context.pids }),
    states: {
      marching: {
        always: {
          guard: ({ context: { left, pids } }) =>
            left === 0 || new Set([pids[0], ...pids.slice(0, -stepsElsewhere)]).size > 1,
          target: 'there',
        },
        after: { 50: { target: 'marching', reenter: true, actions: 'step' } },
      },
      there: { type: 'final' },
    },
  }),
)

/** Fails at once on a node that is broken, as its environment says. */
export const fragile = task(
  'fragile',
  async () => {
    if (process.env.TEST_BROKEN !== undefined) throw new Error('this host is broken')
    await delay(100)
  },
  { retry: { attempts: 100, backoff: '20ms', factor: 1 } },
)
