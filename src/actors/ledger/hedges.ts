/**
 * Hedges: two turns of one task side by side, on two nodes. The leader opens a hedge for a turn that takes long; a second node
 * may then accept the next turn while the first runs on. Whichever turn's entry stands first in the log and commits anything (a
 * state, a child, a signal, an end) is the task's only turn from there on, and the other is recalled. So no state is ever built
 * on what both did, and an end counts once. A turn that fails, yields or loses its node while the other runs just leaves.
 *
 * The numbers of turns only increase: the second has the next one, and whoever comes after both has one beyond that.
 */
import type { Accepted, Hedged } from '../../protocol/entries.ts'
import type { Member } from './member.ts'
import type { LedgerState } from './state.ts'
import type { TaskRecord } from './task-record.ts'

/** The last hedge of a task; replaced as a whole when it changes. */
export interface Hedge {
  /** Of the second turn. */
  readonly turn: number
  readonly reason: string
  readonly atMs: number
  /** The nodes of the first turn and, once it was accepted, of the second. */
  readonly first: string
  readonly second?: string
  /** Who runs the second turn beside the first, and when and by which message it was accepted. */
  readonly beside?: { readonly incarnation: string; readonly atMs: number; readonly sequence: number }
  /** Which turn the task went on with, and why; while absent, both are open. */
  readonly kept?: 'first' | 'second'
  readonly why?: string
}

/** The turn of this task that the member holds, or undefined. */
export function turnHeldBy(task: TaskRecord, member: Member): number | undefined {
  if (task.owner === member) return task.turn
  const hedge = task.rare?.hedge
  return hedge?.beside?.incarnation === member.incarnation ? hedge.turn : undefined
}

/** The message by which the turn that the member holds was accepted. */
export function acceptedAt(task: TaskRecord, member: Member): number {
  return task.owner === member ? task.turnSequence : (task.rare?.hedge?.beside?.sequence ?? 0)
}

/** Who runs a second turn of the task beside its owner. */
export function secondOf(state: LedgerState, task: TaskRecord): Member | undefined {
  const beside = task.rare?.hedge?.beside
  return beside && state.members.get(beside.incarnation)
}

/** A second turn may be accepted, and none was. */
export function isHedgeOpen(task: TaskRecord): boolean {
  const hedge = task.rare?.hedge
  return task.status === 'running' && hedge?.kept === undefined && hedge?.turn === task.turn + 1 && !hedge.beside
}

/** Whether the present turn may be hedged: once, by a type that says so, and not in a gang, which starts together. */
export function mayHedge(task: TaskRecord): boolean {
  const { status, profile, rare, turn } = task
  if (status !== 'running' || profile?.hedge === undefined || rare?.gang !== undefined) return false
  const { hedge } = rare ?? {}
  return hedge === undefined || (hedge.turn <= turn && !(hedge.turn === turn && hedge.kept === 'second'))
}

/** Folds the opening of a hedge. Returns whether it counted. */
export function foldHedged(state: LedgerState, task: TaskRecord, [, , turn, reason]: Hedged): boolean {
  if (task.turn !== turn || task.owner === undefined || !mayHedge(task)) return false
  state.touch(task)
  task.more.hedge = { turn: turn + 1, reason, atMs: state.timeMs, first: task.owner.node }
  state.change('hedged', task)
  return true
}

/** Folds the acceptance of a second turn. Returns whether it counted. */
export function acceptBeside(state: LedgerState, member: Member, task: TaskRecord, [, , turn]: Accepted): boolean {
  const hedge = task.rare?.hedge
  if (hedge?.turn !== turn || !isHedgeOpen(task)) return false
  if (member.node === hedge.first || !member.types.has(task.type)) return false
  state.touch(task)
  const beside = { incarnation: member.incarnation, atMs: state.timeMs, sequence: state.position }
  task.more.hedge = { ...hedge, second: member.node, beside }
  member.running.add(task)
  state.change('running-beside', task)
  return true
}

/** The member commits something by this turn: if it holds the turn, it alone holds the task now. */
export function commitsTurn(state: LedgerState, task: TaskRecord, member: Member, turn: number): boolean {
  if (!holdsTurn(task, member, turn)) return false
  if (task.rare?.hedge === undefined || task.rare.hedge.kept !== undefined) return true
  state.touch(task)
  if (task.owner === member) endSecond(state, task, 'the first turn was faster')
  else overtake(state, task, 'the second turn was faster')
  return true
}

export function holdsTurn(task: TaskRecord, member: Member, turn: number): boolean {
  return task.status === 'running' && turnHeldBy(task, member) === turn
}

/** One of two turns comes to nothing: the other goes on alone. Returns false if there is no other. */
export function leavesToOther(state: LedgerState, task: TaskRecord, turn: number, why: string): boolean {
  const hedge = task.rare?.hedge
  if (hedge?.beside === undefined || task.status !== 'running') return false
  if (turn !== task.turn && turn !== hedge.turn) return false
  state.touch(task)
  if (turn === task.turn) overtake(state, task, `the first turn ${why}`)
  else endSecond(state, task, `the second turn ${why}`)
  return true
}

/** No second turn any more; the first is the task's only one, or is over as well. */
export function endSecond(state: LedgerState, task: TaskRecord, why: string): void {
  const hedge = task.rare?.hedge
  if (hedge === undefined || hedge.kept !== undefined) return
  const { beside, ...rest } = hedge
  task.more.hedge = { ...rest, kept: 'first', why }
  state.change('hedge-over', task)
  const member = beside && state.members.get(beside.incarnation)
  if (member === undefined || !member.running.delete(task)) return
  recall(state, member, task, hedge.turn, why)
}

/**
 * The number of a second turn is spent, accepted or not: who was invited to it may have begun from a state that the first turn
 * has left behind. Whoever comes next has a number beyond it. Called when the task loses its owner.
 */
export function spendTurns(task: TaskRecord): void {
  const hedge = task.rare?.hedge
  if (hedge !== undefined && hedge.turn > task.turn) task.turn = hedge.turn
}

/** The second turn is the task's only one. */
function overtake(state: LedgerState, task: TaskRecord, why: string): void {
  const hedge = task.rare?.hedge
  const { owner, turn, turnAtMs } = task
  const member = secondOf(state, task)
  if (hedge?.beside === undefined || owner === undefined || member === undefined) return
  const { beside, ...rest } = hedge
  task.more.hedge = { ...rest, kept: 'second', why }
  owner.running.delete(task)
  recall(state, owner, task, turn, why)
  task.owner = member
  task.turn = hedge.turn
  task.profile = member.types.get(task.type)
  task.turnAtMs = beside.atMs
  task.turnSequence = beside.sequence
  state.changes.push({ what: 'overtaken', task, member, loser: owner, lastedMs: state.timeMs - turnAtMs })
}

function recall(state: LedgerState, member: Member, { id }: TaskRecord, turn: number, reason: string): void {
  if (member.live) state.changes.push({ what: 'recalled', member, id, turn, reason })
}
