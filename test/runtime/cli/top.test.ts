/** `troupe top`: one snapshot, or one per interval, of what the cluster does. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { useClusters } from '../../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../../harness/server.ts'
import { troupe } from './command.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('../../system/tasks.ts', import.meta.url))]

test('troupe top shows nodes, counts by status and type, and rates', async () => {
  const cluster = await openCluster(server.url, freshNamespace())
  const { client, namespace } = cluster
  const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
  await cluster.start({ roles: ['scheduler', 'node'], files, slots: 5 })
  await client.submit('double', { n: 1 }, { 'Troupe-Id': 'd' })
  await client.submit('patient', null, { 'Troupe-Id': 'p' })
  await client.ended('d')
  await until(async () => ['running', 'parked'].includes((await client.task('p')).status), 'it waits')
  const streamed = await troupe(['top', '--json', '--interval', '50ms', '--count', '2'], { env })
  expect(streamed).toMatchObject({ code: 0, stderr: '' })
  expect(streamed.values).toHaveLength(2)
  expect(streamed.values[1]).toMatchObject({
    at: expect.stringMatching(/^\d{4}-.*Z$/),
    rates: { submitted: 0, completed: 0, failed: 0 },
    tasks: { completed: 1 },
    types: [
      { type: 'patient', completed: 0 },
      { type: 'double', completed: 1, running: 0, waiting: 0 },
    ],
    nodes: [{ status: 'ready', slots: 5, bid: { priceMs: expect.any(Number) }, load: { cpu: expect.any(Number) } }],
  })
  const once = await troupe(['top'], { env })
  expect(once.code).toBe(0)
  expect(once.stdout).toMatch(/0 submitted\/s {2}0 completed\/s {2}0 failed\/s {2}1 nodes/)
  expect(once.stdout).toMatch(/^NODE +STATUS +TASKS +PRICE/m)
  expect(once.stdout).toMatch(/^double +0 +0 +0 +0 +1 +0 +0 +0$/m)
  expect(once.stdout.includes('\x1b')).toBe(false)
}, 60_000)
