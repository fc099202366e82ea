/** The deployment of docker-compose.yml: three nats-servers, two control processes, nodes; and containers that die under load. */
import { jetstreamManager } from '@nats-io/jetstream'
import { connect as connectNats } from '@nats-io/transport-node'
import { connect, type Troupe } from 'troupe'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { seahorses, tilesOf, type View } from '../../examples/picture/fractal.ts'
import { pictureAlone, pictureOf, tileSize } from '../../examples/picture/picture.ts'
import { renderTile } from '../../examples/picture/tasks.ts'
import { countOf, countWords } from '../../examples/word-count/tasks.ts'
import { type ComposeCluster, startCompose } from './containers.ts'

const view: View = { ...seahorses, width: 960, height: 640 }
const nodeCount = 3

let cluster: ComposeCluster
let troupe: Troupe

/** Waits for a fact about the cluster; when it does not come true, the error shows what was seen last. */
function until<T>(ask: () => Promise<T>, wanted: T): Promise<void> {
  return vi.waitFor(async () => expect(await ask()).toEqual(wanted), { timeout: 60_000, interval: 200 })
}

beforeAll(async () => {
  cluster = await startCompose(nodeCount)
  troupe = await connect({ servers: cluster.nats })
  await until(async () => (await troupe.nodes()).length, nodeCount)
}, 300_000)

afterAll(async () => {
  await troupe?.close()
  await cluster?.[Symbol.asyncDispose]()
}, 60_000)

/** The streams that do not have two followers up to date. */
async function laggingStreams(): Promise<string[]> {
  const nats = await connectNats({ servers: cluster.nats })
  const lagging: string[] = []
  for await (const { config, cluster: group } of (await jetstreamManager(nats)).streams.list()) {
    if (group?.replicas?.length !== 2 || group.replicas.some(({ current }) => !current)) lagging.push(config.name)
  }
  await nats.close()
  return lagging
}

/** Submits a picture, lets `disturb` act once some of its tiles are finished, and returns the picture. */
async function renderWhile(disturb: () => Promise<void>): Promise<Buffer> {
  const handles = await troupe.submitMany(
    renderTile,
    tilesOf(view, tileSize).map((tile) => ({ view, tile })),
  )
  const results = handles.map((handle) => handle.result({ timeout: '90s' }))
  await Promise.any(results)
  await disturb()
  return pictureOf(view, await Promise.all(results))
}

test('the streams are kept by three servers', async () => {
  const nats = await connectNats({ servers: cluster.nats })
  const replicas: number[] = []
  for await (const stream of (await jetstreamManager(nats)).streams.list()) replicas.push(stream.config.num_replicas)
  await nats.close()
  expect(replicas.length).toBeGreaterThanOrEqual(3)
  expect(new Set(replicas)).toEqual(new Set([3]))
})

test('a task runs on a node in a container, and the command line of the image sees it', async () => {
  const text = 'to be or not to be'
  expect(await troupe.map(countWords, [{ text }])).toEqual([countOf(text)])
  const [control] = await cluster.containers('control-1')
  const nodes = (await cluster.exec(control!, 'troupe', 'nodes', '--json')).split('\n').map((line) => JSON.parse(line))
  expect(nodes.map(({ status }) => status)).toEqual(Array(nodeCount).fill('ready'))
})

test('a picture is whole although the container of a node is killed', async () => {
  const picture = await renderWhile(async () => {
    const [victim] = await cluster.containers('node')
    await cluster.kill(victim!)
  })
  expect(picture.equals(pictureAlone(view))).toBe(true)
})

test('a picture is whole although each control process is killed in turn', async () => {
  const picture = await renderWhile(async () => {
    for (const service of ['control-1', 'control-2']) {
      const [victim] = await cluster.containers(service)
      await cluster.kill(victim!)
      await cluster.start(victim!)
    }
  })
  expect(picture.equals(pictureAlone(view))).toBe(true)
})

test('a picture is whole although a nats-server is killed, and the server comes back', async () => {
  const [victim] = await cluster.containers('nats-2')
  const picture = await renderWhile(() => cluster.kill(victim!))
  expect(picture.equals(pictureAlone(view))).toBe(true)
  await cluster.start(victim!)
  await until(laggingStreams, [])
})
