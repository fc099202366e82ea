/** An order waits for its approval while its node, then the leading scheduler, then the server is lost: it is paid once. */
import { fileURLToPath } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { openBank } from '../../examples/order/bank.ts'
import { connect } from '../../src/client/index.ts'
import { audit } from '../harness/audit.ts'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('../../examples/order/tasks.ts', import.meta.url))]

test('an order lives through the loss of its node, a scheduler failover and a restart of the server', async () => {
  // It refuses twice, so that the charge is tried again after pauses.
  const bank = await openBank(2)
  onTestFinished(() => bank.close())
  const cluster = await openCluster(server.url, freshNamespace())
  await cluster.start(
    { roles: ['scheduler'] },
    { roles: ['scheduler'] },
    { roles: ['supervisor'] },
    { roles: ['node'], files },
    { roles: ['node'], files },
  )
  await using troupe = await connect({ servers: server.url, namespace: cluster.namespace })
  const order = await troupe.submit('order', { order: 'o-1', cents: 999, bank: bank.url, reminderMs: 600_000 })
  const isParked = async () => (await order.state().catch(() => undefined))?.status === 'parked'
  await until(isParked, 'the order waits', 30_000)

  const entries = await order.history()
  const first = entries.find(({ what }) => what === 'accepted')!.node!
  await cluster.of(first).kill()

  const scheduler = await cluster.leader('scheduler')
  await scheduler.kill()
  await until(async () => (await cluster.leader('scheduler')) !== scheduler, 'the standby leads', 30_000)

  await server.kill()
  await server.restart()
  await until(isParked, 'the order still waits', 30_000)

  await until(
    () =>
      order.signal({ type: 'APPROVE' }, { id: 'approval' }).then(
        () => true,
        () => false,
      ),
    'the approval is in the log',
    30_000,
  )
  expect(await order.result({ timeout: '40s' })).toEqual({
    status: 'paid',
    reminders: 0,
    payments: 3,
    receipt: 'receipt-o-1',
  })
  expect([...bank.charges]).toEqual([['o-1', 999]])
  const told = audit(await cluster.client.log()).tasks.get(order.id)
  expect(told).toMatchObject({ completed: 1 })
  const nodes = new Set((await order.history()).flatMap(({ what, node }) => (what === 'accepted' ? [node] : [])))
  expect(nodes.size).toBe(2)
}, 120_000)
