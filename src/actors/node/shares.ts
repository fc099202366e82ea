/**
 * What a node bids in each partition when it is a member of several: everything that is free, to each of them. Two may take
 * the same place at once; the award that comes second is declined. A partition that has less than its fair share of a full
 * node may still send it a few tasks, which get the next places that become free: otherwise who came first would keep them.
 */

/** What the tasks of one partition take of a node. */
export interface Share {
  readonly running: number
  readonly held: number
  /** Slots kept for its calls for bids. */
  readonly reserved: number
}

/** How far a partition may grow at a time: an eighth of its fair share. */
const stepsToFair = 8

/**
 * The tasks that the partition with this share may have here in all. `capacity` is what the node takes in all, `others` what
 * the other partitions have of it, `mayPress` whether it may hold tasks for which there is no place yet.
 */
export function creditsOf(capacity: number, own: Share, others: Share, partitions: number, mayPress: boolean): number {
  const left = Math.max(0, capacity - own.reserved - others.running - others.held - others.reserved)
  if (!mayPress || capacity <= 0) return left
  const fair = Math.max(1, Math.floor(capacity / partitions))
  const step = Math.max(1, Math.floor(fair / stepsToFair))
  return Math.max(left, Math.min(fair, own.running + step))
}
