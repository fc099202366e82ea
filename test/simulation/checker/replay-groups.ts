/**
 * Groups of supervised tasks in the second reading: trees whose leaves are tasks, in order of arrival. Says what a failure
 * leads to, and keeps what it said, so that ledgers can be held against it.
 */
import type { ReplayTask } from './replay.ts'

export interface GroupLevel {
  readonly name: string
  readonly strategy?: string
  readonly intensity?: number
  readonly periodMs?: number
  readonly backoffMs?: number
  readonly restartFrom?: string
  readonly nodeLoss?: string
}

interface Branch {
  readonly path: string
  readonly level: GroupLevel
  readonly above: Branch | undefined
  children: (Branch | ReplayTask)[]
  failures: number[]
}

export type Verdict =
  | {
      readonly what: 'restart'
      readonly tasks: readonly ReplayTask[]
      readonly anew: boolean
      fresh: boolean
      delayMs: number
    }
  | { readonly what: 'end'; readonly tasks: readonly ReplayTask[] }
  | { readonly what: 'lost' }

/** What followed from one failure: these turns were over with it, and if `ended` so were their tasks. */
export interface Consequence {
  readonly sequence: number
  readonly group: string
  readonly turns: readonly { readonly id: string; readonly turn: number }[]
  readonly ended: boolean
}

export class ReplayGroups {
  readonly consequences: Consequence[] = []
  private readonly branches = new Map<string, Branch>()
  private readonly homes = new Map<ReplayTask, Branch>()

  join(task: ReplayTask, levels: readonly GroupLevel[]): void {
    let branch: Branch | undefined
    for (const level of levels) {
      const path: string = branch === undefined ? level.name : `${branch.path}/${level.name}`
      const known = this.branches.get(path)
      const next: Branch = known ?? { path, level, above: branch, children: [], failures: [] }
      if (known === undefined) branch?.children.push(next)
      this.branches.set(path, next)
      branch = next
    }
    branch!.children.push(task)
    this.homes.set(task, branch!)
  }

  /** The task has ended. */
  leave(task: ReplayTask): void {
    let gone: Branch | ReplayTask = task
    let branch = this.homes.get(task)
    this.homes.delete(task)
    while (branch !== undefined) {
      const left: Branch | ReplayTask = gone
      branch.children = branch.children.filter((child) => child !== left)
      if (branch.children.length > 0) return
      this.branches.delete(branch.path)
      gone = branch
      branch = branch.above
    }
  }

  mindsNodes(task: ReplayTask): boolean {
    return this.homes.get(task)?.level.nodeLoss === 'failure'
  }

  /** What the failure of a member leads to; undefined for a task without a group. */
  failed(task: ReplayTask, mayRunAgain: boolean, timeMs: number, sequence: number): Verdict | undefined {
    let child: Branch | ReplayTask = task
    let branch = this.homes.get(task)
    while (branch !== undefined) {
      const { intensity = 5, periodMs = 30_000, strategy = 'one-for-one', restartFrom, backoffMs = 0 } = branch.level
      branch.failures = [...branch.failures.filter((atMs) => atMs + periodMs > timeMs), timeMs]
      if (branch.failures.length <= intensity) {
        if (child === task && !mayRunAgain) return { what: 'lost' }
        const from = strategy === 'rest-for-one' ? branch.children.indexOf(child) : 0
        const whom = strategy === 'one-for-one' ? [child] : branch.children.slice(from)
        const isAnew =
          restartFrom === undefined ? strategy !== 'one-for-one' || child !== task : restartFrom !== 'snapshot'
        const tasks = leaves(whom)
        this.note(sequence, branch, tasks, false)
        const delayMs = Math.min(30_000, backoffMs * 2 ** (branch.failures.length - 1))
        return { what: 'restart', tasks, anew: isAnew, fresh: child !== task, delayMs }
      }
      if (branch.above === undefined) {
        const tasks = leaves([branch]).toReversed()
        this.note(sequence, branch, tasks, true)
        return { what: 'end', tasks }
      }
      forget(branch)
      child = branch
      branch = branch.above
    }
    return undefined
  }

  /** Those that cannot go on without a member that is lost for good, the last one first. */
  needing(task: ReplayTask, sequence: number): readonly ReplayTask[] {
    let whole: Branch | undefined
    let branch = this.homes.get(task)
    while (branch !== undefined && (branch.level.strategy ?? 'one-for-one') !== 'one-for-one') {
      whole = branch
      branch = branch.above
    }
    if (whole === undefined) return []
    const tasks = leaves([whole])
      .filter((other) => other !== task)
      .toReversed()
    this.note(sequence, whole, tasks, true)
    return tasks
  }

  private note(sequence: number, { path }: Branch, tasks: readonly ReplayTask[], ended: boolean): void {
    const running = tasks.filter(({ owner }) => ended || owner !== undefined)
    this.consequences.push({ sequence, group: path, turns: running.map(({ id, turn }) => ({ id, turn })), ended })
  }
}

function leaves(children: readonly (Branch | ReplayTask)[]): ReplayTask[] {
  return children.flatMap((child) => ('failures' in child ? leaves(child.children) : [child]))
}

function forget(branch: Branch): void {
  branch.failures = []
  for (const child of branch.children) if ('failures' in child) forget(child)
}
