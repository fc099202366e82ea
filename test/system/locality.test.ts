/** A type with a `bid` hook on real processes: work goes to the node that holds its data. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'
import { troupe } from '../runtime/cli/command.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('../../examples/locality/tasks.ts', import.meta.url))]
const folder = mkdtempSync(join(tmpdir(), 'troupe-scenes-'))
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function scene(name: string): { scene: string } {
  writeFileSync(join(folder, name), 'one\ntwo\n')
  return { scene: join(folder, name) }
}

test('work goes to the node that holds its data; a task that no node takes says why, and starts when one does', async () => {
  const cluster = await openCluster(server.url, freshNamespace())
  const { client, namespace } = cluster
  const node = { roles: ['node'] as const, files, slots: 4, labels: { zone: 'outside' } }
  await cluster.start({ roles: ['scheduler', 'supervisor'] }, node, node)
  await until(async () => (await client.nodes()).length === 2, 'both nodes are listed')
  const render = async (id: string, input: { scene: string }) => {
    await client.submit('render', input, { 'Troupe-Id': id })
    const ended = await client.ended(id, 60_000)
    expect(ended).toMatchObject({ status: 'completed', result: { lines: 3 } })
    return ended
  }
  // Whoever loads a scene first has all further work on it, however even the loads are.
  for (const name of ['a', 'b', 'c']) {
    const input = scene(name)
    const first = await render(`${name}-first`, input)
    const later = await Promise.all(Array.from({ length: 6 }, (_, n) => render(`${name}-${n}`, input)))
    expect(new Set(later.map(({ node }) => node ?? ''))).toEqual(new Set([first.node ?? '']))
    expect(new Set(later.map(({ result }) => (result as unknown as { node: number }).node)).size).toBe(1)
  }
  const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
  const placed = await troupe(['show', 'c-0', '--why'], { env })
  expect(placed.stdout).toMatch(/5000 ms/)

  const secret = scene('secret')
  await client.submit('render', secret, { 'Troupe-Id': 'secret' })
  const why = /^no node bids for it \(.*: the scene stays inside; .*: the scene stays inside\)/
  await until(async () => why.test(`${(await client.task('secret')).waiting}`), 'it says why')
  // It holds nothing up.
  await render('other', scene('d'))
  const [inside] = await cluster.start({ roles: ['node'], files, labels: { zone: 'inside' } })
  expect(await client.ended('secret', 60_000)).toMatchObject({ status: 'completed', placement: { node: inside!.name } })
}, 90_000)
