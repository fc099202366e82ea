/** A node on which everything fails at once is always free; it must not get all the work for that. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'
import { troupe } from '../runtime/cli/command.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./scheduling-tasks.ts', import.meta.url))]
const count = 100

test('a broken node gets a few attempts and then one a second; nodes and --why show it', async () => {
  const cluster = await openCluster(server.url, freshNamespace())
  const { client, namespace } = cluster
  const node = { roles: ['node'] as const, files, slots: 4 }
  await cluster.one({ roles: ['scheduler', 'supervisor'] })
  const [broken] = await cluster.start({ ...node, env: { TEST_BROKEN: '1' } }, node, node)
  await until(async () => (await client.nodes()).length === 3, 'all nodes are listed')
  const ids = Array.from({ length: count }, (_, n) => `f-${n}`)
  await Promise.all(ids.map((id) => client.submit('fragile', {}, { 'Troupe-Id': id })))
  const ended = []
  for (const id of ids) ended.push(await client.ended(id, 60_000))
  expect(ended.map(({ status }) => status)).toEqual(ids.map(() => 'completed'))
  const failures = ended.reduce((sum, { attempt }) => sum + attempt - 1, 0)
  const times = ended.flatMap(({ submittedAt, finishedAt }) =>
    [submittedAt, finishedAt].map((at) => Date.parse(`${at}`)),
  )
  const seconds = (Math.max(...times) - Math.min(...times)) / 1_000
  // Its four slots may be filled twice before the first failures are known.
  expect(failures).toBeGreaterThan(0)
  expect(failures).toBeLessThanOrEqual(16 + seconds)
  const nodes = (await client.nodes()) as unknown as { id: string; health?: number }[]
  expect(nodes.find(({ id }) => id === broken!.name)?.health).toBeLessThan(0.5)
  expect(nodes.filter(({ health }) => health === undefined)).toHaveLength(2)
  const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
  const shown = await troupe(['nodes'], { env })
  expect(shown.stdout).toMatch(new RegExp(`^${broken!.name} +ready +\\S+ +\\S+ ms +[1-5]?\\d %`, 'm'))
  const why = await troupe(['show', ids.at(-1)!, '--why'], { env })
  expect(why.stdout).toMatch(/^NODE .* HEALTH .*\nnode-\d .* \d+ % /m)
}, 90_000)
