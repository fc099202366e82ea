/** The roles of processes as NATS's micro-service tooling sees them: asked on $SRV by a client that knows nothing of Troupe. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { type Cluster, useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('../system/tasks.ts', import.meta.url))]

interface Found {
  readonly type: string
  readonly name: string
  readonly id: string
  readonly version: string
  readonly metadata: Readonly<Record<string, string>>
  readonly endpoints: readonly { readonly subject: string; readonly data: Readonly<Record<string, unknown>> }[]
}

/** Everyone of this namespace who answers; other tests share the server. */
async function ask({ client, namespace }: Cluster, subject: string, count: number): Promise<Found[]> {
  const found = await until(async () => {
    const answers: Found[] = []
    const options = { strategy: 'timer', maxWait: 300 } as const
    for await (const answer of await client.connection.requestMany(subject, '', options)) {
      const one = answer.json<Found>()
      if (one.metadata.namespace === namespace) answers.push(one)
    }
    return answers.length === count ? answers : undefined
  }, `${count} answers on ${subject}`)
  return found.sort((a, b) => a.name.localeCompare(b.name))
}

test('every role is found with version, host, labels and slots, says how it is, and is gone when its process is', async () => {
  const cluster = await openCluster(server.url, freshNamespace())
  const { client, namespace } = cluster
  const [control, node] = await cluster.start(
    { roles: ['scheduler', 'supervisor'] },
    { roles: ['node'], files, slots: 7, labels: { zone: 'a' }, resources: { gpu: 2 } },
  )
  await cluster.leader('scheduler')
  const found = await ask(cluster, '$SRV.PING', 3)
  expect(found.map(({ name, id }) => [name, id])).toEqual([
    ['troupe-node', node!.name],
    ['troupe-scheduler', control!.name],
    ['troupe-supervisor', control!.name],
  ])
  expect(found[0]).toEqual({
    type: 'io.nats.micro.v1.ping_response',
    name: 'troupe-node',
    id: node!.name,
    version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    metadata: expect.objectContaining({
      namespace,
      host: expect.any(String),
      pid: String(node!.pid),
      slots: '7',
      'label.zone': 'a',
      'resource.gpu': '2',
      types: expect.stringContaining('double'),
    }),
  })
  const [info] = await ask(cluster, '$SRV.INFO.troupe-node', 1)
  const { subject } = info!.endpoints[0]!
  expect(info).toMatchObject({ type: 'io.nats.micro.v1.info_response', description: expect.stringMatching(/tasks/) })
  expect((await client.connection.request(subject)).json()).toEqual({
    name: node!.name,
    ready: true,
    roles: { node: { status: 'ready', slots: 7, running: 0 } },
  })
  const [stats] = await ask(cluster, `$SRV.STATS.troupe-node.${node!.name}`, 1)
  expect(stats).toMatchObject({
    type: 'io.nats.micro.v1.stats_response',
    started: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    endpoints: [{ name: 'health', num_requests: 1, num_errors: 0, data: { ready: true, slots: 7 } }],
  })
  const leading = await ask(cluster, '$SRV.STATS.troupe-scheduler', 1)
  expect(leading[0]!.endpoints[0]!.data).toMatchObject({ ready: true, leading: true })
  await node!.kill()
  expect((await ask(cluster, '$SRV.PING', 2)).map(({ name }) => name)).toEqual([
    'troupe-scheduler',
    'troupe-supervisor',
  ])
}, 60_000)
