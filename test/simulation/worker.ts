/** A process that tries seeds for another one: a simulation replaces the clocks of its process, so each core needs its own. */
import { setPriority } from 'node:os'
import { shrink } from './shrink.ts'
import { type Trial, type TrialResult, tryOut } from './trial.ts'

export interface WorkerReport {
  readonly result: TrialResult
  /** The smallest trial found that breaks the same promise. */
  readonly smallest: TrialResult | undefined
}

/** Seeds that were asked for; they come while another is being tried. */
const queue: Trial[] = []
let busy = false

async function work(): Promise<void> {
  if (busy) return
  busy = true
  for (let trial = queue.shift(); trial !== undefined; trial = queue.shift()) {
    const result = await tryOut(trial)
    const isWrong = result.broken.length > 0 && trial.plant === undefined && !result.broken.includes('one-trace')
    const report: WorkerReport = { result, smallest: isWrong ? await shrink(result) : undefined }
    process.send?.(report)
  }
  busy = false
}

// Whatever else the machine does comes first.
setPriority(10)
process.on('message', (trial: Trial) => {
  queue.push(trial)
  void work()
})
process.on('disconnect', () => process.exit(0))
