/**
 * Three servers that hold every stream three times. Each reaches the others through proxies, so that one of them can be
 * cut off from the rest; each can be killed, stopped and started again with its store and its port.
 */
import { join } from 'node:path'
import { type EmbeddedServer, startEmbeddedServer } from '../../src/runtime/server/embedded.ts'
import { freePort } from './free-port.ts'
import { openProxy, type TcpProxy } from './proxy.ts'

const names = ['server-1', 'server-2', 'server-3'] as const
/** Replaying the log of the cluster takes a server some time after a crash, on a busy machine more. */
const readyTimeoutMs = 30_000

export class ServerTrio {
  readonly names: readonly string[] = names
  readonly urls: string[] = []
  private readonly storeDirs: ReadonlyMap<string, string>
  private readonly running = new Map<string, EmbeddedServer>()
  private readonly clusterPorts = new Map<string, number>()
  /** By who connects and to whom, as `server-1>server-2`. */
  private readonly routes = new Map<string, TcpProxy>()

  private constructor(storeDirs: ReadonlyMap<string, string>) {
    this.storeDirs = storeDirs
  }

  /** Stores are folders below `folder`, but for those that have a place of their own. */
  static async open(folder: string, own: ReadonlyMap<string, string> = new Map()): Promise<ServerTrio> {
    const trio = new ServerTrio(new Map(names.map((name) => [name, own.get(name) ?? join(folder, name)])))
    await Promise.all(names.map(async (name) => trio.clusterPorts.set(name, await freePort())))
    const pairs = names.flatMap((from) => names.filter((to) => to !== from).map((to) => [from, to] as const))
    await Promise.all(
      pairs.map(async ([from, to]) => {
        trio.routes.set(`${from}>${to}`, await openProxy(`nats://127.0.0.1:${trio.clusterPorts.get(to)}`))
      }),
    )
    await Promise.all(names.map((name) => trio.start(name)))
    trio.urls.push(...names.map((name) => trio.of(name).url))
    return trio
  }

  of(name: string): EmbeddedServer {
    return this.running.get(name)!
  }

  storeDir(name: string): string {
    return this.storeDirs.get(name)!
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(name: string): Promise<void> {
    const server = this.of(name)
    server.kill()
    await server.exited
  }

  /** Starts it for the first time, or again after `kill`. */
  async start(name: string): Promise<void> {
    const before = this.running.get(name)
    const routes = names.filter((to) => to !== name).map((to) => this.routes.get(`${name}>${to}`)!.url)
    // Where others hear of it is a dead end, or they would connect around the proxies.
    const config = `cluster { name: trio, listen: "127.0.0.1:${this.clusterPorts.get(name)}", advertise: "127.0.0.1:1",
      routes: [${routes.join(', ')}], no_advertise: true }`
    const storeDir = this.storeDir(name)
    const port = before === undefined ? {} : { port: before.port }
    this.running.set(
      name,
      await startEmbeddedServer({ name, storeDir, config, maxStoreBytes: 2 ** 30, readyTimeoutMs, ...port }),
    )
  }

  signal(name: string, signal: NodeJS.Signals): void {
    process.kill(this.of(name).pid, signal)
  }

  /** The others hear nothing of it and it nothing of them, until `rejoin`. */
  isolate(name: string): void {
    for (const route of this.routesOf(name)) route.freeze()
  }

  rejoin(name: string): void {
    for (const route of this.routesOf(name)) route.thaw()
  }

  async end(): Promise<void> {
    await Promise.all([...this.running.values()].map((server) => server.stop('SIGKILL')))
    await Promise.all([...this.routes.values()].map((route) => route.close()))
  }

  private routesOf(name: string): TcpProxy[] {
    return [...this.routes].filter(([pair]) => pair.split('>').includes(name)).map(([, route]) => route)
  }
}
