/** A log that clients have filled to the brim while no process of Troupe was there to close its door. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, openTest, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const logBytesMax = 16 * 1024 * 1024
const testMs = 120_000

test(
  'is led and worked off: journals have a reserve, and submissions are taken again afterwards',
  async () => {
    const namespace = freshNamespace()
    await using opened = await openTest(server, namespace, { logBytesMax })
    const cluster = await openCluster(server.url, namespace)
    const { client } = cluster
    const submit = (n: number, padding: number) =>
      client.submit('double', { n, padding: 'x'.repeat(padding) }, { 'Troupe-Id': `n-${n}` }).catch(() => undefined)
    let count = 0
    // Large ones first, then smaller ones into what is left, until not even the smallest fits.
    for (const padding of [100_000, 1_000, 0]) while ((await submit(count, padding)) !== undefined) count++
    const { bytes, bytesMax } = await opened.log.info()
    expect(bytesMax - bytes).toBeLessThan(1_000)

    await cluster.start({ roles: ['scheduler', 'supervisor'] }, { roles: ['node'], files })
    await client.allEnded(count, testMs)
    expect((await client.stats()).totals.completed).toBe(count)
    await until(() => submit(count, 100_000), 'submissions are taken again', testMs)
    expect(await client.ended(`n-${count}`)).toMatchObject({ status: 'completed' })
    expect(await opened.log.info()).toMatchObject({ doorOpen: true, bytesMax: logBytesMax })
  },
  testMs,
)
