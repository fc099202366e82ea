/**
 * Rule 6: what a node says that it runs, against a ledger folded past the node's last block. What the node lists and does
 * not own it is to drop; what the ledger gives it and it does not list is to be revoked.
 */
import { type ControlEntry, kind } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import type { NodeReport } from '../../protocol/messages.ts'
import { acceptedAt, turnHeldBy } from '../ledger/hedges.ts'
import type { Member } from '../ledger/member.ts'
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Dropped } from './effects.ts'

export type RunningReport = Extract<NodeReport, readonly ['running', ...unknown[]]>

export interface Compared {
  readonly dropped: readonly Dropped[]
  readonly revoked: readonly ControlEntry[]
  /** What both agree on. */
  readonly owned: readonly TaskRecord[]
  /** What the node holds for its gang, which has been accepted as a whole. */
  readonly unbegun: readonly TaskRecord[]
}

/** Returns what differs; nothing while the ledger has not been folded as far as the node's last block. */
export function compareTurns(
  state: LedgerState,
  member: Member,
  lastBlockSequence: number,
  turns: RunningReport[2],
): Compared {
  const dropped: Dropped[] = []
  const revoked: ControlEntry[] = []
  const owned: TaskRecord[] = []
  const unbegun: TaskRecord[] = []
  if (state.position < lastBlockSequence) return { dropped, revoked, owned, unbegun }
  const listed = new Set<string>()
  for (const [id, turn, held] of turns) {
    listed.add(id)
    const task = state.tasks.get(id)
    if (task === undefined || turnHeldBy(task, member) !== turn) dropped.push([id, turn, 'the turn belongs to another'])
    else {
      owned.push(task)
      if (held && task.status === 'running') unbegun.push(task)
    }
  }
  for (const task of member.running) {
    const turn = turnHeldBy(task, member) ?? task.turn
    if (acceptedAt(task, member) <= lastBlockSequence && !listed.has(task.id) && revoked.length < limits.rowsMax) {
      revoked.push([kind.revoked, task.id, turn, 'its node does not know the turn'])
    }
  }
  return { dropped, revoked, owned, unbegun }
}
