/**
 * A whole cluster with mutual TLS and a user per process, each with no more than its role needs: jobs, a retry, a fence, a
 * failover and a large value work, and nothing is refused on the way.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { Troupe } from '../../src/client/troupe.ts'
import { openBus } from '../../src/nats/connect.ts'
import { openNamespace } from '../../src/nats/setup.ts'
import type { AuthRole } from '../../src/protocol/permissions.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import type { Role } from '../../src/runtime/process.ts'
import { ClusterProcess } from '../harness/cluster.ts'
import { useSecuredServer } from '../harness/secured.ts'
import { until } from '../harness/server.ts'
import { troupe as command } from '../runtime/cli/command.ts'

const roles: Record<string, AuthRole[]> = {
  installer: ['installer'],
  'scheduler-1': ['scheduler'],
  'supervisor-1': ['supervisor'],
  'control-2': ['scheduler', 'supervisor'],
  'node-1': ['node'],
  'node-2': ['node'],
  billing: ['client'],
  shipping: ['client'],
  ops: ['operator'],
  watcher: ['viewer'],
  bench: ['client', 'node', 'operator'],
  meter: ['client', 'node'],
}
const server = useSecuredServer(
  'main',
  Object.entries(roles).map(([name, its]) => ({ name, roles: its })),
)
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const running: ClusterProcess[] = []
const open: Troupe[] = []
let folder = ''

beforeAll(async () => {
  const bus = await openBus({ servers: server.url, creds: server.creds('installer'), name: 'install' })
  await openNamespace(bus, { logBytesMax: 64 * 1024 * 1024 })
  await bus.close()
})

afterEach(async () => {
  for (const one of open.splice(0)) await one.close()
  await Promise.all(running.splice(0).map((one) => one.kill()))
  rmSync(folder, { recursive: true, force: true })
  folder = ''
})

function start(name: string, as = roles[name] as Role[]): ClusterProcess {
  folder ||= mkdtempSync(join(tmpdir(), 'troupe-secured-'))
  const isNode = as.includes('node')
  const options = { servers: server.url, creds: server.creds(name), roles: as, files: isNode ? files : [] }
  const started = new ClusterProcess(name, folder, options, {})
  running.push(started)
  return started
}

async function client(name: string): Promise<Troupe> {
  const opened = await connect({ servers: server.url, creds: server.creds(name) })
  open.push(opened)
  return opened
}

test('jobs, a retry, a fence and a failover work with least permissions, and nothing is refused', {
  timeout: 120_000,
}, async () => {
  const started = ['scheduler-1', 'supervisor-1', 'node-1', 'node-2'].map((name) => start(name))
  await Promise.all(started.map((one) => one.ready()))
  const billing = await client('billing')
  const result = async (type: string, input: unknown) => (await billing.submit(type, input)).result()
  await expect(result('double', { n: 4 })).resolves.toEqual({ doubled: 8 })
  await expect(result('stubborn', null)).resolves.toEqual({ attempt: 3 })
  await expect(billing.map('double', [{ n: 1 }, { n: 2 }])).resolves.toEqual([{ doubled: 2 }, { doubled: 4 }])

  const counting = await billing.submit('counting', { steps: 30, everyMs: 50 }, { id: 'count' })
  const owner = await until(async () => {
    const { status, node } = await counting.state()
    return status === 'running' && node
  }, 'it runs')
  const journey = await billing.submit('journey', { n: 1 }, { id: 'trip' })
  await journey.signal({ type: 'GO', with: 'you' })
  await running.find(({ name }) => name === owner)!.kill()
  await expect(counting.result()).resolves.toMatchObject({ at: 30 })

  const standby = await start('control-2').ready()
  await running.find(({ name }) => name === 'scheduler-1')!.kill()
  await running.find(({ name }) => name === 'supervisor-1')!.kill()
  await expect(journey.result()).resolves.toEqual({ sum: 10, told: 'you' })
  await expect(result('double', { n: 5 })).resolves.toEqual({ doubled: 10 })
  const patient = await billing.submit('patient', 'x'.repeat(300_000), { id: 'waits' })

  const ops = ['--nats', server.url, '--json', '--creds', server.creds('ops')]
  expect(await command(['nodes', ...ops])).toMatchObject({ code: 0, stderr: '' })
  expect((await command(['cancel', 'waits', ...ops])).code).toBe(0)
  await expect(patient.result()).rejects.toMatchObject({ code: 'TROUPE_TASK_CANCELLED' })
  const clients = ['--nats', server.url, '--json', '--creds', server.creds('shipping')]
  expect(await command(['run', 'double', '{"n":2}', ...clients])).toMatchObject({ code: 0, stderr: '' })
  const watcher = ['--nats', server.url, '--json', '--creds', server.creds('watcher')]
  expect(await command(['show', 'count', ...watcher])).toMatchObject({
    stderr: '',
    values: [{ id: 'count', status: 'completed' }],
  })
  const refused = await command(['cancel', 'count', ...watcher])
  expect(refused).toMatchObject({ code: 1, values: [{ error: { code: 'TROUPE_NOT_ALLOWED' } }] })
  expect(standby.ended).toBeUndefined()
  for (const one of running) expect(one.log(), one.name).not.toMatch(/NOT_ALLOWED|may not|[Vv]iolation/)
})

test('a reply subject does not make a scheduler act for whoever asked', { timeout: 60_000 }, async () => {
  await start('control-2').ready()
  const subjects = new Subjects('main')
  const billing = await client('billing')
  await until(() => billing.stats().catch(() => undefined), 'a scheduler leads', 30_000)
  const bus = await openBus({ servers: server.url, creds: server.creds('shipping'), name: 'attacker' })
  try {
    const { log } = await openNamespace(bus, {})
    await log.append(subjects.submit('nothing'), new Uint8Array(0))
    const before = await log.info()
    for (const reply of [
      `$JS.API.STREAM.PURGE.${subjects.logStream(0)}`,
      subjects.control(0, 'x'),
      subjects.node('node-1', 'x'),
    ]) {
      bus.publish(subjects.stats, new Uint8Array(0), { reply })
      bus.publish(subjects.task('none'), new Uint8Array(0), { reply })
    }
    // Requests are answered in order: the scheduler is past all of them.
    await bus.request(subjects.stats, new Uint8Array(0))
    expect((await log.info()).messages).toBeGreaterThanOrEqual(before.messages)
  } finally {
    await bus.close()
  }
})

test('headers of a submission do not act on the log', { timeout: 60_000 }, async () => {
  await start('control-2').ready()
  const subjects = new Subjects('main')
  const bus = await openBus({ servers: server.url, creds: server.creds('shipping'), name: 'attacker' })
  try {
    const { log } = await openNamespace(bus, {})
    await log.append(subjects.submit('nothing'), new Uint8Array(0))
    const before = await log.info()
    const taken: string[] = []
    for (const headers of [
      { 'Nats-Rollup': 'all' },
      { 'Nats-Rollup': 'sub' },
      { 'Nats-TTL': '1s' },
      { 'Nats-Schedule': '@every 1s', 'Nats-Schedule-Target': subjects.control(0, 'x') },
      { 'Nats-Incr': '+1' },
      { 'Nats-Batch-Id': 'x', 'Nats-Batch-Sequence': '1', 'Nats-Batch-Commit': '1' },
    ]) {
      const { outcome } = await log.append(subjects.submit('nothing'), new Uint8Array(0), { headers })
      if (outcome === 'stored') taken.push(...Object.keys(headers))
    }
    expect(taken).toEqual([])
    expect(await log.info()).toMatchObject({ firstSequence: before.firstSequence })
    expect((await log.info()).messages).toBeGreaterThanOrEqual(before.messages)
  } finally {
    await bus.close()
  }
})

test('credentials of another role, another name or another namespace are refused at once, with what is missing', {
  timeout: 60_000,
}, async () => {
  const asNode = start('billing', ['node'])
  const asAnother = new ClusterProcess(
    'node-9',
    folder,
    { servers: server.url, creds: server.creds('node-1'), roles: ['node'], files, name: 'node-9' },
    {},
  )
  running.push(asAnother)
  for (const one of [asNode, asAnother]) {
    await one.exited
    expect(one.log()).toMatch(/TROUPE_NOT_ALLOWED|this user may not publish to troupe\.main\.journal\.0/)
  }
  await expect(
    connect({ servers: server.url, creds: server.creds('billing'), namespace: 'other' }),
  ).rejects.toMatchObject({
    code: 'TROUPE_NOT_ALLOWED',
  })
  await expect(connect({ servers: server.url })).rejects.toMatchObject({ name: 'TroupeError' })
})

test('bench measures with its own node, as an identity that may do no more than it needs, and leaves nothing', {
  timeout: 60_000,
}, async () => {
  await start('control-2').ready()
  const as = (name: string) => ['--json', '--nats', server.url, '--creds', server.creds(name)]
  const ran = await command(['bench', '--tasks', '60', ...as('bench')])
  expect(ran).toMatchObject({ code: 0, stderr: '', values: [{ bulk: { tasks: 60 }, single: { tasks: 12 } }] })
  const [{ type }] = ran.values as [{ type: string }]
  expect((await command(['ls', '--type', type, ...as('watcher')])).values).toEqual([])
  // Nodes that an earlier test killed may still be suspected.
  const nodes = (await command(['nodes', ...as('watcher')])).values as { types: string[] }[]
  expect(nodes.flatMap(({ types }) => types)).not.toContain(type)
})

test('bench says beforehand that its tasks stay, where its user may not remove them', { timeout: 60_000 }, async () => {
  await start('control-2').ready()
  const as = (name: string) => ['--json', '--nats', server.url, '--creds', server.creds(name)]
  const ran = await command(['bench', '--tasks', '60', ...as('meter')])
  expect(ran).toMatchObject({ code: 0, values: [{ bulk: { tasks: 60 } }] })
  expect(ran.stderr).toMatch(/may not remove tasks: 133 tasks of type "troupe-bench-.*" stay/)
  const [{ type }] = ran.values as [{ type: string }]
  expect((await command(['ls', '--type', type, '--limit', '500', ...as('watcher')])).values).toHaveLength(133)
})

test('doctor compares what a user may do with what its role needs', { timeout: 60_000 }, async () => {
  const at = ['doctor', '--json', '--nats', server.url, '--creds', server.creds('node-1')]
  const find = async (args: string[]) =>
    (await command(args)).values.find((one) => (one as { check: string }).check === 'permissions')
  expect(await find(at)).toMatchObject({ status: 'ok', message: expect.stringContaining('node "node-1"') })
  expect(await find([...at, '--as', 'supervisor:x'])).toMatchObject({
    status: 'fail',
    message: expect.stringContaining('may not publish to'),
    next: expect.stringContaining('troupe auth'),
  })
})
