import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import pino from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import type { Log } from '../../src/nats/bus.ts'
import { packBlock, unpackJournalBlock, unpackNodeMessage } from '../../src/protocol/blocks.ts'
import { formatVersion, kind } from '../../src/protocol/entries.ts'
import type { NodeProfile } from '../../src/protocol/options.ts'
import { LedgerMembers } from '../../src/runtime/ledger/ledger-members.ts'
import { LedgerReader } from '../../src/runtime/ledger/ledger-reader.ts'
import { Supervisor, type SupervisorReport } from '../../src/runtime/supervisor.ts'
import { type OpenTest, openTest, until, useServer } from '../harness/server.ts'
import { changedLog } from '../simulation/changed-log.ts'

const server = useServer()
const children: ChildProcess[] = []
const closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  for (const close of closing.splice(0).reverse()) await close()
})

interface Scene extends OpenTest {
  readonly reader: LedgerReader
  readonly nodes: Map<string, ChildProcess>
}

/** A ledger, and processes that have joined it and beat. */
async function scene(...nodes: string[]): Promise<Scene> {
  const opened = await openTest(server)
  closing.push(() => opened.close())
  const reader = new LedgerReader({ ...opened, logger: pino({ level: 'silent' }) })
  await reader.start()
  closing.push(() => reader.stop())
  const processes = await Promise.all(
    nodes.map(async (node) => {
      await join(opened, node)
      const args = [server.url, opened.subjects.namespace, node, `${node}-life`]
      const child = fork(new URL('./heartbeat-process.ts', import.meta.url), args, { stdio: 'inherit' })
      children.push(child)
      await once(child, 'message')
      return [node, child] as const
    }),
  )
  return Object.assign(opened, { reader, nodes: new Map(processes) })
}

async function join({ log, subjects }: OpenTest, node: string): Promise<void> {
  const profile: NodeProfile = {
    node,
    host: 'here',
    pid: 1,
    version: '0',
    slots: 1,
    resources: {},
    labels: {},
    types: [],
  }
  const block = packBlock([formatVersion, 1, [[kind.joined, profile]]])
  expect(await log.append(subjects.journal(0, node, `${node}-life`), block)).toMatchObject({ outcome: 'stored' })
}

function supervise(on: Omit<Scene, 'log'> & { readonly log: Log }, holder = 's1') {
  const reports: SupervisorReport[] = []
  const supervisor = new Supervisor({
    ...on,
    members: new LedgerMembers(on.reader),
    holder,
    onReport: (report) => reports.push(report),
  })
  supervisor.start()
  closing.push(() => supervisor.stop())
  const allHeard = () =>
    until(() => [...on.nodes.keys()].every((node) => supervisor.lastSeenAtMs(`${node}-life`)), 'all heard')
  return { supervisor, reports, allHeard }
}

async function isFenced({ log, subjects }: Scene, node: string): Promise<string | undefined> {
  const last = await log.lastOf(subjects.journal(0, node, `${node}-life`))
  const block = last && unpackJournalBlock(last.data)
  const entry = block?.ok ? block.entries[0] : undefined
  return entry?.[0] === kind.fenced ? entry[1] : undefined
}

describe('a supervisor', () => {
  test('fences a killed node in its journal, and the ledger no longer counts it as live', async () => {
    const on = await scene('n1', 'n2')
    const { supervisor, reports, allHeard } = supervise(on)
    await until(() => supervisor.leading, 'it leads')
    await allHeard()
    await until(() => supervisor.statusOf('n1-life') === 'ready', 'it is ready')
    on.nodes.get('n1')!.kill('SIGKILL')
    const reason = await until(() => isFenced(on, 'n1'), 'the fence is in the journal')
    expect(reason).toMatch(/connection is gone/)
    await until(() => supervisor.statusOf('n1-life') === undefined, 'it is forgotten')
    expect(supervisor.lastSeenAtMs('n1-life')).toBeUndefined()
    // On a busy machine its beat may be late just now.
    await until(() => supervisor.statusOf('n2-life') === 'ready', 'the other is ready')
    expect(reports.filter(({ what }) => what === 'fenced').map(({ text }) => text)).toEqual(['fenced n1'])
  })

  test('fences a stopped node, and tells it when it goes on', async () => {
    const on = await scene('n1', 'n2')
    const { supervisor, allHeard } = supervise(on)
    await until(() => supervisor.leading, 'it leads')
    await allHeard()
    on.nodes.get('n1')!.kill('SIGSTOP')
    expect(await until(() => isFenced(on, 'n1'), 'the fence is in the journal')).toMatch(/phi/)
    await until(() => supervisor.statusOf('n1-life') === undefined, 'the ledger has followed')
    const told: unknown[] = []
    on.bus.subscribe(on.subjects.node('n1', 'n1-life'), ({ data }) => {
      const read = unpackNodeMessage(data)
      if (read.ok) told.push(read.message)
    })
    on.nodes.get('n1')!.kill('SIGCONT')
    await until(() => told.length > 0, 'it is told')
    expect(told[0]).toEqual(['fenced', expect.any(String)])
  })

  test('whose fence was lost on its way writes it again: no answer is no fence', async () => {
    const on = await scene('n1', 'n2')
    let lost = 0
    const log = changedLog(on.log, {
      append: async (subject, data, options) => {
        if (lost++ > 0) return on.log.append(subject, data, options)
        return { outcome: 'unknown', code: 0, message: 'no acknowledgement in time' }
      },
    })
    const { supervisor, allHeard } = supervise({ ...on, log })
    await until(() => supervisor.leading, 'it leads')
    await allHeard()
    on.nodes.get('n1')!.kill('SIGKILL')
    await until(() => isFenced(on, 'n1'), 'the fence is in the journal')
    expect(lost).toBe(2)
  })

  test('fences a member that was never heard, while another beats', async () => {
    const on = await scene('n1')
    await join(on, 'ghost')
    supervise(on)
    await until(() => isFenced(on, 'ghost'), 'the ghost is fenced')
    expect(await isFenced(on, 'n1')).toBeUndefined()
  })

  test('is replaced by its standby, which needs no time to get to know the nodes', async () => {
    const on = await scene('n1', 'n2')
    const first = supervise(on, 's1')
    await until(() => first.supervisor.leading, 's1 leads')
    const second = supervise(on, 's2')
    await second.allHeard()
    on.nodes.get('n1')!.kill('SIGKILL')
    await first.supervisor.stop()
    await until(() => isFenced(on, 'n1'), 'n1 is fenced')
    expect(second.supervisor.leading).toBe(true)
    expect(await isFenced(on, 'n2')).toBeUndefined()
  })
})

test('a server that is killed and started again costs no node its life', async () => {
  const on = await scene('n1', 'n2', 'n3')
  const { supervisor, reports, allHeard } = supervise(on)
  await until(() => supervisor.leading, 'it leads')
  await allHeard()
  const before = Date.now()
  await server.kill()
  await until(() => !supervisor.leading, 'it leads no longer')
  await server.restart()
  await until(() => supervisor.leading, 'it leads again')
  await until(
    () => [...on.nodes.keys()].every((node) => (supervisor.lastSeenAtMs(`${node}-life`) ?? 0) > before),
    'all are heard again',
  )
  for (const node of on.nodes.keys()) expect(await isFenced(on, node)).toBeUndefined()
  expect(reports.filter(({ what }) => what === 'sight').map(({ details }) => details.cause)).toContain('disconnected')
})
