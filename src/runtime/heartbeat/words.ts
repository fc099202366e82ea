/** What the main thread and the heartbeat thread share: a start, a few orders, and two numbers in shared memory. */
import type { BusOptions } from '../../nats/connect.ts'

export interface ThreadStart {
  readonly connection: BusOptions
  readonly namespace: string
  readonly partitions: number
  readonly node: string
  readonly beatMs: number
  /** See `pulse`. */
  readonly pulse: SharedArrayBuffer
}

export type ThreadOrder =
  /** Beat for this incarnation in these partitions from now on; undefined: for none. */
  | { readonly order: 'beat'; readonly incarnation: string | undefined; readonly partitions: readonly number[] }
  | { readonly order: 'stop' }

/** Places in the shared memory, a BigInt64Array: turns of the main loop, and the instant of the last one. */
export const pulse = { tick: 0, tickAtMs: 1, length: 2 } as const

/** The clock of both threads: whole milliseconds of the machine's monotonic clock, the same in every thread of it. */
export function machineMs(): bigint {
  return process.hrtime.bigint() / 1_000_000n
}
