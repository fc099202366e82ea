/**
 * Runs programs as a user would: `troupe dev` with its ready file, and scripts to their end with what they printed. Every
 * program that is started here is ended here, by its own process id.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export const root = resolve(import.meta.dirname, '../..')

/** What `troupe dev` writes to its ready file. */
export interface Ready {
  readonly nats: string
  readonly pid: number
  readonly nodes: readonly { readonly id: string; readonly pid: number }[]
}

export interface DevCluster extends AsyncDisposable {
  readonly ready: Ready
  /** Everything it has printed so far. */
  output(): string
}

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

const readyMsMax = 30_000
const stopMsMax = 20_000

/** Starts `troupe dev` on a free port with data that goes with it; resolves once tasks can run. */
export async function startDev(files: readonly string[], options: readonly string[] = []): Promise<DevCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-dev-test-'))
  const readyFile = join(folder, 'ready.json')
  const given = ['--ephemeral', '--port', '0', '--ready-file', readyFile, ...options]
  const child = spawn(process.execPath, ['bin/troupe.mjs', '--log-level', 'warn', 'dev', ...files, ...given], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const printed = collect(child)
  const stop = async () => {
    await end(child)
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const ready = await readyOf(child, readyFile, printed)
    return { ready, output: () => printed.stdout + printed.stderr, [Symbol.asyncDispose]: stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function readyOf(child: ChildProcess, file: string, printed: { stderr: string }): Promise<Ready> {
  const deadline = performance.now() + readyMsMax
  for (;;) {
    try {
      return JSON.parse(readFileSync(file, 'utf8')) as Ready
    } catch {
      // Not there yet, or not yet whole.
    }
    if (child.exitCode !== null) throw new Error(`troupe dev ended with ${child.exitCode}:\n${printed.stderr}`)
    if (performance.now() > deadline) throw new Error(`troupe dev was not ready in time:\n${printed.stderr}`)
    await sleep(20)
  }
}

/** Runs a program of the repository on this Node; resolves when it has ended. */
export async function run(
  args: readonly string[],
  options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string; readonly timeoutMs?: number } = {},
): Promise<Finished> {
  const child = spawn(process.execPath, args, {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
  })
  const printed = collect(child)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  return { code, ...printed }
}

function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const printed = { stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    printed.stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    printed.stderr += text
  })
  return printed
}

/** Drains it, and kills it if that takes too long. */
function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    const timer = setTimeout(() => child.kill('SIGKILL'), stopMsMax)
    child.once('exit', () => {
      clearTimeout(timer)
      resolve()
    })
    child.kill('SIGTERM')
  })
}
