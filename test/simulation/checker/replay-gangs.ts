/** Gangs in the second reading of a log: who is held, when all begin, who is called back. Written apart from the fold. */
import type { ReplayTask } from './replay.ts'

export interface GangOption {
  readonly id: string
  readonly size: number
  readonly restart?: 'together' | 'alone'
}

export interface ReplayGang extends GangOption {
  readonly all: ReplayTask[]
  /** Those that start together next time. */
  starters: ReplayTask[]
  /** Log time of the first start; undefined before it. */
  startedAtMs: number | undefined
  /** Where the first of those that are held was accepted. */
  since: number
  /** Where it broke, before it had started. */
  brokenAt?: number
}

export class ReplayGangs {
  /** Every gang that there was; of one name, the last is the one that counts. */
  readonly gangs: ReplayGang[] = []

  of(task: ReplayTask): ReplayGang | undefined {
    return this.gangs.findLast(({ all }) => all.includes(task))
  }

  /** Whether it fits: not if there is no room for it, or if the gang broke in the message that brings it. */
  join(task: ReplayTask, option: GangOption, position: number): 'joined' | 'conflict' | 'broken' {
    const open = this.gangs.findLast(({ id }) => id === option.id)
    if (open?.brokenAt === position) return 'broken'
    if (open === undefined || isOver(open)) {
      this.gangs.push({ ...option, all: [task], starters: [task], startedAtMs: undefined, since: 0 })
      return 'joined'
    }
    const fits = open.startedAtMs === undefined && open.all.length < open.size
    if (!fits || open.size !== option.size || open.restart !== option.restart) return 'conflict'
    open.all.push(task)
    open.starters.push(task)
    return 'joined'
  }

  /** True for a task that is held now instead of running; perhaps its gang begins. */
  accepted(task: ReplayTask, position: number, nowMs: number): boolean {
    const gang = this.of(task)
    if (!gang?.starters.includes(task)) return false
    if (!gang.starters.some(({ status }) => status === 'held')) gang.since = position
    task.status = 'held'
    this.begin(gang, nowMs)
    return true
  }

  private begin(gang: ReplayGang, nowMs: number): void {
    const isWhole = gang.startedAtMs !== undefined || gang.all.length === gang.size
    if (!isWhole || gang.starters.length === 0 || gang.starters.some(({ status }) => status !== 'held')) return
    gang.startedAtMs ??= nowMs
    for (const task of gang.starters) {
      task.status = 'running'
      task.turnAtMs = nowMs
    }
    gang.starters = []
  }

  /** A member has ended; returns those that end with it. */
  ended(task: ReplayTask, nowMs: number, position: number): ReplayTask[] {
    const gang = this.of(task)
    if (gang === undefined) return []
    if (gang.startedAtMs === undefined) gang.brokenAt = position
    if (gang.startedAtMs === undefined) return gang.all.filter((other) => !other.ended)
    gang.starters = gang.starters.filter((other) => other !== task)
    this.begin(gang, nowMs)
    return []
  }

  /** A member that ran has lost its node; returns those that are taken back with it. */
  lost(task: ReplayTask): ReplayTask[] {
    const gang = this.of(task)
    if (gang === undefined || gang.restart === 'alone') return []
    const others = gang.all.filter(({ status }) => status === 'running')
    gang.starters.push(task, ...others)
    return others
  }

  /** A gathering is over; returns those that were held. */
  ungathered(id: string, since: number): ReplayTask[] {
    const gang = this.gangs.findLast((one) => one.id === id)
    return gang?.since === since ? gang.starters.filter(({ status }) => status === 'held') : []
  }
}

function isOver({ all, startedAtMs }: ReplayGang): boolean {
  return startedAtMs === undefined ? all.some(({ ended }) => ended) : all.every(({ ended }) => ended)
}
