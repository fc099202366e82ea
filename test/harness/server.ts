/**
 * One real nats-server per test file, a namespace per test, waiting for facts, and a check that a file leaves no
 * connection behind.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { openBus } from '../../src/nats/connect.ts'
import type { NatsBus } from '../../src/nats/connection.ts'
import { type NamespaceOptions, type OpenNamespace, openNamespace } from '../../src/nats/setup.ts'
import {
  type EmbeddedServer,
  type EmbeddedServerOptions,
  startEmbeddedServer,
} from '../../src/runtime/server/embedded.ts'
import { ServerTrio } from './server-trio.ts'

export interface TestServer {
  readonly url: string
  /** Changes when the server is restarted. */
  readonly process: EmbeddedServer
  /** `kill -9`. Resolves when the process is gone. */
  kill(): Promise<void>
  /** Starts it again on the same port and store; call after `kill` or `process.stop`. */
  restart(): Promise<void>
  /** Names of the clients that are connected, as the server sees them. */
  connections(): Promise<string[]>
  /** A connected bus; whoever asked for it closes it. */
  connect(name?: string): Promise<NatsBus>
}

/** As `useServer`: three that hold every stream three times, and run from before the first test to after the last. */
export function useServerTrio(): { readonly servers: ServerTrio } {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-trio-'))
  let servers: ServerTrio | undefined
  beforeAll(async () => {
    servers = await ServerTrio.open(folder)
  }, 60_000)
  afterAll(async () => {
    await servers?.end()
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  })
  return {
    get servers() {
      if (!servers) throw new Error('useServerTrio() starts the servers before the first test, not earlier')
      return servers
    },
  }
}

/** Every test has a namespace of its own, and each sets aside 20 GiB of what the server believes to have. */
const maxStoreBytes = 2 ** 43

/** Call at the top of a test file. The server runs from before the first test to after the last. */
export function useServer(options: Omit<EmbeddedServerOptions, 'storeDir'> = {}): TestServer {
  let server: EmbeddedServer | undefined
  let storeDir = ''
  let port = 0
  const started = () => {
    if (!server) throw new Error('useServer() starts the server before the first test, not earlier')
    return server
  }
  const test: TestServer = {
    get url() {
      return started().url
    },
    get process() {
      return started()
    },
    async kill() {
      started().kill()
      await started().exited
    },
    async restart() {
      server = await startEmbeddedServer({ maxStoreBytes, ...options, storeDir, port })
    },
    connections: () => connectionsOf(started()),
    connect: (name = 'test') => openBus({ servers: test.url, name }),
  }
  beforeAll(async () => {
    storeDir = mkdtempSync(join(tmpdir(), 'troupe-test-'))
    server = await startEmbeddedServer({ maxStoreBytes, ...options, storeDir })
    port = server.port
  })
  afterAll(async () => {
    const leaked = await leftOpen(test)
    await server?.stop()
    rmSync(storeDir, { recursive: true, force: true, maxRetries: 3 })
    if (leaked.length > 0) throw new Error(`this file leaves connections open: ${leaked.join(', ')}`)
  })
  return test
}

let namespaces = 0

/** A namespace that no other test has. */
export function freshNamespace(): string {
  return `t${process.pid.toString(36)}${Date.now().toString(36)}${(namespaces++).toString(36)}`
}

export interface OpenTest extends OpenNamespace, AsyncDisposable {
  readonly bus: NatsBus
  close(): Promise<void>
}

/**
 * A connection and an open namespace; use with `await using`, or close it. Streams are small, so that many fit a disk.
 */
export async function openTest(
  server: TestServer,
  namespace = freshNamespace(),
  options: Omit<NamespaceOptions, 'namespace'> = {},
): Promise<OpenTest> {
  const bus = await server.connect(`test-${namespace}`)
  const opened = await openNamespace(bus, { logBytesMax: 64 * 1024 * 1024, ...options, namespace })
  const close = () => bus.close()
  return { ...opened, bus, close, [Symbol.asyncDispose]: close }
}

/** Resolves with the first truthy value of `condition`; rejects when `what` has not come true by the deadline. */
export async function until<T>(
  condition: () => T | Promise<T>,
  what: string,
  deadlineMs = 30_000,
): Promise<NonNullable<T>> {
  const endMs = performance.now() + deadlineMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${what}`)
    await new Promise((done) => setTimeout(done, 5))
  }
}

async function connectionsOf(server: EmbeddedServer): Promise<string[]> {
  const answer = await fetch(`${server.monitoringUrl}/connz`)
  const { connections } = (await answer.json()) as { connections?: { name?: string }[] }
  return (connections ?? []).map(({ name }) => name ?? '(no name)')
}

/** A connection that was just closed takes the server a moment to notice. */
async function leftOpen(test: TestServer): Promise<string[]> {
  try {
    const deadlineMs = performance.now() + 2_000
    for (;;) {
      const open = await test.connections()
      if (open.length === 0 || performance.now() > deadlineMs) return open
      await new Promise((done) => setTimeout(done, 5))
    }
  } catch {
    // The last test has ended the server; that closed them.
    return []
  }
}

/** A fault, or a pause between two submissions, lasts so long by intent; waiting for something to happen is `until`. */
export function lasting(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms))
}
