/**
 * Which firings of cron schedules a leading scheduler makes, and which it gives up as missed. It says so in entries, each
 * with the due time after it; what becomes of them is for the fold. When a schedule is due it asks a calendar.
 *
 * A firing was missed when nobody could make it: it was due before this scheduler followed the log, or longer ago than
 * `lateMs`. A standby that takes over has followed the log all the time, so a failover misses nothing.
 */
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import type { Schedule } from '../../protocol/schedule.ts'
import type { Change } from '../ledger/change.ts'
import type { ScheduleRecord } from '../ledger/schedules.ts'
import type { LedgerState } from '../ledger/state.ts'
import { Heap } from './heap.ts'

/** Knows patterns and time zones. A pure function of what it is given, and of the time zones that its machine knows. */
export interface Calendar {
  /** The first due time after an instant; undefined: never. Throws when the pattern or the time zone is not known here. */
  nextMs(schedule: Pick<Schedule, 'schedule' | 'timeZone'>, afterMs: number): number | undefined
}

const lateMs = 60_000
/** A decision that was appended and is not folded after this long is made again: it was lost. */
const decideAgainMs = 5_000
/** How long a schedule rests whose time zone this machine does not know; another may lead by then. */
const unknownZoneMs = 60_000
/** Firings in one block: of one schedule, so that many that were missed leave room for others; and in all. */
const firingsPerScheduleMax = 20
const firingsMax = 200
const bytesMax = limits.blockBytesMax / 4

interface Due {
  readonly name: string
  readonly atMs: number
}

export class Firings {
  private readonly state: LedgerState
  private readonly calendar: Calendar
  private readonly followingSinceMs: number
  private readonly due = new Heap<Due>()

  /** `followingSinceMs`: log time from which on this process has followed the log, leading or not. */
  constructor(state: LedgerState, calendar: Calendar, followingSinceMs: number) {
    this.state = state
    this.calendar = calendar
    this.followingSinceMs = followingSinceMs
    for (const record of state.schedules.values()) this.watch(record)
  }

  /** Takes note of what was folded. */
  note(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.what !== 'scheduled') continue
      const record = this.state.schedules.get(change.name)
      if (record !== undefined) this.watch(record)
    }
  }

  /** When `alarm` has something to do. */
  get nextMs(): number {
    return this.due.peekRank()
  }

  /** What is to be written by now. */
  alarm(nowMs: number): ControlEntry[] {
    const entries: ControlEntry[] = []
    let bytes = 0
    while (entries.length < firingsMax && bytes < bytesMax && this.due.peekRank() <= nowMs) {
      const due = this.due.pop()!
      const record = this.state.schedules.get(due.name)
      if (record?.nextAtMs !== due.atMs) continue
      const before = entries.length
      try {
        this.decide(record, nowMs, entries)
        this.due.push(due, nowMs + decideAgainMs)
      } catch {
        entries.length = before
        this.due.push(due, nowMs + unknownZoneMs)
      }
      bytes += (entries.length - before) * sizeOf(record)
    }
    return entries
  }

  private watch(record: ScheduleRecord): void {
    const { name, nextAtMs: atMs } = record
    if (atMs > 0) this.due.push({ name, atMs }, atMs)
    if (this.due.length > 1_000 + 2 * this.state.schedules.size) {
      this.due.sweep((due) => this.state.schedules.get(due.name)?.nextAtMs === due.atMs)
    }
  }

  private decide(record: ScheduleRecord, nowMs: number, entries: ControlEntry[]): void {
    const { name, schedule, input, nextAtMs, setSequence } = record
    const borderMs = Math.max(this.followingSinceMs, nowMs - lateMs)
    const firstMs = this.firstToMake(schedule, nextAtMs, borderMs)
    if (firstMs !== nextAtMs) entries.push([kind.missed, name, nextAtMs, firstMs, setSequence])
    let atMs = firstMs
    for (let made = 0; atMs > 0 && atMs <= nowMs && made < firingsPerScheduleMax; made++) {
      const nextMs = this.next(schedule, atMs)
      entries.push([kind.fired, name, atMs, nextMs, input, setSequence])
      atMs = nextMs
    }
  }

  /** The firing with which to go on: the one due, or a later one when those before it were missed for good. 0: none. */
  private firstToMake(schedule: Schedule, dueAtMs: number, borderMs: number): number {
    if (dueAtMs >= borderMs) return dueAtMs
    switch (schedule.missed) {
      case 'skip':
        return this.next(schedule, borderMs - 1)
      case 'latest':
        return this.latest(schedule, dueAtMs, borderMs)
      case 'all':
        return this.latestOf(limits.firingsMissedMax, schedule, dueAtMs, borderMs)
    }
  }

  private next(schedule: Schedule, afterMs: number): number {
    return this.calendar.nextMs(schedule, afterMs) ?? 0
  }

  /** The last due time before `borderMs`, where `dueAtMs` is one. A calendar only looks ahead, so: steps back, then halves. */
  private latest(schedule: Schedule, dueAtMs: number, borderMs: number): number {
    const isBefore = (afterMs: number) => {
      const nextMs = this.next(schedule, afterMs)
      return nextMs > 0 && nextMs < borderMs
    }
    if (!isBefore(dueAtMs)) return dueAtMs
    let stepMs = this.next(schedule, dueAtMs) - dueAtMs
    let lowMs = borderMs - stepMs
    let highMs = borderMs
    while (lowMs > dueAtMs && !isBefore(lowMs)) {
      highMs = lowMs
      stepMs *= 2
      lowMs = borderMs - stepMs
    }
    lowMs = Math.max(lowMs, dueAtMs)
    while (highMs - lowMs > 1_000) {
      const middleMs = Math.floor((lowMs + highMs) / 2)
      if (isBefore(middleMs)) lowMs = middleMs
      else highMs = middleMs
    }
    return this.next(schedule, lowMs)
  }

  /** The first of the last `count` due times before `borderMs`. */
  private latestOf(count: number, schedule: Schedule, dueAtMs: number, borderMs: number): number {
    let known = 0
    for (let atMs = dueAtMs; atMs > 0 && atMs < borderMs; atMs = this.next(schedule, atMs)) if (++known > count) break
    if (known <= count) return dueAtMs
    let firstMs = borderMs
    for (let left = count; left > 0; left--) firstMs = this.latest(schedule, dueAtMs, firstMs)
    return firstMs
  }
}

/** An upper bound of a firing's bytes in its block. */
function sizeOf({ name, input, schedule }: ScheduleRecord): number {
  const payload = typeof input === 'string' ? input.length * 3 : input instanceof Uint8Array ? input.length : 128
  return payload + name.length + schedule.type.length + 64
}
