/** The build that is running: a machine that invokes another, one that goes on over versions, and a function. */
import { setup } from 'xstate'
import { task } from '../../../src/client/index.ts'

const courier = setup({ types: { events: {} as { type: 'ARRIVE' } } }).createMachine({
  id: 'courier',
  initial: 'driving',
  states: { driving: { on: { ARRIVE: 'there' } }, there: { type: 'final' } },
})

export const parcel = task(
  'parcel',
  setup({ actors: { courier } }).createMachine({
    id: 'parcel',
    initial: 'packed',
    states: {
      packed: { on: { SHIP: 'shipped' } },
      shipped: { invoke: { src: 'courier', id: 'courier' }, on: { DELIVERED: 'delivered' } },
      delivered: { type: 'final' },
    },
    output: () => 'delivered',
  }),
)

export const letter = task(
  'letter',
  setup({ types: { context: {} as { stamps: number } } }).createMachine({
    id: 'letter',
    initial: 'written',
    context: { stamps: 2 },
    states: { written: { on: { SEND: 'sent' } }, sent: { type: 'final' } },
    output: ({ context }) => context,
  }),
  { version: '1' },
)

export const form = task('form', async (_: unknown, { step, waitFor }) => {
  const name = await step('name', async () => 'Ada')
  await waitFor('SIGNED')
  return name
})
