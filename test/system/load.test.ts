/** Work goes where it is done soonest: away from a node whose processor somebody else is using. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { audit } from '../harness/audit.ts'
import { type Cluster, useClusters } from '../harness/cluster.ts'
import { freshNamespace, until, useServer } from '../harness/server.ts'

const server = useServer()
const openCluster = useClusters()
const files = [fileURLToPath(new URL('./tasks.ts', import.meta.url))]
const testMs = 90_000

/** Keeps one processor busy until it is killed, or this process is gone. */
function startHog(processor: number): ChildProcess {
  const burn =
    "process.on('disconnect', () => process.exit()); setImmediate(function burn() { for (let i = 0; i < 1e7; i++); setImmediate(burn) })"
  return spawn('taskset', ['-c', `${processor}`, process.execPath, '-e', burn], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  })
}

/** How long the main loop of a process has used a processor and waited for one, by the kernel's account, ns. */
function processorTimes(pid: number): { ran: number; waited: number } {
  const [ran = 0, waited = 0] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number)
  return { ran, waited }
}

/** By how much longer everything took in a process since then, because others used its processor. */
function suffered(pid: number, since: { ran: number; waited: number }): number {
  const now = processorTimes(pid)
  return 1 + (now.waited - since.waited) / Math.max(1, now.ran - since.ran)
}

/** Submits tasks that use the processor, all at once; returns how many each node has run. */
async function shares({ client }: Cluster, name: string, count: number): Promise<Record<string, number>> {
  const before = (await client.stats()).totals.completed ?? 0
  const submitted = Array.from({ length: count }, (_, n) => {
    return client.submit('burning', { rounds: 200 }, { 'Troupe-Id': `${name}-${n}` })
  })
  await Promise.all(submitted)
  await client.allEnded(before + count)
  const run: Record<string, number> = {}
  for (const { id, turns } of audit(await client.log()).tasks.values()) {
    const node = turns[0]?.node
    if (id.startsWith(name) && node !== undefined) run[node] = (run[node] ?? 0) + 1
  }
  return run
}

test(
  'a node beside a hog gets less work than one that has its processor for itself',
  async () => {
    const cluster = await openCluster(server.url, freshNamespace())
    const { client } = cluster
    await cluster.one({ roles: ['scheduler', 'supervisor'], processor: 1 })
    const [loaded, free] = await cluster.start(
      { roles: ['node'], files, processor: 0 },
      { roles: ['node'], files, processor: 1 },
    )
    await until(async () => (await client.nodes()).length === 2, 'both nodes are listed')
    const without = await shares(cluster, 'without', 100)
    const hogs = Array.from({ length: 3 }, () => startHog(0))
    try {
      await shares(cluster, 'warm', 30)
      const [loadedSince, freeSince] = [processorTimes(loaded!.pid), processorTimes(free!.pid)]
      const beside = await shares(cluster, 'beside', 100)
      const share = (run: Record<string, number>) => (run[loaded!.name] ?? 0).toFixed(0)
      const worse = suffered(loaded!.pid, loadedSince) / suffered(free!.pid, freeSince)
      const said = `${share(without)} % alone, ${share(beside)} % beside three hogs, which made it ${worse.toFixed(1)} times as slow`
      console.log(`share of the node on processor 0: ${said}`)
      // Whatever else runs on the machine may use the other processor as much: then neither node is the better one.
      expect(worse < 2 || (beside[loaded!.name] ?? 0) < (beside[free!.name] ?? 0), said).toBe(true)
    } finally {
      for (const hog of hogs) hog.kill('SIGKILL')
    }
  },
  testMs,
)
