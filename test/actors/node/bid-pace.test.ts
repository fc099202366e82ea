/** When a node has something new to say in a bid. */
import { expect, test } from 'vitest'
import { type BidSaid, isNews } from '../../../src/actors/node/bid-pace.ts'

const bid = { credits: 16, priceMs: 5, slowdown: 1.25, parallel: 8, ttlMs: 1_500 }
const last: BidSaid = { bid, busy: 8, status: 'ready', free: { gpu: 2 }, took: [], atMs: 1_000 }
const later = { ...last, atMs: 1_250 }

test('a bid that says the same is not sent again, but long before the last one lapses', () => {
  expect(isNews(undefined, last, 16)).toBe(true)
  expect(isNews(last, later, 16)).toBe(false)
  expect(isNews(last, { ...last, atMs: 1_500 }, 16)).toBe(true)
})

test('any other price, credit, status or free quantity is news, and so are far more tasks or fewer', () => {
  for (const change of [{ credits: 15 }, { priceMs: 0 }, { slowdown: 1 }]) {
    expect(isNews(last, { ...later, bid: { ...bid, ...change } }, 16)).toBe(true)
  }
  expect(isNews(last, { ...later, status: 'draining' }, 16)).toBe(true)
  expect(isNews(last, { ...later, free: { gpu: 1 } }, 16)).toBe(true)
  expect(isNews(last, { ...later, busy: 12 }, 16)).toBe(false)
  expect(isNews(last, { ...later, busy: 13 }, 16)).toBe(true)
  expect(isNews(last, { ...later, busy: 3 }, 16)).toBe(true)
  expect(isNews(last, { ...later, bid: { ...bid, parallel: 9 } }, 16)).toBe(false)
  expect(isNews(last, { ...later, bid: { ...bid, parallel: 4 } }, 16)).toBe(true)
})

test('how long tasks took is news of a type that was not spoken of, and when it is far more or less', () => {
  const known: BidSaid = { ...last, took: [['a', 3, 10]] }
  const says = (type: string, meanMs: number) => isNews(known, { ...later, took: [[type, 1, meanMs]] }, 16)
  expect(says('b', 10)).toBe(true)
  expect([says('a', 19), says('a', 6)]).toEqual([false, false])
  expect([says('a', 21), says('a', 4)]).toEqual([true, true])
})
