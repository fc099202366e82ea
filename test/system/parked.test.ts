/** Thousands of tasks that sleep hold no slot, and every one wakes, none before its time. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const count = 1_500

test('1,500 tasks sleep on no slot, and wake in time order of their own, none early', async () => {
  const cluster = await openCluster(server.url, freshNamespace())
  const [, node] = await cluster.start({ roles: ['scheduler', 'supervisor'] }, { roles: ['node'], files, slots: 64 })
  await using troupe = await connect({ servers: server.url, namespace: cluster.namespace })
  const patient = await troupe.submit('patient', undefined, { id: 'patient' })
  // Far enough away that most are parked before the first wakes, however busy the machine is.
  const firstMs = Date.now() + 12_000
  const sleepers = Array.from({ length: count }, (_, i) => ({ untilMs: firstMs + (i % 997) }))
  const late = troupe.map<number>('dozing', sleepers)
  await until(async () => (await troupe.stats()).tasks.parked === count + 1, 'all are parked', 11_900)
  expect(await troupe.nodes()).toMatchObject([{ id: node!.name, running: 0 }])

  await patient.signal({ type: 'GO', with: 'a word' })
  expect(await patient.result()).toEqual({ told: 'a word' })
  expect((await late).filter((ms) => ms < 0)).toEqual([])
}, 120_000)
