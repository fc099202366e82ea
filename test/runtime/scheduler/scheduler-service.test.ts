/** A scheduler's service on a server, with its ledger held back at will and a node that is played by the test. */
import pino from 'pino'
import { expect, test } from 'vitest'
import { defaultRules } from '../../../src/actors/ledger/state.ts'
import type { Log, LogReadOptions } from '../../../src/nats/bus.ts'
import { packBlock, unpackNodeMessage, unpackTell } from '../../../src/protocol/blocks.ts'
import { formatVersion, type JournalEntry, kind, type LogMessage } from '../../../src/protocol/entries.ts'
import type { NodeMessage } from '../../../src/protocol/messages.ts'
import { LedgerReader } from '../../../src/runtime/ledger/ledger-reader.ts'
import { SchedulerService } from '../../../src/runtime/scheduler/scheduler-service.ts'
import { nodeProfile } from '../../actors/ledger/test-log.ts'
import { bid } from '../../actors/scheduler/bids.ts'
import { openTest, until, useServer } from '../../harness/server.ts'
import { changedLog } from '../../simulation/changed-log.ts'

const server = useServer()
const logger = pino({ level: 'silent' })
const text = new TextEncoder()

/** What was read reaches the ledger only while the gate is open. */
function gated(log: Log) {
  let isOpen = true
  const held: (() => void)[] = []
  const read = (options: LogReadOptions) =>
    log.read({
      ...options,
      onMessages: (messages: readonly LogMessage[]) => {
        if (isOpen) options.onMessages(messages)
        else held.push(() => options.onMessages(messages))
      },
    })
  const open = () => {
    isOpen = true
    for (const pass of held.splice(0)) pass()
  }
  const close = () => {
    isOpen = false
  }
  return { read, open, close }
}

async function leading(change: (log: Log) => Partial<Log> = () => ({})) {
  const opened = await openTest(server)
  const gate = gated(opened.log)
  const log = changedLog(opened.log, { read: gate.read, ...change(opened.log) })
  const { bus, subjects } = opened
  const reader = new LedgerReader({ ...opened, log, logger })
  await reader.start()
  const service = new SchedulerService({ ...opened, log, partition: 0, reader, logger, name: 's1' })
  service.start()
  await until(() => service.leading, 'it leads')
  const append = async (subject: string, data: Uint8Array, headers = {}) => {
    const result = await opened.log.append(subject, data, { headers })
    if (result.outcome !== 'stored') throw new Error(result.message)
    return result.sequence
  }
  const ask = async (subject: string, body = '', headers = {}) => {
    const { data } = await bus.request(subject, text.encode(body), { timeoutMs: 20_000, headers })
    return JSON.parse(new TextDecoder().decode(data)) as { status?: string; result?: unknown; error?: { code: string } }
  }
  const submit = (headers: Record<string, string>) => append(subjects.submit('work'), text.encode('1'), headers)
  /** A node without a process. */
  const join = async (node: string) => {
    const inbox: NodeMessage[] = []
    bus.subscribe(subjects.node(node, `${node}1`), ({ data }) => {
      const read = unpackNodeMessage(data)
      if (read.ok) inbox.push(read.message)
    })
    let number = 0
    const write = (...entries: JournalEntry[]) =>
      append(subjects.journal(0, node, `${node}1`), packBlock([formatVersion, ++number, entries]))
    await write([kind.joined, nodeProfile(node)])
    await until(() => reader.ledger.state.members.has(`${node}1`), 'it is a member')
    const offer = () => bus.publish(subjects.report(node, `${node}1`), packBlock(bid({ credits: 9 })))
    const awarded = () => inbox.flatMap((message) => (message[0] === 'award' ? message[3].map(([id]) => id) : []))
    return { inbox, write, offer, awarded }
  }
  const close = async () => {
    gate.open()
    await service.stop()
    await reader.stop()
    await opened.close()
  }
  return { ...opened, reader, service, gate, append, ask, submit, join, [Symbol.asyncDispose]: close }
}

const led = packBlock([formatVersion, 0, [[kind.led, defaultRules]]])

test('another’s word that it leads is not the end: whoever holds the lease leads again, in a new epoch', async () => {
  await using on = await leading()
  const { epoch } = on.reader.ledger.state
  const strange = await on.append(on.subjects.control(0, 'stranger'), led)
  await until(() => on.service.leading && on.reader.ledger.state.epoch > strange, 'it leads again')
  expect(on.reader.ledger.state).toMatchObject({ leader: 's1' })
  expect(on.reader.ledger.state.epoch).toBeGreaterThan(epoch)
})

test('a scheduler whose ledger was loaded again leads again', async () => {
  await using on = await leading()
  const { epoch } = on.reader.ledger.state
  on.service.replaced()
  await until(() => on.service.leading && on.reader.ledger.state.epoch > epoch, 'it leads again')
})

test('a scheduler that could not say that it leads says it again', async () => {
  let failed = 0
  await using on = await leading((log) => ({
    append: (subject, data, options) => {
      if (!subject.includes('.control.') || failed > 0) return log.append(subject, data, options)
      failed++
      return Promise.reject(new Error('no connection for a moment'))
    },
  }))
  expect([failed, on.reader.ledger.state.leader]).toEqual([1, 's1'])
})

test('what was decided is answered once it is folded, and the node is told to drop the turn', async () => {
  await using on = await leading()
  const node = await on.join('a')
  await on.submit({ 'troupe-id': 'one' })
  await node.write([kind.accepted, 'one', 1])
  await until(() => on.reader.ledger.state.tasks.get('one')?.status === 'running', 'it runs')
  const { lastSequence } = await on.log.info()
  on.gate.close()
  const answer = on.ask(on.subjects.cancel('one'))
  await until(async () => (await on.log.info()).lastSequence > lastSequence, 'the cancellation is in the log')
  on.gate.open()
  expect(await answer).toMatchObject({ status: 'cancelled' })
  await until(() => node.inbox.some((message) => message[0] === 'drop'), 'the node is told')
  expect(node.inbox.find((message) => message[0] === 'drop')).toEqual(['drop', [['one', 1, expect.any(String)]]])
})

test('an id is unknown only once all is folded that the log holds', async () => {
  let open = () => {}
  await using on = await leading((log) => ({
    info: async () => {
      const info = await log.info()
      setImmediate(() => open())
      return info
    },
  }))
  open = on.gate.open
  on.gate.close()
  await on.submit({ 'troupe-id': 'one' })
  expect(await on.ask(on.subjects.task('one'))).toMatchObject({ status: 'ready' })
  expect(await on.ask(on.subjects.task('two'))).toMatchObject({ error: { code: 'TROUPE_UNKNOWN_TASK' } })
})

test('a nearer alarm is not lost behind a far one, and one in months does not ring at once', async () => {
  const warnings: Error[] = []
  const note = (warning: Error) => warnings.push(warning)
  process.on('warning', note)
  await using on = await leading()
  const node = await on.join('a')
  node.offer()
  await on.submit({ 'troupe-id': 'far', 'troupe-delay': '90d' })
  await until(() => on.reader.ledger.state.tasks.has('far'), 'the far one is known')
  await on.submit({ 'troupe-id': 'near', 'troupe-delay': '100ms' })
  await until(() => node.awarded().includes('near'), 'the near one is awarded')
  expect(node.awarded()).not.toContain('far')
  process.off('warning', note)
  expect(warnings.map(({ name }) => name)).not.toContain('TimeoutOverflowWarning')
})

test('who submits again what has ended is told what came of it', async () => {
  await using on = await leading()
  const { bus, subjects } = on
  const told: unknown[] = []
  bus.subscribe(subjects.tell('c1'), ({ data }) => {
    const tell = unpackTell(data)
    if (tell.ok) told.push(...tell.message)
  })
  const node = await on.join('a')
  const block = packBlock([formatVersion, [['work', '1', { id: 'one' }]]])
  const first = await on.append(subjects.block('c1'), block)
  await node.write([kind.accepted, 'one', 1])
  await node.write([kind.completed, 'one', 1, '2'])
  await until(() => told.length > 0, 'it is told')
  const second = await on.append(subjects.block('c1'), block)
  await until(() => told.length > 1, 'it is told again')
  expect(told).toEqual([`0-${first}-0`, `0-${second}-0`].map((reference) => [reference, 'one', 'completed', '2']))
})

test('a result that the log had no room for any more is said to be gone, not to be nothing', async () => {
  await using on = await leading()
  const node = await on.join('a')
  const results = { one: '2', two: null }
  for (const [id, result] of Object.entries(results)) {
    await on.submit({ 'troupe-id': id })
    await node.write([kind.accepted, id, 1])
    await node.write([kind.completed, id, 1, result])
  }
  const task = () => Promise.all(Object.keys(results).map((id) => on.ask(on.subjects.task(id))))
  await until(() => on.reader.ledger.state.counts.completed === 2, 'both have completed')
  expect((await task()).map(({ result, error }) => [result, error])).toEqual([
    [2, undefined],
    [undefined, undefined],
  ])
  await on.log.trim((await on.log.info()).lastSequence + 1)
  const gone = { status: 'completed', error: { code: 'TROUPE_RESULT_GONE' } }
  expect(await task()).toMatchObject([gone, gone])
  const again = await on.ask(`${on.subjects.root}.run.work`, '1', { 'troupe-id': 'one' })
  expect(again).toMatchObject(gone)
})
