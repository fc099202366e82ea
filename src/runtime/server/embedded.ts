/**
 * A nats-server as a child of this process: for `troupe dev`, examples and tests. It chooses a free port itself, is
 * ready when this says so, writes its log into its store, and never outlives this process, however that ends.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { TroupeError } from '../../protocol/errors.ts'
import { findServerBinary } from './binary.ts'
import { lockStore, type StoreLock } from './store-lock.ts'

export interface EmbeddedServerOptions {
  /** Folder of streams, log and configuration; kept on stop. Default: a temporary one, removed when the server ends. */
  readonly storeDir?: string
  /** Default 0: any free port. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /** Default false: the server syncs its files every two minutes. True: before every acknowledgement. */
  readonly syncAlways?: boolean
  /** What all streams together may take. Default: three quarters of the disk. */
  readonly maxStoreBytes?: number
  readonly name?: string
  /** Default true. */
  readonly jetstream?: boolean
  /** More lines of nats-server configuration. */
  readonly config?: string
  /** Default 10,000. */
  readonly readyTimeoutMs?: number
}

export interface EmbeddedServer {
  readonly url: string
  readonly port: number
  readonly pid: number
  readonly version: string
  /** `http://…` of the server's own monitoring. */
  readonly monitoringUrl: string
  readonly storeDir: string
  readonly logFile: string
  /** Resolves when the process has ended; after 5 seconds it is killed. Safe to call twice. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Ends it as a crash would. */
  kill(): void
  /** The exit code; null when a signal ended it. Never rejects. */
  readonly exited: Promise<number | null>
}

/**
 * Returns a running server with JetStream. Throws TROUPE_NO_SERVER_BINARY, TROUPE_STORE_IN_USE, TROUPE_INVALID_OPTION
 * (a port that is taken, a folder that cannot be written), TROUPE_NO_SERVER with the end of its log.
 */
export async function startEmbeddedServer(options: EmbeddedServerOptions = {}): Promise<EmbeddedServer> {
  const binary = findServerBinary()
  const temporary = options.storeDir === undefined
  const storeDir = resolve(options.storeDir ?? mkdtempSync(join(tmpdir(), 'troupe-')))
  mkdirSync(storeDir, { recursive: true })
  const lock = lockStore(storeDir)
  let child: ChildProcess | undefined
  try {
    const portsDir = mkdtempSync(join(storeDir, 'ports-'))
    const logFile = join(storeDir, 'nats-server.log')
    const configFile = join(storeDir, 'nats-server.conf')
    writeFileSync(configFile, configuration(options, storeDir, portsDir, logFile))
    writeFileSync(logFile, '')
    child = spawnGuarded(binary, ['-c', configFile], logFile)
    const exited = exitOf(child)
    const ports = await readiness(portsDir, exited, logFile, options.readyTimeoutMs ?? 10_000)
    rmSync(portsDir, { recursive: true, force: true })
    lock.heldBy(ports.pid)
    return running(ports, child, exited, lock, { storeDir, logFile, temporary, binary })
  } catch (error) {
    child?.stdin?.destroy()
    lock.release()
    if (temporary) rmSync(storeDir, { recursive: true, force: true })
    throw error
  }
}

function configuration(options: EmbeddedServerOptions, storeDir: string, portsDir: string, logFile: string): string {
  const host = options.host ?? '127.0.0.1'
  const sync = options.syncAlways ? ', sync_interval: always' : ''
  const space = options.maxStoreBytes ? `, max_file_store: ${options.maxStoreBytes}` : ''
  return `${[
    `host: ${JSON.stringify(host)}`,
    `port: ${options.port || -1}`,
    'http: "127.0.0.1:-1"',
    `server_name: ${JSON.stringify(options.name ?? `troupe-${process.pid}-${Math.random().toString(36).slice(2, 8)}`)}`,
    `ports_file_dir: ${JSON.stringify(portsDir)}`,
    `log_file: ${JSON.stringify(logFile)}`,
    options.jetstream === false ? '' : `jetstream { store_dir: ${JSON.stringify(storeDir)}${sync}${space} }`,
    options.config ?? '',
  ].join('\n')}\n`
}

/**
 * The shell in between reads a pipe that only this process holds: when this process ends, even by SIGKILL, the pipe
 * closes and the shell ends the server. A session of its own keeps a Ctrl-C at the terminal from reaching the server
 * before this process has drained.
 */
const guard = `exec 3<&0
"$0" "$@" </dev/null 3<&- &
server=$!
( read -r _ <&3; kill -TERM $server; sleep 5; kill -KILL $server ) 2>/dev/null &
watch=$!
exec 3<&-
wait $server
code=$?
kill $watch 2>/dev/null
exit $code`

function spawnGuarded(binary: string, args: string[], logFile: string): ChildProcess {
  // What it says before it has read its configuration goes to its log as well.
  const log = openSync(logFile, 'a')
  try {
    const stdio: ['pipe', number, number] = ['pipe', log, log]
    const child =
      process.platform === 'win32'
        ? spawn(binary, args, { stdio, windowsHide: true })
        : spawn('/bin/sh', ['-c', guard, binary, ...args], { stdio, detached: true })
    child.stdin?.on('error', () => {})
    // Neither the process nor its pipe keeps this process alive.
    child.unref()
    ;(child.stdin as unknown as { unref?(): void } | null)?.unref?.()
    return child
  } finally {
    closeSync(log)
  }
}

function exitOf(child: ChildProcess): Promise<number | null> {
  return new Promise((done) => {
    child.once('exit', (code) => done(code !== null && code > 128 ? null : code))
    child.once('error', () => done(-1))
  })
}

interface Ports {
  readonly pid: number
  readonly url: string
  readonly monitoringUrl: string
}

/** The server writes its ports file once it listens and its streams are recovered. */
async function readiness(
  portsDir: string,
  exited: Promise<number | null>,
  logFile: string,
  timeoutMs: number,
): Promise<Ports> {
  let ended: { code: number | null } | undefined
  void exited.then((code) => {
    ended = { code }
  })
  const deadlineMs = performance.now() + timeoutMs
  while (performance.now() < deadlineMs) {
    const ports = readPorts(portsDir)
    if (ports) return ports
    if (ended) break
    await delay(3)
  }
  const log = readFileSync(logFile, 'utf8').trim().split('\n').slice(-5).join('\n')
  if (/address already in use/.test(log)) {
    throw new TroupeError(
      'TROUPE_INVALID_OPTION',
      `the port is taken by another process (0 picks a free one): ${log.split('\n').at(-1)}`,
    )
  }
  const what = ended ? `ended with ${ended.code ?? 'a signal'} before it was ready` : `was not ready in ${timeoutMs} ms`
  throw new TroupeError('TROUPE_NO_SERVER', `nats-server ${what}; the end of its log:\n${log}`)
}

function readPorts(portsDir: string): Ports | undefined {
  const file = readdirSync(portsDir).find((name) => name.endsWith('.ports'))
  if (!file) return undefined
  try {
    const ports = JSON.parse(readFileSync(join(portsDir, file), 'utf8')) as { nats: string[]; monitoring?: string[] }
    const pid = Number(/(\d+)\.ports$/.exec(file)?.[1])
    return { pid, url: ports.nats[0]!, monitoringUrl: ports.monitoring?.[0] ?? '' }
  } catch {
    // Half written; the next look sees all of it.
    return undefined
  }
}

function running(
  ports: Ports,
  child: ChildProcess,
  exit: Promise<number | null>,
  lock: StoreLock,
  place: { storeDir: string; logFile: string; temporary: boolean; binary: string },
): EmbeddedServer {
  let ended = false
  const exited = exit.then((code) => {
    ended = true
    child.stdin?.destroy()
    lock.release()
    if (place.temporary) rmSync(place.storeDir, { recursive: true, force: true, maxRetries: 3 })
    return code
  })
  const signal = (name: NodeJS.Signals) => {
    if (ended) return
    try {
      process.kill(ports.pid, name)
    } catch {
      // It has just ended.
    }
  }
  return {
    url: ports.url,
    port: Number(new URL(ports.url).port),
    pid: ports.pid,
    version: /Version:\s+(\S+)/.exec(readFileSync(place.logFile, 'utf8'))?.[1] ?? 'unknown',
    monitoringUrl: ports.monitoringUrl,
    storeDir: place.storeDir,
    logFile: place.logFile,
    exited,
    kill: () => signal('SIGKILL'),
    async stop(name = 'SIGTERM') {
      child.ref()
      signal(name)
      const late = setTimeout(() => signal('SIGKILL'), 5_000)
      await exited
      clearTimeout(late)
    },
  }
}
