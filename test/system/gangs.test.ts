/** Gangs on real processes: under kills none ever starts by halves, which the log itself proves. */
import { fileURLToPath } from 'node:url'
import { unpack } from 'msgpackr'
import { expect, test } from 'vitest'
import { connect } from '../../src/client/index.ts'
import { useClusters } from '../harness/cluster.ts'
import type { StoredMessage } from '../harness/plain-client.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'
import { troupe } from '../runtime/cli/command.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./gang-tasks.ts', import.meta.url))]
const leader = { roles: ['scheduler', 'supervisor'] } as const
const testMs = 90_000

/** A turn's first word about itself: its logic had begun before that stood in the log. */
interface Word {
  readonly id: string
  readonly turn: number
  readonly sequence: number
}

/** All accepts, and all that the logic of turns has said, from the journals as they are stored. */
function wordsOf(log: readonly StoredMessage[]): { accepts: Word[]; words: Word[] } {
  const accepts: Word[] = []
  const words: Word[] = []
  for (const { subject, sequence, data } of log) {
    if (!subject.includes('.journal.')) continue
    for (const [kind, id, turn] of (unpack(data) as [number, number, [number, string, number][]])[2]) {
      if (kind === 10) accepts.push({ id, turn, sequence })
      // Checkpointed, progressed, parked, completed, failed.
      else if (kind > 10 && kind <= 16 && kind !== 14) words.push({ id, turn, sequence })
    }
  }
  return { accepts, words }
}

/** What began before every member's acceptance was in the log. */
function halfStarts(log: readonly StoredMessage[], gangs: readonly (readonly string[])[]): string[] {
  const { accepts, words } = wordsOf(log)
  return gangs.flatMap((ids) => {
    const whole = Math.max(...ids.map((id) => accepts.find((accept) => accept.id === id)?.sequence ?? Infinity))
    return words
      .filter((word) => ids.includes(word.id) && word.sequence <= whole)
      .map((word) => `${word.id} ran in turn ${word.turn} at ${word.sequence}, its gang was whole at ${whole}`)
  })
}

test(
  'no gang starts by halves, though a node is killed again and again',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    const node = { roles: ['node'] as const, files, slots: 3 }
    await cluster.start(leader, node, node, node)
    const gangs = Array.from({ length: 6 }, (_, g) => Array.from({ length: 4 }, (_, n) => `g${g}-${n}`))
    for (const [g, ids] of gangs.entries()) {
      for (const id of ids) await client.submit('member', { ms: 300 }, { 'Troupe-Id': id, 'Troupe-Gang': `g${g}/4` })
    }
    for (const done of [2, 8]) {
      await until(async () => ((await client.stats()).totals.completed ?? 0) >= done, `${done} have ended`, 30_000)
      const victim = cluster.processes.find(({ name, ended }) => name.startsWith('node') && ended === undefined)!
      await victim.kill()
      await cluster.start(node)
    }
    for (const id of gangs.flat()) expect(await client.ended(id, 60_000)).toMatchObject({ status: 'completed' })
    expect(halfStarts(await client.log(), gangs)).toEqual([])
  },
  testMs,
)

test(
  'a gang that is larger than the cluster says so and starts when a node joins; the call for bids is explained',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client, namespace } = cluster
    const env = { TROUPE_NATS: server.url, TROUPE_NAMESPACE: namespace }
    await cluster.start(leader, { roles: ['node'], files, slots: 2 })
    const program = await connect({ servers: server.url, namespace })
    const handles = await program.submitGang(
      Array.from({ length: 4 }, (_, n) => ({ task: 'member', input: { ms: 200 }, id: `m${n}` })),
      { id: 'big' },
    )
    await until(async () => `${(await client.task('m3')).waiting}`.includes('nodes have 2 in all'), 'it says so')
    const waits = await troupe(['show', 'm0', '--why'], { env })
    expect(waits.stdout).toMatch(/its gang "big" waits: 4 places are needed at once, and the nodes have 2 in all/)
    expect((await client.task('m0')).turn).toBe(0)
    await cluster.start({ roles: ['node'], files, slots: 3 })
    const ran = (await Promise.all(handles.map((handle) => handle.result()))) as { pid: number }[]
    expect(new Set(ran.map(({ pid }) => pid)).size).toBe(2)
    await program.close()
    const placed = await troupe(['show', 'm0', '--why'], { env })
    expect(placed.stdout).toMatch(/A call for bids at \S+ asked for \d places?: (one node|2 nodes) got it\./)
    expect(halfStarts(await client.log(), [['m0', 'm1', 'm2', 'm3']])).toEqual([])
  },
  testMs,
)
