/**
 * One nats-server and processes of `troupe start`, as an operator has them; each can be killed, stopped and started again.
 * Everything that is started here is ended here, by its process id, and ends by itself when this process is gone, however.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type EmbeddedServer, startEmbeddedServer } from '../../src/runtime/server/embedded.ts'
import type { Effect } from './history.ts'

const root = resolve(import.meta.dirname, '../..')
const readyMsMax = 60_000

/** A process of `troupe start`; `child` is its present life. */
interface Part {
  readonly args: readonly string[]
  child: ChildProcess | undefined
}

export class Installation {
  readonly namespace = 'main'
  private readonly folder: string
  private server: EmbeddedServer
  private readonly parts = new Map<string, Part>()

  private constructor(folder: string, server: EmbeddedServer) {
    this.folder = folder
    this.server = server
    mkdirSync(join(folder, 'effects'))
    for (const name of ['control-1', 'control-2']) this.add(name, 'scheduler,supervisor', [])
    for (const name of ['node-1', 'node-2']) this.add(name, 'node', [join(root, 'test/histories/tasks.ts')])
  }

  /** Resolves when tasks can run. */
  static async open(): Promise<Installation> {
    const folder = mkdtempSync(join(tmpdir(), 'troupe-histories-'))
    const installation = new Installation(folder, await startEmbeddedServer({ storeDir: join(folder, 'store') }))
    try {
      await Promise.all([...installation.parts.keys()].map((name) => installation.start(name)))
      return installation
    } catch (error) {
      await installation.end()
      throw error
    }
  }

  get servers(): string {
    return this.server.url
  }

  /** One that ends because its server has just been killed is started again, as whoever looks after it would. */
  async start(name: string): Promise<void> {
    if (name === 'server') {
      const { port, storeDir } = this.server
      this.server = await startEmbeddedServer({ port, storeDir, readyTimeoutMs: readyMsMax })
      return
    }
    const part = this.parts.get(name)!
    part.child = this.spawn(name, part)
    const untilMs = performance.now() + readyMsMax
    while (!existsSync(this.readyFile(name))) {
      if (part.child.exitCode !== null) part.child = this.spawn(name, part)
      if (performance.now() > untilMs) {
        throw new Error(`${name} did not come up:\n${readFileSync(this.logFile(name), 'utf8').slice(-2_000)}`)
      }
      await new Promise((done) => setTimeout(done, 20))
    }
  }

  signal(name: string, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.parts.get(name)!.child?.kill(signal)
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(name: string): Promise<void> {
    if (name === 'server') {
      this.server.kill()
      await this.server.exited
      return
    }
    const { child } = this.parts.get(name)!
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((done) => child.once('exit', done))
    child.kill('SIGKILL')
    await gone
    rmSync(this.readyFile(name), { force: true })
  }

  /** What tasks have written. A line that was being written when its process was killed is not whole. */
  effects(): Effect[] {
    const folder = join(this.folder, 'effects')
    const lines = readdirSync(folder).flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Effect)
  }

  async end(): Promise<void> {
    await Promise.all([...this.parts.keys()].map((name) => this.kill(name)))
    await this.server.stop('SIGKILL')
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }

  private add(name: string, roles: string, files: readonly string[]): void {
    const given = ['--roles', roles, '--name', name, '--ready-file', this.readyFile(name)]
    const args = ['bin/troupe.mjs', '--nats', this.servers, '--log-level', 'warn', 'start', ...files, ...given]
    this.parts.set(name, { args, child: undefined })
  }

  private readyFile(name: string): string {
    return join(this.folder, `${name}.ready`)
  }

  private logFile(name: string): string {
    return join(this.folder, `${name}.log`)
  }

  /** With a channel, at whose end it leaves. */
  private spawn(name: string, { args }: Part): ChildProcess {
    const log = openSync(this.logFile(name), 'a')
    const env = { ...process.env, HISTORIES_EFFECTS: join(this.folder, 'effects') }
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', log, log, 'ipc'], env })
    closeSync(log)
    return child
  }
}
