import { fromTask, task } from 'troupe'
import { assign, setup } from 'xstate'

interface Invoice {
  readonly invoice: string
}

const machine = setup({
  types: { input: {} as Invoice, context: {} as Invoice & { approved: boolean } },
  actors: { mail: fromTask('mail') }, // a task of its own, anywhere in the troupe
}).createMachine({
  id: 'approval',
  context: ({ input }) => ({ ...input, approved: false }),
  initial: 'asking',
  states: {
    asking: {
      invoke: { src: 'mail', input: ({ context }) => ({ about: context.invoice }), onDone: 'waiting' },
    },
    waiting: {
      on: { APPROVE: { target: 'decided', actions: assign({ approved: true }) }, REJECT: 'decided' },
      after: { 604800000: 'decided' }, // a week by the clock, whatever dies meanwhile
    },
    decided: { type: 'final' },
  },
  output: ({ context }) => ({ approved: context.approved }),
})

export const approval = task('approval', machine)
