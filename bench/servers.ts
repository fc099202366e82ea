/**
 * The servers of a bench: one, or three that hold everything three times. They end with whoever started them, and what they
 * stored with them.
 */
import { type EmbeddedServer, startEmbeddedServer } from '../src/runtime/server/embedded.ts'
import { freePort } from '../test/harness/free-port.ts'

export interface BenchServers {
  /** All of them, as a client takes them. */
  readonly url: string
  readonly pids: readonly number[]
  stop(): Promise<void>
}

/** Resolves with `count` servers, 1 or 3, each with an empty store. */
export async function startServers(count: number, syncAlways: boolean): Promise<BenchServers> {
  const ports = await Promise.all(Array.from({ length: count }, () => freePort()))
  const routes = ports.map((port) => `nats://127.0.0.1:${port}`).join(', ')
  const servers: EmbeddedServer[] = await Promise.all(
    ports.map((port, index) => {
      const name = `bench-${index + 1}`
      const config = `cluster { name: bench, listen: "127.0.0.1:${port}", routes: [${routes}] }`
      return startEmbeddedServer({ name, syncAlways, ...(count > 1 && { config }) })
    }),
  )
  return {
    url: servers.map(({ url }) => url).join(','),
    pids: servers.map(({ pid }) => pid),
    async stop() {
      await Promise.all(servers.map((server) => server.stop()))
    },
  }
}
