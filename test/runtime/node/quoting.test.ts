/** What a node says that tasks cost there, by the hooks of their types; whatever a hook does, every task has its answer. */
import { expect, test } from 'vitest'
import { type BidHook, task } from '../../../src/client/index.ts'
import { packValue } from '../../../src/protocol/payload.ts'
import { Quoting } from '../../../src/runtime/node/quoting.ts'

const node = { id: 'n', labels: { zone: 'a' }, slots: 4, running: 1 }

function quotesOf(bid: BidHook | undefined, inputs: readonly unknown[], key: string | null = null) {
  const definition = task('job', () => null, bid === undefined ? {} : { bid })
  const loadObject = () => Promise.reject(new Error('there is no object'))
  const quoting = new Quoting({ definitions: [definition], keyring: undefined, node: () => node, loadObject })
  return quoting.quotes(inputs.map((input, i) => [`t${i}`, 'job', key, packValue(input)] as const))
}

test('a hook sees the task and its node, and answers with a duration or a refusal', async () => {
  const bid: BidHook = ({ id, key, input, node }) => {
    if (input === 'never') return { refuse: `${id} on ${node.id} in ${node.labels.zone}` }
    return key === 'k' && input === 'near' ? 0 : '5s'
  }
  expect(await quotesOf(bid, ['near', 'far', 'never'], 'k')).toEqual([
    ['t0', 0, ''],
    ['t1', 5_000, ''],
    ['t2', null, 't2 on n in a'],
  ])
})

test('a hook may look something up', async () => {
  expect(await quotesOf(async ({ input }) => input as number, [7])).toEqual([['t0', 7, '']])
})

test.each<[string, BidHook, RegExp]>([
  [
    'throws',
    () => {
      throw new Error('no such disk')
    },
    /^its bid hook failed: no such disk$/,
  ],
  ['rejects', () => Promise.reject(new Error('no such disk')), /^its bid hook failed: no such disk$/],
  [
    'answers nothing',
    (() => undefined) as unknown as BidHook,
    /what its bid hook answered undefined is not a duration/,
  ],
  ['answers less than nothing', () => -1, /is not a duration/],
  ['answers no number', () => Number.NaN, /is not a duration/],
  ['never answers', () => new Promise(() => undefined), /took more than 200 ms/],
])('a hook that %s refuses, with the reason', async (_name, bid, reason) => {
  expect(await quotesOf(bid, [1])).toEqual([['t0', null, expect.stringMatching(reason)]])
})

test('a hook that keeps the main loop is asked no more, and what it took too long for is refused', async () => {
  let calls = 0
  const bid: BidHook = () => {
    calls++
    const end = performance.now() + 250
    while (performance.now() < end);
    return 0
  }
  const quotes = await quotesOf(bid, Array(50).fill(1))
  expect(calls).toBe(1)
  expect(quotes).toHaveLength(50)
  for (const [, extraMs, reason] of quotes)
    expect([extraMs, reason]).toEqual([null, expect.stringMatching(/took more/)])
})

test('without a hook a task costs nothing more', async () => {
  expect(await quotesOf(undefined, [1])).toEqual([['t0', 0, '']])
})
