/** The whole system as a plain NATS client sees it: nothing of Troupe in the publisher, real processes behind. */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { audit } from '../harness/audit.ts'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const testMs = 90_000

test(
  '10,000 tasks published while no process runs all end, each once',
  async () => {
    const namespace = freshNamespace()
    const cluster = await openCluster(server.url, namespace)
    const { client } = cluster
    // Streams are made once per installation; whoever made them has gone again.
    const [maker] = await cluster.start({ roles: ['scheduler'] })
    maker!.signal('SIGTERM')
    expect(await maker!.exited).toEqual({ code: 0, signal: null })

    const outcomes = new Map<string, { status: string }>()
    client.subscribe('outcomes.*', (message) => outcomes.set(message.subject, message.json()))
    const ids: string[] = []
    let last = 0
    for (let n = 0; n < 10_000; n += 500) {
      const acked = Array.from({ length: 500 }, async (_, i) => {
        const given = headersFor(n + i, namespace)
        const sequence = await client.submit('double', { n: n + i }, given)
        ids[n + i] = given['Troupe-Id'] ?? `0-${sequence}`
        last = Math.max(last, sequence)
      })
      await Promise.all(acked)
    }

    await cluster.start({ roles: ['scheduler', 'supervisor'] }, { roles: ['node'], files }, { roles: ['node'], files })
    const totals = await client.allEnded(10_000)
    expect(totals).toMatchObject({ submitted: 10_000, completed: 10_000, failed: 0, cancelled: 0, expired: 0 })
    const { tasks } = audit(await client.log())
    expect([...tasks.values()].filter(({ completed }) => completed !== 1)).toEqual([])
    expect(new Set(tasks.keys())).toEqual(new Set(ids))

    for (let n = 0; n < ids.length; n += 500) {
      const page = ids.slice(n, n + 500).map(async (id, i) => {
        expect(await client.task(id)).toMatchObject({ id, status: 'completed', result: { doubled: 2 * (n + i) } })
      })
      await Promise.all(page)
    }
    expect(await client.task('order-1')).toMatchObject({ priority: 1, key: 'customer-1' })
    await until(() => outcomes.size === 100, 'an outcome on every subject that asked for one')
    expect([...outcomes.values()].every(({ status }) => status === 'completed')).toBe(true)
  },
  testMs,
)

/** One in ten says something about itself. */
function headersFor(n: number, namespace: string): Record<string, string> {
  if (n % 10 !== 1) return {}
  const given: Record<string, string> = {
    'Troupe-Id': `order-${n}`,
    'Troupe-Priority': String(n % 10),
    'Troupe-Key': `customer-${n % 7}`,
  }
  if (n % 20 === 11) given['Troupe-After'] = `order-${n - 10}`
  if (n % 50 === 21) given['Troupe-Delay'] = '500ms'
  if (n % 100 === 1) given['Troupe-Reply-To'] = `outcomes.${namespace}${n}`
  return given
}

test(
  'run, cancel, signal, nodes, stats and events do what the contract says',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    await cluster.start({ roles: ['scheduler', 'supervisor'] }, { roles: ['node'], files, slots: 20 })
    await until(async () => (await client.nodes()).length === 1, 'the node is listed')

    const events: string[] = []
    client.subscribe(`${client.root}.event.>`, (message) => {
      events.push(message.subject.split('.').slice(3).join(' '))
      expect(message.json()).toMatchObject({ id: expect.any(String), at: expect.stringMatching(/Z$/) })
    })
    expect(await client.request('run.double', { n: 21 }, { 'Troupe-Id': 'twentyone' })).toEqual({
      id: 'twentyone',
      status: 'completed',
      result: { doubled: 42 },
    })
    expect(await client.request('run.double', { n: 21 }, { 'Troupe-Id': 'twentyone' })).toMatchObject({
      result: { doubled: 42 },
    })
    expect(await client.request('run.double', { n: 22 }, { 'Troupe-Id': 'twentyone' })).toMatchObject({
      error: { code: 'TROUPE_ID_CONFLICT' },
    })
    expect(await client.request('run.hopeless', {})).toMatchObject({ status: 'failed', error: { message: 'never' } })
    const lost = { 'Troupe-Id': 'lost' }
    expect(await client.request('run.hopeless', { n: 1 }, lost)).toMatchObject({ status: 'failed' })
    expect(await client.request('run.hopeless', { n: 1 }, lost)).toMatchObject({ status: 'failed' })
    expect(await client.request('run.hopeless', { n: 2 }, lost)).toMatchObject({
      error: { code: 'TROUPE_ID_CONFLICT' },
    })
    await until(() => events.includes('double twentyone completed'), 'the event of the end')
    expect(events).toEqual(expect.arrayContaining(['double twentyone submitted', 'double twentyone running']))

    await client.submit('patient', {}, { 'Troupe-Id': 'patient-1' })
    await until(async () => (await client.task('patient-1')).status === 'parked', 'it waits')
    expect(await client.request('signal.patient-1', { type: 'GO', with: 7 })).toMatchObject({ seq: expect.any(Number) })
    expect(await client.ended('patient-1')).toMatchObject({ status: 'completed', result: { told: 7 } })

    await client.submit('patient', {}, { 'Troupe-Id': 'patient-2' })
    await until(async () => (await client.task('patient-2')).status === 'parked', 'it waits')
    expect(await client.request('cancel.patient-2')).toMatchObject({ id: 'patient-2', status: 'cancelled' })
    expect(await client.request('cancel.patient-2')).toMatchObject({ status: 'cancelled' })
    await client.submit('double', { n: 1 }, { 'Troupe-Id': 'later', 'Troupe-Delay': '1h' })
    await until(async () => (await client.task('later')).status === 'delayed', 'it is delayed')
    expect(await client.request('cancel.later')).toMatchObject({ status: 'cancelled' })
    expect(await client.task('nobody')).toMatchObject({ error: { code: 'TROUPE_UNKNOWN_TASK' } })

    const [node] = await client.nodes()
    expect(node).toMatchObject({ id: 'node-2', pid: cluster.of('node-2').pid, status: 'ready', slots: 20 })
    expect(node).toMatchObject({ host: expect.any(String), load: expect.any(Object), lastSeenAt: expect.any(String) })
    expect((await client.stats()).tasks).toMatchObject({ completed: 2, failed: 2, cancelled: 2, running: 0, parked: 0 })
  },
  testMs,
)
