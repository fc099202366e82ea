/** Single messages of a log, when the server that is asked first lags behind the others. */
import type { Msg } from '@nats-io/transport-node'
import { expect, test } from 'vitest'
import type { NatsBus } from '../../src/nats/connection.ts'
import { JetStreamLog } from '../../src/nats/log.ts'
import type { Waiting } from '../../src/nats/replies.ts'

/** A replica that answers any question with the messages that it has, or that there is none; and the leader, which has all. */
function lagging(has: readonly number[]): { log: JetStreamLog; asked: string[] } {
  const asked: string[] = []
  const answer = (sequence: number) =>
    new Map([
      ['Nats-Sequence', [String(sequence)]],
      ['Nats-Subject', ['s']],
    ])
  const bus = {
    ask: (_data: Uint8Array, _headers: unknown, waiting: Waiting) => {
      asked.push(waiting.subject)
      const [sequence] = has
      const headers = sequence === undefined ? { code: 404, description: 'Message Not Found' } : answer(sequence)
      const data = sequence === undefined ? new Uint8Array(0) : Buffer.from('of a replica')
      waiting.onReply({ subject: 'inbox', data, headers } as unknown as Msg)
      return true
    },
    request: async (subject: string) => {
      asked.push(subject)
      const message = { subject: 's', seq: 7, time: '2026-11-21T12:00:00.123456789Z', data: btoa('of the leader') }
      return { data: Buffer.from(JSON.stringify({ message })) }
    },
  } as unknown as NatsBus
  return { log: new JetStreamLog(bus, 'LOG', { door: [], inner: [] }), asked }
}

test('a message that a lagging replica does not have is asked for at the leader', async () => {
  const { log, asked } = lagging([])
  const message = await log.get(7)
  expect([message?.sequence, Buffer.from(message!.data).toString()]).toEqual([7, 'of the leader'])
  expect(message?.timestampMs).toBe(Date.parse('2026-11-21T12:00:00.123Z'))
  expect(asked).toEqual(['$JS.API.DIRECT.GET.LOG', '$JS.API.STREAM.MSG.GET.LOG'])
})

test('another message than the one asked for is not taken for it', async () => {
  const message = await lagging([9]).log.get(7)
  expect(Buffer.from(message!.data).toString()).toBe('of the leader')
})

test('one that a replica has is not asked for twice', async () => {
  const { log, asked } = lagging([7])
  expect(Buffer.from((await log.get(7))!.data).toString()).toBe('of a replica')
  expect(asked).toEqual(['$JS.API.DIRECT.GET.LOG'])
})
