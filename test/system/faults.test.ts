/**
 * Real faults against real processes: a node is killed, a node is stopped and continued, a node drains. Numbers are
 * printed, never asserted; what must hold is asserted from the log itself.
 */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type Audit, audit, percentile } from '../harness/audit.ts'
import { type Cluster, type ClusterProcess, useClusters } from '../harness/cluster.ts'
import { openProxy } from '../harness/proxy.ts'
import { freshNamespace, lasting, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const testMs = 90_000

const counted = { steps: 15, everyMs: 200 }

async function threeNodes(): Promise<Cluster> {
  const cluster = await openCluster(server.url, freshNamespace())
  await cluster.start(
    { roles: ['scheduler', 'supervisor'] },
    { roles: ['node'], files, slots: 200 },
    { roles: ['node'], files, slots: 200 },
    { roles: ['node'], files, slots: 200 },
  )
  await until(async () => (await cluster.client.nodes()).length === 3, 'three nodes are listed')
  return cluster
}

/** Submits counting tasks and resolves once all of them run and have stored something. */
async function runCounting({ client }: Cluster, count: number, input = counted): Promise<string[]> {
  const ids = Array.from({ length: count }, (_, i) => `count-${i}`)
  await Promise.all(ids.map((id) => client.submit('counting', input, { 'Troupe-Id': id })))
  await until(async () => (await client.stats()).tasks.running === count, `${count} tasks run`)
  await until(async () => {
    const { tasks } = audit(await client.log())
    return ids.every((id) => (tasks.get(id)?.turns[0]?.checkpoints ?? 0) > 1)
  }, 'every task has stored checkpoints')
  return ids
}

/** Every task completed once, and each turn went on from the last checkpoint that counted. */
async function expectExact({ client }: Cluster, ids: readonly string[], steps = counted.steps): Promise<Audit> {
  const found = audit(await client.log())
  for (const id of ids) {
    const task = found.tasks.get(id)
    expect(task, id).toMatchObject({ completed: 1, status: 'ended' })
    const answer = await client.task(id)
    expect(answer, id).toMatchObject({ status: 'completed', result: { at: steps } })
    const { starts } = answer.result as unknown as { starts: number[] }
    let at = 0
    const expected: number[] = []
    for (const { checkpoints, handedBack } of task!.turns) {
      if (checkpoints > 0 || handedBack || at === steps) expected.push(at)
      at += checkpoints
      // The checkpoint during which it was asked to yield is in the snapshot that it handed back.
      if (handedBack && starts[expected.length] === at + 1) at++
    }
    expect(starts, id).toEqual(expected)
  }
  return found
}

async function busiest({ client }: Cluster, cluster: Cluster): Promise<ClusterProcess> {
  const nodes = await client.nodes()
  const [most] = nodes.sort((a, b) => b.running - a.running)
  return cluster.of(most!.id)
}

/** From the fault to each affected task's next accepted turn, ms. */
function gaps(found: Audit, node: string, faultAtMs: number): number[] {
  const found_: number[] = []
  for (const { turns } of found.tasks.values()) {
    for (const [i, turn] of turns.entries()) {
      const next = turns[i + 1]
      if (turn.node === node && next !== undefined && turn.acceptedAtMs <= faultAtMs && next.acceptedAtMs > faultAtMs) {
        found_.push(next.acceptedAtMs - faultAtMs)
      }
    }
  }
  return found_
}

function show(what: string, ms: readonly number[]): void {
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => percentile(ms, share))
  console.log(`${what}: ${ms.length} tasks, p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`)
}

test(
  'tasks of a killed node go on elsewhere from their last checkpoints, none twice',
  async () => {
    const cluster = await threeNodes()
    const ids = await runCounting(cluster, 300)
    const victim = await busiest(cluster, cluster)
    const faultAtMs = Date.now()
    await victim.kill()
    await cluster.client.allEnded(300)
    const found = await expectExact(cluster, ids)
    const moved = gaps(found, victim.name, faultAtMs)
    expect(moved.length).toBeGreaterThan(50)
    show('kill -9 of a node to running elsewhere', moved)
  },
  testMs,
)

test(
  'a node that was stopped commits nothing afterwards, joins again and takes work',
  async () => {
    const cluster = await threeNodes()
    const { client } = cluster
    const ids = await runCounting(cluster, 90)
    const zombie = await busiest(cluster, cluster)
    const { incarnation } = (await client.nodes()).find(({ id }) => id === zombie.name)!
    const faultAtMs = Date.now()
    zombie.signal('SIGSTOP')
    await client.allEnded(90)
    zombie.signal('SIGCONT')
    const again = await until(
      async () => (await client.nodes()).find(({ id, status }) => id === zombie.name && status === 'ready'),
      'it is a member again',
    )
    expect(again.incarnation).not.toBe(incarnation)
    await until(async () => {
      await client.request('run.double', { n: 1 })
      const { tasks } = audit(await client.log())
      return [...tasks.values()].some(({ turns }) => turns[0]?.incarnation === again.incarnation)
    }, 'it runs tasks again')
    const found = await expectExact(cluster, ids)
    expect(found.ends.get(incarnation)).toMatchObject({ how: 'fenced', storedAfter: 0 })
    show('SIGSTOP of a node to running elsewhere', gaps(found, zombie.name, faultAtMs))
  },
  testMs,
)

test(
  'a node that is cut off goes on running what is no longer its own, and nothing of that counts',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    await using proxy = await openProxy(server.url)
    const [, cut] = await cluster.start(
      { roles: ['scheduler', 'supervisor'] },
      { roles: ['node'], files, servers: proxy.url },
      { roles: ['node'], files },
    )
    await until(async () => (await client.nodes()).length === 2, 'both nodes are listed')
    const ids = await runCounting(cluster, 60)
    const { incarnation } = (await client.nodes()).find(({ id }) => id === cut!.name)!
    const faultAtMs = Date.now()
    proxy.freeze()
    await until(async () => audit(await client.log()).ends.has(incarnation), 'it is fenced')
    proxy.heal()
    await client.allEnded(60)
    await until(async () => (await client.nodes()).length === 2, 'it is a member again')
    const found = await expectExact(cluster, ids)
    expect(found.ends.get(incarnation)).toMatchObject({ how: 'fenced', storedAfter: 0 })
    show('cut of a node from the network to running elsewhere', gaps(found, cut!.name, faultAtMs))
  },
  testMs,
)

test(
  'a server that stands still for a while costs no node its membership',
  async () => {
    const cluster = await threeNodes()
    const ids = await runCounting(cluster, 60, { steps: 30, everyMs: 150 })
    process.kill(server.process.pid, 'SIGSTOP')
    // Longer than it takes to find a single silent node dead, and shorter than connections are kept.
    await lasting(2_500)
    process.kill(server.process.pid, 'SIGCONT')
    await cluster.client.allEnded(60)
    const found = await expectExact(cluster, ids, 30)
    expect(found.ends.size).toBe(0)
  },
  testMs,
)

test(
  'a node that is told to stop hands its tasks over at once and ends with 0',
  async () => {
    const cluster = await threeNodes()
    const ids = await runCounting(cluster, 90)
    const leaver = await busiest(cluster, cluster)
    const faultAtMs = Date.now()
    leaver.signal('SIGTERM')
    expect(await leaver.exited).toEqual({ code: 0, signal: null })
    const leftAtMs = Date.now()
    await cluster.client.allEnded(90)
    const found = await expectExact(cluster, ids)
    expect([...found.ends.values()].filter(({ how }) => how === 'fenced')).toEqual([])
    const moved = gaps(found, leaver.name, faultAtMs)
    expect(moved.length).toBeGreaterThan(10)
    show('SIGTERM of a node to running elsewhere', moved)
    console.log(`SIGTERM to exit: ${leftAtMs - faultAtMs} ms`)
  },
  testMs,
)

test(
  'a second signal stops a node at once',
  async () => {
    const cluster = await threeNodes()
    const { client } = cluster
    // Nothing that a drain would have to wait for is over soon.
    const ids = Array.from({ length: 6 }, (_, i) => `slow-${i}`)
    await Promise.all(ids.map((id) => client.submit('counting', { steps: 2, everyMs: 2_000 }, { 'Troupe-Id': id })))
    const node = await until(async () => (await client.nodes()).find(({ running }) => running > 0), 'something runs')
    const stopping = cluster.of(node.id)
    stopping.signal('SIGTERM')
    stopping.signal('SIGINT')
    // Both may be pending when the process looks, and then the lower number comes first.
    expect([130, 143]).toContain((await stopping.exited).code)
    await client.allEnded(6)
    await expectExact(cluster, ids, 2)
  },
  testMs,
)
