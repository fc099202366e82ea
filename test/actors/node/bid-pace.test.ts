/** When a node has something new to say in a bid. */
import { expect, test } from 'vitest'
import { type BidSaid, isNews } from '../../../src/actors/node/bid-pace.ts'

const bid = { credits: 16, priceMs: 5, slowdown: 1.25, ttlMs: 1_500 }
const last: BidSaid = { bid, busy: 8, status: 'ready', free: { gpu: 2 }, atMs: 1_000 }
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
})
