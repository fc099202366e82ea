/** What keeps a submission from becoming work, in the second reading: full queues, and rivals within a window. */
import type { ReplayTask } from './replay.ts'

interface TypeLimits {
  readonly paused?: boolean
  readonly runningMax?: number
  readonly queuedMax?: number
}

/** The limits of a type from one place in the log to the next. */
export interface LimitedSpan {
  readonly type: string
  readonly limits: TypeLimits
  readonly fromSequence: number
  readonly fromMs: number
  toSequence: number
  toMs: number
}

export class ReplayQueues {
  readonly spans: LimitedSpan[] = []
  private readonly limits = new Map<string, LimitedSpan>()
  private readonly firsts = new Map<string, { readonly id: string; readonly atMs: number }>()

  limit(type: string, limits: TypeLimits | null, sequence: number, timeMs: number): void {
    const before = this.limits.get(type)
    if (before !== undefined) {
      before.toSequence = sequence
      before.toMs = timeMs
    }
    this.limits.delete(type)
    if (limits === null) return
    const open = { toSequence: Number.POSITIVE_INFINITY, toMs: Number.POSITIVE_INFINITY }
    const span = { type, limits, fromSequence: sequence, fromMs: timeMs, ...open }
    this.spans.push(span)
    this.limits.set(type, span)
  }

  isFull(type: string, tasks: Iterable<ReplayTask>): boolean {
    const own = this.limits.get(type)?.limits.queuedMax ?? Number.POSITIVE_INFINITY
    const whole = this.limits.get('_all')?.limits.queuedMax ?? Number.POSITIVE_INFINITY
    if (own === Number.POSITIVE_INFINITY && whole === Number.POSITIVE_INFINITY) return false
    let [ofType, inAll] = [0, 0]
    for (const task of tasks) {
      if (task.status !== 'waiting' && task.status !== 'blocked') continue
      inAll++
      if (task.type === type) ofType++
    }
    return ofType >= own || inAll >= whole
  }

  /** True if another task with this key came within the window; otherwise this one is the first from now on. */
  hasRival(id: string, type: string, key: string, withinMs: number, timeMs: number): boolean {
    const name = `${type}/${key}`
    const first = this.firsts.get(name)
    if (first !== undefined && timeMs < first.atMs + withinMs) return true
    this.firsts.set(name, { id, atMs: timeMs })
    return false
  }
}
