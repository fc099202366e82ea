/**
 * One bulk submission: fills a block for each partition and sends it when it is full, several on their way at once. What no
 * partition is said for goes to them in turn, a block at a time.
 */
import type { Submission } from '../protocol/entries.ts'
import { placeOf } from '../protocol/partitions.ts'
import { bytesOf, type Submitter } from './submitter.ts'

/** Where a block of submissions is stored. `indexOf` tells which of all the submissions stands at a place of the block. */
export interface StoredBlock {
  readonly partition: number
  readonly sequence: number
  readonly count: number
  readonly indexOf: (place: number) => number
}

/** Gives the next submission; undefined when there are no more. */
export type Next = () => Submission | Promise<Submission> | undefined

/** Submissions of one partition that wait for others. */
interface Filling {
  submissions: Submission[]
  indexes: number[]
  bytes: number
}

/** Blocks on their way at once: at least so many, and so many for each partition. */
const blocksMin = 8
const blocksPerPartition = 4

export class Bulk {
  private readonly submitters: readonly Submitter[]
  private readonly onStored: (block: StoredBlock) => void
  private readonly fillings: Filling[]
  private readonly blocksMax: number
  private readonly underWay = new Set<Promise<void>>()
  private current: number
  private failure: { readonly error: unknown } | undefined

  /** `first`: the partition whose turn it is. `onStored` is called for each block, in any order. */
  constructor(submitters: readonly Submitter[], first: number, onStored: (block: StoredBlock) => void) {
    this.submitters = submitters
    this.onStored = onStored
    this.current = first
    this.fillings = submitters.map(() => ({ submissions: [], indexes: [], bytes: 0 }))
    this.blocksMax = Math.max(blocksMin, blocksPerPartition * submitters.length)
  }

  /** Writes all that `next` gives. Rejects with the first failure, after the blocks on their way have ended. */
  async addAll(next: Next): Promise<void> {
    try {
      for (let index = 0; this.failure === undefined; index++) {
        const given = next()
        const submission = given instanceof Promise ? await given : given
        if (submission === undefined) break
        if (this.put(submission, index)) await this.room()
      }
      for (const partition of this.fillings.keys()) {
        if (this.send(partition)) await this.room()
      }
    } finally {
      await Promise.all(this.underWay)
    }
    if (this.failure !== undefined) throw this.failure.error
  }

  /** True if a block has been sent for it. */
  private put(submission: Submission, index: number): boolean {
    const partition = placeOf(submission, this.submitters.length) ?? this.current
    const bytes = bytesOf(submission)
    const filling = this.fillings[partition]!
    const isFull = !this.submitters[partition]!.fits(filling.submissions.length, filling.bytes + bytes)
    const isSent = isFull && this.send(partition)
    if (isFull && partition === this.current) this.current = (this.current + 1) % this.submitters.length
    filling.submissions.push(submission)
    filling.indexes.push(index)
    filling.bytes += bytes
    return isSent
  }

  /** Sends what waits for a partition; false if nothing does. */
  private send(partition: number): boolean {
    const filling = this.fillings[partition]!
    const { submissions, indexes } = filling
    if (submissions.length === 0 || this.failure !== undefined) return false
    Object.assign(filling, { submissions: [], indexes: [], bytes: 0 })
    const done: Promise<void> = this.submitters[partition]!.write(submissions)
      .then((sequence) =>
        this.onStored({ partition, sequence, count: submissions.length, indexOf: (place) => indexes[place]! }),
      )
      .catch((error: unknown) => {
        this.failure ??= { error }
      })
      .finally(() => this.underWay.delete(done))
    this.underWay.add(done)
    return true
  }

  /** Resolves when another block may be sent. */
  private async room(): Promise<void> {
    if (this.underWay.size >= this.blocksMax) await Promise.race(this.underWay)
  }
}
