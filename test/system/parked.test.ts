/** Tasks that sleep hold no slot, however many, and each that is due wakes, none before its time. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const count = 1_500
const factMsMax = 60_000

test('1,500 tasks sleep on no slot, and those that are due wake, none early', async () => {
  const cluster = await openCluster(server.url, freshNamespace())
  const [, node] = await cluster.start({ roles: ['scheduler', 'supervisor'] }, { roles: ['node'], files, slots: 64 })
  await using troupe = await connect({ servers: server.url, namespace: cluster.namespace })
  const patient = await troupe.submit('patient', undefined, { id: 'patient' })
  const tomorrowMs = Date.now() + 24 * 3_600_000
  await troupe.submitMany(
    'dozing',
    Array.from({ length: count }, () => ({ untilMs: tomorrowMs })),
  )
  await until(async () => (await troupe.stats()).tasks.parked === count + 1, 'all are parked', factMsMax)
  await until(async () => (await troupe.nodes())[0]?.running === 0, 'the node runs nothing', factMsMax)
  expect(await troupe.nodes()).toMatchObject([{ id: node!.name, running: 0 }])

  await patient.signal({ type: 'GO', with: 'a word' })
  expect(await patient.result()).toEqual({ told: 'a word' })
  const soonMs = Date.now() + 2_000
  const due = Array.from({ length: 500 }, (_, i) => ({ untilMs: soonMs + (i % 997) }))
  expect((await troupe.map<number>('dozing', due)).filter((ms) => ms < 0)).toEqual([])
  expect((await troupe.stats()).tasks.parked).toBe(count)
}, 120_000)
