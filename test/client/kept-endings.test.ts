/** Outcomes that were told before anybody asked for them. */
import { expect, test } from 'vitest'
import { type Ending, endingOf } from '../../src/client/ending.ts'
import { KeptEndings } from '../../src/client/kept-endings.ts'
import type { TaskAnswer } from '../../src/protocol/messages.ts'

const ending = (id: string): Ending => ({ id, status: 'completed', payload: new Uint8Array(10) })

test('the oldest are dropped beyond a number and beyond a number of bytes', () => {
  const few = new KeptEndings(2, 1_000_000)
  for (const id of ['a', 'b', 'c']) few.add(id, ending(id))
  expect([few.size, few.take('a'), few.take('b')?.id, few.take('c')?.id]).toEqual([2, undefined, 'b', 'c'])
  expect([few.size, few.bytes]).toEqual([0, 0])
  const small = new KeptEndings(100, 300)
  for (const id of ['a', 'b', 'c']) small.add(id, ending(id))
  expect([small.size, small.take('a')]).toEqual([2, undefined])
})

test('what is taken leaves nothing behind, and what is told again after that is kept again', () => {
  const kept = new KeptEndings(10, 1_000_000)
  for (let i = 0; i < 5_000; i++) {
    kept.add(String(i), ending(String(i)))
    expect(kept.take(String(i))?.id).toBe(String(i))
    expect(kept.take(String(i))).toBeUndefined()
  }
  for (let i = 0; i < 25; i++) kept.add(String(i), ending(String(i)))
  expect(kept.size).toBe(10)
  expect(kept.take('14')).toBeUndefined()
  expect(kept.take('15')?.id).toBe('15')
})

test('what is kept holds nothing of the message in which it came', () => {
  const message = new Uint8Array(100_000)
  const kept = new KeptEndings(10, 1_000_000)
  kept.add('a', { id: 'a', status: 'completed', payload: message.subarray(5, 15) })
  message.fill(9)
  const taken = kept.take('a') as { payload: Uint8Array }
  expect(taken.payload).toEqual(new Uint8Array(10))
  expect(taken.payload.buffer.byteLength).toBe(10)
})

test.each(['failed', 'cancelled', 'expired'] as const)(
  'an answer that a task was %s is its ending, with its error',
  (status) => {
    const error = { code: 'TROUPE_TASK_EXPIRED', message: 'too late' }
    const answer = { id: 'a', type: 'work', status, attempt: 1 }
    expect(endingOf({ ...answer, error } as TaskAnswer)).toEqual({ id: 'a', status, error })
    expect(endingOf(answer as TaskAnswer)).toMatchObject({ id: 'a', status, error: { code: expect.any(String) } })
  },
)

test('an answer that a task completed has its result, or says why it has none any more', () => {
  const answer = { id: 'a', type: 'work', status: 'completed', attempt: 1 }
  const error = { code: 'TROUPE_RESULT_GONE', message: 'it is not kept' }
  expect(endingOf({ ...answer, result: 7 } as TaskAnswer)).toEqual({ id: 'a', status: 'completed', value: 7 })
  expect(endingOf(answer as TaskAnswer)).toEqual({ id: 'a', status: 'completed', value: undefined })
  expect(endingOf({ ...answer, error } as TaskAnswer)).toEqual({ id: 'a', status: 'refused', error })
})

test.each(['blocked', 'delayed', 'ready', 'running', 'parked'] as const)(
  'an answer that a task is %s is no ending',
  (status) => {
    expect(endingOf({ id: 'a', type: 'work', status, attempt: 1 } as TaskAnswer)).toBeUndefined()
  },
)
