/** What a node is sent with an award, and after it: the values that the ledger stands at, or nothing at all. */
import pino from 'pino'
import { describe, expect, test } from 'vitest'
import type { TaskRecord } from '../../../src/actors/ledger/task-record.ts'
import type { Bus, Log } from '../../../src/nats/bus.ts'
import { unpackNodeMessage } from '../../../src/protocol/blocks.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { NodeMessage } from '../../../src/protocol/messages.ts'
import { AwardSender } from '../../../src/runtime/scheduler/award-sender.ts'
import { LogValues } from '../../../src/runtime/scheduler/log-values.ts'
import { TestLog } from '../../actors/ledger/test-log.ts'
import { until } from '../../harness/server.ts'

const decoder = new TextDecoder()

/** A leading scheduler's values over a log of which a replica has only some, and nobody what is `gone`. */
function open() {
  const log = new TestLog()
  log.lead()
  const node = log.join('a')
  const gone = new Set<number>()
  const lagging = new Set<number>()
  let reading: Promise<void> | undefined
  const at = (sequence: number) => (gone.has(sequence) ? undefined : log.messages[sequence - 1])
  const stored = {
    get: async (sequence: number) => at(sequence),
    getRange: async (from: number, count: number) => {
      await reading
      const all = Array.from({ length: count }, (_, i) => from + i)
      return all.flatMap((sequence) => (lagging.has(sequence) ? [] : (at(sequence) ?? [])))
    },
  } as unknown as Log
  const sent: { subject: string; message: NodeMessage }[] = []
  const bus = {
    publish: (subject: string, data: Uint8Array) => {
      const read = unpackNodeMessage(data)
      if (!read.ok || read.rejected.length > 0) throw new Error('no node could read this')
      sent.push({ subject, message: read.message })
    },
  } as unknown as Bus
  const values = new LogValues(stored, log.subjects)
  const lost: string[] = []
  const sender = new AwardSender({
    bus,
    subjects: log.subjects,
    values,
    logger: pino({ level: 'silent' }),
    isDoubtful: () => false,
    onLost: (task) => lost.push(task.id),
    startsWithGang: () => false,
  })
  const award = (...tasks: TaskRecord[]) => sender.send({ do: 'award', epoch: log.epoch, member: node.member!, tasks })
  /** The tasks of all awards, with their values as text. */
  const awarded = () =>
    sent
      .flatMap(({ message }) => (message[0] === 'award' ? message[3] : []))
      .map(([id, , turn, attempt, input, snapshot, signals]) => ({
        id,
        turn,
        attempt,
        input: shown(input),
        snapshot: shown(snapshot),
        signals: (signals ?? []).map(([sequence, previous, event]) => [sequence, previous, shown(event)]),
      }))
  const hold = (until: Promise<void>) => {
    reading = until
  }
  /** All reads that are under way have ended. */
  const settled = () => values.signals([])
  return { log, node, gone, lagging, values, sender, sent, lost, award, awarded, hold, settled }
}

function shown(payload: unknown): unknown {
  return payload instanceof Uint8Array
    ? [...payload]
    : payload instanceof ArrayBuffer
      ? decoder.decode(payload)
      : payload
}

describe('an award', () => {
  test('of a task with its input at hand needs no reading, and says which attempt it is', () => {
    const { log, node, values, award, awarded } = open()
    const id = log.submit({}, 'work', '{"n":1}')
    const [born] = log.takeChanges().filter(({ what }) => what === 'submitted')
    node.accept(id)
    node.fail(id)
    log.advance(60_000)
    values.hold(log.task(id), born?.what === 'submitted' ? born.input : null)
    award(log.task(id))
    expect(awarded()).toEqual([{ id, turn: 2, attempt: 2, input: '{"n":1}', snapshot: null, signals: [] }])
  })

  test('carries the last snapshot and the signals since, although the input is at hand, each after the one before', async () => {
    const { log, node, values, award, awarded } = open()
    const id = log.submit({}, 'work', '1')
    node.accept(id)
    const first = log.signal(id, 'one')
    node.write([kind.checkpointed, id, 1, new Uint8Array([1]), first])
    const others = [log.signal(id, 'two'), log.signal(id, 'three')]
    node.write([kind.failed, id, 1, { code: 'TROUPE_TASK_FAILED', message: 'boom' }, true])
    values.hold(log.task(id), '1')
    award(log.task(id))
    await until(() => awarded().length > 0, 'it is awarded')
    const event = '{"type":"GO"}'
    expect(awarded()).toEqual([
      {
        id,
        turn: 2,
        attempt: 2,
        input: '1',
        snapshot: [1],
        signals: [
          [others[0], first, event],
          [others[1], others[0], event],
        ],
      },
    ])
  })

  test('of a task with signals and no snapshot is not made from its input alone', async () => {
    const { log, values, award, awarded } = open()
    const id = log.submit({}, 'work', '1')
    log.signal(id)
    values.hold(log.task(id), '1')
    award(log.task(id))
    await until(() => awarded().length > 0, 'it is awarded')
    expect(awarded()[0]?.signals).toHaveLength(1)
  })

  test.each(['accepted by another', 'cancelled', 'copied forward'] as const)(
    'of a task that was %s while its values were read is not sent',
    async (what) => {
      const { log, node, lost, award, awarded, hold, settled } = open()
      const id = log.submit({}, 'work', '1')
      const other = log.submit({}, 'work', '2')
      const read = Promise.withResolvers<void>()
      hold(read.promise)
      award(log.task(id), log.task(other))
      if (what === 'accepted by another') node.accept(id)
      else if (what === 'cancelled') log.decide([kind.cancelled, id, ''])
      else log.decide([kind.kept, id, log.task(id).sequence, '1', 0, null])
      read.resolve()
      await settled()
      await until(() => awarded().length > 0, 'the other is awarded')
      expect(awarded().map((one) => one.id)).toEqual([other])
      expect(lost).toEqual([])
    },
  )

  test.each(['input', 'snapshot'] as const)(
    'of a task whose %s is in the log no more says that it is lost',
    async (what) => {
      const { log, node, gone, lost, award, awarded, settled } = open()
      const id = log.submit({}, 'work', '1')
      node.accept(id)
      const stored = node.checkpoint(id)
      node.fail(id)
      gone.add(what === 'input' ? log.task(id).sequence : stored)
      award(log.task(id))
      await settled()
      await until(() => lost.length > 0, 'it is lost')
      expect([lost, awarded()]).toEqual([[id], []])
    },
  )

  test('asks the leader of the stream for what a replica does not have yet', async () => {
    const { log, node, lagging, lost, award, awarded } = open()
    const id = log.submit({}, 'work', '1')
    node.accept(id)
    lagging.add(node.checkpoint(id))
    const signal = log.signal(id)
    lagging.add(signal)
    node.fail(id)
    award(log.task(id))
    await until(() => awarded().length > 0, 'it is awarded')
    expect(awarded()).toMatchObject([{ snapshot: [7], signals: [[signal, 0, '{"type":"GO"}']] }])
    expect(lost).toEqual([])
  })
})

describe('signals to a running turn', () => {
  test('end before the first that cannot be found: the node asks for it', async () => {
    const { log, node, gone, sender, sent } = open()
    const id = log.submit()
    node.accept(id)
    const sequences = ['one', 'two', 'three'].map((name) => log.signal(id, name))
    gone.add(sequences[1]!)
    const task = log.task(id)
    await sender.sendSignals({ do: 'signal', member: node.member!, task, turn: 1, signals: task.rare?.signals ?? [] })
    const signals = sent.map(({ message }) => (message[0] === 'signal' ? message[3].slice(0, 2) : message[0]))
    expect(signals).toEqual([[sequences[0], 0]])
    expect(sent[0]?.subject).toBe(log.subjects.node('a', 'a1'))
  })
})
