/**
 * `npm start`: a small cluster on this machine, a picture computed on it in tiles, and one node killed on the way. Shows live
 * who ran what and what was restarted, then compares the outcome with a computation in this one process.
 *
 * On a terminal the cluster stays up until Ctrl-C. Without one this ends by itself, with exit code 0 only if the outcome was
 * right: the same bytes, and every tile finished once.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type Troupe } from 'troupe'
import { seahorses, tilesOf } from './picture/fractal.ts'
import { pictureAlone, pictureOf, tileSize } from './picture/picture.ts'
import { renderTile } from './picture/tasks.ts'

const root = join(import.meta.dirname, '..')
const folder = join(root, '.troupe', `demo-${process.pid}`)
const readyMsMax = 60_000

interface Ready {
  readonly nats: string
  readonly nodes: readonly { readonly id: string; readonly pid: number }[]
}

/** What became of one tile: the nodes that ran it, in order. */
interface Story {
  readonly nodes: string[]
}

const startedAt = performance.now()

function say(text: string): void {
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1).padStart(5)} s  ${text}`)
}

async function startCluster(): Promise<{ cluster: ChildProcess; ready: Ready }> {
  const readyFile = join(folder, 'ready.json')
  const options = ['--ephemeral', '--port', '0', '--nodes', '3', '--slots', '2', '--ready-file', readyFile]
  const cluster = spawn(
    process.execPath,
    [join(root, 'bin/troupe.mjs'), '--log-level', 'error', 'dev', join(root, 'examples/picture/tasks.ts'), ...options],
    // With the channel, the cluster ends when this program does, however it does.
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
  )
  const deadline = performance.now() + readyMsMax
  for (;;) {
    const ready = readReady(readyFile)
    if (ready !== undefined) return { cluster, ready }
    if (cluster.exitCode !== null) throw new Error(`troupe dev ended with ${cluster.exitCode}`)
    if (performance.now() > deadline) throw new Error(`troupe dev was not ready within ${readyMsMax} ms`)
    await sleep(20)
  }
}

/** Undefined while the file is not there or not yet whole. */
function readReady(file: string): Ready | undefined {
  try {
    return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Ready) : undefined
  } catch {
    return undefined
  }
}

/** Follows one tile to its end and keeps which nodes had it. */
async function follow(troupe: Troupe, id: string, index: number, story: Story): Promise<void> {
  for await (const { node, status } of troupe.handle(id).watch()) {
    const before = story.nodes.at(-1)
    if (node === undefined || status !== 'running' || node === before) continue
    story.nodes.push(node)
    if (before !== undefined) say(`tile ${index} goes on on ${node} from its last checkpoint; it was on ${before}`)
  }
}

/** Kills the node that runs the most tiles, as a power failure would. */
async function killBusiest(troupe: Troupe, ready: Ready): Promise<string> {
  const nodes = await troupe.nodes()
  const busiest = nodes.toSorted((a, b) => b.running - a.running)[0]
  const victim = ready.nodes.find(({ pid }) => pid === busiest?.pid) ?? ready.nodes[0]!
  process.kill(victim.pid, 'SIGKILL')
  return victim.id
}

async function renderOnCluster(ready: Ready): Promise<{ picture: Buffer; stories: readonly Story[]; killed: string }> {
  const view = seahorses
  const tiles = tilesOf(view, tileSize)
  await using troupe = await connect({ servers: ready.nats })
  const inputs = tiles.map((tile) => ({ view, tile }))
  const handles = await troupe.submitMany(renderTile, inputs)
  say(`submitted a picture of ${view.width} × ${view.height} pixels as ${tiles.length} tasks`)

  const stories: Story[] = handles.map(() => ({ nodes: [] }))
  const followed = handles.map((handle, index) => follow(troupe, handle.id, index, stories[index]!))
  const killAfter = Math.ceil(tiles.length / 4)
  let finished = 0
  let killed: Promise<string> | undefined
  const parts = await Promise.all(
    handles.map(async (handle) => {
      const bytes = await handle.result()
      finished++
      if (finished % 9 === 0) say(`${finished} of ${tiles.length} tiles are finished`)
      if (finished >= killAfter && killed === undefined) {
        killed = killBusiest(troupe, ready)
        say(`kill -9 ${await killed}: nobody told the others`)
      }
      return bytes
    }),
  )
  await Promise.all(followed)
  return { picture: pictureOf(view, parts), stories, killed: (await killed) ?? 'nobody' }
}

function report(stories: readonly Story[], killed: string): void {
  const restarted = stories.filter(({ nodes }) => nodes.length > 1)
  const ran = new Map<string, number>()
  for (const { nodes } of stories) ran.set(nodes.at(-1) ?? '?', (ran.get(nodes.at(-1) ?? '?') ?? 0) + 1)
  const split = [...ran].sort(([a], [b]) => a.localeCompare(b)).map(([node, count]) => `${node} ${count}`)
  say(`finished by: ${split.join(', ')}; ${restarted.length} tiles were restarted after the death of ${killed}`)
}

mkdirSync(folder, { recursive: true })
console.log(
  'Troupe: three nodes, a scheduler, a supervisor and a NATS server on this machine, and one node dies on the way.\n',
)
const { cluster, ready } = await startCluster()
process.once('SIGTERM', () => process.exit(143))
try {
  say(`ready: ${ready.nodes.map(({ id, pid }) => `${id} (pid ${pid})`).join(', ')}`)
  const { picture, stories, killed } = await renderOnCluster(ready)
  report(stories, killed)

  say('computing the same picture in this process, to compare')
  const file = join(root, '.troupe', 'demo.png')
  const right = picture.equals(pictureAlone(seahorses))
  writeFileSync(file, picture)
  say(`${right ? 'The pictures are equal, byte for byte' : 'The pictures DIFFER'}: ${relative(process.cwd(), file)}`)
  process.exitCode = right ? 0 : 1
  if (process.stdout.isTTY && cluster.exitCode === null) {
    console.log(`\nThe cluster stays up until Ctrl-C. In another terminal: npx troupe nodes --nats ${ready.nats}`)
    process.on('SIGINT', () => undefined)
    await once(cluster, 'exit')
  }
} finally {
  if (cluster.exitCode === null && cluster.signalCode === null) {
    cluster.kill('SIGTERM')
    await once(cluster, 'exit')
  }
  rmSync(folder, { recursive: true, force: true })
}
