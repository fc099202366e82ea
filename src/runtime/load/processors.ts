/**
 * Who uses the processors that this process may use: itself, others, and how long it had to wait for them. On a machine
 * that is shared, load of the whole machine says little; what counts is the load of *these* processors.
 */
import { availableParallelism } from 'node:os'
import {
  allowedProcessors,
  groupField,
  groupFolder,
  groupQuota,
  listFolder,
  type ProcessorTicks,
  processorTicks,
  type ReadText,
  readText,
  threadTimes,
} from './proc.ts'

export interface ProcessorLoad {
  readonly cpu: number
  readonly cpus: number
  readonly ownCpus: number
  readonly otherCpus: number
  readonly waitRatio: number
}

interface Counters {
  readonly atMs: number
  readonly ownUs: number
  readonly ticks: ReadonlyMap<number, ProcessorTicks> | undefined
  readonly groupUs: number | undefined
  readonly threads: Threads
  readonly childThreads: Threads
}

type ThreadTimes = NonNullable<ReturnType<typeof threadTimes>>
type Threads = ReadonlyMap<string, ThreadTimes>

interface Bounds {
  readonly allowed: readonly number[] | undefined
  readonly quota: number | undefined
}

/** Affinity and quota seldom change; their files are read this often. */
const boundsEveryMs = 2_000
/** A process that hardly ran has hardly anything to say about waiting: the ratio is damped below this. */
const ranMsMin = 20
/** Child processes that are looked at; each costs a few reads. */
const childrenMax = 64

export class ProcessorMeter {
  readonly #read: ReadText
  readonly #list: (path: string) => readonly string[]
  #bounds: Bounds | undefined
  #boundsAtMs = 0
  #folder: string | undefined
  #before: Counters

  constructor(read: ReadText = readText, list: (path: string) => readonly string[] = listFolder) {
    this.#read = read
    this.#list = list
    this.#before = this.#count()
  }

  /** Returns the load since the call before. */
  measure(): ProcessorLoad {
    const before = this.#before
    const now = this.#count()
    this.#before = now
    const { allowed, quota } = this.#readBounds(now.atMs)
    const passedUs = Math.max(1, (now.atMs - before.atMs) * 1_000)
    const cpus = Math.min(allowed?.length ?? availableParallelism(), quota ?? Number.POSITIVE_INFINITY)
    const childUs = passed(before.childThreads, now.childThreads).ranMs * 1_000
    const ownCpus = Math.max(0, (now.ownUs - before.ownUs + childUs) / passedUs)
    const all = busyShare(before.ticks, now.ticks, undefined)
    const mine = busyShare(before.ticks, now.ticks, allowed)
    // Ticks are coarse and own time is exact, so their difference can be a little below nothing.
    const othersHere = mine ? Math.max(0, mine.share * mine.count - ownCpus) : 0
    const spare = Math.max(0, (mine?.count ?? cpus) - cpus)
    const inGroup = groupCpus(before, now, passedUs)
    return {
      cpu: all?.share ?? Math.min(1, ownCpus / cpus),
      cpus,
      ownCpus,
      // With a quota below the processors, others are in the way when they use up the quota or leave too little room.
      otherCpus: Math.max(0, othersHere - spare, quota === undefined ? 0 : inGroup - ownCpus),
      waitRatio: waitRatio(before, now),
    }
  }

  #count(): Counters {
    const { user, system } = process.cpuUsage()
    const stat = this.#read('/proc/stat')
    const group = this.#folder === undefined ? undefined : this.#read(`${this.#folder}/cpu.stat`)
    return {
      atMs: performance.now(),
      ownUs: user + system,
      ticks: stat === undefined ? undefined : processorTicks(stat),
      groupUs: group === undefined ? undefined : groupField(group, 'usage_usec'),
      threads: this.#threadsOf(['self']),
      childThreads: this.#threadsOf(this.#children()),
    }
  }

  #threadsOf(processes: readonly string[]): Threads {
    const threads = new Map<string, ThreadTimes>()
    for (const process of processes) {
      const folder = `/proc/${process}/task`
      for (const id of this.#list(folder)) {
        const times = threadTimes(this.#read(`${folder}/${id}/schedstat`) ?? '')
        if (times) threads.set(id, times)
      }
    }
    return threads
  }

  /** Tasks that are isolated run in child processes, whose use of processors is this node's own. */
  #children(): string[] {
    const ids = this.#read(`/proc/self/task/${process.pid}/children`)?.trim() ?? ''
    return ids === '' ? [] : ids.split(/\s+/).slice(0, childrenMax)
  }

  #readBounds(nowMs: number): Bounds {
    if (this.#bounds && nowMs - this.#boundsAtMs < boundsEveryMs) return this.#bounds
    this.#folder = groupFolder(this.#read('/proc/self/cgroup') ?? '')
    const cpuMax = this.#folder === undefined ? undefined : this.#read(`${this.#folder}/cpu.max`)
    this.#boundsAtMs = nowMs
    this.#bounds = {
      allowed: allowedProcessors(this.#read('/proc/self/status') ?? ''),
      quota: cpuMax === undefined ? undefined : groupQuota(cpuMax),
    }
    return this.#bounds
  }
}

/** Processors that the whole control group used. */
function groupCpus(before: Counters, now: Counters, passedUs: number): number {
  return before.groupUs === undefined || now.groupUs === undefined ? 0 : (now.groupUs - before.groupUs) / passedUs
}

/** Share of the time in which these processors (undefined: all) were busy. */
function busyShare(
  before: Counters['ticks'],
  now: Counters['ticks'],
  which: readonly number[] | undefined,
): { share: number; count: number } | undefined {
  if (!before || !now) return undefined
  let busy = 0
  let all = 0
  let count = 0
  for (const id of which ?? now.keys()) {
    const [from, to] = [before.get(id), now.get(id)]
    if (!from || !to) continue
    busy += to.busy - from.busy
    all += to.all - from.all
    count += 1
  }
  return all > 0 ? { share: Math.min(1, Math.max(0, busy / all)), count } : undefined
}

/** Waited per ran, over all threads of the process and its children. */
function waitRatio(before: Counters, now: Counters): number {
  const [own, children] = [passed(before.threads, now.threads), passed(before.childThreads, now.childThreads)]
  return (own.waitedMs + children.waitedMs) / Math.max(ranMsMin, own.ranMs + children.ranMs)
}

/** Over all threads that there were at both times. */
function passed(before: Threads, now: Threads): { ranMs: number; waitedMs: number } {
  let ranMs = 0
  let waitedMs = 0
  for (const [id, times] of now) {
    const from = before.get(id)
    if (!from) continue
    ranMs += (times.ranNs - from.ranNs) / 1e6
    waitedMs += (times.waitedNs - from.waitedNs) / 1e6
  }
  return { ranMs, waitedMs }
}
