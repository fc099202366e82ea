/**
 * Hedges as the second reading of the log knows them: beside the turn of the owner another may run, with the next number, on
 * another node. What the first of them commits makes it the only one; what one loses leaves the other.
 */
import type { ReplayMember, ReplayTask } from './replay.ts'

export interface ReplayHedge {
  readonly turn: number
  member: ReplayMember | undefined
  /** Somebody has taken it, whatever became of that. */
  isTaken: boolean
  atMs: number
  isOver: boolean
}

export function open(task: ReplayTask, turn: unknown): void {
  const { hedge, profile } = task
  if (task.status !== 'running' || task.turn !== turn || profile?.hedge === undefined) return
  if (hedge !== undefined) return
  task.hedge = { turn: task.turn + 1, member: undefined, isTaken: false, atMs: 0, isOver: false }
}

export function accepts(task: ReplayTask, member: ReplayMember, nowMs: number): boolean {
  const { hedge, owner, profile } = task
  if (task.status !== 'running' || hedge === undefined || hedge.isTaken || hedge.isOver) return false
  if (owner === undefined || owner.node === member.node || !member.types.has(task.type) || !profile) return false
  Object.assign(hedge, { member, isTaken: true, atMs: nowMs })
  return true
}

export function holds(task: ReplayTask, member: ReplayMember, turn: unknown): boolean {
  if (task.owner === member) return task.turn === turn
  return task.hedge?.member === member && task.hedge.turn === turn
}

/** The member's turn has committed something. */
export function commits(task: ReplayTask, member: ReplayMember): void {
  if (task.hedge === undefined) return
  if (task.hedge.member === member) takeOver(task)
  else close(task)
}

/** The member has nothing of this task any more; true if another still has. */
export function loses(task: ReplayTask, member: ReplayMember): boolean {
  if (task.hedge?.member === undefined) return false
  if (task.hedge.member === member) close(task)
  else if (task.owner === member) takeOver(task)
  else return false
  return true
}

export function revoked(task: ReplayTask, turn: unknown): boolean {
  const { hedge, owner } = task
  if (hedge?.member === undefined || owner === undefined) return false
  if (turn === task.turn) return loses(task, owner)
  return turn === hedge.turn && loses(task, hedge.member)
}

/** The task has no turn any more: the next has a number that none had. */
export function over(task: ReplayTask): void {
  if (task.hedge !== undefined) task.turn = Math.max(task.turn, task.hedge.turn)
  task.hedge = undefined
}

function close(task: ReplayTask): void {
  const { hedge } = task
  if (hedge === undefined) return
  hedge.member = undefined
  hedge.isOver = true
}

function takeOver(task: ReplayTask): void {
  const { hedge } = task
  if (hedge?.member === undefined) return
  task.owner = hedge.member
  task.turn = hedge.turn
  task.turnAtMs = hedge.atMs
  task.profile = hedge.member.types.get(task.type)
  close(task)
}
