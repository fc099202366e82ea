/** Schedules in the second reading: which firing is due, which counts, and which task each makes. */
import type { ReplayTask } from './replay.ts'

interface Schedule {
  readonly schedule: string
  readonly timeZone: string
  readonly type: string
  readonly overlap: string
  readonly options?: object
}

interface Known {
  readonly schedule: Schedule
  readonly setBy: number
  nextAtMs: number
  open: readonly ReplayTask[]
  isFresh: boolean
}

/** What the log says of one due time. */
export interface ReplayFiring {
  readonly name: string
  readonly pattern: string
  readonly dueAtMs: number
  readonly nextAtMs: number
  /** Log time at which it was written. */
  readonly atMs: number
  readonly what: 'fired' | 'skipped' | 'missed'
  /** The first since the schedule was set with this pattern. */
  readonly isFirst: boolean
}

export type Firing =
  | { readonly what: 'make'; readonly id: string; readonly type: string; readonly options: object }
  | { readonly what: 'skip' }

const queuedMax = 100

export class ReplaySchedules {
  readonly firings: ReplayFiring[] = []
  private readonly known = new Map<string, Known>()

  set(name: string, schedule: Schedule | null, nextAtMs: number, setBy: number): void {
    const before = this.known.get(name)
    this.known.delete(name)
    if (schedule === null) return
    const isSame = before?.schedule.schedule === schedule.schedule && before.schedule.timeZone === schedule.timeZone
    this.known.set(name, {
      schedule,
      setBy,
      nextAtMs: isSame ? before.nextAtMs : nextAtMs,
      open: before?.open ?? [],
      isFresh: !isSame || before.isFresh,
    })
  }

  missed(name: string, dueAtMs: number, nextAtMs: number, timeMs: number, setBy: unknown): void {
    const known = this.standsAt(name, dueAtMs, timeMs)
    if (known === undefined || known.setBy !== setBy) return
    known.nextAtMs = nextAtMs
    this.note(name, known, dueAtMs, nextAtMs, timeMs, 'missed')
  }

  /** Undefined when it does not count. `replaced` is called for those that end in its favour. */
  fired(
    name: string,
    dueAtMs: number,
    nextAtMs: number,
    timeMs: number,
    setBy: unknown,
    replaced: (task: ReplayTask) => void,
  ): Firing | undefined {
    const known = this.standsAt(name, dueAtMs, timeMs)
    if (known === undefined || known.setBy !== setBy) return undefined
    known.nextAtMs = nextAtMs
    const { overlap, type, options } = known.schedule
    known.open = known.open.filter(({ ended }) => !ended)
    if ((overlap === 'skip' && known.open.length > 0) || (overlap === 'queue' && known.open.length >= queuedMax)) {
      this.note(name, known, dueAtMs, nextAtMs, timeMs, 'skipped')
      return { what: 'skip' }
    }
    this.note(name, known, dueAtMs, nextAtMs, timeMs, 'fired')
    if (overlap === 'replace') for (const task of known.open) replaced(task)
    const last = overlap === 'queue' ? known.open.at(-1) : undefined
    const id = `${name}@${new Date(dueAtMs).toISOString().slice(0, 19)}Z`
    return { what: 'make', id, type, options: { ...options, id, ...(last && { after: [last.id] }) } }
  }

  made(name: string, task: ReplayTask): void {
    const known = this.known.get(name)
    if (known === undefined) return
    const { overlap } = known.schedule
    known.open = overlap === 'allow' ? [] : overlap === 'queue' ? [...known.open, task] : [task]
  }

  private standsAt(name: string, dueAtMs: number, timeMs: number): Known | undefined {
    const known = this.known.get(name)
    return known?.nextAtMs === dueAtMs && dueAtMs <= timeMs ? known : undefined
  }

  private note(
    name: string,
    known: Known,
    dueAtMs: number,
    nextAtMs: number,
    atMs: number,
    what: ReplayFiring['what'],
  ): void {
    this.firings.push({ name, pattern: known.schedule.schedule, dueAtMs, nextAtMs, atMs, what, isFirst: known.isFresh })
    known.isFresh = false
  }
}
