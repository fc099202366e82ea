/** A build that lost a state, an actor and a type, and raised a version without saying what that means. */
import { setup } from 'xstate'
import { task } from '../../../src/client/index.ts'
import { form } from './first.ts'

export { form }

export const parcel = task(
  'parcel',
  setup({}).createMachine({
    id: 'parcel',
    initial: 'boxed',
    states: {
      boxed: { on: { SHIP: 'shipped' } },
      shipped: { on: { DELIVERED: 'delivered' } },
      delivered: { type: 'final' },
    },
    output: () => 'delivered',
  }),
)

export const letter = task(
  'letter',
  setup({ types: { context: {} as { stamps: string[] } } }).createMachine({
    id: 'letter',
    initial: 'written',
    context: { stamps: [] },
    states: { written: { on: { SEND: 'sent' } }, sent: { type: 'final' } },
    output: ({ context }) => context,
  }),
  { version: '2' },
)
