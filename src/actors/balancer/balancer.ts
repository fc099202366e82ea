/**
 * The balancer of a node: turns measured load into standing bids. It decides how many tasks the node takes and at which
 * price; it refuses to know how load is measured, what a task is, and who takes the bids.
 *
 * - `open`: takes as many as its slots allow, and more if they are short.
 * - `eased`: the main loop lags more than `easeLagMs`; half as many, until it lags less than half of that.
 * - `full`: memory is above `memoryMax`; none (one while idle), until it is `memoryRoom` below.
 * - `closed`: the node drains; none, for good.
 */
import { assign, setup } from 'xstate'
import type { Bid, NodeLoad } from '../../protocol/messages.ts'
import { contentionOf, type Demand, demandAfter, noDemand, parallelOf } from './demand.ts'
import type { Durations } from './durations.ts'
import { idleLoad, type LoadSample, type Occupancy } from './load.ts'
import { creditsOf, priceMsOf, slowdownOf, smoothed } from './pricing.ts'

export interface BalancerSettings {
  readonly easeLagMs: number
  readonly memoryMax: number
  readonly memoryRoom: number
  /** A bid stands this long after its receipt: a few of the intervals at which bids are sent. */
  readonly bidTtlMs: number
  readonly roundTripMs: number
}

const defaultBalancer: BalancerSettings = {
  easeLagMs: 50,
  memoryMax: 0.9,
  memoryRoom: 0.05,
  bidTtlMs: 1_500,
  roundTripMs: 2,
}

export type BalancerEvent =
  | { readonly type: 'sampled'; readonly load: LoadSample }
  /** A bid is due. */
  | ({ readonly type: 'quote' } & Occupancy)
  | { readonly type: 'drain' }

export interface BidEffect {
  readonly kind: 'bid'
  readonly bid: Bid
  readonly load: NodeLoad
  /** By how much the node's tasks slow each other down, at least 1. */
  readonly contention: number
}

export interface BalancerInput {
  readonly slots: number
  /** Kept by the caller, who tells it of every task that ends. */
  readonly durations: Durations
  readonly ask: (effect: BidEffect) => void
  readonly settings?: Partial<BalancerSettings>
}

interface BalancerContext {
  readonly slots: number
  readonly durations: Durations
  readonly ask: (effect: BidEffect) => void
  readonly settings: BalancerSettings
  /** Smoothed; undefined before the first measurement. */
  readonly load: LoadSample | undefined
  readonly demand: Demand
}

type Mode = 'open' | 'eased' | 'full' | 'closed'

export const balancerMachine = setup({
  types: {
    input: {} as BalancerInput,
    context: {} as BalancerContext,
    events: {} as BalancerEvent,
  },
  guards: {
    isFull: ({ context: { load, settings } }) => (load?.memory ?? 0) > settings.memoryMax,
    hasRoom: ({ context: { load, settings } }) => (load?.memory ?? 0) < settings.memoryMax - settings.memoryRoom,
    lags: ({ context: { load, settings } }) => (load?.loopDelayMs ?? 0) > settings.easeLagMs,
    lagsNot: ({ context: { load, settings } }) => (load?.loopDelayMs ?? 0) < settings.easeLagMs / 2,
  },
  actions: {
    note: assign(({ context: { load, demand, durations }, event }) =>
      event.type === 'sampled'
        ? { load: smoothed(load, event.load), demand: demandAfter(demand, event.load, durations.takeTurnsMs()) }
        : {},
    ),
    bid: ({ context, event }, { mode }: { mode: Mode }) => {
      if (event.type === 'quote') context.ask(bidFor(context, event, mode))
    },
  },
}).createMachine({
  id: 'balancer',
  initial: 'open',
  context: ({ input }) => ({
    ...input,
    settings: { ...defaultBalancer, ...input.settings },
    load: undefined,
    demand: noDemand,
  }),
  on: {
    sampled: { actions: 'note' },
    drain: '.closed',
  },
  states: {
    open: {
      always: [
        { guard: 'isFull', target: 'full' },
        { guard: 'lags', target: 'eased' },
      ],
      on: { quote: { actions: { type: 'bid', params: { mode: 'open' } } } },
    },
    eased: {
      always: [
        { guard: 'isFull', target: 'full' },
        { guard: 'lagsNot', target: 'open' },
      ],
      on: { quote: { actions: { type: 'bid', params: { mode: 'eased' } } } },
    },
    full: {
      always: { guard: 'hasRoom', target: 'open' },
      on: { quote: { actions: { type: 'bid', params: { mode: 'full' } } } },
    },
    closed: {
      on: { quote: { actions: { type: 'bid', params: { mode: 'closed' } } } },
    },
  },
})

function bidFor(context: BalancerContext, occupancy: Occupancy, mode: Mode): BidEffect {
  const { slots, durations, settings } = context
  const load = context.load ?? idleLoad
  const { meanMs } = durations
  const contention = contentionOf(context.demand, load.cpus, slots)
  const { loop, loopDelayMs, cpu, waitRatio: wait, memory, rssBytes } = load
  const rules = { slots, roundTripMs: settings.roundTripMs, mode }
  return {
    kind: 'bid',
    bid: {
      credits: creditsOf(rules, meanMs, occupancy.running + occupancy.held),
      priceMs: priceMsOf(load, contention),
      slowdown: slowdownOf(load, contention),
      parallel: parallelOf(context.demand, load.cpus, slots),
      ttlMs: settings.bidTtlMs,
    },
    load: { loop, loopDelayMs, cpu, wait, memory, rssBytes },
    contention,
  }
}
