/**
 * How tasks were placed lately, for whoever asks why a task runs where it does: the bids of each round and who got what. A
 * bounded ring; nothing is kept per task beyond what the awards hold anyway.
 */
import type { TaskRecord } from '../../ledger/task-record.ts'
import type { SchedulerEffect } from '../effects.ts'
import type { Candidate } from '../placement.ts'

type Award = Extract<SchedulerEffect, { do: 'award' }>

/** A bid as it stood when the round began. */
export interface BidSeen {
  readonly node: string
  readonly priceMs: number
  readonly slowdown: number
  readonly credits: number
  readonly free: number
  /** What tasks failed there, against others: 1 to 0; absent: 1. */
  readonly health?: number
  /** How many times as long as on the fastest node its tasks take, as seen of the first type placed; absent: 1. */
  readonly pace?: number
}

interface Round {
  readonly atMs: number
  readonly bids: readonly BidSeen[]
  readonly awards: readonly Award[]
  readonly tasks: number
}

export interface Decision {
  readonly atMs: number
  readonly node: string
  readonly bids: readonly BidSeen[]
}

const roundsMax = 256
const tasksMax = 5_000
/** Bids remembered of one round. */
const bidsMax = 50

export class Decisions {
  private readonly rounds: Round[] = []
  private tasks = 0

  /** What a round sees, before it gives anything away. */
  look(open: readonly Candidate[], healthOf: (node: string) => number): BidSeen[] {
    const seen = open.length > bidsMax ? open.slice(0, bidsMax) : open
    return seen.map(({ offer: { member, bid }, free, pace = 1 }) => {
      const { node } = member
      const health = healthOf(node)
      return {
        node,
        priceMs: bid.priceMs,
        slowdown: bid.slowdown,
        credits: bid.credits,
        free,
        ...(health < 1 && { health }),
        ...(pace > 1 && { pace }),
      }
    })
  }

  note(atMs: number, bids: readonly BidSeen[], awards: readonly SchedulerEffect[]): void {
    // What a call for bids gave away is remembered with that call.
    const made = awards.filter((effect): effect is Award => effect.do === 'award' && effect.tender === undefined)
    const tasks = made.reduce((sum, award) => sum + award.tasks.length, 0)
    if (tasks === 0) return
    this.rounds.push({ atMs, bids, awards: made, tasks })
    this.tasks += tasks
    while (this.rounds.length > roundsMax || (this.tasks > tasksMax && this.rounds.length > 1)) {
      this.tasks -= this.rounds.shift()?.tasks ?? 0
    }
  }

  /** The last decision about the task that is remembered. */
  of(task: TaskRecord): Decision | undefined {
    for (let at = this.rounds.length - 1; at >= 0; at--) {
      const { atMs, bids, awards } = this.rounds[at]!
      const award = awards.find(({ tasks }) => tasks.includes(task))
      if (award !== undefined) return { atMs, node: award.member.node, bids }
    }
    return undefined
  }
}
