/**
 * Processes of Troupe for tests, each a real one that can be killed, stopped and continued by its pid; and a plain NATS
 * client that knows nothing of Troupe. Everything ends after each test, even one that failed.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach } from 'vitest'
import type { Role } from '../../src/runtime/process.ts'
import type { StartOptions } from '../../src/runtime/start.ts'
import { connectPlain, type PlainClient } from './plain-client.ts'
import { until } from './server.ts'

const entry = fileURLToPath(new URL('./troupe-process.ts', import.meta.url))
/** A process compiles what it runs; on a machine with two busy processors that takes its time. */
const readyMsMax = 30_000

export interface ProcessStart extends Omit<Partial<StartOptions>, 'namespace' | 'readyFile' | 'name'> {
  readonly roles: readonly Role[]
  /** Runs on this processor alone. */
  readonly processor?: number
  /** A module that is run before everything else, in every thread. */
  readonly preload?: string
  readonly env?: Readonly<Record<string, string>>
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export class ClusterProcess {
  readonly name: string
  readonly exited: Promise<Ended>
  ended: Ended | undefined
  private readonly child: ChildProcess
  private readonly logFile: string
  private readonly readyFile: string

  constructor(
    name: string,
    folder: string,
    options: StartOptions,
    how: Pick<ProcessStart, 'processor' | 'preload' | 'env'>,
  ) {
    this.name = name
    this.logFile = join(folder, `${name}.log`)
    this.readyFile = join(folder, `${name}.ready`)
    const log = openSync(this.logFile, 'a')
    const { processor, preload, env } = how
    const node = preload === undefined ? [] : ['--import', preload]
    const pinned =
      processor === undefined
        ? { execArgv: node }
        : { execPath: 'taskset', execArgv: ['-c', `${processor}`, process.execPath, ...node] }
    this.child = fork(entry, { stdio: ['ignore', log, log, 'ipc'], env: { ...process.env, ...env }, ...pinned })
    closeSync(log)
    this.exited = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        this.ended = { code, signal }
        resolve(this.ended)
      })
    })
    // It may end before it has read this.
    this.child.on('error', () => {})
    this.child.send({ ...options, readyFile: this.readyFile })
  }

  get pid(): number {
    return this.child.pid!
  }

  /** Resolves once its roles have started. */
  async ready(): Promise<this> {
    await until(() => this.ended !== undefined || existsSync(this.readyFile), `${this.name} is ready`, readyMsMax)
    if (this.ended !== undefined)
      throw new Error(`${this.name} ended early: ${JSON.stringify(this.ended)}\n${this.log()}`)
    return this
  }

  /** Says something to what its preloaded module is. */
  tell(message: object): void {
    if (this.ended === undefined) this.child.send(message)
  }

  signal(signal: NodeJS.Signals): void {
    if (this.ended === undefined) process.kill(this.pid, signal)
  }

  /** `kill -9`, also of one that is stopped. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.exited
  }

  /** What it has logged so far, one JSON object per line. */
  log(): string {
    return readFileSync(this.logFile, 'utf8')
  }
}

export class Cluster {
  readonly servers: string | readonly string[]
  readonly namespace: string
  readonly client: PlainClient
  readonly processes: ClusterProcess[] = []
  private readonly folder = mkdtempSync(join(tmpdir(), 'troupe-cluster-'))
  private next = 1

  constructor(servers: string | readonly string[], namespace: string, client: PlainClient) {
    this.servers = servers
    this.namespace = namespace
    this.client = client
  }

  /** Starts a process without waiting for it; `ready()` waits. */
  launch({ processor, preload, env, ...start }: ProcessStart): ClusterProcess {
    const name = `${start.roles.join('-')}-${this.next++}`
    const options: StartOptions = {
      files: [],
      replicas: 1,
      servers: this.servers,
      ...start,
      namespace: this.namespace,
      name,
      logLevel: 'info',
    }
    const started = new ClusterProcess(name, this.folder, options, {
      ...(processor !== undefined && { processor }),
      ...(preload !== undefined && { preload }),
      ...(env !== undefined && { env }),
    })
    this.processes.push(started)
    return started
  }

  /** Starts processes at the same time; resolves when all are ready. */
  async start(...starts: ProcessStart[]): Promise<ClusterProcess[]> {
    return Promise.all(starts.map((start) => this.launch(start).ready()))
  }

  async one(start: ProcessStart): Promise<ClusterProcess> {
    return this.launch(start).ready()
  }

  /** The running process that leads, as the lease says. */
  async leader(role: 'scheduler' | 'supervisor'): Promise<ClusterProcess> {
    return until(async () => {
      const holder = await this.client.holder(role)
      return this.processes.find((one) => one.ended === undefined && holder?.startsWith(`${one.name}-`))
    }, `a ${role} leads`)
  }

  /** The process in which this node runs. */
  of(node: string): ClusterProcess {
    const found = this.processes.find(({ name }) => name === node)
    if (found === undefined) throw new Error(`no process is called ${node}`)
    return found
  }

  /** What every process has logged, for a failed test. */
  logs(): string {
    return this.processes.map((one) => `--- ${one.name}\n${one.log()}`).join('\n')
  }

  async end(): Promise<void> {
    await Promise.all(this.processes.map((one) => one.kill()))
    await this.client.close()
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Call at the top of a test file. Returns how to open a cluster; every one of them ends after its test. */
export function useClusters(): (servers: string | readonly string[], namespace: string) => Promise<Cluster> {
  const open: Cluster[] = []
  afterEach(async ({ task }) => {
    const failed = task.result?.state === 'fail'
    for (const cluster of open.splice(0)) {
      if (failed && process.env.TROUPE_TEST_LOGS) process.stderr.write(cluster.logs())
      await cluster.end()
    }
  })
  return async (servers, namespace) => {
    const cluster = new Cluster(servers, namespace, await connectPlain(servers, namespace))
    open.push(cluster)
    return cluster
  }
}
