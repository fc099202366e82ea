import { expect, test } from 'vitest'
import { BidCall } from '../../../src/actors/scheduler/bid-call.ts'

const nothing = { uncoveredTypes: () => [], peek: () => undefined }
const uncovered = { uncoveredTypes: () => ['gpu'], peek: () => undefined }
const nobody = { isBidFor: () => false }

test('bids are called for when no standing bid covers a ready task, at most once a second', () => {
  const call = new BidCall()
  expect(call.due(nothing, nobody, 0)).toBeUndefined()
  expect(call.due(uncovered, nobody, 10)).toEqual({ do: 'call', types: ['gpu'] })
  expect(call.due(uncovered, nobody, 1_009)).toBeUndefined()
  expect(call.due(uncovered, nobody, 1_010)).toEqual({ do: 'call', types: ['gpu'] })
})

test('a task whose bids have all lapsed is called for, one that merely waits for a credit is not', () => {
  const waiting = { uncoveredTypes: () => [], peek: () => ({ type: 'work' }) as never }
  expect(new BidCall().due(waiting, { isBidFor: () => true }, 0)).toBeUndefined()
  expect(new BidCall().due(waiting, nobody, 0)).toEqual({ do: 'call', types: ['work'] })
})
