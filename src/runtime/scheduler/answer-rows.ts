/** Ledger records as people and programs see them: the JSON of `task`, `tasks`, `nodes`, `stats`. */

import { breakerState, halfOpenAtMs } from '../../actors/ledger/breakers.ts'
import type { Hedge } from '../../actors/ledger/hedges.ts'
import type { Member } from '../../actors/ledger/member.ts'
import type { LedgerState } from '../../actors/ledger/state.ts'
import { pathOf } from '../../actors/ledger/supervision.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { Agenda } from '../../actors/scheduler/agenda.ts'
import { unfit } from '../../actors/scheduler/policies/demands.ts'
import type { LimitsAnswer } from '../../protocol/limit-messages.ts'
import { limits } from '../../protocol/limits.ts'
import type {
  HedgeAnswer,
  NegotiationAnswer,
  NodeAnswer,
  PlacementAnswer,
  StatsAnswer,
  TaskAnswer,
  TaskStatus,
} from '../../protocol/messages.ts'
import { allTypes } from '../../protocol/options.ts'

/** A record's status in the contract's words. */
export function statusOf(task: TaskRecord, nowMs: number, agenda?: Agenda): TaskStatus {
  if (task.status === 'held') return 'awarded'
  if (task.status !== 'waiting') return task.status
  if (task.dueAtMs > nowMs) return 'delayed'
  return agenda?.awardedTo(task) === undefined ? 'ready' : 'awarded'
}

/** Without the result, which stands in the log. */
export function taskRow(task: TaskRecord, nowMs: number, agenda?: Agenda): TaskAnswer {
  const rare = task.rare
  const node = task.owner?.node ?? agenda?.awardedTo(task)?.node
  const waiting = agenda?.waitingReason(task, nowMs)
  const move = agenda?.moveOf(task)
  const dueAtMs = task.status === 'parked' ? rare?.wakeAtMs : task.dueAtMs > nowMs ? task.dueAtMs : undefined
  return {
    id: task.id,
    type: task.type,
    status: statusOf(task, nowMs, agenda),
    attempt: task.attempt,
    turn: task.turn,
    ...(node !== undefined && { node }),
    priority: task.priority,
    ...(task.key !== undefined && { key: task.key }),
    ...(rare?.gang && { gang: rare.gang }),
    ...(rare?.group !== undefined && { group: pathOf(rare.group) }),
    submittedAt: iso(task.submittedAtMs),
    ...(dueAtMs !== undefined && !task.ended && { dueAt: iso(dueAtMs) }),
    ...(rare?.deadlineAtMs !== undefined && { deadlineAt: iso(rare.deadlineAtMs) }),
    ...(task.startedAtMs > 0 && { startedAt: iso(task.startedAtMs) }),
    ...(task.finishedAtMs > 0 && { finishedAt: iso(task.finishedAtMs) }),
    ...(rare?.progress && { progress: rare.progress }),
    ...(waiting !== undefined && { waiting }),
    ...(move && { move: { at: iso(move.atMs), from: move.from, to: move.to, reason: move.reason } }),
    ...(rare?.hedge && { hedge: hedgeRow(rare.hedge) }),
    ...(rare?.lastError !== undefined && task.status !== 'completed' && { error: rare.lastError }),
  }
}

function hedgeRow({ atMs, reason, first, second, kept, why }: Hedge): HedgeAnswer {
  return { at: iso(atMs), reason, first, ...(second && { second }), ...(kept && { kept }), ...(why && { why }) }
}

/** How the task was placed, for `task.<id>`; undefined when that is forgotten. */
export function placementRow(task: TaskRecord, state: LedgerState, agenda?: Agenda): PlacementAnswer | undefined {
  const decision = agenda?.decisionOf(task)
  if (decision === undefined) return undefined
  const quotes = new Map(agenda?.quotesFor(task)?.map((quote) => [quote.node, quote]))
  const profiles = new Map([...state.membersBySubject.values()].map((member) => [member.node, member]))
  const bids = decision.bids.map((bid) => {
    const member = profiles.get(bid.node)
    const profile = member?.types.get(task.type)
    const { extraMs, reason: refusal } = quotes.get(bid.node) ?? { extraMs: 0, reason: undefined }
    const lack =
      member === undefined ? undefined : profile === undefined ? 'lacks the type' : unfit(profile, member.profile)
    const reason = lack ?? (extraMs === null ? refusal : undefined)
    return { ...bid, ...(extraMs && { extraMs }), ...(reason !== undefined && { unfit: reason }) }
  })
  const { node, atMs, policy } = decision
  return { node, at: iso(atMs), policy, bids: bids.sort((a, b) => costOf(a) - costOf(b)).slice(0, 20) }
}

const costOf = ({ priceMs, extraMs = 0 }: PlacementAnswer['bids'][number]) => priceMs + extraMs

/** The call for bids in which places were reserved for the task, for `task.<id>`. */
export function negotiationRow(task: TaskRecord, nowMs: number, agenda?: Agenda): NegotiationAnswer | undefined {
  const negotiation = agenda?.negotiationOf(task, nowMs)
  if (negotiation === undefined) return undefined
  const { atMs, ...rest } = negotiation
  return {
    at: iso(atMs),
    ...rest,
    bids: rest.bids.map(({ reason, ...bid }) => ({ ...bid, ...(reason && { reason }) })),
  }
}

/** For a type with a breaker that is not closed, or could open. */
function breakerRow(state: LedgerState, type: string, nowMs: number) {
  const limit = state.limits.get(type)?.breaker
  if (limit === undefined) return undefined
  const breaker = state.breakers.get(type)
  const tries = breaker === undefined ? 0 : halfOpenAtMs(breaker, limit)
  return { breakerState: breakerState(breaker, limit, nowMs), ...(tries > nowMs && { triesAt: iso(tries) }) }
}

export function limitsRow(state: LedgerState, nowMs: number): LimitsAnswer {
  const rows = [...state.limits].slice(0, rowsMax).map(([type, limits]) => {
    const queued = limits.queuedMax === undefined ? undefined : state.queuedOf(type === allTypes ? undefined : type)
    return { type, ...limits, ...(queued !== undefined && { queued }), ...breakerRow(state, type, nowMs) }
  })
  return { types: rows }
}

const { rowsMax } = limits
/** Types that an answer counts one by one. */
const typesMax = 100

/** What a supervisor knows of a node beyond the ledger. */
export interface NodeHealth {
  readonly status: NodeAnswer['status']
  readonly lastSeenAtMs: number | undefined
}

export function nodeRow(member: Member, agenda: Agenda | undefined, health: NodeHealth | undefined): NodeAnswer {
  const offer = agenda?.offers.of(member.incarnation)
  const lastSeenAtMs = health?.lastSeenAtMs ?? offer?.heardAtMs
  const trust = agenda?.healthOf(member.node) ?? 1
  return {
    id: member.node,
    incarnation: member.incarnation,
    pid: member.profile.pid,
    host: member.profile.host,
    status: offer?.status === 'draining' ? 'draining' : (health?.status ?? 'ready'),
    slots: member.profile.slots,
    running: member.running.size,
    ...(offer && { load: offer.load, bid: offer.bid }),
    ...(trust < 1 && { health: Math.round(trust * 100) / 100 }),
    resources: member.profile.resources,
    labels: member.profile.labels,
    types: [...member.types.keys()].slice(0, 1_000),
    joinedAt: iso(member.joinedAtMs),
    ...(lastSeenAtMs !== undefined && { lastSeenAt: iso(lastSeenAtMs) }),
  }
}

export function statsRow(state: LedgerState, nowMs: number, agenda: Agenda | undefined): StatsAnswer {
  const { counts, totals } = state
  const awarded = agenda?.offers.awardedCount ?? 0
  const delayed = agenda?.delayedCount ?? 0
  const breakers = limitsRow(state, nowMs).types.flatMap(({ type, breakerState, triesAt }) =>
    breakerState === undefined ? [] : [{ type, state: breakerState, ...(triesAt && { triesAt }) }],
  )
  return {
    tasks: {
      delayed,
      blocked: counts.blocked,
      ready: Math.max(0, counts.waiting - awarded - delayed),
      awarded: awarded + counts.held,
      running: counts.running,
      parked: counts.parked,
      completed: counts.completed,
      failed: counts.failed,
      cancelled: counts.cancelled,
      expired: counts.expired,
    },
    types: state.busiestTypes(typesMax).map(typeRow),
    ...(breakers.length > 0 && { breakers }),
    totals,
    nodes: state.membersBySubject.size,
    partition: state.partition,
    leader: state.leader,
    epoch: state.epoch,
    position: state.position,
    logTime: iso(nowMs),
  }
}

function typeRow({ type, counts: { held, waiting, ...others } }: ReturnType<LedgerState['busiestTypes']>[number]) {
  return { type, waiting: waiting + held, ...others }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
