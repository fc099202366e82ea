import { task } from 'troupe'
import { setup } from 'xstate'

const machine = setup({ types: { context: {} as { cents: number } } }).createMachine({
  id: 'invoice',
  context: { cents: 0 },
  initial: 'unpaid', // was called "open" in version 1, which counted in euros
  states: { unpaid: { on: { PAID: 'paid' } }, paid: { type: 'final' } },
  output: ({ context }) => context.cents,
})

export const invoice = task('invoice', machine, {
  version: '2',
  migrate: (from, snapshot) => {
    if (from.version !== '1') throw new Error(`version ${from.version} is not known`)
    return { ...snapshot, value: 'unpaid', context: { cents: snapshot.context.euros * 100 } }
  },
})
