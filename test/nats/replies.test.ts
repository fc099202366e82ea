/** Who waits for an answer, over virtual time. */
import type { Msg } from '@nats-io/transport-node'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Outbox } from '../../src/nats/outbox.ts'
import { Replies } from '../../src/nats/replies.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

class Questions {
  readonly replies = new Replies('inbox.r.')
  readonly ended: string[] = []

  ask(name: string, withinMs: number, subject = name): string {
    return this.replies.add({
      subject,
      deadlineAtMs: performance.now() + withinMs,
      onReply: () => {
        this.ended.push(`${name}: answer`)
        return name !== 'batch'
      },
      onUnanswered: (reason) => this.ended.push(`${name}: ${reason}`),
    })
  }

  answer(token: string): void {
    this.replies.take({ subject: this.replies.replySubject(token) } as Msg)
  }
}

test('each question ends at its own deadline, whatever others were asked before and after', async () => {
  const it = new Questions()
  it.ask('long', 5_000)
  it.ask('short', 100)
  it.ask('middle', 1_000)
  await vi.advanceTimersByTimeAsync(150)
  expect(it.ended.splice(0)).toEqual(['short: deadline'])
  await vi.advanceTimersByTimeAsync(900)
  expect(it.ended.splice(0)).toEqual(['middle: deadline'])
  await vi.advanceTimersByTimeAsync(4_000)
  expect(it.ended.splice(0)).toEqual(['long: deadline'])
  expect(it.replies.size).toBe(0)
  it.ask('later', 100)
  await vi.advanceTimersByTimeAsync(150)
  expect(it.ended).toEqual(['later: deadline'])
  expect(vi.getTimerCount()).toBe(0)
})

test('an answer is for its own question, once; one of several parts waits for the next', async () => {
  const it = new Questions()
  const [one, two, batch] = [it.ask('one', 100), it.ask('two', 100), it.ask('batch', 100)]
  for (const token of [two, two, batch, batch]) it.answer(token)
  expect(it.ended.splice(0)).toEqual(['two: answer', 'batch: answer', 'batch: answer'])
  await vi.advanceTimersByTimeAsync(150)
  expect(it.ended.splice(0)).toEqual(['one: deadline', 'batch: deadline'])
  it.answer(one)
  expect(it.ended).toEqual([])
})

test('what the server does not allow is told to one who asked there, and the end of the connection to all', () => {
  const it = new Questions()
  it.ask('a', 100, 'x')
  it.ask('b', 100, 'y')
  it.ask('c', 100, 'y')
  expect(it.replies.refuse('y')).toBe(true)
  expect(it.replies.refuse('z')).toBe(false)
  expect(it.ended.splice(0)).toEqual(['b: not-allowed'])
  it.replies.end('disconnected')
  expect(it.ended).toEqual(['a: disconnected', 'c: disconnected'])
  expect(vi.getTimerCount()).toBe(0)
})

test('what waits for a connection is bounded, and the bound is there again each time', () => {
  const outbox = new Outbox()
  const data = new Uint8Array(1024 * 1024)
  const message = { subject: 'x', data, reply: undefined, headers: undefined, question: undefined }
  for (let outage = 0; outage < 3; outage++) {
    for (let kept = 0; kept < 3; kept++) expect(outbox.add(message)).toBe(true)
    expect(outbox.add(message)).toBe(false)
    const question = { replies: new Replies('inbox.r.'), token: '1' }
    expect(outbox.add({ ...message, question })).toBe(true)
    expect(outbox.takeAll()).toHaveLength(4)
  }
})
