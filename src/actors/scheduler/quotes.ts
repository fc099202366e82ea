/**
 * What tasks cost on each node beyond its standing bid, for types with a `bid` hook (locality: a node holds the data, or would
 * have to get it). Before such a task is placed, the nodes that bid for its type are asked, and so are some that are likely
 * to come next. Who refuses, or does not answer in time, does not get the task.
 *
 * A task waits for a node that is cheaper but has no room now when that is expected to be free sooner than the difference,
 * and no longer than the difference. So waiting costs at most as much again as not waiting (ski rental; the same idea as
 * delay scheduling, Zaharia and others 2010).
 */
import { askedTasksMax, type Quote } from '../../protocol/quotes.ts'
import type { Member } from '../ledger/member.ts'
import type { TaskRecord } from '../ledger/task-record.ts'
import type { TaskTable } from '../ledger/task-table.ts'
import type { SchedulerEffect } from './effects.ts'
import type { Offer } from './offers.ts'
import { type Candidate, costMs, parallelOf, slownessOf } from './placement.ts'

/** A node that has not answered by then gets nothing of what it was asked about. */
const answerMs = 500
/** What a node holds may have changed after this time: it is asked again. */
const quoteTtlMs = 2_000
/** A task that all nodes refuse asks again after this time. */
export const refusedPauseMs = 1_000
/** Tasks of which quotes are remembered; more than are asked about at once by far. */
const tasksMax = 1_024

interface Asked {
  readonly turn: number
  readonly atMs: number
  /** By node asked; undefined until it answers. */
  readonly byMember: Map<Member, Quote | undefined>
}

/** What a node quoted, for whoever asks why. */
export interface QuoteSeen {
  readonly node: string
  readonly extraMs: number | null
  readonly reason: string
}

/** What is to become of a task: it goes to one of the candidates, waits for answers, or is refused by everyone. */
export type Quoted =
  | { readonly candidates: readonly Candidate[] }
  | { readonly waits: 'for answers' | 'for a refusal to change' }

export class Quotes {
  /** When an answer is overdue. */
  nextMs = Number.POSITIVE_INFINITY
  private readonly types = new Set<string>()
  private readonly asked = new Map<TaskRecord, Asked>()
  private readonly seen = new WeakMap<TaskRecord, readonly QuoteSeen[]>()

  /** A node bids for the first time. */
  joined({ member }: Offer): void {
    for (const profile of member.types.values()) if (profile.quotes === true) this.types.add(profile.type)
  }

  /** Whether nodes are asked about each task of the type. */
  isFor(type: string): boolean {
    return this.types.has(type)
  }

  hear(member: Member, quotes: readonly Quote[], tasks: Pick<TaskTable, 'get'>): void {
    for (const quote of quotes) {
      const task = tasks.get(quote[0])
      const asked = task === undefined ? undefined : this.asked.get(task)
      if (asked?.byMember.has(member)) asked.byMember.set(member, quote)
    }
  }

  /** A round of placing begins. */
  begin(): void {
    this.nextMs = Number.POSITIVE_INFINITY
  }

  /**
   * Narrows the candidates to those that quoted, and adds what they did. Asks `bidders` when that has not been done; `ahead`
   * tells the tasks that are likely to come next.
   */
  weigh(
    task: TaskRecord,
    candidates: readonly Candidate[],
    bidders: readonly Member[],
    ahead: () => readonly TaskRecord[],
    nowMs: number,
    effects: SchedulerEffect[],
  ): Quoted {
    let asked = this.current(task, nowMs)
    // A node that has joined since has not been asked.
    if (asked === undefined || bidders.some((member) => !asked?.byMember.has(member))) {
      asked = this.ask(task, bidders, ahead(), nowMs, effects)
    }
    const open = [...asked.byMember].some(([member, quote]) => quote === undefined && member.live)
    if (open && nowMs < asked.atMs + answerMs) {
      this.nextMs = Math.min(this.nextMs, asked.atMs + answerMs)
      return { waits: 'for answers' }
    }
    this.seen.set(
      task,
      [...asked.byMember].map(([member, quote]) => seenOf(member, quote)),
    )
    const takers = candidates.filter(({ offer }) => this.extraMs(task, offer.member) !== undefined)
    for (const taker of takers) taker.extraMs = this.extraMs(task, taker.offer.member) ?? 0
    if (takers.length > 0) return { candidates: takers }
    const isTakenElsewhere = bidders.some((member) => this.extraMs(task, member) !== undefined)
    if (!isTakenElsewhere) this.asked.delete(task)
    return isTakenElsewhere ? { candidates: [] } : { waits: 'for a refusal to change' }
  }

  /** How long the task does better to wait for a node without room now than to start on the chosen one, ms; 0: not at all. */
  worthWaitingMs(task: TaskRecord, chosen: Candidate, all: Iterable<Candidate>, expectedMs: number): number {
    const hereMs = costMs(chosen, expectedMs)
    let longestMs = 0
    for (const other of all) {
      const extraMs = other.offer === chosen.offer ? undefined : this.extraMs(task, other.offer.member)
      if (extraMs === undefined) continue
      other.extraMs = extraMs
      const thereMs = costMs(other, expectedMs)
      const freeInMs = (slownessOf(other) * expectedMs) / parallelOf(other)
      if (thereMs + freeInMs < hereMs) longestMs = Math.max(longestMs, hereMs - thereMs)
    }
    return longestMs
  }

  /** The node has gone. */
  forget(member: Member): void {
    for (const { byMember } of this.asked.values()) byMember.delete(member)
  }

  /** What the nodes quoted when the task was looked at last. */
  about(task: TaskRecord): readonly QuoteSeen[] | undefined {
    return this.seen.get(task)
  }

  /** What the task waits for here: answers, or that one of them is no refusal. Undefined for any other. */
  waitingReason(task: TaskRecord): string | undefined {
    const asked = this.asked.get(task)
    const isOpen = asked?.turn === task.turn && [...asked.byMember.values()].includes(undefined)
    if (isOpen) return 'the nodes have been asked what it costs there, and not all have answered'
    const quotes = this.seen.get(task)
    if (quotes === undefined || quotes.some(({ extraMs }) => extraMs !== null)) return undefined
    const why = quotes.slice(0, 3).map(({ node, reason }) => `${node}: ${reason}`)
    return `no node bids for it (${why.join('; ')}); they are asked again each second`
  }

  private ask(
    task: TaskRecord,
    members: readonly Member[],
    ahead: readonly TaskRecord[],
    nowMs: number,
    effects: SchedulerEffect[],
  ): Asked {
    this.sweep(nowMs)
    const tasks = [task]
    for (const next of ahead) {
      if (tasks.length === askedTasksMax || this.asked.size + tasks.length >= tasksMax) break
      if (next !== task && this.current(next, nowMs) === undefined) tasks.push(next)
    }
    for (const one of tasks) {
      // A node whose type has no hook, an older version of it, takes the task as it bids.
      const quoteOf = (member: Member): Quote | undefined =>
        member.types.get(one.type)?.quotes === true ? undefined : [one.id, 0, '']
      const byMember = new Map(members.map((member) => [member, quoteOf(member)]))
      this.asked.set(one, { turn: one.turn, atMs: nowMs, byMember })
    }
    const asking = members.filter((member) => member.types.get(task.type)?.quotes === true)
    if (asking.length > 0) effects.push({ do: 'quote', members: asking, tasks })
    return this.asked.get(task)!
  }

  /** What has been asked about the task's next turn, if that still counts. */
  private current(task: TaskRecord, nowMs: number): Asked | undefined {
    const asked = this.asked.get(task)
    return asked !== undefined && asked.turn === task.turn && nowMs < asked.atMs + quoteTtlMs ? asked : undefined
  }

  private extraMs(task: TaskRecord, member: Member): number | undefined {
    return this.asked.get(task)?.byMember.get(member)?.[1] ?? undefined
  }

  private sweep(nowMs: number): void {
    if (this.asked.size + askedTasksMax < tasksMax) return
    for (const task of this.asked.keys()) if (this.current(task, nowMs) === undefined) this.asked.delete(task)
  }
}

function seenOf({ node }: Member, quote: Quote | undefined): QuoteSeen {
  const [, extraMs, reason] = quote ?? ['', null, `did not answer within ${answerMs} ms`]
  return { node, extraMs, reason }
}
