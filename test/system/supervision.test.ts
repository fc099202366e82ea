/** Groups of tasks and poisoned ones on real processes, one of which is killed. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type Cluster, useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./supervision-tasks.ts', import.meta.url))]
const factMsMax = 30_000

async function open(nodes: number): Promise<Cluster> {
  const cluster = await openCluster(server.url, freshNamespace())
  const node = { roles: ['node' as const], files, slots: 3 }
  await cluster.start({ roles: ['scheduler', 'supervisor'] }, ...Array.from({ length: nodes }, () => node))
  await until(async () => (await cluster.client.nodes()).length === nodes, 'all nodes are listed', factMsMax)
  return cluster
}

interface Life {
  readonly life: string
  readonly node: string
  readonly turn: number
  readonly attempt: number
}

/** The lives of these tasks, once all of them run and have told theirs, and `isNew` is true of them. */
function lives({ client }: Cluster, ids: readonly string[], isNew: (lives: Life[]) => boolean): Promise<Life[]> {
  return until(
    async () => {
      const answers = await Promise.all(ids.map((id) => client.task(id)))
      const told = answers.flatMap(({ status, progress, node = '', turn, attempt }) => {
        const life = (progress as { note?: string } | undefined)?.note
        return status === 'running' && life !== undefined ? [{ life, node, turn, attempt }] : []
      })
      return told.length === ids.length && isNew(told) ? told : undefined
    },
    'all run and have told their lives',
    factMsMax,
  )
}

test('a node is killed under two groups, and a member fails: each group does as its strategy says', async () => {
  const cluster = await open(3)
  const { client } = cluster
  const groups = {
    calm: { name: 'calm', strategy: 'one-for-all' },
    strict: { name: 'strict', strategy: 'one-for-all', restart: { nodeLoss: 'failure' } },
  }
  const [calm, strict] = [
    ['c1', 'c2', 'c3'],
    ['s1', 's2', 's3'],
  ] as const
  for (const id of [...calm, ...strict]) {
    const group = id.startsWith('c') ? groups.calm : groups.strict
    await client.submit('member', null, { 'Troupe-Id': id, 'Troupe-Group': JSON.stringify(group) })
  }
  const calmBefore = await lives(cluster, calm, () => true)
  const strictBefore = await lives(cluster, strict, () => true)
  expect(await client.task('s1')).toMatchObject({ group: 'strict' })

  // One node runs a member of both groups; six tasks on three nodes of three slots leave no other way.
  const shared = calmBefore.find(({ node }) => strictBefore.some((other) => other.node === node))
  const killed = shared?.node ?? strictBefore[0]!.node
  await cluster.of(killed).kill()
  const strictAfter = await lives(cluster, strict, (now) => now.every(({ turn }, at) => turn > strictBefore[at]!.turn))
  for (const [at, { life, attempt }] of strictAfter.entries()) {
    expect(life).not.toBe(strictBefore[at]!.life)
    expect(attempt).toBe(1)
  }
  const calmAfter = await lives(cluster, calm, (now) => now.every(({ node }) => node !== killed))
  expect(calmAfter.map(({ life }) => life)).toEqual(calmBefore.map(({ life }) => life))
  for (const [at, { turn }] of calmAfter.entries()) expect(turn).toBe(calmBefore[at]!.node === killed ? 2 : 1)

  client.publish('signal.c2', { type: 'FAIL' })
  const calmLast = await lives(cluster, calm, (now) => now.every(({ turn }, at) => turn > calmAfter[at]!.turn))
  expect(calmLast.map(({ attempt }) => attempt)).toEqual([1, 2, 1])
  for (const [at, { life }] of calmLast.entries()) expect(life).not.toBe(calmBefore[at]!.life)
  expect((await client.task('s1')).turn).toBe(strictAfter[0]!.turn)

  for (const id of [...calm, ...strict]) client.publish(`signal.${id}`, { type: 'GO' })
  const results = await Promise.all([...calm, ...strict].map((id) => client.ended(id, factMsMax)))
  expect(results.map(({ result }) => result)).toEqual([...calmLast, ...strictAfter].map(({ life }) => life))
}, 120_000)

test('a poisoned event is skipped, and a task that ends its process is set aside', async () => {
  const cluster = await open(1)
  const { client } = cluster
  await client.submit('suicidal', null, { 'Troupe-Id': 'gone' })
  await client.submit('fragile', null, { 'Troupe-Id': 'sick' })
  for (const type of ['GOOD', 'BAD', 'GOOD', 'END']) client.publish('signal.sick', { type })
  const sick = await client.ended('sick', factMsMax)
  expect(sick).toMatchObject({ status: 'failed', error: { code: 'TROUPE_POISONED', details: { times: 3 } } })
  const again = await client.request('retry.sick', { skipEvent: true })
  expect(again).not.toMatchObject({ status: 'failed' })
  const well = await until(async () => {
    const task = await client.task('sick')
    return task.status === 'completed' ? task : undefined
  }, 'it has moved on')
  expect(well.result).toBe(2)
  const gone = await client.ended('gone', factMsMax)
  expect(gone).toMatchObject({ error: { code: 'TROUPE_POISONED', cause: { code: 'TROUPE_TASK_CRASHED' } } })
}, 120_000)
