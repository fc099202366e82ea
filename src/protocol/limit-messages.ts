/** Requests and answers about the limits of task types. */
import type { TypeLimits } from './options.ts'

/** The body of `limits`: none to list; else the limits that this type has from now on, null for none. */
export interface LimitsRequest {
  readonly type: string
  readonly limits: TypeLimits | null
}

/** The answer of `limits`: the types that have some; a type twice, if they differ between partitions. */
export interface LimitsAnswer {
  readonly types: readonly LimitsRow[]
}

export interface LimitsRow extends TypeLimits {
  readonly type: string
  /** Tasks that wait, if the queue has a limit. */
  readonly queued?: number
  readonly breakerState?: BreakerAnswer['state']
  readonly triesAt?: string
  /** Partitions in which these hold, if not in all: a change of them was cut off. Set them again. */
  readonly partitions?: readonly number[]
}

/** A circuit breaker; one that is open lets some try at `triesAt`. */
export interface BreakerAnswer {
  readonly type: string
  readonly state: 'closed' | 'open' | 'half-open'
  readonly triesAt?: string
}
