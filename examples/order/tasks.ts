/**
 * An order as a statechart: it waits for a decision, for days if it must, reminds on the way, and then charges the customer,
 * trying again while the bank is out of order. Its snapshot is its checkpoint, so it survives the loss of any node in any state.
 *
 *   waiting ──APPROVE──▶ charging ──▶ paid
 *    │  ▲ after reminder    │  ▲
 *    │  └─ remind           ▼  │ after pause
 *    └──REJECT──▶ rejected  pausing ──(too often)──▶ unpaid
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { task } from 'troupe'
import { assign, fromPromise, setup } from 'xstate'

export interface OrderInput {
  readonly order: string
  readonly cents: number
  /** Where to charge. */
  readonly bank: string
  /** How long to wait before each reminder. */
  readonly reminderMs: number
}

export interface OrderOutput {
  readonly status: 'paid' | 'unpaid' | 'rejected'
  readonly reminders: number
  readonly payments: number
  readonly receipt?: string
  readonly reason?: string
}

interface OrderContext extends OrderInput {
  readonly reminders: number
  /** Payments tried. */
  readonly payments: number
  readonly receipt?: string
  readonly reason?: string
}

type OrderEvent = { readonly type: 'APPROVE' } | { readonly type: 'REJECT'; readonly reason: string }

const paymentsMax = 5

/** Charges once: the order's id is the key, and the bank charges a key once however often it is asked. */
const charge = fromPromise(async ({ input, signal }: { input: OrderInput; signal: AbortSignal }) => {
  const body = JSON.stringify({ key: input.order, cents: input.cents })
  const response = await fetch(`${input.bank}/charge`, { method: 'POST', body, signal })
  if (!response.ok) throw new Error(`the bank answered ${response.status}`)
  return (await response.json()) as { receipt: string }
})

export const orderMachine = setup({
  types: {
    input: {} as OrderInput,
    context: {} as OrderContext,
    events: {} as OrderEvent,
    output: {} as OrderOutput,
  },
  actors: { charge },
  delays: {
    reminder: ({ context }) => context.reminderMs,
    pause: ({ context }) => 100 * 2 ** context.payments,
  },
  guards: { triedTooOften: ({ context }) => context.payments >= paymentsMax },
}).createMachine({
  id: 'order',
  context: ({ input }) => ({ ...input, reminders: 0, payments: 0 }),
  initial: 'waiting',
  states: {
    waiting: {
      on: {
        APPROVE: 'charging',
        REJECT: { target: 'rejected', actions: assign({ reason: ({ event }) => event.reason }) },
      },
      after: {
        reminder: {
          target: 'waiting',
          reenter: true,
          actions: assign({ reminders: ({ context }) => context.reminders + 1 }),
        },
      },
    },
    charging: {
      entry: assign({ payments: ({ context }) => context.payments + 1 }),
      invoke: {
        src: 'charge',
        input: ({ context }) => context,
        onDone: { target: 'paid', actions: assign({ receipt: ({ event }) => event.output.receipt }) },
        onError: [{ guard: 'triedTooOften', target: 'unpaid' }, { target: 'pausing' }],
      },
    },
    pausing: { after: { pause: 'charging' } },
    paid: { type: 'final' },
    unpaid: { type: 'final' },
    rejected: { type: 'final' },
  },
  output: ({ context: { reminders, payments, receipt, reason } }) => ({
    status: receipt !== undefined ? 'paid' : reason !== undefined ? 'rejected' : 'unpaid',
    reminders,
    payments,
    ...(receipt === undefined ? {} : { receipt }),
    ...(reason === undefined ? {} : { reason }),
  }),
})

/** What an order must have, as a Standard Schema; zod, valibot or arktype make one in a line. */
const input: StandardSchemaV1<OrderInput> = {
  '~standard': {
    version: 1,
    vendor: 'example',
    validate(value) {
      const { order, cents, bank, reminderMs } = (value ?? {}) as Partial<OrderInput>
      const issues = [
        typeof order === 'string' || 'order must be a text',
        (Number.isInteger(cents) && Number(cents) > 0) || 'cents must be a whole number above 0',
        (typeof bank === 'string' && URL.canParse(bank)) || 'bank must be a URL',
        (Number.isInteger(reminderMs) && Number(reminderMs) > 0) || 'reminderMs must be a whole number above 0',
      ].filter((complaint) => typeof complaint === 'string')
      return issues.length > 0 ? { issues: issues.map((message) => ({ message })) } : { value: value as OrderInput }
    },
  },
}

export const order = task('order', orderMachine, { input, restart: { intensity: 5, period: '30s' } })
