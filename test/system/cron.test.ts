/** Cron schedules on real processes and in real time: whatever dies, each firing runs once. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { connect, type ScheduleAnswer } from '../../src/client/index.ts'
import { audit } from '../harness/audit.ts'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, lasting, until, useServer } from '../harness/server.ts'
import { troupe } from '../runtime/cli/command.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const testMs = 90_000
const scheduler = { roles: ['scheduler'] } as const

/** The ids of all firings from one due time to another. */
function everySecond(name: string, first: string, last: string): string[] {
  const ids: string[] = []
  for (let atMs = Date.parse(first); atMs <= Date.parse(last); atMs += 1_000) {
    ids.push(`${name}@${new Date(atMs).toISOString().replace('.000Z', 'Z')}`)
  }
  return ids
}

test(
  'a schedule of each second loses no firing and doubles none, though leading scheduler after leading scheduler is killed',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    await cluster.start(scheduler, scheduler, { roles: ['node', 'supervisor'], files })
    await cluster.leader('scheduler')
    const request = { name: 'tick', schedule: '* * * * * *', type: 'double', input: { n: 4 } }
    const set = (await client.request('cron', request)) as unknown as { schedules: ScheduleAnswer[] }
    const { nextAt } = set.schedules[0]!
    const row = async () => ((await client.ask('cron')) as unknown as { schedules: ScheduleAnswer[] }).schedules[0]!
    const fired = (count: number) => until(async () => (await row()).fired >= count, `${count} firings`)
    await fired(2)
    for (let kills = 0; kills < 2; kills++) {
      await (await cluster.leader('scheduler')).kill()
      // The other goes on; a new one stands by for it.
      await fired((await row()).fired + 2)
      await cluster.one(scheduler)
    }
    const { lastAt, skipped, missedAt } = await row()
    expect([await client.request('cron', { name: 'tick', schedule: null }), skipped, missedAt]).toEqual([
      { schedules: [], more: false },
      0,
      undefined,
    ])
    const ids = everySecond('tick', nextAt!, lastAt!)
    for (const id of ids) expect(await client.ended(id)).toMatchObject({ status: 'completed', result: { doubled: 8 } })
    const { tasks } = audit(await client.log())
    expect(ids.filter((id) => tasks.get(id)?.completed !== 1)).toEqual([])
    const ticks = [...tasks.keys()].filter((id) => id.startsWith('tick@'))
    expect(ticks.filter((id) => id < ids[0]! || (id <= ids.at(-1)! && !ids.includes(id)))).toEqual([])
  },
  testMs,
)

test(
  'schedules outlive an outage of everything; what was missed is made up for as each says',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { namespace } = cluster
    const both = { roles: ['scheduler', 'supervisor'] } as const
    const first = await cluster.one(both)
    await cluster.leader('scheduler')
    const sdk = await connect({ servers: server.url, namespace })
    const rules = ['skip', 'latest', 'all'] as const
    for (const missed of rules) await sdk.cron.set(missed, { schedule: '* * * * * *', task: 'double', missed })
    await until(async () => (await sdk.cron.list()).every(({ fired }) => fired > 0), 'each has fired')
    const before = new Map((await sdk.cron.list()).map((row) => [row.name, row]))
    await first.kill()
    // Some firings are missed.
    await lasting(4_000)
    await cluster.one(both)
    const after = await until(
      async () => {
        const rows = await sdk.cron.list().catch(() => [])
        const isOn = rows.length === 3 && rows.every((row) => row.fired > before.get(row.name)!.fired + 1)
        return isOn ? new Map(rows.map((row) => [row.name, row])) : undefined
      },
      'each fires again',
      30_000,
    )
    const ids = (await sdk.tasks({ type: 'double', limit: 1_000 })).tasks.map(({ id }) => id)
    const gaps = (name: string) =>
      everySecond(name, before.get(name)!.lastAt!, after.get(name)!.lastAt!).filter((id) => !ids.includes(id)).length
    expect([gaps('all'), gaps('skip') > 0, gaps('latest') > 0]).toEqual([0, true, true])
    expect(after.get('skip')?.missedAt).toBeDefined()
    await sdk.close()
  },
  testMs,
)

test(
  'troupe cron sets, lists and removes schedules, and says what is wrong with one',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    await cluster.start({ roles: ['scheduler', 'node'], files })
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: cluster.namespace }
    const nightly = ['cron', 'set', 'nightly', '0 3 * * *', 'double', '{"n":2}', '--time-zone', 'Europe/Vienna']
    const options = ['--missed', 'all', '--overlap', 'queue', '--priority', '7', '--start-within', '10m', '--json']
    const row = {
      name: 'nightly',
      schedule: '0 3 * * *',
      timeZone: 'Europe/Vienna',
      type: 'double',
      input: { n: 2 },
      missed: 'all',
      overlap: 'queue',
      options: { priority: 7, startWithinMs: 600_000 },
      nextAt: expect.stringMatching(/T0[12]:00:00.000Z$/),
      fired: 0,
    }
    expect(await troupe([...nightly, ...options], { env })).toMatchObject({ code: 0, values: [row] })
    expect(await troupe(['cron', 'ls', '--json'], { env })).toMatchObject({ code: 0, values: [row] })
    expect((await troupe(['cron'], { env })).stdout).toMatch(/nightly +0 3 \* \* \* +Europe\/Vienna +double/)
    const wrong = async (...args: string[]) => (await troupe(['cron', ...args], { env })).stderr
    expect(await wrong('set', 'x', '61 * * * *', 'double')).toMatch(/cannot be read: Invalid value for minute: 61/)
    expect(await wrong('set', 'x', '@daily', 'double', '--time-zone', 'Mars/Base')).toMatch(/time zone "Mars\/Base"/)
    expect(await wrong('set', 'x', '0 0 30 2 *', 'double')).toMatch(/is never due/)
    const typo = await cluster.client.request('cron', {
      name: 'x',
      schedule: '@daily',
      type: 'double',
      timezone: 'UTC',
    })
    expect(typo.error).toMatchObject({ code: 'TROUPE_UNKNOWN_OPTION', message: expect.stringMatching(/timeZone/) })
    expect(await wrong('rm', 'x')).toMatch(/there is no schedule "x"/)
    expect(await troupe(['cron', 'rm', 'nightly'], { env })).toMatchObject({ code: 0, stdout: 'nightly  removed\n' })
    expect(await troupe(['cron', 'ls', '--json'], { env })).toMatchObject({ code: 0, values: [] })
  },
  testMs,
)

test(
  'of submissions with the same key within a time the first runs, and the others say which it was',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    await cluster.start({ roles: ['scheduler', 'node'], files })
    const sdk = await connect({ servers: server.url, namespace: cluster.namespace })
    const unique = { key: 'k', within: '10m' }
    const first = await sdk.submit('double', { n: 1 }, { unique })
    expect(await first.result()).toEqual({ doubled: 2 })
    const second = await sdk.submit('double', { n: 2 }, { unique })
    await expect(second.result()).rejects.toMatchObject({
      code: 'TROUPE_TASK_CANCELLED',
      cause: { code: 'TROUPE_NOT_UNIQUE', details: { task: first.id } },
    })
    await expect(sdk.submit('double', { n: 3 }, { unique: { key: 'k', within: 'soon' } })).rejects.toThrow(
      /not a duration/,
    )
    await sdk.close()
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: cluster.namespace }
    const third = await troupe(['run', 'double', '{"n":3}', '--unique', '10m', '--unique-key', 'k', '--json'], { env })
    expect(third).toMatchObject({ code: 1, values: [{ error: { details: { task: first.id } } }] })
  },
  testMs,
)
