/**
 * What is not placed by standing bids: gangs, and tasks that want more of a node than it ever has free while smaller ones take
 * what comes. One call for bids is open at a time and for a limited time, so that two parties never wait for each other with
 * half of the nodes reserved for each; who was not served lets the next one try. Meanwhile the fewest nodes that could serve
 * it get nothing else, so that what becomes free there adds up.
 */
import type { NodeReport } from '../../protocol/messages.ts'
import { type Gang, gangToStartWith } from '../ledger/gangs.ts'
import type { Member } from '../ledger/member.ts'
import type { LedgerState } from '../ledger/state.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { SchedulerEffect } from './effects.ts'
import type { Gate } from './gate.ts'
import type { Offers } from './offers.ts'
import { capacityFor, enoughFor } from './policies/capacity.ts'
import { type Negotiation, Negotiations } from './policies/negotiations.ts'
import { countByType, type OpenPlace, Tender } from './tender.ts'

/** How long places are kept for a party; then others have as long before it is tried again. */
export const tenderMs = 10_000
/** Nodes are called again this often, to keep what they have reserved and to add what has become free. */
const callEveryMs = 500
const reserveTtlMs = 2_000
/**
 * Schedulers of other partitions reserve places of the same nodes. What a party that was not served gives back is theirs at
 * first: its own scheduler calls for nobody for so long, and each for another while, lest two of them meet again and again.
 */
const giveWayMs = 2 * callEveryMs
const giveWayStepMs = 300

export type ReservedReport = Extract<NodeReport, readonly ['reserved', ...unknown[]]>

/** A gang, or one task that is large. */
type Party = Gang | TaskRecord

export class Tenders {
  private readonly state: LedgerState
  private readonly offers: Offers
  private readonly gate: Gate
  private readonly negotiations = new Negotiations()
  /** Members of gangs, and large tasks, that may start and wait. */
  private readonly due = new Map<Party, Set<TaskRecord>>()
  /** Parties that were not served and let others try until then. */
  private readonly restingUntilMs = new Map<Party, number>()
  private open: { readonly party: Party; readonly tender: Tender; readonly clearing: ReadonlySet<Member> } | undefined
  private readonly giveBack: (task: TaskRecord) => void
  private readonly choose: (task: TaskRecord, open: readonly OpenPlace[], nowMs: number) => Member
  private opened = 0
  private retryAtMs = Number.POSITIVE_INFINITY
  private givesWayUntilMs = 0

  /** `choose` says who gets a task; `giveBack` takes a large one that was not served, to be placed as ever. */
  constructor(
    state: LedgerState,
    offers: Offers,
    gate: Gate,
    choose: (task: TaskRecord, open: readonly OpenPlace[], nowMs: number) => Member,
    giveBack: (task: TaskRecord) => void,
  ) {
    this.choose = choose
    this.giveBack = giveBack
    this.state = state
    this.offers = offers
    this.gate = gate
  }

  /** Takes a task that may start and has to do so with its gang; false for any other, which is placed as ever. */
  admit(task: TaskRecord): boolean {
    const gang = gangToStartWith(this.state, task)
    if (gang === undefined) return false
    const due = this.due.get(gang)
    if (due === undefined) this.due.set(gang, new Set([task]))
    else due.add(task)
    return true
  }

  /** Takes a task for which no node has had room for some time; false while it lets others try. */
  admitLarge(task: TaskRecord, nowMs: number): boolean {
    if ((this.restingUntilMs.get(task) ?? 0) > nowMs) return false
    this.due.set(task, new Set([task]))
    return true
  }

  /** The node is being cleared for the call that is open. */
  isClearing(member: Member): boolean {
    return this.open?.clearing.has(member) ?? false
  }

  /** Whether the task waits here. */
  has(task: TaskRecord): boolean {
    return this.due.has(task) && this.isWaiting(task)
  }

  hear(member: Member, [, id, places, ttlMs, reason]: ReservedReport, nowMs: number): void {
    if (this.open?.tender.id !== id) return
    this.open.tender.hear({ member, places: new Map(places), untilMs: nowMs + ttlMs, reason })
  }

  forget(member: Member): void {
    this.open?.tender.forget(member)
  }

  /** Calls for bids, and awards to all when they cover a party. */
  proceed(epoch: number, nowMs: number): SchedulerEffect[] {
    if (this.due.size === 0 && this.open === undefined) return []
    const effects: SchedulerEffect[] = []
    this.retryAtMs = Number.POSITIVE_INFINITY
    if (this.open !== undefined) this.goOn(epoch, nowMs, effects)
    if (this.open === undefined) this.begin(epoch, nowMs)
    if (this.open !== undefined) this.call(nowMs, effects)
    return effects
  }

  /** When something is to be looked at again although nothing has happened. */
  get nextMs(): number {
    if (this.open === undefined) return this.retryAtMs
    return Math.min(this.open.tender.untilMs, this.open.tender.calledAtMs + callEveryMs)
  }

  /** The last call for bids about the task that is remembered, the open one included. */
  about(task: TaskRecord, nowMs: number): Negotiation | undefined {
    if (this.open?.tender.tasks.includes(task)) return this.negotiations.of(this.open.tender, nowMs)
    return this.negotiations.about(task)
  }

  /** Why the party of this task waits; undefined for a task of none. */
  waitingReason(task: TaskRecord, nowMs: number): string | undefined {
    const gang = gangToStartWith(this.state, task)
    const party = gang ?? (this.due.has(task) ? task : undefined)
    if (party === undefined) return undefined
    if (gang !== undefined) {
      const obstacle = gangObstacle(gang, this.due.get(gang), this.offers)
      if (obstacle !== undefined) return obstacle
    }
    const tasks = this.tasksOf(party) ?? []
    const what = gang === undefined ? 'it' : `its gang "${gang.id}"`
    const obstacle = this.gate.limiter.blocksAll(tasks, nowMs)?.reason ?? this.lacking(tasks)
    if (obstacle !== undefined) return gang === undefined ? obstacle : `${what} waits: ${obstacle}`
    if (this.open?.party === party) {
      const { tender } = this.open
      const until = new Date(tender.untilMs).toISOString()
      return `${what} has ${tender.reserved(nowMs)} of ${tasks.length} places reserved, and waits for the rest until ${until}`
    }
    const restingMs = this.restingUntilMs.get(party) ?? 0
    if (restingMs <= nowMs) return `${what} waits for the call for bids that is open now`
    const again = new Date(restingMs).toISOString()
    return `${what} needs ${tasks.length} places at once, which were not free together in ${tenderMs} ms; it tries again at ${again}`
  }

  private goOn(epoch: number, nowMs: number, effects: SchedulerEffect[]): void {
    const { party, tender } = this.open!
    const wanted = this.tasksOf(party) ?? []
    if (wanted.length !== tender.tasks.length || tender.tasks.some((task) => !wanted.includes(task))) {
      this.close(`it was given up: the tasks that wait have changed`, nowMs, effects)
      return
    }
    const given = tender.cover((task, open) => this.choose(task, open, nowMs), nowMs)
    if (given !== undefined) this.award(epoch, given, nowMs, effects)
    else if (tender.untilMs <= nowMs) {
      this.restingUntilMs.set(party, nowMs + tenderMs)
      const { partition, partitions } = this.state
      if (partitions > 1) this.givesWayUntilMs = nowMs + giveWayMs + partition * giveWayStepMs
      const [kept, all] = [tender.reserved(nowMs), tender.tasks.length]
      if (!('members' in party)) this.returnLarge(party)
      this.close(`it ended after ${tenderMs} ms with ${kept} of ${all} places reserved`, nowMs, effects)
    }
  }

  private returnLarge(task: TaskRecord): void {
    this.due.delete(task)
    this.giveBack(task)
  }

  private award(
    epoch: number,
    given: ReadonlyMap<Member, readonly TaskRecord[]>,
    nowMs: number,
    effects: SchedulerEffect[],
  ): void {
    const { party, tender } = this.open!
    this.close(`${given.size === 1 ? 'one node' : `${given.size} nodes`} got it`, nowMs, effects, given)
    for (const [member, tasks] of given) {
      const offer = this.offers.of(member.incarnation)
      if (offer === undefined) continue
      for (const task of tasks) {
        this.offers.award(task, offer, nowMs)
        if (this.gate.active) this.gate.awarded(task, offer, nowMs)
        this.due.get(party)?.delete(task)
      }
      effects.push({ do: 'award', epoch, member, tasks, tender: tender.id })
    }
    if (this.due.get(party)?.size === 0) this.due.delete(party)
    this.restingUntilMs.delete(party)
  }

  private close(
    outcome: string,
    nowMs: number,
    effects: SchedulerEffect[],
    given: ReadonlyMap<Member, readonly TaskRecord[]> = new Map(),
  ): void {
    const { tender } = this.open!
    this.open = undefined
    this.negotiations.closed(tender, given, outcome, nowMs)
    for (const { member, places } of tender.all()) {
      const keep = countByType(given.get(member) ?? [])
      if (places.size > 0) effects.push({ do: 'release', member, tender: tender.id, keep })
    }
  }

  /** Opens the call of the first party that can be served at all. */
  private begin(epoch: number, nowMs: number): void {
    if (nowMs < this.givesWayUntilMs) {
      this.retryAtMs = this.givesWayUntilMs
      return
    }
    const ready: { readonly party: Party; readonly tasks: readonly TaskRecord[] }[] = []
    for (const [party, atMs] of this.restingUntilMs) if (atMs <= nowMs) this.restingUntilMs.delete(party)
    for (const party of this.due.keys()) {
      const tasks = this.tasksOf(party)
      if (tasks === undefined) continue
      const restingMs = this.restingUntilMs.get(party) ?? 0
      const block = this.gate.limiter.blocksAll(tasks, nowMs)
      const atMs = Math.max(restingMs, block?.untilMs ?? 0)
      if (atMs > nowMs) this.retryAtMs = Math.min(this.retryAtMs, atMs)
      else if (block === undefined) ready.push({ party, tasks })
    }
    ready.sort((a, b) => urgencyOf(b.tasks) - urgencyOf(a.tasks) || a.tasks[0]!.order - b.tasks[0]!.order)
    const next = ready.find(({ tasks }) => this.lacking(tasks) === undefined)
    if (next === undefined) return
    const tender = new Tender(`${epoch}-${++this.opened}`, next.tasks, nowMs, nowMs + tenderMs)
    const members = [...this.state.members.values()].sort((a, b) => roomOf(b) - roomOf(a) || (a.node < b.node ? -1 : 1))
    this.open = { party: next.party, tender, clearing: new Set(enoughFor(next.tasks, members)) }
  }

  private call(nowMs: number, effects: SchedulerEffect[]): void {
    const { tender } = this.open!
    if (nowMs < tender.calledAtMs + callEveryMs) return
    tender.calledAtMs = nowMs
    const types = tender.wants.map(([type]) => type)
    effects.push({ do: 'call', types, tender: { id: tender.id, wants: tender.wants, ttlMs: reserveTtlMs } })
  }

  /** The tasks of the party for which places are wanted now, the oldest first; undefined while it cannot start. */
  private tasksOf(party: Party): readonly TaskRecord[] | undefined {
    const due = this.due.get(party)
    if (due === undefined) return undefined
    for (const task of due) if (!this.isWaiting(task)) due.delete(task)
    if (due.size === 0) {
      this.due.delete(party)
      return undefined
    }
    if ('members' in party && gangObstacle(party, due, this.offers) !== undefined) return undefined
    return [...due].sort((a, b) => a.order - b.order)
  }

  private isWaiting(task: TaskRecord): boolean {
    return (task.status === 'waiting' || task.status === 'parked') && this.offers.awardOf(task) === undefined
  }

  /** Why the nodes that there are could not take these together, even if they had nothing else to do. */
  private lacking(tasks: readonly TaskRecord[]): string | undefined {
    return capacityFor(tasks, [...this.state.members.values()])
  }
}

/** What a gang still waits for before places are sought. */
function gangObstacle(gang: Gang, due: ReadonlySet<TaskRecord> | undefined, offers: Offers): string | undefined {
  const name = `its gang "${gang.id}"`
  if (!gang.whole) return `${name} has ${gang.members.size} of ${gang.size} members; the others have not been submitted`
  for (const task of gang.starting) {
    if (task.status === 'held' || due?.has(task) || offers.awardOf(task) !== undefined) continue
    return `${name} waits for its member "${task.id}", which is ${task.status === 'waiting' ? 'delayed' : task.status}`
  }
  return undefined
}

function roomOf({ profile, running }: Member): number {
  return profile.slots - running.size
}

function urgencyOf(tasks: readonly TaskRecord[]): number {
  return Math.max(...tasks.map((task) => task.priority))
}
