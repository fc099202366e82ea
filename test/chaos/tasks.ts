/**
 * The tasks of the simulation in real processes. What they do goes into a file of their process, line by line, so that it
 * stays known whatever becomes of the process.
 */
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { trialTasks } from '../simulation/tasks.ts'

const folder = process.env.TROUPE_CHAOS_EFFECTS ?? '.'
const name = `pid-${process.pid}`

const definitions = trialTasks({
  // Not `Date`: the clock of this process may have been set wrong.
  get nowMs() {
    return performance.timeOrigin + performance.now()
  },
  process: name,
  add: (event) => appendFileSync(join(folder, `${name}.jsonl`), `${JSON.stringify(event)}\n`),
})

export const [quick, steps, counter, napper, listener, flaky, late, parent, lamp] = definitions
