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
  /** Those that run again if their parents do. */
  private returning: ReplayTask[] = []

  private get queues(): ReplayTask[][] {
    return [this.results, this.dead, this.returning]
  }

  ended(task: ReplayTask): void {
    if (this.queues.some((queue) => queue.includes(task))) return
    if (task.status === 'failed') this.dead.push(task)
    else if (task.returnsWithParent) this.returning.push(task)
    else this.results.push(task)
  }

  /** It lives again, or is gone by another way. */
  leave(task: ReplayTask): void {
    this.results = this.results.filter((other) => other !== task)
    this.dead = this.dead.filter((other) => other !== task)
    this.returning = this.returning.filter((other) => other !== task)
  }

  /** Those that are forgotten now. Taken one by one: with a parent that is forgotten others move from queue to queue. */
  *overdue(timeMs: number): Generator<ReplayTask> {
    const { resultsKeepCount, resultsKeepMs, deadKeepCount, deadKeepMs } = this.rules
    const dead = { count: deadKeepCount, keepMs: deadKeepMs }
    yield* this.tooMany('results', { count: resultsKeepCount, keepMs: resultsKeepMs }, timeMs)
    yield* this.tooMany('dead', dead, timeMs)
    yield* this.tooMany('returning', dead, timeMs)
  }

  private *tooMany(
    of: 'results' | 'dead' | 'returning',
    { count, keepMs }: { readonly count: number; readonly keepMs: number },
    timeMs: number,
  ): Generator<ReplayTask> {
    for (let oldest = this[of][0]; oldest !== undefined; oldest = this[of][0]) {
      if (this[of].length <= count && oldest.endedAtMs + keepMs > timeMs) return
      this[of].shift()
      yield oldest
    }
  }
}
