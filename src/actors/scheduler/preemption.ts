/**
 * Which running task makes room for one that waits, by the order's own measure. It is asked to yield at its next boundary (a
 * state, step or checkpoint), so nothing is done twice, and a task without boundaries simply runs to its end. One at a time,
 * so that what comes of the first is seen before the second.
 */
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { OrderingPolicy } from './ordering.ts'

/** Between two requests, so that the first can take effect. */
const pauseMs = 20
/** A request that had no effect after this long is forgotten: it may have been lost. */
const forgetMs = 5_000

interface Asked {
  readonly turn: number
  readonly atMs: number
}

export interface Victim {
  readonly member: Member
  readonly task: TaskRecord
}

export class Preemption {
  private readonly ordering: OrderingPolicy
  private readonly asked = new Map<TaskRecord, Asked>()
  private lastMs = Number.NEGATIVE_INFINITY
  /** When to look again although nothing has happened. */
  nextMs = Number.POSITIVE_INFINITY

  constructor(ordering: OrderingPolicy) {
    this.ordering = ordering
  }

  /** Returns the running task that is to yield for `waiting`, which found no room; undefined for none, or not yet. */
  victim(waiting: TaskRecord | undefined, members: Iterable<Member>, nowMs: number): Victim | undefined {
    const { outranks, runningRank, quantumMs } = this.ordering
    this.nextMs = Number.POSITIVE_INFINITY
    if (outranks === undefined || runningRank === undefined || waiting === undefined) return undefined
    if (nowMs < this.lastMs + pauseMs) {
      this.nextMs = this.lastMs + pauseMs
      return undefined
    }
    for (const [task, { turn, atMs }] of this.asked) {
      if (task.turn !== turn || task.status !== 'running' || atMs + forgetMs <= nowMs) this.asked.delete(task)
    }
    let victim: Victim | undefined
    let greatest = Number.NEGATIVE_INFINITY
    for (const member of members) {
      if (!member.types.has(waiting.type)) continue
      for (const task of member.running) {
        if (quantumMs !== undefined)
          this.nextMs = Math.min(this.nextMs, Math.max(nowMs + pauseMs, task.turnAtMs + quantumMs))
        if (task.status !== 'running' || this.asked.has(task) || !outranks(waiting, task, nowMs)) continue
        const rank = runningRank(task, nowMs)
        if (rank <= greatest) continue
        greatest = rank
        victim = { member, task }
      }
    }
    if (victim !== undefined) {
      this.asked.set(victim.task, { turn: victim.task.turn, atMs: nowMs })
      this.lastMs = nowMs
      this.nextMs = Math.min(this.nextMs, nowMs + pauseMs)
    }
    return victim
  }
}
