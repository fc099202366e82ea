/**
 * `troupe dev`: the whole system in one command. The embedded nats-server, a scheduler and a supervisor in this process,
 * and node processes as children, which are started again when they die. Everything ends with this process.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { getCompileCacheDir } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import { TroupeError } from '../protocol/errors.ts'
import { createLogger, type LogLevel } from './logger.ts'
import type { NodeProcessMessage, NodeProcessStart } from './node-process.ts'
import { loadRoles, type ProcessOptions, TroupeProcess } from './process.ts'
import { type EmbeddedServer, startEmbeddedServer } from './server/embedded.ts'
import { stopSignal } from './start.ts'

export interface DevOptions {
  readonly files: readonly string[]
  readonly namespace?: string
  /** Folder of the server's data. Default `.troupe`. */
  readonly store?: string
  /** Data in a temporary folder that goes with the process. */
  readonly ephemeral?: boolean
  /** Node processes. Default 2. */
  readonly nodes?: number
  /** Tasks that each node runs at once. Default 256. */
  readonly slots?: number
  /** Of NATS; 0 picks a free one. Default 4222. */
  readonly port?: number
  readonly ordering?: NonNullable<ProcessOptions['ordering']>
  readonly placement?: string
  readonly rebalancing?: string
  /** Of a new namespace. Default: those that there are, or 1. */
  readonly partitions?: number
  readonly encryption?: NonNullable<ProcessOptions['encryption']>
  readonly readyFile?: string
  readonly logLevel?: LogLevel
}

interface DevNode {
  readonly id: string
  readonly child: ChildProcess
}

const startMsMax = 30_000
/** OTP's restart intensity for node processes: more deaths than this in the period, and it is not started again. */
const restarts = { intensity: 10, periodMs: 60_000 }

/** Runs until a signal ends it; resolves with the exit code. */
export async function runDev(options: DevOptions): Promise<number> {
  const logger = createLogger(options.logLevel ?? 'warn', process.stderr.isTTY)
  const stopping = stopSignal()
  await using dev = new DevCluster(options, logger)
  await dev.start()
  dev.announce()
  await stopping
  process.stderr.write('\nStopping: running tasks are checkpointed and handed back. Ctrl-C again stops at once.\n')
  return 0
}

class DevCluster implements AsyncDisposable {
  private readonly options: DevOptions
  private readonly logger: Logger
  private readonly nodes = new Map<number, DevNode>()
  /** All that live, also those that are not told yet what to do: this process cannot end while one does. */
  private readonly children = new Set<ChildProcess>()
  private readonly deaths: number[] = []
  private server: EmbeddedServer | undefined
  private troupe: TroupeProcess | undefined
  private temporary: string | undefined
  private stopping = false

  constructor(options: DevOptions, logger: Logger) {
    this.options = options
    this.logger = logger
  }

  /** Resolves once every node has joined and a scheduler leads. */
  async start(): Promise<void> {
    const { options } = this
    // The children load their modules while the server starts; they are told where it is when it is there.
    const numbers = Array.from({ length: options.nodes ?? 2 }, (_, i) => i + 1)
    const children = numbers.map((number) => ({ number, child: this.spawn() }))
    if (options.ephemeral) this.temporary = mkdtempSync(join(tmpdir(), 'troupe-dev-'))
    const storeDir = this.temporary ?? resolve(options.store ?? '.troupe')
    const roles = ['scheduler', 'supervisor'] as const
    const loaded = loadRoles(roles)
    this.server = await startEmbeddedServer({ storeDir, port: options.port ?? 4222 })
    await loaded
    const joined = Promise.all(children.map(({ number, child }) => this.join(number, child)))
    // If something else fails first, that is the reason to tell, and the children end because of it.
    joined.catch(() => undefined)
    this.troupe = await TroupeProcess.start({
      servers: this.server.url,
      roles,
      name: 'dev',
      logger: this.logger,
      ...(options.ordering !== undefined && { ordering: options.ordering }),
      ...(options.placement !== undefined && { placement: options.placement }),
      ...(options.rebalancing !== undefined && { rebalancing: options.rebalancing }),
      ...(options.namespace !== undefined && { namespace: options.namespace }),
      ...(options.partitions !== undefined && { partitions: options.partitions }),
    })
    await Promise.all([joined, this.troupe.led()])
    this.writeReadyFile()
  }

  announce(): void {
    const { server, troupe } = this
    const type = this.troupe?.reader?.ledger.state.membersBySubject.values().next().value?.profile.types[0]?.type
    const nats = this.options.port === undefined ? '' : ` --nats ${server?.url}`
    process.stderr.write(
      `Troupe is ready: ${this.nodes.size} nodes, namespace ${troupe?.namespace.subjects.namespace}\n` +
        `  NATS       ${server?.url}\n` +
        (type === undefined
          ? '  No task types yet: troupe dev <files…> loads modules that export tasks\n'
          : `  try        npx troupe run ${type} '<json input>'${nats}\n`),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping = true
    await Promise.all([...this.children].map(endOf))
    await this.troupe?.stop()
    await this.server?.stop()
    if (this.temporary !== undefined) rmSync(this.temporary, { recursive: true, force: true, maxRetries: 3 })
  }

  /** A child of its own, which ends when this process does, however it does: its channel closes. */
  private spawn(): ChildProcess {
    const entry = import.meta.url.endsWith('.ts') ? './node-process.ts' : './node-process.js'
    // Compiled code is shared between the processes, which halves the time until they are ready.
    const cache = getCompileCacheDir()
    const child = fork(fileURLToPath(new URL(entry, import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      env: cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: cache },
    })
    this.children.add(child)
    child.once('exit', () => this.children.delete(child))
    return child
  }

  /** Tells a child to join; resolves when it has. */
  private async join(number: number, child: ChildProcess): Promise<void> {
    const { options, server } = this
    const id = `node-${number}`
    this.nodes.set(number, { id, child })
    child.once('exit', (code, signal) => this.died(number, code, signal))
    const start: NodeProcessStart = {
      servers: server?.url ?? '',
      files: options.files.map((file) => resolve(file)),
      name: id,
      logLevel: options.logLevel ?? 'warn',
      ...(options.namespace !== undefined && { namespace: options.namespace }),
      ...(options.slots !== undefined && { slots: options.slots }),
      ...(options.partitions !== undefined && { partitions: options.partitions }),
      ...(options.encryption !== undefined && { encryption: options.encryption }),
    }
    const ready = readiness(child, id)
    tell(child, start)
    await ready
  }

  private died(number: number, code: number | null, signal: string | null): void {
    if (this.stopping) return
    const id = `node-${number}`
    this.nodes.delete(number)
    const nowMs = Date.now()
    this.deaths.push(nowMs)
    while ((this.deaths[0] ?? nowMs) < nowMs - restarts.periodMs) this.deaths.shift()
    if (this.deaths.length > restarts.intensity) {
      this.logger.error(
        { id, code, signal },
        `node processes died ${this.deaths.length} times in a minute; ${id} stays down`,
      )
      return
    }
    this.logger.warn({ id, code, signal }, 'a node process died; it is started again')
    this.join(number, this.spawn()).catch((error: unknown) =>
      this.logger.error({ err: error, id }, 'the node did not start'),
    )
  }

  private writeReadyFile(): void {
    const { readyFile } = this.options
    if (readyFile === undefined) return
    const nodes = [...this.nodes.values()].map(({ id, child }) => ({ id, pid: child.pid }))
    writeFileSync(readyFile, `${JSON.stringify({ nats: this.server?.url, pid: process.pid, nodes })}\n`)
  }
}

/** One that is ending by itself does not hear it any more; its exit says all. */
function tell(child: ChildProcess, message: NodeProcessStart | { readonly what: 'stop' }): void {
  child.send(message, () => undefined)
}

function readiness(child: ChildProcess, id: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => fail(`it was not ready within ${startMsMax} ms`), startMsMax)
    const fail = (why: string) => {
      clearTimeout(timer)
      reject(new TroupeError('TROUPE_INTERNAL', `node process ${id} did not start: ${why}`))
    }
    child.once('exit', (code, signal) => fail(`it ended with ${signal ?? code}`))
    child.on('message', (message: NodeProcessMessage) => {
      clearTimeout(timer)
      if (message.what === 'ready') resolve()
      else reject(new TroupeError(message.code, message.text))
    })
  })
}

/** Asks a child to drain and waits until it has ended, at most ten seconds. */
function endOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve()
    const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    if (child.connected) tell(child, { what: 'stop' })
    else child.kill('SIGTERM')
  })
}
