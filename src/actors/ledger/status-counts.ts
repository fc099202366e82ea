/** How many tasks have which status, of all tasks and of each type that has any. */
import type { RecordStatus } from './task-record.ts'

export type Counts = Record<RecordStatus, number>

function none(): Counts {
  return {
    blocked: 0,
    waiting: 0,
    held: 0,
    running: 0,
    parked: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
  }
}

interface TypeCounts {
  readonly counts: Counts
  tasks: number
}

export class StatusCounts {
  readonly all = none()
  private readonly byType = new Map<string, TypeCounts>()

  add(type: string, status: RecordStatus): void {
    let known = this.byType.get(type)
    if (known === undefined) this.byType.set(type, (known = { counts: none(), tasks: 0 }))
    known.tasks++
    known.counts[status]++
    this.all[status]++
  }

  move(type: string, from: RecordStatus, to: RecordStatus): void {
    const known = this.byType.get(type)
    if (known !== undefined) {
      known.counts[from]--
      known.counts[to]++
    }
    this.all[from]--
    this.all[to]++
  }

  remove(type: string, status: RecordStatus): void {
    this.all[status]--
    const known = this.byType.get(type)
    if (known === undefined) return
    known.counts[status]--
    if (--known.tasks === 0) this.byType.delete(type)
  }

  /** Of this type, or of all, those that wait to be accepted. */
  queued(type?: string): number {
    const counts = type === undefined ? this.all : this.byType.get(type)?.counts
    return counts === undefined ? 0 : counts.waiting + counts.blocked
  }

  /** The types with the most live tasks, and how many of them in which status. */
  busiest(count: number): { readonly type: string; readonly counts: Readonly<Counts> }[] {
    const rows = [...this.byType].map(([type, { counts }]) => ({ type, counts, live: live(counts) }))
    rows.sort((a, b) => b.live - a.live || (a.type < b.type ? -1 : 1))
    return rows.slice(0, count).map(({ type, counts }) => ({ type, counts: { ...counts } }))
  }
}

function live({ blocked, waiting, held, running, parked }: Counts): number {
  return blocked + waiting + held + running + parked
}
