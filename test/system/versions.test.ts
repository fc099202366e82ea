/** Deploys while tasks are under way: what a new build cannot read is told beforehand, set aside, and goes on after a fix. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'
import { troupe as command, type Ran } from '../runtime/cli/command.ts'

const server = useServer()
const openCluster = useClusters()
const build = (name: string) => fileURLToPath(new URL(`./versions/${name}.ts`, import.meta.url))

interface Report {
  readonly ok: boolean
  readonly live: number
  readonly types: readonly {
    readonly type: string
    readonly fit: number
    readonly partly: number
    readonly unknown: number
    readonly reasons: readonly string[]
    readonly misfits: readonly { readonly id: string; readonly code: string; readonly message: string }[]
  }[]
}

test('troupe check says what a build cannot read; it is set aside with the reason, and goes on after a fix', async () => {
  const namespace = freshNamespace()
  const cluster = await openCluster(server.url, namespace)
  await cluster.one({ roles: ['scheduler', 'supervisor'] })
  const old = await cluster.one({ roles: ['node'], files: [build('first')] })
  await using client = await connect({ servers: server.url, namespace })
  const check = async (...args: string[]): Promise<Ran> =>
    command(['check', ...args, '--json', '--nats', server.url, '--namespace', namespace])
  const reportOf = (ran: Ran) => ran.values[0] as Report
  const misfits = (ran: Ran) => reportOf(ran).types.flatMap(({ misfits }) => misfits)

  const packed = await client.submit('parcel', undefined, { id: 'packed' })
  const shipped = await client.submit('parcel', undefined, { id: 'shipped' })
  await client.submit('letter', undefined, { id: 'letter' })
  await client.submit('form', undefined, { id: 'form' })
  const parked = async (count: number) =>
    until(async () => (await client.tasks({ status: 'parked' })).tasks.length === count, 'all are parked', 30_000)
  await parked(4)
  await shipped.signal({ type: 'SHIP' })
  await until(
    async () => (await shipped.history()).filter(({ what }) => what === 'parked').length === 2,
    'it is shipped',
  )

  const same = await check(build('first'))
  expect(same).toMatchObject({ code: 0, stderr: '' })
  expect(reportOf(same)).toMatchObject({ ok: true, live: 4 })
  const formReport = reportOf(same).types.find(({ type }) => type === 'form')
  expect(formReport).toMatchObject({ partly: 1, reasons: [expect.stringContaining('"name"')] })
  expect((await check(build('first'), '--strict')).code).toBe(1)

  const broken = await check(build('broken'))
  expect(broken.code).toBe(1)
  expect(misfits(broken)).toEqual([
    { id: 'letter', code: 'TROUPE_MIGRATION_MISSING', message: expect.stringMatching(/version 1\b.*version 2\b/) },
    { id: 'packed', code: 'TROUPE_SNAPSHOT_UNREADABLE', message: expect.stringContaining('state "packed"') },
    { id: 'shipped', code: 'TROUPE_SNAPSHOT_UNREADABLE', message: expect.stringContaining('(child "courier")') },
  ])
  const words = await command(['check', build('broken'), '--nats', server.url, '--namespace', namespace])
  expect(words.stdout).toMatch(/parcel +2 +0 +0 +2/)
  expect(words.stderr).toMatch(/packed: the snapshot names what this version does not have.*TROUPE_SNAPSHOT_UNREADABLE/)
  const few = await check(fileURLToPath(new URL('./tasks.ts', import.meta.url)))
  expect(
    reportOf(few)
      .types.filter(({ unknown }) => unknown > 0)
      .map(({ type }) => type),
  ).toEqual(['parcel', 'letter', 'form'])

  // It is deployed all the same.
  await old.kill()
  const bad = await cluster.one({ roles: ['node'], files: [build('broken')] })
  await packed.signal({ type: 'SHIP' })
  await shipped.signal({ type: 'DELIVERED' })
  for (const handle of [packed, shipped]) {
    await expect(handle.result()).rejects.toMatchObject({
      code: 'TROUPE_TASK_FAILED',
      cause: {
        code: 'TROUPE_SNAPSHOT_UNREADABLE',
        message: expect.stringContaining('what this version does not have'),
      },
    })
  }
  await bad.kill()

  const fixed = await check(build('fixed'))
  expect(fixed.code).toBe(0)
  await cluster.one({ roles: ['node'], files: [build('fixed')] })
  for (const id of ['packed', 'shipped']) {
    const ran = await command(['retry', id, '--json', '--nats', server.url, '--namespace', namespace])
    expect(ran.code).toBe(0)
  }
  // Its signal was not consumed by the turn that could not read the snapshot.
  expect(await client.handle('shipped').result()).toBe('delivered')
  await client.handle('packed').signal({ type: 'DELIVERED' })
  expect(await client.handle('packed').result()).toBe('delivered')
  await client.handle('letter').signal({ type: 'SEND' })
  expect(await client.handle('letter').result()).toEqual({ stamps: ['stamp', 'stamp'] })
  await client.handle('form').signal({ type: 'SIGNED' })
  expect(await client.handle('form').result()).toBe('Ada')
}, 90_000)
