/** Full queues and circuit breakers on real processes, through every door. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { connect, hasCode } from '../../src/client/index.ts'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'
import { troupe } from '../runtime/cli/command.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./overload-tasks.ts', import.meta.url))]
const testMs = 90_000

test(
  'a full queue refuses: run and the SDK before anything is acknowledged, a plain message as a dead letter that says so',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client, namespace } = cluster
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
    await cluster.start({ roles: ['scheduler', 'supervisor'] })
    const limited = await troupe(['queue', 'limit', 'moody', '--queued', '2', '--json'], { env })
    expect(limited).toMatchObject({ code: 0, values: [{ type: 'moody', queuedMax: 2 }] })
    for (const id of ['a', 'b', 'c']) await client.submit('moody', {}, { 'Troupe-Id': id })
    expect(await client.ended('c')).toMatchObject({ status: 'failed', error: { code: 'TROUPE_QUEUE_FULL' } })
    expect(await client.ask('run.moody')).toMatchObject({
      error: { code: 'TROUPE_QUEUE_FULL', details: { type: 'moody', queued: 2, max: 2 } },
    })
    const program = await connect({ servers: server.url, namespace })
    // It is told within a second; a submission before that would have become a dead letter.
    const refused = await until(async () => {
      try {
        await program.submit('moody', {}, { id: 'a' })
        return undefined
      } catch (error) {
        return error
      }
    }, 'the program has heard of it')
    expect(hasCode(refused, 'TROUPE_QUEUE_FULL')).toBe(true)
    expect((await client.stats()).totals.submitted).toBe(3)
    await program.submit('other', {})
    await cluster.start({ roles: ['node'], files })
    for (const id of ['a', 'b']) expect(await client.ended(id)).toMatchObject({ status: 'completed' })
    await until(async () => {
      const handle = await program.submit('moody', {}, { id: 'd' }).catch(() => undefined)
      return handle?.result().then(() => true)
    }, 'it is taken again')
    await program.close()
  },
  testMs,
)

test(
  'a type that fails is stopped, over a change of leader, and goes on when its trials succeed',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client, namespace } = cluster
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
    await cluster.start({ roles: ['scheduler'] }, { roles: ['scheduler'] }, { roles: ['node', 'supervisor'], files })
    const flags = ['queue', 'limit', 'moody', '--break-at', '50', '--break-attempts', '4', '--break-for']
    expect(await troupe([...flags, '10m'], { env })).toMatchObject({ code: 0 })
    for (let n = 0; n < 4; n++) await client.submit('moody', { fails: true }, { 'Troupe-Id': `bad${n}` })
    for (let n = 0; n < 4; n++) expect(await client.ended(`bad${n}`)).toMatchObject({ status: 'failed' })
    await client.submit('moody', {}, { 'Troupe-Id': 'good0' })
    await (await cluster.leader('scheduler')).kill()
    const why = await until(async () => {
      const shown = await troupe(['show', 'good0', '--why'], { env })
      return shown.code === 0 && shown.stdout.includes('breaker') ? shown.stdout : undefined
    }, 'another leads')
    expect(why).toMatch(/It waits: the breaker of the type "moody" is open until \S+: 50 % of the last 4 attempts/)
    // Some may try after a second instead.
    const shorter = await troupe([...flags, '1s'], { env })
    expect(shorter.stdout).toMatch(/breaker at 50 % failures: (open|half-open)/)
    for (const n of [1, 2]) await client.submit('moody', {}, { 'Troupe-Id': `good${n}` })
    for (const n of [0, 1, 2]) expect(await client.ended(`good${n}`, 30_000)).toMatchObject({ status: 'completed' })
    await until(async () => {
      const { breakers } = (await client.ask('stats')) as { breakers?: { type: string; state: string }[] }
      return breakers?.some(({ type, state }) => type === 'moody' && state === 'closed')
    }, 'it is closed')
  },
  testMs,
)
