/** Which lifecycle events are sent: all while there are few, a sample of the ordinary ones while there are very many. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Change } from '../../../src/actors/ledger/change.ts'
import type { Bus } from '../../../src/nats/bus.ts'
import type { LifecycleEvent } from '../../../src/protocol/messages.ts'
import { Subjects } from '../../../src/protocol/subjects.ts'
import {
  EventPublisher,
  eventsPerSecondMax,
  ordinaryPerSecondMax,
  sampledPerSecond,
} from '../../../src/runtime/scheduler/event-publisher.ts'
import { TestLog } from '../../actors/ledger/test-log.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const text = new TextDecoder()

function open() {
  const log = new TestLog()
  const task = log.task(log.submit())
  const sent: { subject: string; event: LifecycleEvent }[] = []
  const bus = {
    publish: (subject: string, data: Uint8Array) => {
      sent.push({ subject, event: JSON.parse(text.decode(data)) as LifecycleEvent })
    },
  } as unknown as Bus
  const publisher = new EventPublisher(bus, new Subjects('main'))
  /** Publishes so many changes at this second, and returns what was sent of them. */
  const publish = (what: string, count: number, second: number) => {
    sent.length = 0
    const change = { what, task, ...(what === 'failed' && { error: { code: 'X', message: 'x' } }) } as Change
    publisher.publish(Array(count).fill(change), second * 1_000)
    vi.advanceTimersByTime(10)
    return sent
  }
  return { task, publish }
}

test('an event is named by type, id and what happened, and says when and how the task is', () => {
  const { task, publish } = open()
  const [first] = publish('submitted', 1, 1_000)
  expect(first!.subject).toBe(`troupe.main.event.work.${task.id}.submitted`)
  expect(first!.event).toMatchObject({ id: task.id, type: 'work', what: 'submitted', at: '1970-01-01T00:16:40.000Z' })
})

test('all are sent up to the bound of a second, of which ordinary ones leave some to failures, and all again later', () => {
  const { publish } = open()
  expect(publish('completed', eventsPerSecondMax, 1)).toHaveLength(ordinaryPerSecondMax)
  expect(publish('failed', eventsPerSecondMax, 1)).toHaveLength(eventsPerSecondMax - ordinaryPerSecondMax)
  expect(publish('completed', 1, 3)).toHaveLength(1)
})

test('after a second with more, ordinary ones are a sample, and failures and progress are still sent', () => {
  const { publish } = open()
  publish('running', eventsPerSecondMax + 1, 7)
  expect(publish('running', eventsPerSecondMax + 1, 8)).toHaveLength(sampledPerSecond)
  expect(publish('completed', 10, 8)).toHaveLength(0)
  expect(publish('failed', 10, 8).map(({ event }) => event.error?.code)).toEqual(Array(10).fill('X'))
  expect(publish('progress', eventsPerSecondMax, 8)).toHaveLength(eventsPerSecondMax - sampledPerSecond - 10)
  // Fewer again: the second after that is told in full.
  publish('running', 10, 9)
  expect(publish('running', 3_000, 10)).toHaveLength(3_000)
})

test('after a pause it begins anew', () => {
  const { publish } = open()
  publish('running', eventsPerSecondMax + 1, 7)
  expect(publish('running', 3_000, 9)).toHaveLength(3_000)
})
