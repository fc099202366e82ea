/**
 * Faults at random while tasks of every kind run: processes are killed, stopped and continued, the server dies. At the end
 * every task has ended once, with the right result. The seed is printed; `TROUPE_CHAOS_SEED` repeats it.
 */
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { audit } from '../harness/audit.ts'
import { type Cluster, type ClusterProcess, type ProcessStart, useClusters } from '../harness/cluster.ts'
import type { PlainTask } from '../harness/plain-client.ts'
import { freshNamespace, lasting, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const testMs = 120_000
const seed = Number(process.env.TROUPE_CHAOS_SEED ?? Math.floor(Math.random() * 1e6))
const faults = Number(process.env.TROUPE_CHAOS_FAULTS ?? 6)

/** Mulberry32. */
function dice(from: number): () => number {
  let state = from
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const starts: ProcessStart[] = [
  { roles: ['scheduler', 'supervisor'] },
  { roles: ['scheduler', 'supervisor'] },
  { roles: ['node'], files },
  { roles: ['node'], files },
  { roles: ['node'], files },
]

/** Does one thing to one process, and mends it again: what dies is started anew, what stops goes on. */
async function disturb(cluster: Cluster, places: ClusterProcess[], random: () => number): Promise<string> {
  const at = Math.floor(random() * places.length)
  const victim = places[at]!
  const what = random()
  if (what < 0.15) {
    await server.kill()
    await server.restart()
    return 'server killed'
  }
  if (what < 0.5) {
    victim.signal('SIGSTOP')
    await new Promise((done) => setTimeout(done, 300 + random() * 2_500))
    victim.signal('SIGCONT')
    return `${victim.name} stopped and continued`
  }
  if (what < 0.65) {
    victim.signal('SIGTERM')
    await Promise.race([victim.exited, new Promise((done) => setTimeout(done, 15_000))])
    expect(victim.ended, victim.name).toEqual({ code: 0, signal: null })
  } else await victim.kill()
  places[at] = await cluster.one(starts[at]!)
  return `${victim.name} ${what < 0.65 ? 'drained' : 'killed'}`
}

/** Submits or signals until it is acknowledged. */
async function surely(cluster: Cluster, subject: string, body: unknown, id: string): Promise<void> {
  await until(
    async () => {
      const ack = await cluster.client.request(subject, body, { 'Troupe-Id': id }, 500).catch(() => undefined)
      return typeof ack?.seq === 'number'
    },
    `${subject} ${id} is acknowledged`,
    30_000,
  )
}

test(
  'whatever dies on the way, every task ends once and right',
  async () => {
    console.log(`TROUPE_CHAOS_SEED=${seed}`)
    const random = dice(seed)
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    const places = await cluster.start(...starts)
    // A process that drains leaves a checkpoint, behind which the log is trimmed.
    await client.mirrorLog()

    const expected = new Map<string, unknown>()
    let stopped = false
    const submitting = (async () => {
      for (let n = 0; !stopped; n++) {
        await lasting(100)
        const counting = surely(cluster, 'submit.counting', { steps: 8, everyMs: 60 }, `c-${n}`)
        const journey = surely(cluster, 'submit.journey', { n }, `j-${n}`)
        const light = surely(cluster, 'submit.traffic-light', {}, `l-${n}`)
        await Promise.all([counting, journey, light])
        await Promise.all(
          ['j', 'l'].map((one) => surely(cluster, `signal.${one}-${n}`, { type: 'GO', with: n }, `g${one}${n}`)),
        )
        expected.set(`c-${n}`, { at: 8 })
        expected.set(`j-${n}`, { sum: 2 * (n + 1) + 2 * (n + 2), told: n })
        expected.set(`l-${n}`, { seen: 1 })
      }
    })()
    const done: string[] = []
    for (let fault = 0; fault < faults; fault++) done.push(await disturb(cluster, places, random))
    stopped = true
    await submitting
    console.log(`${expected.size} tasks; ${done.join(', ')}`)

    const children = (expected.size / 3) * 2
    await client.allEnded(expected.size + children, 60_000).catch(async (error: unknown) => {
      const late: PlainTask[] = []
      for (const status of ['delayed', 'blocked', 'ready', 'awarded', 'running', 'parked']) {
        late.push(
          ...((await client.request('tasks', { status, limit: 100 })) as unknown as { tasks: PlainTask[] }).tasks,
        )
      }
      throw new Error(`these have not ended: ${JSON.stringify([await client.stats(), ...late.slice(0, 10)])}`, {
        cause: error,
      })
    })
    const { tasks } = audit(await client.log())
    const answers = await Promise.all([...expected.keys()].map((id) => client.task(id)))
    for (const answer of answers) {
      expect(answer, answer.id).toMatchObject({ status: 'completed', result: expected.get(answer.id) })
      expect(tasks.get(answer.id)?.completed, answer.id).toBe(1)
    }
    expect((await client.stats()).totals).toMatchObject({ failed: 0, cancelled: 0, expired: 0 })
  },
  testMs,
)
