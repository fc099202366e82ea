/** Actors that are kept in contexts, inputs and delayed events are the same actors after a restart. */
import { expect, test } from 'vitest'
import { type AnyActorRef, assign, fromPromise, fromTransition, sendTo, setup, stopChild } from 'xstate'
import { task } from '../../src/client/index.ts'
import { expectDurable } from '../../src/testing/index.ts'

const server = setup({ types: { events: {} as { type: 'ASK'; from: AnyActorRef } } }).createMachine({
  on: { ASK: { actions: sendTo(({ event }) => event.from, { type: 'ANSWER' }, { delay: 2_000 }) } },
})

const client = setup({
  types: { context: {} as { peers: AnyActorRef[] }, input: {} as { peers: AnyActorRef[] } },
}).createMachine({
  context: ({ input }) => input,
  initial: 'thinking',
  states: {
    thinking: {
      after: {
        5000: {
          actions: sendTo(
            ({ context }) => context.peers[0]!,
            ({ self }) => ({ type: 'ASK', from: self }),
          ),
        },
      },
      on: { ANSWER: { target: 'answered', actions: sendTo(({ context }) => context.peers[1]!, { type: 'HEARD' }) } },
    },
    answered: { type: 'final' },
  },
})

test('a child knows its parent and its sister by what it was given', async () => {
  const machine = setup({
    types: { context: {} as { server: AnyActorRef } },
    actors: { server, client },
  }).createMachine({
    context: ({ spawn }) => ({ server: spawn('server') }),
    invoke: { src: 'client', input: ({ context, self }) => ({ peers: [context.server, self] }) },
    initial: 'waiting',
    states: { waiting: { on: { HEARD: 'heard' } }, heard: { type: 'final' } },
  })
  const run = await expectDurable(task('family', machine), undefined)
  expect(run).toMatchObject({ status: 'completed' })
  expect(run.tookMs).toBeGreaterThanOrEqual(7_000)
})

test('in a Map, in a delayed event, and in what a promise and a transition were given', async () => {
  const machine = setup({
    types: { context: {} as { known: Map<string, AnyActorRef> } },
    actors: {
      server,
      caller: fromPromise(async ({ input }: { input: AnyActorRef }) => input.send({ type: 'CALLED' })),
      echo: fromTransition(
        (back: AnyActorRef, _event: { type: 'GO' }) => {
          back.send({ type: 'ECHO' })
          return back
        },
        ({ input }: { input: AnyActorRef }) => input,
      ),
    },
  }).createMachine({
    context: ({ spawn }) => ({ known: new Map([['server', spawn('server')]]) }),
    initial: 'asking',
    states: {
      asking: {
        entry: sendTo(
          ({ context }) => context.known.get('server')!,
          ({ self }) => ({ type: 'ASK', from: self }),
          {
            delay: 3_000,
          },
        ),
        on: { ANSWER: 'calling' },
      },
      calling: { invoke: { src: 'caller', input: ({ self }) => self }, on: { CALLED: 'echoing' } },
      echoing: {
        invoke: { id: 'echo', src: 'echo', input: ({ self }) => self },
        entry: sendTo('echo', { type: 'GO' }, { delay: 3_000 }),
        on: { ECHO: 'done' },
      },
      done: { type: 'final' },
    },
  })
  expect(await expectDurable(task('everywhere', machine), undefined)).toMatchObject({ status: 'completed' })
})

test('one that has stopped stays stopped, and takes no event', async () => {
  const machine = setup({
    types: { context: {} as { server: AnyActorRef; status: string } },
    actors: { server },
  }).createMachine({
    context: ({ spawn }) => ({ server: spawn('server'), status: '' }),
    initial: 'running',
    states: {
      running: { after: { 2000: { target: 'stopped', actions: stopChild(({ context }) => context.server) } } },
      stopped: {
        after: { 2000: { target: 'asked', actions: sendTo(({ context }) => context.server, { type: 'ASK' }) } },
      },
      asked: { after: { 2000: 'done' }, on: { ASK: { actions: assign({ status: 'the question came back' }) } } },
      done: {
        type: 'final',
        entry: assign({ status: ({ context }) => context.status || context.server.getSnapshot().status }),
      },
    },
    output: ({ context }) => context.status,
  })
  expect((await expectDurable(task('stopped', machine), undefined)).result).toBe('stopped')
})

test('a state of a child that its machine has seen is not told again after a restart', async () => {
  const child = setup({}).createMachine({
    initial: 'one',
    states: { one: { after: { 2000: 'two' } }, two: { after: { 2000: 'three' } }, three: { type: 'final' } },
  })
  const machine = setup({ types: { context: {} as { seen: unknown[] } }, actors: { child } }).createMachine({
    context: { seen: [] },
    initial: 'watching',
    states: {
      watching: {
        invoke: {
          src: 'child',
          onSnapshot: { actions: assign({ seen: ({ context, event }) => [...context.seen, event.snapshot.value] }) },
          onDone: 'done',
        },
      },
      done: { type: 'final' },
    },
    output: ({ context }) => context.seen,
  })
  expect((await expectDurable(task('watching', machine), undefined)).result).toEqual(['one', 'two'])
})
