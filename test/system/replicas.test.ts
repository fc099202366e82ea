/** Three servers that hold every stream three times: one of them dies, the one that leads the log. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { audit } from '../harness/audit.ts'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServerTrio } from '../harness/server.ts'

const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const trio = useServerTrio()
/** Electing leaders takes a cluster some seconds. */
const testMs = 120_000

test(
  'everything completes when the leader of the log is killed under load',
  async () => {
    const namespace = freshNamespace()
    const cluster = await openCluster(trio.servers.urls, namespace)
    const { client } = cluster
    await until(async () => (await client.jetStream())?.limits !== undefined, 'the servers have a leader', 30_000)
    await cluster.start(
      { roles: ['scheduler', 'supervisor'], replicas: 3 },
      { roles: ['scheduler', 'supervisor'], replicas: 3 },
      { roles: ['node'], files, slots: 200, replicas: 3 },
      { roles: ['node'], files, slots: 200, replicas: 3 },
    )
    await until(async () => (await client.nodes()).length === 2, 'both nodes are listed')
    const ids = Array.from({ length: 200 }, (_, i) => `count-${i}`)
    const input = { steps: 20, everyMs: 150 }
    await Promise.all(ids.map((id) => client.submit('counting', input, { 'Troupe-Id': id })))
    await until(async () => (await client.stats()).tasks.running === 200, 'all of them run')

    const leader = await client.leaderOf('LOG_0')
    expect(trio.servers.names).toContain(leader)
    const killedAtMs = Date.now()
    await trio.servers.kill(leader)
    for (let n = 0; n < 100; n++) {
      const id = `after-${n}`
      await until(
        () => client.submit('double', { n }, { 'Troupe-Id': id }, 1_000).catch(() => undefined),
        `${id} is acknowledged`,
        30_000,
      )
      ids.push(id)
    }
    await client.allEnded(ids.length)
    const { tasks, ends } = audit(await client.log())
    expect(ids.filter((id) => tasks.get(id)?.completed !== 1)).toEqual([])
    const next = [...tasks.values()].flatMap(({ turns }) => turns.map((turn) => turn.acceptedAtMs))
    const first = Math.min(...next.filter((ms) => ms > killedAtMs))
    console.log(
      `kill -9 of the server that leads the log: next start after ${first - killedAtMs} ms, ${ends.size} nodes fenced`,
    )
  },
  testMs,
)
