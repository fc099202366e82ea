/** Parents that fail while their children live, and are retried, on real processes. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type Cluster, useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./family-tasks.ts', import.meta.url))]
const factMsMax = 30_000

async function open(): Promise<Cluster> {
  const cluster = await openCluster(server.url, freshNamespace())
  await cluster.start({ roles: ['scheduler', 'supervisor', 'node'], files, slots: 10 })
  await until(async () => (await cluster.client.nodes()).length === 1, 'the node is listed', factMsMax)
  return cluster
}

/** A tree of this name whose second child has failed, and it with it. */
async function fail({ client }: Cluster, type: string, id: string): Promise<void> {
  await client.submit(type, null, { 'Troupe-Id': id })
  const leaves = [`${id}:1:1`, `${id}:2`]
  await until(
    async () => (await Promise.all(leaves.map((leaf) => client.task(leaf)))).every(isWaiting),
    'all leaves wait',
    factMsMax,
  )
  client.publish(`signal.${id}:2`, { type: 'FAIL' })
  expect(await client.ended(id, factMsMax)).toMatchObject({ status: 'failed' })
  for (const child of [`${id}:1`, `${id}:1:1`]) expect(await client.task(child)).toMatchObject({ status: 'cancelled' })
}

function isWaiting({ status }: { readonly status: string }): boolean {
  return status === 'running' || status === 'parked'
}

test('a parent that failed and is retried has its cancelled children run again, whatever it is made of', async () => {
  const cluster = await open()
  const { client } = cluster
  for (const [type, id] of [
    ['tree', 't'],
    ['machine-tree', 'm'],
  ] as const) {
    await fail(cluster, type, id)
    const refused = await client.request(`retry.${id}:1`)
    expect(refused.error).toMatchObject({ code: 'TROUPE_NOT_FAILED', message: expect.stringContaining(`"${id}"`) })
    expect(await client.request(`retry.${id}:2`, { skipEvent: true })).not.toMatchObject({ status: 'failed' })
    expect(await client.request(`retry.${id}`)).not.toMatchObject({ status: 'failed' })
    for (const leaf of [`${id}:1:1`, `${id}:2`]) client.publish(`signal.${leaf}`, { type: 'GO' })
    const done = await client.ended(id, factMsMax)
    expect(done).toMatchObject({ status: 'completed', result: ['GO', 'GO'] })
  }
}, 120_000)

test('a parent whose child nobody knows any more is told so', async () => {
  const cluster = await open()
  const { client } = cluster
  await fail(cluster, 'tree', 't')
  expect(await client.request('remove.t:2')).toMatchObject({ removed: true })
  expect(await client.request('retry.t')).not.toMatchObject({ status: 'failed' })
  const failed = await until(
    async () => {
      const task = await client.task('t')
      return task.status === 'failed' && task.turn > 1 ? task : undefined
    },
    't has failed again',
    factMsMax,
  )
  expect(failed.error).toMatchObject({ code: 'TROUPE_TASK_FAILED', cause: { code: 'TROUPE_UNKNOWN_TASK' } })
}, 120_000)
