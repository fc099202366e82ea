/**
 * Gangs of which some members are held on nodes and some are not: whoever leads gives the rest this long to follow, and then
 * says in the log that those held are handed back, so that two gangs never hold half of the nodes each.
 */
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import { type Gang, gangToStartWith } from '../ledger/gangs.ts'
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'

/** From when the first held member is seen to when all are handed back. */
export const gatherMs = 6_000
/** A decision that is not folded after this long is made again. */
const sayAgainMs = 5_000

interface Gathering {
  readonly heldSince: number
  lapsesAtMs: number
}

export class Gatherings {
  private readonly byGang = new Map<Gang, Gathering>()

  get nextMs(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { lapsesAtMs } of this.byGang.values()) next = Math.min(next, lapsesAtMs)
    return next
  }

  /** A new leader gives every gathering its full time. */
  build(state: LedgerState, nowMs: number): void {
    for (const gang of state.gangs.values()) if (gang.held.length > 0) this.watch(gang, nowMs)
  }

  noteHeld(state: LedgerState, task: TaskRecord, nowMs: number): void {
    const gang = gangToStartWith(state, task)
    if (gang !== undefined) this.watch(gang, nowMs)
  }

  /** A node cannot wait any longer with a member that it holds: returns the entry that hands back the whole gang. */
  refused(state: LedgerState, task: TaskRecord, reason: string): ControlEntry | undefined {
    const gang = gangToStartWith(state, task)
    return gang && [kind.ungathered, gang.id, gang.heldSince, reason]
  }

  /** What has taken too long. */
  lapsed(nowMs: number): ControlEntry[] {
    const entries: ControlEntry[] = []
    for (const [gang, gathering] of this.byGang) {
      const { held } = gang
      if (held.length === 0 || gang.heldSince !== gathering.heldSince) this.byGang.delete(gang)
      else if (gathering.lapsesAtMs <= nowMs) {
        const reason = `its gang "${gang.id}" had ${held.length} of ${gang.starting.size} members after ${gatherMs} ms`
        entries.push([kind.ungathered, gang.id, gang.heldSince, reason])
        gathering.lapsesAtMs = nowMs + sayAgainMs
      }
    }
    return entries
  }

  private watch(gang: Gang, nowMs: number): void {
    if (this.byGang.get(gang)?.heldSince === gang.heldSince) return
    this.byGang.set(gang, { heldSince: gang.heldSince, lapsesAtMs: nowMs + gatherMs })
  }
}
