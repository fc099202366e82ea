/** Why a task is not running, in a sentence, for whoever asks. */
import type { Gang } from '../ledger/gangs.ts'
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { Gate } from './gate.ts'
import type { Offers } from './offers.ts'
import { lacking, unfit } from './policies/demands.ts'
import type { Quotes } from './quotes.ts'
import type { Tenders } from './tenders.ts'

/** A node did not take an award. */
export interface Refusal {
  readonly node: string
  readonly reason: string
  readonly atMs: number
  readonly turn: number
}

export interface WaitingView {
  readonly offers: Offers
  readonly gate: Gate
  readonly tenders: Tenders
  readonly quotes: Quotes
  readonly gangs: ReadonlyMap<string, Gang>
  readonly refusals: WeakMap<TaskRecord, Refusal>
  readonly members: Iterable<Member>
  readonly nowMs: number
}

/** Returns the reason, or undefined for a task that runs or has ended. */
export function waitingReason(task: TaskRecord, view: WaitingView): string | undefined {
  if (task.status === 'blocked') return `waits for ${[...(task.rare?.after ?? [])].slice(0, 5).join(', ')}`
  if (task.status === 'parked') return parkedReason(task)
  if (task.status === 'held') return heldReason(task, view.gangs)
  if (task.status !== 'waiting') return undefined
  if (task.dueAtMs > view.nowMs) {
    const why = task.turn > 0 ? 'backs off after a failure' : 'is delayed'
    return `${why} until ${new Date(task.dueAtMs).toISOString()}`
  }
  const award = view.offers.awardOf(task)
  if (award !== undefined) return `awarded to ${award.member.node}, not accepted yet`
  const reason =
    view.tenders.waitingReason(task, view.nowMs) ??
    view.gate.limiter.blocks(task, view.nowMs)?.reason ??
    view.quotes.waitingReason(task) ??
    nodesReason(task, view)
  const refusal = view.refusals.get(task)
  if (refusal?.turn !== task.turn + 1) return reason
  return `${reason}; ${refusal.node} refused its last award: ${refusal.reason}`
}

function heldReason(task: TaskRecord, gangs: WaitingView['gangs']): string {
  const gang = gangs.get(task.rare?.gang?.id ?? '')
  const node = task.owner?.node ?? '?'
  return `${node} holds it until all of its gang "${gang?.id}" are accepted: ${gang?.held.length} of ${gang?.starting.size} are`
}

function parkedReason(task: TaskRecord): string {
  const rare = task.rare
  const reasons: string[] = []
  if (rare?.onSignal) reasons.push('a signal')
  if (rare?.wakeAtMs !== undefined) reasons.push(`a timer at ${new Date(rare.wakeAtMs).toISOString()}`)
  if (rare?.awaited !== undefined) reasons.push(`${rare.awaited.size} children`)
  return `waits for ${reasons.join(' or ')}`
}

function nodesReason(task: TaskRecord, { members, gate }: WaitingView): string {
  let nodes = 0
  let able = 0
  let fit = 0
  let why: string | undefined
  let short: string | undefined
  for (const member of members) {
    nodes++
    const profile = member.types.get(task.type)
    if (profile === undefined) continue
    able++
    const misfit = unfit(profile, member.profile)
    if (misfit !== undefined) {
      why ??= `${misfit} ("${member.node}")`
      continue
    }
    fit++
    const name = lacking(profile.resources, gate.claims.roomOf(member))
    if (name !== undefined) short ??= `it asks for ${profile.resources[name]} ${name}`
  }
  if (nodes === 0) return 'no node has joined'
  if (able === 0) return `none of ${nodes} nodes has the task type "${task.type}"`
  if (fit === 0) return `none of the ${able} nodes with the type can ever take it: ${why}`
  if (short !== undefined) return `${short}, of which none of the ${fit} nodes that could has enough left now`
  return `all credits of the ${able} nodes with the type are in use`
}
