/** Tries many seeds in several processes, one for each core, and hands on what came of each as it comes. */
import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Trial } from './trial.ts'
import type { WorkerReport } from './worker.ts'

const script = fileURLToPath(new URL('./worker.ts', import.meta.url))
/** A simulation makes much garbage that is young, and thousands of errors whose stacks nobody reads. */
const execArgv = ['--max-semi-space-size=64', '--stack-trace-limit=5']

/** `onReport` returns false to end it early. Throws if one of the processes ends by itself. */
export async function tryAll(
  trials: readonly Trial[],
  workers: number,
  onReport: (report: WorkerReport) => boolean,
): Promise<void> {
  const waiting = [...trials]
  const children: ChildProcess[] = []
  const serve = () =>
    new Promise<void>((resolve, reject) => {
      const child = fork(script, { execArgv })
      children.push(child)
      let present: Trial | undefined
      const next = () => {
        present = waiting.shift()
        if (present === undefined) resolve()
        else child.send(present)
      }
      child.on('message', (report: WorkerReport) => {
        if (!onReport(report)) waiting.length = 0
        next()
      })
      child.on('exit', (code) => reject(new Error(`seed ${present?.seed} ended its process with code ${code}`)))
      next()
    })
  try {
    await Promise.all(Array.from({ length: Math.min(workers, trials.length) }, serve))
  } finally {
    for (const child of children) child.kill()
  }
}
