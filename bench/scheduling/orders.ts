/**
 * Orders at work in virtual time: jobs arrive, wait in the same queues that a leading scheduler uses, and run on a number of
 * equal slots. Preemption takes place at once and costs nothing. Pure: the same trace and policy give the same numbers.
 */
import { TaskRecord } from '../../src/actors/ledger/task-record.ts'
import { Heap } from '../../src/actors/scheduler/heap.ts'
import type { OrderingPolicy } from '../../src/actors/scheduler/ordering.ts'
import { LaneQueue } from '../../src/actors/scheduler/policies/lane-queue.ts'
import { quantile, type Spread, spreadOf } from './statistics.ts'
import type { Job } from './traces.ts'

const shortestMs = 0.001

export interface Ran {
  readonly job: Job
  readonly startedAtMs: number
  readonly finishedAtMs: number
  /** From arrival to end, less the duration itself. */
  readonly waitedMs: number
  /** Time in the system over duration. */
  readonly slowdown: number
}

interface Running {
  readonly task: TaskRecord
  readonly job: Job
  readonly turn: number
  readonly sinceMs: number
  leftMs: number
}

type Event = { readonly arrives: number } | { readonly ends: Running } | { readonly looks: true }

/** Returns what became of each job, in the order in which they ended. `untilMs` stops early: what has not ended is left out. */
export function simulate(
  jobs: readonly Job[],
  policy: OrderingPolicy,
  slots: number,
  untilMs = Number.POSITIVE_INFINITY,
): Ran[] {
  return new Simulation(jobs, policy, slots).run(untilMs)
}

class Simulation {
  private readonly jobs: readonly Job[]
  private readonly policy: OrderingPolicy
  private readonly slots: number
  private readonly queue: LaneQueue
  private readonly events = new Heap<Event>()
  private readonly running = new Set<Running>()
  private readonly byTask = new Map<TaskRecord, { readonly job: Job; leftMs: number; startedAtMs: number }>()
  private readonly ran: Ran[] = []
  private looksAtMs = Number.POSITIVE_INFINITY

  constructor(jobs: readonly Job[], policy: OrderingPolicy, slots: number) {
    this.jobs = jobs
    this.policy = policy
    this.slots = slots
    this.queue = new LaneQueue(policy, (task) => task.status === 'waiting')
  }

  run(untilMs: number): Ran[] {
    if (this.jobs.length > 0) this.events.push({ arrives: 0 }, this.jobs[0]!.atMs)
    for (
      let nowMs = this.events.peekRank();
      nowMs <= untilMs && this.events.length > 0;
      nowMs = this.events.peekRank()
    ) {
      const event = this.events.pop()!
      if ('arrives' in event) this.arrive(event.arrives)
      else if ('ends' in event) this.end(event.ends, nowMs)
      else this.looksAtMs = Number.POSITIVE_INFINITY
      // What happens at one instant is all known before anything starts.
      if (this.events.peekRank() > nowMs) this.dispatch(nowMs)
    }
    return this.ran
  }

  private arrive(index: number): void {
    const job = this.jobs[index]!
    const task = new TaskRecord({
      name: `t-${index}`,
      type: job.type,
      priority: job.priority ?? 4,
      key: job.key,
      arrival: { partition: 0, sequence: index + 1, submittedAtMs: job.atMs, client: undefined },
      index: -1,
      hash: 0,
    })
    if (job.deadlineAtMs !== undefined) task.more.deadlineAtMs = job.deadlineAtMs
    if (job.expectedMs !== undefined) task.more.expectedMs = job.expectedMs
    this.byTask.set(task, { job, leftMs: job.durationMs, startedAtMs: -1 })
    this.queue.add(task)
    const next = this.jobs[index + 1]
    if (next !== undefined) this.events.push({ arrives: index + 1 }, next.atMs)
  }

  private dispatch(nowMs: number): void {
    for (;;) {
      const task = this.queue.peek()
      if (task === undefined) return
      if (this.running.size === this.slots && !this.makeRoom(task, nowMs)) return
      const taken = this.queue.take()
      if (taken !== undefined) this.start(taken, nowMs)
    }
  }

  private start(task: TaskRecord, nowMs: number): void {
    const known = this.byTask.get(task)!
    if (known.startedAtMs < 0) known.startedAtMs = nowMs
    task.status = 'running'
    task.turn++
    task.turnAtMs = nowMs
    const running: Running = { task, job: known.job, turn: task.turn, sinceMs: nowMs, leftMs: known.leftMs }
    this.running.add(running)
    this.events.push({ ends: running }, nowMs + known.leftMs)
  }

  /** Takes the slot of the running task that the waiting one outranks most. */
  private makeRoom(waiting: TaskRecord, nowMs: number): boolean {
    const { outranks, runningRank, quantumMs } = this.policy
    if (outranks === undefined || runningRank === undefined) return false
    let victim: Running | undefined
    let greatest = Number.NEGATIVE_INFINITY
    for (const running of this.running) {
      const { task } = running
      if (!outranks(waiting, task, nowMs) || runningRank(task, nowMs) <= greatest) continue
      greatest = runningRank(task, nowMs)
      victim = running
    }
    if (victim !== undefined) this.preempt(victim, nowMs)
    else if (quantumMs !== undefined) this.lookLater(quantumMs)
    return victim !== undefined
  }

  /** When the next slice ends. */
  private lookLater(quantumMs: number): void {
    let atMs = Number.POSITIVE_INFINITY
    // A little later, for a sum less one of its terms may be less than the other.
    for (const { sinceMs } of this.running) atMs = Math.min(atMs, sinceMs + quantumMs + 0.001)
    if (atMs >= this.looksAtMs) return
    this.looksAtMs = atMs
    this.events.push({ looks: true }, atMs)
  }

  private preempt(running: Running, nowMs: number): void {
    const { task, sinceMs } = running
    const ranMs = nowMs - sinceMs
    this.running.delete(running)
    this.byTask.get(task)!.leftMs = Math.max(0, running.leftMs - ranMs)
    task.status = 'waiting'
    this.queue.turnEnded(task, ranMs)
    task.more.attainedMs = (task.rare?.attainedMs ?? 0) + ranMs
    this.queue.add(task)
  }

  private end(running: Running, nowMs: number): void {
    if (!this.running.delete(running)) return
    const { task, job } = running
    const { startedAtMs } = this.byTask.get(task)!
    this.byTask.delete(task)
    task.status = 'completed'
    this.queue.turnEnded(task, nowMs - running.sinceMs)
    const inSystemMs = nowMs - job.atMs
    const waitedMs = Math.max(0, inSystemMs - job.durationMs)
    // A job of no length at all is served no slower than one of a microsecond.
    const slowdown = Math.max(1, inSystemMs / Math.max(shortestMs, job.durationMs))
    this.ran.push({ job, startedAtMs, finishedAtMs: nowMs, waitedMs, slowdown })
  }
}

export interface Summary extends Spread {
  readonly slowdownP99: number
}

/** How long the jobs waited, and how much slower than alone they were served. */
export function summary(ran: readonly Ran[]): Summary {
  const slowdowns = ran.map(({ slowdown }) => slowdown).sort((a, b) => a - b)
  return { ...spreadOf(ran.map(({ waitedMs }) => waitedMs)), slowdownP99: quantile(slowdowns, 0.99) }
}
