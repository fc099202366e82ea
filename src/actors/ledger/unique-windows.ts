/** Who was submitted last under which key of uniqueness, and when; bounded, the oldest are forgotten first. */
import { limits } from '../../protocol/limits.ts'

export type UniqueRow = readonly [key: string, task: string, atMs: number, withinMs: number]

export class UniqueWindows {
  private readonly rows = new Map<string, UniqueRow>()

  constructor(rows: Iterable<UniqueRow> = []) {
    for (const row of rows) this.rows.set(row[0], row)
  }

  /** The task that was first within this time; undefined when it is this one, which then holds the key. */
  rivalOf(task: string, key: string, withinMs: number, nowMs: number): string | undefined {
    const first = this.rows.get(key)
    if (first !== undefined && nowMs < first[2] + withinMs) return first[1]
    this.rows.delete(key)
    if (this.rows.size >= limits.uniqueKeysMax) this.makeRoom(nowMs)
    this.rows.set(key, [key, task, nowMs, withinMs])
    return undefined
  }

  [Symbol.iterator](): Iterator<UniqueRow> {
    return this.rows.values()
  }

  private makeRoom(nowMs: number): void {
    for (const [key, , atMs, withinMs] of this.rows.values()) if (atMs + withinMs <= nowMs) this.rows.delete(key)
    for (const key of this.rows.keys()) {
      if (this.rows.size < limits.uniqueKeysMax) return
      this.rows.delete(key)
    }
  }
}
