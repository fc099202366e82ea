/** How a task came to its node, as JSON, for whoever asks why. */

/** How a task came to its node. */
export interface PlacementAnswer {
  readonly node: string
  readonly at: string
  /** The placement policy of its type. */
  readonly policy: string
  /** The bids with free credits as they stood when tasks were placed, cheapest first. */
  readonly bids: readonly {
    readonly node: string
    readonly priceMs: number
    readonly slowdown: number
    readonly credits: number
    readonly free: number
    /** What its tasks fail, against others: 1 to 0; left out: 1. Below 0.5 it is on probation. */
    readonly health?: number
    /** How many times as long as on the fastest node its tasks take, as seen lately; left out: 1. */
    readonly pace?: number
    /** What the hook of its type quoted for this task, in ms on top of the price. */
    readonly extraMs?: number
    /** Why this node could not have the task, if it could not. */
    readonly unfit?: string
  }[]
}

/** A call for bids with reservation: who kept how many places, who got them, and why nobody did. */
export interface NegotiationAnswer {
  readonly at: string
  /** Places asked for. */
  readonly asked: number
  readonly outcome: string
  readonly bids: readonly {
    readonly node: string
    readonly places: number
    readonly awarded: number
    /** Why it kept no more. */
    readonly reason?: string
  }[]
}

/** A running task was moved: it gave up its turn at a boundary. */
export interface MoveAnswer {
  readonly at: string
  readonly from: string
  /** The node that was better then; where it was placed, `placement` says. */
  readonly to: string
  readonly reason: string
}

/** A hedge: a second turn beside one that took long. */
export interface HedgeAnswer {
  readonly at: string
  /** Why it was opened. */
  readonly reason: string
  /** The nodes of the first turn and of the second; no second until a node has accepted it. */
  readonly first: string
  readonly second?: string
  /** Which of them the task went on with, and why; left out while both may. */
  readonly kept?: 'first' | 'second'
  readonly why?: string
}
