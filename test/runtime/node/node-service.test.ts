/** The lives of a node's service on virtual time: what it writes, reports and ignores, from joining to leaving. */
import pino from 'pino'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { task } from '../../../src/client/index.ts'
import type { AppendOptions, AppendResult, Bus, BusMessage, Log, ObjectStore } from '../../../src/nats/bus.ts'
import { packBlock, unpackJournalBlock, unpackNodeReport } from '../../../src/protocol/blocks.ts'
import { kind } from '../../../src/protocol/entries.ts'
import type { NodeMessage, NodeReport } from '../../../src/protocol/messages.ts'
import { Subjects } from '../../../src/protocol/subjects.ts'
import { NodeService } from '../../../src/runtime/node/node-service.ts'
import { nodeProfile } from '../../actors/ledger/test-log.ts'
import { bid } from '../../actors/scheduler/bids.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const subjects = new Subjects('main')

/** Journals by their subjects; a write may wait, and the server's clock may be unknown for a while. */
class Journals {
  readonly stored: { subject: string; sequence: number; entries: readonly (readonly unknown[])[] }[] = []
  gate: Promise<void> | undefined
  clock: Promise<void> | undefined

  get log(): Log {
    return this as unknown as Log
  }

  async append(subject: string, data: Uint8Array, options: AppendOptions = {}): Promise<AppendResult> {
    await this.gate
    if (options.expectedLastSubjectSequence !== (this.of(subject).at(-1)?.sequence ?? 0)) {
      return { outcome: 'refused', reason: 'wrong-sequence', code: 10071, message: 'wrong last sequence' }
    }
    const block = unpackJournalBlock(data)
    const entries = block.ok ? block.entries.filter((entry) => entry !== undefined) : []
    const sequence = 10 * (this.stored.length + 1)
    this.stored.push({ subject, sequence, entries })
    return { outcome: 'stored', sequence, duplicate: false }
  }

  async info() {
    await this.clock
    return { serverTimeMs: Date.now() }
  }

  async lastOf(): Promise<undefined> {}

  of(subject: string) {
    return this.stored.filter((one) => one.subject === subject)
  }

  /** Kinds of all that the last life has written. */
  kinds(): unknown[] {
    const subject = this.stored.at(-1)?.subject ?? ''
    return this.of(subject).flatMap(({ entries }) => entries.map(([what]) => what))
  }
}

function open() {
  const journals = new Journals()
  const handlers = new Map<string, (message: BusMessage) => void>()
  const reports: { subject: string; report: NodeReport }[] = []
  const bus = {
    subscribe: (subject: string, handler: (message: BusMessage) => void) => {
      handlers.set(subject, handler)
      // A message may be on its way when the subscription ends.
      return { unsubscribe: () => undefined }
    },
    publish: (subject: string, data: Uint8Array) => {
      const read = unpackNodeReport(data)
      if (read.ok) reports.push({ subject, report: read.message })
    },
  } as unknown as Bus
  const begun: string[] = []
  const definition = task('work', (_: unknown, ctx) => {
    begun.push(ctx.id)
    return new Promise<void>(() => undefined)
  })
  const [, said, load] = bid({ credits: 4 })
  const node = new NodeService({
    bus,
    log: journals.log,
    objects: {} as ObjectStore,
    subjects,
    partition: 0,
    profile: nodeProfile('a'),
    definitions: [definition],
    balance: { bid: () => ({ bid: said, load, contention: 1 }) as never, taskEnded: () => undefined },
    logger: pino({ level: 'silent' }),
  })
  const tell = (incarnation: string, message: NodeMessage) =>
    handlers.get(subjects.node('a', incarnation))?.({
      subject: '',
      data: packBlock(message),
      reply: undefined,
      headers: undefined,
    })
  const award = (incarnation: string, id: string) =>
    tell(incarnation, ['award', 1, 60_000, [[id, 'work', 1, 1, null, null, null, null]]])
  const running = () => reports.flatMap(({ report }) => (report[0] === 'running' ? [report.slice(1)] : [])).at(-1)
  return { journals, node, tell, award, begun, running, reports }
}

const soon = () => vi.advanceTimersByTimeAsync(5)

async function joined() {
  const it = open()
  const started = it.node.start()
  await soon()
  await started
  return it
}

test('it takes no work before its life is in the log and the time of the log is known', async () => {
  const it = open()
  const known = Promise.withResolvers<void>()
  it.journals.clock = known.promise
  void it.node.start()
  await soon()
  expect([it.journals.kinds(), it.node.status]).toEqual([[kind.joined], 'joining'])
  known.resolve()
  await soon()
  expect(it.node.status).toBe('ready')
})

test('it bids when it has joined, and when it drains before it gives anything back, each before any beat', async () => {
  const it = await joined()
  const said = () => it.reports.map(({ report }) => (report[0] === 'bid' ? report[5] : report[0]))
  expect(said()).toEqual(['ready'])
  for (const id of ['one', 'two', 'three', 'four', 'held']) it.award(it.node.incarnation, id)
  void it.node.drain()
  await Promise.resolve()
  await Promise.resolve()
  expect(said()).toEqual(['ready', 'draining', 'declined'])
  await soon()
})

test('an idle node writes each minute, so that its journal’s end is never far back', async () => {
  const it = await joined()
  await vi.advanceTimersByTimeAsync(185_000)
  expect(it.journals.kinds()).toEqual([kind.joined, kind.alive, kind.alive, kind.alive])
})

test('it lists what it runs against its last stored block, and nothing whose accept is not stored', async () => {
  const it = await joined()
  it.award(it.node.incarnation, 'one')
  await vi.advanceTimersByTimeAsync(1_100)
  expect(it.running()).toEqual([it.journals.stored.at(-1)?.sequence, [['one', 1]]])
  const gate = Promise.withResolvers<void>()
  it.journals.gate = gate.promise
  it.award(it.node.incarnation, 'two')
  await vi.advanceTimersByTimeAsync(1_100)
  expect(it.running()).toEqual([it.journals.stored.at(-1)?.sequence, [['one', 1]]])
  gate.resolve()
  await vi.advanceTimersByTimeAsync(1_100)
  expect(it.running()?.[1]).toEqual([
    ['one', 1],
    ['two', 1],
  ])
})

test('a new life knows nothing of what the last one stored, and hears nothing that was meant for it', async () => {
  const it = await joined()
  const first = it.node.incarnation
  for (const id of ['a', 'b', 'c']) it.award(first, id)
  await vi.advanceTimersByTimeAsync(1_100)
  it.tell(first, ['fenced', 'silent'])
  await vi.advanceTimersByTimeAsync(1_000)
  const second = it.node.incarnation
  expect([second === first, it.node.status]).toEqual([false, 'ready'])
  it.award(first, 'late')
  await soon()
  expect(it.begun).not.toContain('late')
  const gate = Promise.withResolvers<void>()
  it.journals.gate = gate.promise
  it.award(second, 'new')
  await vi.advanceTimersByTimeAsync(1_100)
  expect(it.begun).toContain('new')
  expect(it.running()?.[1]).toEqual([])
  gate.resolve()
  await vi.advanceTimersByTimeAsync(1_100)
  expect(it.running()?.[1]).toEqual([['new', 1]])
})

test('what the last life had on its way is not taken for stored when its answer comes late', async () => {
  const it = await joined()
  const first = it.node.incarnation
  const gate = Promise.withResolvers<void>()
  it.journals.gate = gate.promise
  for (const id of ['a', 'b', 'c']) it.award(first, id)
  await soon()
  it.tell(first, ['fenced', 'silent'])
  it.journals.gate = undefined
  await vi.advanceTimersByTimeAsync(1_000)
  const slow = Promise.withResolvers<void>()
  it.journals.gate = slow.promise
  it.award(it.node.incarnation, 'new')
  await soon()
  gate.resolve()
  await vi.advanceTimersByTimeAsync(1_100)
  expect(it.running()?.[1]).toEqual([])
  slow.resolve()
  await soon()
})

test('it is gone once its leaving is in the log', async () => {
  const it = await joined()
  const gate = Promise.withResolvers<void>()
  it.journals.gate = gate.promise
  let isGone = false
  void it.node.drain().then(() => {
    isGone = true
  })
  await vi.advanceTimersByTimeAsync(500)
  expect([isGone, it.node.status]).toEqual([false, 'leaving'])
  gate.resolve()
  await soon()
  expect([isGone, it.journals.kinds()]).toEqual([true, [kind.joined, kind.left]])
})
