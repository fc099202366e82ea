/** A client's write whose answer leaves it open, or says no: what is certain is said at once, and all else is asked again. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { appendDurably } from '../../src/client/append.ts'
import type { AppendOptions, AppendResult, Log } from '../../src/nats/bus.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const unknown: AppendResult = { outcome: 'unknown', code: 0, message: 'no acknowledgement in time' }
const nobody: AppendResult = { outcome: 'refused', reason: 'no-responders', code: 503, message: 'no stream' }

function write(doorOpen: boolean, ...answers: AppendResult[]) {
  const ids: (string | undefined)[] = []
  const log = {
    append: async (_subject: string, _data: Uint8Array, options: AppendOptions = {}) => {
      ids.push(options.messageId)
      return answers.shift() ?? nobody
    },
    info: async () => ({ doorOpen }),
  } as unknown as Log
  const data = new Uint8Array(1)
  const common = { messageId: 'm', what: 'the submission', partitions: 1, deadlineMs: 3_000, isClosed: () => false }
  const done = appendDurably({ log, subject: 'block', data, ...common }).then(
    (sequence) => ({ sequence }),
    (error: { code: string; details?: object }) => ({ code: error.code, details: error.details }),
  )
  return { done, ids }
}

test('a closed door is said at once: the log takes no new work', async () => {
  const { done, ids } = write(false)
  expect(await done).toMatchObject({ code: 'TROUPE_REFUSED' })
  expect(ids).toHaveLength(1)
})

test('a stream without a leader is asked again, until the deadline', async () => {
  const { done, ids } = write(true)
  await vi.runAllTimersAsync()
  expect(await done).toMatchObject({ code: 'TROUPE_REFUSED' })
  expect(ids.length).toBeGreaterThan(10)
})

test('after an answer that left it open, a closed door is no certain refusal, and the same id is sent each time', async () => {
  const { done, ids } = write(false, unknown)
  await vi.runAllTimersAsync()
  expect(await done).toMatchObject({ code: 'TROUPE_NO_ANSWER', details: { mayBeAccepted: true } })
  expect(new Set(ids)).toEqual(new Set(['m']))
  const stored = write(true, unknown, nobody, { outcome: 'stored', sequence: 4, duplicate: true })
  await vi.runAllTimersAsync()
  expect(await stored.done).toEqual({ sequence: 4 })
})
