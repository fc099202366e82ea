/** A namespace of four partitions, on a real server: what was submitted anywhere runs once, and everybody finds it. */
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { connect } from '../../src/client/connect.ts'
import type { StatsAnswer } from '../../src/protocol/messages.ts'
import { homeOf } from '../../src/protocol/partitions.ts'
import { examine } from '../../src/runtime/doctor/examine.ts'
import type { Finding } from '../../src/runtime/doctor/findings.ts'
import { type Cluster, useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const partitions = 4
const everything = { roles: ['node', 'scheduler', 'supervisor'] as const, files, partitions }

async function open(...starts: object[]): Promise<Cluster> {
  const cluster = await openCluster(server.url, freshNamespace())
  await cluster.start(...starts.map((start) => ({ ...everything, ...start })))
  return cluster
}

/** An id with this prefix whose home is this partition. */
function idAt(partition: number, prefix: string): string {
  for (let n = 0; ; n++) if (homeOf(`${prefix}-${n}`, partitions) === partition) return `${prefix}-${n}`
}

const numbers = [0, 1, 2, 3]

describe('in four partitions', () => {
  test('tasks of the SDK spread, end, and are found by their ids', { timeout: 60_000 }, async () => {
    const cluster = await open({})
    await using troupe = await connect({ servers: server.url, namespace: cluster.namespace })
    const inputs = Array.from({ length: 2_000 }, (_, n) => ({ n }))
    const results = await troupe.map('double', inputs)
    expect(results).toEqual(inputs.map(({ n }) => ({ doubled: n * 2 })))
    const named = await troupe.submitMany('double', inputs.slice(0, 400), { id: (_, n) => `n-${n}` })
    expect(await Promise.all(named.map((handle) => handle.result()))).toEqual(results.slice(0, 400))
    // The same again, one by one, is the same; each id has one home.
    expect(await (await troupe.submit('double', { n: 7 }, { id: 'n-7' })).result()).toEqual({ doubled: 14 })
    expect(await troupe.handle('n-7').state()).toMatchObject({ status: 'completed', partition: homeOf('n-7', 4) })
    const stats = await troupe.stats()
    expect(stats.totals).toMatchObject({ submitted: 2_400, completed: 2_400 })
    expect(stats.partitions?.map(({ partition }) => partition)).toEqual(numbers)
    const each = await Promise.all(numbers.slice(1).map((p) => cluster.client.ask(`partition.${p}.stats`)))
    for (const answer of each) expect((answer as unknown as StatsAnswer).totals.completed).toBeGreaterThan(50)
    const { nodes } = (await cluster.client.ask('nodes')) as unknown as { nodes: unknown[] }
    expect(nodes).toHaveLength(1)
  })

  test('limits that were set in some only are listed with where they hold, and can be lifted', {
    timeout: 60_000,
  }, async () => {
    const cluster = await open({})
    await using troupe = await connect({ servers: server.url, namespace: cluster.namespace })
    await troupe.limit('double', { runningMax: 2, queuedMax: 9 })
    expect((await troupe.limits()).types).toEqual([{ type: 'double', runningMax: 2, queuedMax: 9, queued: 0 }])
    // As a change that was cut off leaves it.
    for (const partition of [1, 2]) {
      await cluster.client.request(`partition.${partition}.limits`, { type: 'double', limits: { paused: true } })
      await cluster.client.request(`partition.${partition}.limits`, { type: 'flaky', limits: { paused: true } })
    }
    expect((await troupe.limits()).types).toEqual([
      { type: 'double', runningMax: 2, queuedMax: 9, queued: 0, partitions: [0, 3] },
      { type: 'double', paused: true, partitions: [1, 2] },
      { type: 'flaky', paused: true, partitions: [1, 2] },
    ])
    for (const type of ['double', 'flaky']) await troupe.limit(type, null)
    expect((await troupe.limits()).types).toEqual([])
  })

  test('what a plain client publishes is brought where it belongs, once', { timeout: 60_000 }, async () => {
    const cluster = await open({})
    const { client } = cluster
    const ids = numbers.map((partition) => idAt(partition, 'plain'))
    for (const id of ids) {
      await client.submit('double', { n: 4 }, { 'Troupe-Id': id })
      await client.submit('double', { n: 4 }, { 'Troupe-Id': id })
    }
    const unnamed = await client.submit('double', { n: 5 })
    for (const [partition, id] of ids.entries()) {
      const task = await client.ended(id)
      expect(task).toMatchObject({ status: 'completed', result: { doubled: 8 }, turn: 1, partition })
    }
    expect(await client.ended(`0-${unnamed}`)).toMatchObject({ result: { doubled: 10 } })
    expect(await client.request('run.double', { n: 6 }, { 'Troupe-Id': idAt(3, 'run') })).toMatchObject({
      status: 'completed',
      result: { doubled: 12 },
    })
    const stats = (await client.ask('stats')) as unknown as StatsAnswer
    expect(stats.totals).toMatchObject({ submitted: 6, completed: 6 })
    // A gang of strangers meets, whatever the ids of its members.
    const members = numbers.map((partition) => idAt(partition, 'member'))
    for (const id of members) await client.submit('double', { n: 1 }, { 'Troupe-Id': id, 'Troupe-Gang': 'four/4' })
    for (const id of members) expect((await client.ended(id)).status).toBe('completed')
  })

  test('signals, cancels, children and flows find their tasks', { timeout: 60_000 }, async () => {
    const cluster = await open({})
    const { client } = cluster
    await using troupe = await connect({ servers: server.url, namespace: cluster.namespace })
    const parent = idAt(2, 'parent')
    await troupe.submit('journey', { n: 1 }, { id: parent })
    client.publish(`signal.${parent}`, { type: 'GO', with: 'a plain signal' })
    expect(await troupe.handle(parent).result()).toEqual({ sum: 10, told: 'a plain signal' })
    expect(await client.ask(`task.${parent}:1`)).toMatchObject({ status: 'completed', partition: 2 })

    const flow = numbers.map((partition) => idAt(partition, 'flow'))
    const handles = await troupe.flow([
      { id: flow[0]!, task: 'patient', input: null },
      { id: flow[1]!, task: 'double', input: { n: 1 }, after: [flow[0]!] },
      { id: flow[2]!, task: 'double', input: { n: 2 }, after: [flow[1]!] },
      { id: flow[3]!, task: 'patient', input: null },
    ])
    // Waits for a task that is in another partition than its own.
    const follower = await troupe.submit('double', { n: 3 }, { id: idAt(3, 'follower'), after: [flow[2]!] })
    await troupe.handle(flow[0]!).signal({ type: 'GO' })
    expect(await handles.get(flow[2]!)!.result()).toEqual({ doubled: 4 })
    expect(await follower.result()).toEqual({ doubled: 6 })
    const states = await Promise.all(flow.map((id) => client.ask(`task.${id}`)))
    expect(new Set(states.map(({ partition }) => partition)).size).toBe(1)
    expect(await troupe.handle(flow[3]!).cancel('enough')).toMatchObject({ status: 'cancelled' })
    await expect(troupe.handle('nobody').state()).rejects.toMatchObject({ code: 'TROUPE_UNKNOWN_TASK' })
    client.publish('signal.nobody', { type: 'GO' })
    const listed = await until(async () => {
      const { setAside } = await troupe.dead()
      return setAside.length > 0 ? setAside : undefined
    }, 'the signal for nobody is set aside')
    expect(listed[0]).toMatchObject({ reason: { code: 'TROUPE_UNKNOWN_TASK' } })
  })

  test('a node that is full with the tasks of one serves the others as well', { timeout: 60_000 }, async () => {
    const cluster = await open({ slots: 4 })
    await using troupe = await connect({ servers: server.url, namespace: cluster.namespace })
    const busy = idAt(0, 'busy')
    const many = Array.from({ length: 1_500 }, () => ({ steps: 1, everyMs: 30 }))
    // A group keeps them together.
    await troupe.submitMany('counting', many, { group: busy })
    const crowded = homeOf((await troupe.tasks({ limit: 1 })).tasks[0]!.id, partitions)
    const others = numbers.filter((partition) => partition !== crowded)
    const few = others.flatMap((partition) => [idAt(partition, 'a'), idAt(partition, 'b')])
    const handles = await Promise.all(few.map((id) => troupe.submit('double', { n: 1 }, { id })))
    for (const handle of handles) expect(await handle.result()).toEqual({ doubled: 2 })
    expect((await troupe.stats()).tasks.ready).toBeGreaterThan(0)
  })

  test('leaders spread, and the death of a process costs no task', { timeout: 90_000 }, async () => {
    const cluster = await open({ slots: 32 }, { slots: 32 })
    await using troupe = await connect({ servers: server.url, namespace: cluster.namespace })
    const leads = async () => (await troupe.stats()).partitions?.map(({ leader = '' }) => leader.replace(/-[^-]*$/, ''))
    await until(async () => new Set(await leads()).size === 2, 'both processes lead some of the partitions')
    // Long enough to be seen at work on a busy machine.
    const inputs = Array.from({ length: 60 }, () => ({ steps: 10, everyMs: 200 }))
    const handles = await troupe.submitMany('counting', inputs, { id: (_, n) => `c-${n}` })
    const [victim] = cluster.processes
    await until(async () => {
      const running = (await troupe.nodes()).find(({ id }) => id === victim!.name)?.running ?? 0
      return running > 10
    }, 'it runs tasks')
    await victim!.kill()
    const results = (await Promise.all(handles.map((handle) => handle.result()))) as { at: number; pid: number }[]
    expect(results.every(({ at }) => at === 10)).toBe(true)
    // A partition that changes its leader just now is left out of the sums, and shows no leader.
    const { totals, partitions: led } = await until(async () => {
      const stats = await troupe.stats()
      return stats.partitions?.every(({ leader }) => leader !== undefined) ? stats : undefined
    }, 'every partition has a leader again')
    expect(totals).toMatchObject({ submitted: 60, completed: 60, failed: 0 })
    expect(led?.some(({ leader }) => leader?.startsWith(victim!.name))).toBe(false)
  })

  test('doctor looks at each of them, and says which a finding is about', { timeout: 60_000 }, async () => {
    const cluster = await open({})
    const { client, namespace } = cluster
    const dead = idAt(2, 'dead')
    await client.submit('hopeless', null, { 'Troupe-Id': dead })
    await client.ended(dead)
    const findings = async () => {
      const found: Finding[] = []
      for await (const finding of examine({ servers: server.url, namespace })) found.push(finding)
      return (check: string) => found.filter((finding) => finding.check === check)
    }
    const all = await findings()
    for (const check of ['scheduler', 'log size', 'checkpoints', 'durability', 'dead letters']) {
      expect(all(check).map(({ partition }) => partition)).toEqual(numbers)
    }
    expect(all('dead letters').map(({ status }) => status)).toEqual(['ok', 'ok', 'warn', 'ok'])
    expect(all('dead letters')[2]?.message).toMatch(/^partition 2: 1 failed/)
    for (const partition of numbers) {
      expect(all(`stream TROUPE_${namespace}_LOG_${partition}`)).toMatchObject([{ status: 'ok', partition }])
    }
    // Whoever leads the first speaks for all; without it the others are asked.
    await cluster.processes[0]!.kill()
    const answers: Record<string, object> = {
      stats: { partition: 1, leader: 'somebody', epoch: 5, position: 7, tasks: { failed: 3 } },
      nodes: { nodes: [] },
    }
    for (const [what, answer] of Object.entries(answers)) {
      client.subscribe(`${client.root}.partition.1.${what}`, (message) => message.respond(JSON.stringify(answer)))
    }
    const some = await findings()
    expect(some('scheduler').map(({ status }) => status)).toEqual(['fail', 'ok', 'fail', 'fail'])
    expect(some('dead letters')).toMatchObject([{ partition: 1, status: 'warn' }])
  })

  test('another number is refused by name; nothing stored, it may still be given', { timeout: 60_000 }, async () => {
    const namespace = freshNamespace()
    await using early = await connect({ servers: server.url, namespace })
    const cluster = await openCluster(server.url, namespace)
    await cluster.start(everything)
    await expect(early.submit('double', { n: 1 })).rejects.toMatchObject({ code: 'TROUPE_PARTITIONS' })
    const other = cluster.launch({ ...everything, partitions: 2 })
    await expect(other.ready()).rejects.toThrow(/TROUPE_PARTITIONS|has 4 partitions, not 2/)
    await using late = await connect({ servers: server.url, namespace })
    expect(await late.map('double', [{ n: 1 }])).toEqual([{ doubled: 2 }])
  })
})
