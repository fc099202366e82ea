/**
 * Which ended tasks are forgotten, in the second reading: the oldest, beyond the number and the age that the rules keep. A
 * child is kept for as long as its parent lives.
 */
import type { ReplayTask } from './replay.ts'

export interface KeepRules {
  readonly resultsKeepMs: number
  readonly resultsKeepCount: number
  readonly deadKeepMs: number
  readonly deadKeepCount: number
}

const day = 24 * 3_600_000

export class ReplayRetention {
  rules: KeepRules = { resultsKeepMs: day, resultsKeepCount: 100_000, deadKeepMs: 30 * day, deadKeepCount: 10_000 }
  private results: ReplayTask[] = []
  private dead: ReplayTask[] = []

  ended(task: ReplayTask): void {
    if (this.results.includes(task) || this.dead.includes(task)) return
    if (task.status === 'failed') this.dead.push(task)
    else this.results.push(task)
  }

  /** It lives again, or is gone by another way. */
  leave(task: ReplayTask): void {
    this.results = this.results.filter((other) => other !== task)
    this.dead = this.dead.filter((other) => other !== task)
  }

  /** Those that are forgotten now. */
  overdue(timeMs: number): ReplayTask[] {
    const { resultsKeepCount, resultsKeepMs, deadKeepCount, deadKeepMs } = this.rules
    return [
      ...tooMany(this.results, resultsKeepCount, resultsKeepMs, timeMs),
      ...tooMany(this.dead, deadKeepCount, deadKeepMs, timeMs),
    ]
  }
}

function tooMany(tasks: ReplayTask[], count: number, keepMs: number, timeMs: number): ReplayTask[] {
  let gone = 0
  while (gone < tasks.length && (tasks.length - gone > count || tasks[gone]!.endedAtMs + keepMs <= timeMs)) gone++
  return tasks.splice(0, gone)
}
