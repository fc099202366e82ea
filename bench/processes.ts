/** What benches do with the processes that they measure: start them, read what they cost, end them. Linux only. */
import { type ChildProcess, type ForkOptions, fork } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The flag of Node that `troupe start` gives itself (docs/adr/0017). */
export const asStarted = '--max-semi-space-size=16'

/**
 * Resolves once the script has sent its first message; rejects when it ends before. It runs with the flags of Node that
 * `troupe start` gives itself, unless `execArgv` states others.
 */
export function startChild(script: string, args: readonly string[], options: ForkOptions = {}): Promise<ChildProcess> {
  const started = fork(script, args, { execArgv: [asStarted], ...options })
  return new Promise((resolve, reject) => {
    started.once('message', () => resolve(started))
    started.once('exit', (code) => reject(new Error(`${args.join(' ')} ended with ${code}`)))
  })
}

/** Options of a child that writes a profile of its CPU into this folder, if there is one. */
export function profiled(folder: string | undefined): ForkOptions {
  return folder === undefined ? {} : { execArgv: [asStarted, '--cpu-prof', '--cpu-prof-dir', folder] }
}

/** Asks a child to end; resolves when it has. */
export function endChild(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.send('end')
  })
}

/** Processor time that a process has used so far, user and system, ms. */
export function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

export function residentMiB(pid: number): number {
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024)
}
