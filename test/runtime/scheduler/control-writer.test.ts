/** Decisions of a leader whose writes are not answered: the same bytes under the same id, so that each counts once. */
import pino from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { AppendOptions, AppendResult, Log } from '../../../src/nats/bus.ts'
import { kind } from '../../../src/protocol/entries.ts'
import { ControlWriter } from '../../../src/runtime/scheduler/control-writer.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const unknown: AppendResult = { outcome: 'unknown', code: 0, message: 'no acknowledgement in time' }
const closed: AppendResult = { outcome: 'refused', reason: 'no-responders', code: 503, message: 'no leader' }

function writer(...answers: AppendResult[]) {
  const attempts: { data: Uint8Array; messageId: string | undefined }[] = []
  const append = async (_: string, data: Uint8Array, options: AppendOptions = {}): Promise<AppendResult> => {
    attempts.push({ data, messageId: options.messageId })
    return answers.shift() ?? unknown
  }
  const control = new ControlWriter({ append } as unknown as Log, 'control', pino({ level: 'silent' }))
  return { control, attempts }
}

test('a decision without an answer is sent again, the same bytes under the same id, until it is stored', async () => {
  const { control, attempts } = writer(unknown, closed, unknown, { outcome: 'stored', sequence: 7, duplicate: true })
  const stored = control.append(3, [[kind.cancelled, 't', '']])
  await vi.runAllTimersAsync()
  expect(await stored).toBe(7)
  expect(attempts).toHaveLength(4)
  for (const attempt of attempts) expect(attempt).toEqual(attempts[0])
  const next = control.append(3, [[kind.cancelled, 't', '']])
  void next.catch(() => undefined)
  expect(attempts.at(-1)?.messageId).not.toBe(attempts[0]?.messageId)
  await vi.runAllTimersAsync()
})

test('one that is never answered is given up after some seconds, and says so', async () => {
  const { control, attempts } = writer()
  const failed = expect(control.append(3, [[kind.alive] as never])).rejects.toMatchObject({ code: 'TROUPE_NO_ANSWER' })
  await vi.runAllTimersAsync()
  await failed
  expect(attempts.length).toBeGreaterThan(3)
})
