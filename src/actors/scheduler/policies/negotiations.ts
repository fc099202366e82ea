/** Calls for bids that reserve, for whoever asks afterwards: who kept how much, who got what, and why nobody did. Bounded. */
import type { Member } from '../../ledger/member.ts'
import type { TaskRecord } from '../../ledger/task-record.ts'
import type { Tender } from '../tender.ts'

export interface Negotiation {
  readonly atMs: number
  readonly asked: number
  readonly outcome: string
  readonly bids: readonly {
    readonly node: string
    /** Places that it kept, and how many were awarded. */
    readonly places: number
    readonly awarded: number
    /** Why it kept no more. */
    readonly reason: string
  }[]
}

interface Closed extends Negotiation {
  readonly tasks: readonly TaskRecord[]
}

const keptMax = 200
const bidsMax = 50

export class Negotiations {
  private readonly kept: Closed[] = []

  closed(tender: Tender, given: ReadonlyMap<Member, readonly TaskRecord[]>, outcome: string, nowMs: number): void {
    this.kept.push({ ...this.of(tender, nowMs, outcome, given), tasks: tender.tasks })
    if (this.kept.length > keptMax) this.kept.shift()
  }

  /** An open one as it stands. */
  of(
    tender: Tender,
    nowMs: number,
    outcome = `it is open until ${new Date(tender.untilMs).toISOString()}`,
    given: ReadonlyMap<Member, readonly TaskRecord[]> = new Map(),
  ): Negotiation {
    const bids = [...tender.all()].slice(0, bidsMax).map(({ member, places, untilMs, reason }) => {
      const count = [...places.values()].reduce((sum, of) => sum + of, 0)
      return {
        node: member.node,
        places: count,
        awarded: given.get(member)?.length ?? 0,
        reason: untilMs <= nowMs ? 'its reservation has lapsed' : reason,
      }
    })
    return { atMs: tender.openedAtMs, asked: tender.tasks.length, outcome, bids }
  }

  about(task: TaskRecord): Negotiation | undefined {
    return this.kept.findLast(({ tasks }) => tasks.includes(task))
  }
}
