/** Resources, labels, limits and orders on real processes. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type Cluster, useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'
import { troupe } from '../runtime/cli/command.ts'

const server = useServer()
const openCluster = useClusters()
const files = ['./scheduling-tasks.ts', './tasks.ts'].map((file) => fileURLToPath(new URL(file, import.meta.url)))
const testMs = 90_000

const leader = { roles: ['scheduler', 'supervisor'] } as const

interface Ran {
  readonly pid: number
  readonly from: number
  readonly to: number
}

/** Most turns that ran at one instant, of those that ended, by process. */
function mostAtOnce(results: readonly Ran[]): number[] {
  const pids = [...new Set(results.map(({ pid }) => pid))]
  return pids.map((pid) => {
    const own = results.filter((result) => result.pid === pid)
    return Math.max(...own.map(({ from }) => own.filter((other) => other.from <= from && from < other.to).length))
  })
}

async function results({ client }: Cluster, ids: readonly string[]): Promise<Ran[]> {
  const ended = await Promise.all(ids.map((id) => client.ended(id, 60_000)))
  expect(ended.map(({ status }) => status)).toEqual(ids.map(() => 'completed'))
  return ended.map(({ result }) => result as unknown as Ran)
}

test(
  'no node runs more than its resources allow, though it has slots, and one dies on the way',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    const node = { roles: ['node'] as const, files, slots: 50, resources: { licence: 3 } }
    await cluster.start(leader, node, node)
    const ids = Array.from({ length: 80 }, (_, n) => `l-${n}`)
    await Promise.all(ids.map((id) => client.submit('licensed', {}, { 'Troupe-Id': id })))
    await until(async () => ((await client.stats()).totals.completed ?? 0) > 20, 'some have ended')
    await cluster.processes.find(({ name }) => name.startsWith('node'))!.kill()
    const ran = await results(cluster, ids)
    for (const most of mostAtOnce(ran)) expect(most).toBeLessThanOrEqual(3)
    expect(Math.max(...mostAtOnce(ran))).toBeGreaterThan(1)
  },
  testMs,
)

test(
  'a task that asks for what nobody has says so at once, and starts when such a node joins',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    await cluster.start(leader, { roles: ['node'], files, resources: { gpu: 1 }, labels: { zone: 'east' } })
    await client.submit('heavy', {}, { 'Troupe-Id': 'heavy' })
    await client.submit('zoned', {}, { 'Troupe-Id': 'zoned' })
    await client.submit('plain', {}, { 'Troupe-Id': 'plain' })
    await client.ended('plain')
    expect(await client.task('heavy')).toMatchObject({
      status: 'ready',
      waiting: expect.stringMatching(/it asks for 2 gpu and the node has 1/),
    })
    expect(await client.task('zoned')).toMatchObject({
      status: 'ready',
      waiting: expect.stringMatching(/it requires the label zone=west/),
    })
    const [big] = await cluster.start({ roles: ['node'], files, resources: { gpu: 4 }, labels: { zone: 'west' } })
    for (const id of ['heavy', 'zoned']) {
      const ended = await client.ended(id)
      expect(ended).toMatchObject({ status: 'completed', placement: { node: big!.name, policy: 'least-delay' } })
    }
  },
  testMs,
)

test(
  'a paused type starts nothing, over a change of leader, until it is resumed; show --why says so',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client, namespace } = cluster
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
    await cluster.start({ roles: ['scheduler'] }, { roles: ['scheduler'] }, { roles: ['node', 'supervisor'], files })
    expect(await troupe(['queue', 'pause', 'plain', '--json'], { env })).toMatchObject({
      code: 0,
      values: [{ type: 'plain', paused: true }],
    })
    await client.submit('plain', {}, { 'Troupe-Id': 'p' })
    await client.submit('licensed', {}, { 'Troupe-Id': 'other' })
    await (await cluster.leader('scheduler')).kill()
    const why = await until(async () => {
      const shown = await troupe(['show', 'p', '--why'], { env })
      return shown.code === 0 ? shown.stdout : undefined
    }, 'another leads')
    expect(why).toMatch(/It waits: the type "plain" is paused\./)
    expect((await client.task('p')).status).toBe('ready')
    expect(await troupe(['queue', 'resume', 'plain'], { env })).toMatchObject({ code: 0, stdout: 'plain  no limits\n' })
    await client.ended('p')
    const placed = await troupe(['show', 'p', '--why'], { env })
    expect(placed.stdout).toMatch(/It was placed on \S+ by least-delay/)
    expect(placed.stdout).toMatch(/got it/)
  },
  testMs,
)

test(
  'limits that are set hold for every process, and the order is the one that the leader was started with',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client, namespace } = cluster
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
    const node = { roles: ['node'] as const, files, slots: 20 }
    await cluster.start({ ...leader, ordering: 'shortest-first:aging=0', placement: 'two-choices' }, node, node)
    const limited = ['queue', 'limit', 'plain', '--running', '1', '--json']
    expect(await troupe(limited, { env })).toMatchObject({ code: 0, values: [{ type: 'plain', runningMax: 1 }] })
    await client.submit('plain', { ms: 500 }, { 'Troupe-Id': 'first' })
    await until(async () => (await client.task('first')).status === 'running', 'the first runs')
    const expected = ['40s', '10s', '30s', '20s']
    for (const one of expected) await client.submit('plain', {}, { 'Troupe-Id': one, 'Troupe-Expected': one })
    const ran = await results(cluster, ['first', '10s', '20s', '30s', '40s'])
    for (const [i, { from }] of ran.entries()) expect(from).toBeGreaterThanOrEqual(ran[i - 1]?.to ?? 0)
    expect(await client.task('40s')).toMatchObject({ placement: { policy: 'two-choices' } })
  },
  testMs,
)

test(
  'an urgent task takes the slot of one that runs, which goes on from its last checkpoint; slices take turns',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    const node = { roles: ['node'] as const, files, slots: 1 }
    const [first] = await cluster.start({ ...leader, ordering: 'preemptive-priority' }, node)
    const counted = (id: string, priority: string) =>
      client.submit('counting', { steps: 30, everyMs: 50 }, { 'Troupe-Id': id, 'Troupe-Priority': priority })
    const interruptions = async (id: string) => {
      const ended = await client.ended(id, 60_000)
      expect(ended).toMatchObject({ status: 'completed', result: { at: 30 }, attempt: 1 })
      const { starts } = ended.result as unknown as { starts: number[] }
      expect(starts).toEqual([...starts].sort((a, b) => a - b))
      return starts.length - 1
    }
    await counted('low', '1')
    await until(async () => (await client.task('low')).status === 'running', 'it runs')
    await client.submit('plain', {}, { 'Troupe-Id': 'high', 'Troupe-Priority': '9' })
    await client.ended('high')
    expect((await client.task('low')).status).not.toBe('completed')
    expect(await interruptions('low')).toBe(1)

    await first!.kill()
    await cluster.one({ ...leader, ordering: 'round-robin:quantumMs=300' })
    await counted('a', '4')
    await counted('b', '4')
    const times = (await Promise.all([interruptions('a'), interruptions('b')])).reduce((sum, one) => sum + one, 0)
    expect(times).toBeGreaterThan(2)
  },
  testMs,
)

test(
  'a task whose node is stuck ends by its second turn on another node, and the first is void when it wakes',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client, namespace } = cluster
    // No supervisor: nobody fences the node that is stuck.
    const [, stuck] = await cluster.start({ roles: ['scheduler'] }, { roles: ['node'], files })
    await client.submit('hedged', { ms: 2_000 }, { 'Troupe-Id': 'h' })
    await until(async () => (await client.task('h')).status === 'running', 'it runs')
    stuck!.signal('SIGSTOP')
    const other = await cluster.one({ roles: ['node'], files })
    const ended = await client.ended('h')
    expect(ended).toMatchObject({ status: 'completed', attempt: 1, turn: 2, result: { pid: other.pid } })
    expect(ended.hedge).toMatchObject({ first: stuck!.name, second: other.name, kept: 'second' })
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
    const why = await troupe(['show', 'h', '--why'], { env })
    expect(why.stdout).toMatch(/A second turn was allowed at .*, for it had run for \d+ ms, longer than 500 ms on /)
    expect(why.stdout).toMatch(/It went on with the second turn: the second turn was faster\./)
    stuck!.signal('SIGCONT')
    await client.submit('plain', {}, { 'Troupe-Id': 'later' })
    await until(async () => (await client.nodes()).every(({ running }) => running === 0), 'nothing runs any more')
    expect(await client.task('h')).toMatchObject({ status: 'completed', result: { pid: other.pid } })
  },
  testMs,
)

test(
  'a long machine moves off a node that has become slow, and goes on where it was',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client, namespace } = cluster
    const preload = fileURLToPath(new URL('./hogged.ts', import.meta.url))
    const rebalancing = 'threshold:ratio=1.5,lagMs=100,afterMs=1000,ageMinMs=1000'
    const [, hogged] = await cluster.start({ ...leader, rebalancing }, { roles: ['node'], files, preload })
    await client.submit('marching', { steps: 900 }, { 'Troupe-Id': 'm' })
    await until(async () => (await client.task('m')).status === 'running', 'it runs', 30_000)
    const fine = await cluster.one({ roles: ['node'], files })
    const ended = await client.ended('m', 60_000)
    expect(ended).toMatchObject({ status: 'completed', attempt: 1, move: { from: hogged!.name, to: fine.name } })
    const { pids } = ended.result as unknown as { pids: number[] }
    const moved = pids.indexOf(fine.pid)
    expect(moved).toBeGreaterThan(0)
    expect(new Set(pids.slice(0, moved))).toEqual(new Set([hogged!.pid]))
    expect(new Set(pids.slice(moved))).toEqual(new Set([fine.pid]))
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
    const why = await troupe(['show', 'm', '--why'], { env })
    expect(why.stdout).toContain(`It left ${hogged!.name} at `)
  },
  testMs,
)
