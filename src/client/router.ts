/**
 * Gives each submission to the partition that it belongs to: one that is told by the submission itself goes there, any other
 * to the partitions in turn, a block at a time. With one partition it only passes on.
 */
import type { Submission } from '../protocol/entries.ts'
import { placeOf, placeOfFlow } from '../protocol/partitions.ts'
import { type Block, bytesOf, type Submitter } from './submitter.ts'

/** Where a block of submissions is stored. `indexOf` tells which of all the submissions stands at a place of the block. */
export interface StoredBlock {
  readonly partition: number
  readonly sequence: number
  readonly count: number
  readonly indexOf: (place: number) => number
}

type Next = () => Submission | Promise<Submission> | undefined

/** Submissions of one partition that wait for others. */
interface Filling {
  submissions: Submission[]
  indexes: number[]
  bytes: number
}

/** Blocks of one bulk submission on their way to each partition at once. */
const blocksPerPartition = 4

export class Router {
  /** By partition. */
  private readonly submitters: readonly Submitter[]
  private current = 0
  private isTurning = false

  constructor(submitters: readonly Submitter[]) {
    this.submitters = submitters
  }

  get partitions(): number {
    return this.submitters.length
  }

  /** Puts the submission into the next block of its partition. */
  async add(submission: Submission): Promise<{ partition: number; block: Block; index: number }> {
    const partition = this.partitions === 1 ? 0 : (placeOf(submission, this.partitions) ?? this.inTurn())
    const { block, index } = await this.submitters[partition]!.add(submission)
    return { partition, block, index }
  }

  /** Writes all that `next` gives; see `Submitter.addAll`. */
  async addAll(next: Next, onStored: (block: StoredBlock) => void): Promise<void> {
    if (this.partitions > 1) return new Spreading(this.submitters, this.inTurn(), onStored).addAll(next)
    await this.submitters[0]!.addAll(next, (first, count, sequence) =>
      onStored({ partition: 0, sequence, count, indexOf: (place) => first + place }),
    )
  }

  /** Writes these in one block of one partition; see `Submitter.addTogether`. */
  async addTogether(
    submissions: readonly Submission[],
    entriesMax: number,
  ): Promise<{ partition: number; sequence: number }> {
    const partition = this.partitions === 1 ? 0 : this.placeOfAll(submissions)
    return { partition, sequence: await this.submitters[partition]!.addTogether(submissions, entriesMax) }
  }

  close(): void {
    for (const submitter of this.submitters) submitter.close()
  }

  /** What has to meet tasks of other submissions says where; else the ids do. */
  private placeOfAll(submissions: readonly Submission[]): number {
    const bound = submissions.find(([, , options]) => options?.gang !== undefined || options?.group !== undefined)
    if (bound !== undefined) return placeOf(bound, this.partitions)!
    const ids = submissions.flatMap(([, , options]) => options?.id ?? [])
    return ids.length === 0 ? this.inTurn() : placeOfFlow(ids, this.partitions)
  }

  /** The same for all that is submitted at one time, so that it travels in one block. */
  private inTurn(): number {
    if (!this.isTurning) {
      this.isTurning = true
      queueMicrotask(() => {
        this.isTurning = false
        this.current = (this.current + 1) % this.partitions
      })
    }
    return this.current
  }
}

/** One bulk submission over several partitions. */
class Spreading {
  private readonly submitters: readonly Submitter[]
  private readonly onStored: (block: StoredBlock) => void
  private readonly fillings: Filling[]
  private readonly underWay = new Set<Promise<void>>()
  private current: number
  private failure: { readonly error: unknown } | undefined

  constructor(submitters: readonly Submitter[], first: number, onStored: (block: StoredBlock) => void) {
    this.submitters = submitters
    this.onStored = onStored
    this.current = first
    this.fillings = submitters.map(() => ({ submissions: [], indexes: [], bytes: 0 }))
  }

  async addAll(next: Next): Promise<void> {
    try {
      for (let index = 0; this.failure === undefined; index++) {
        const given = next()
        const submission = given instanceof Promise ? await given : given
        if (submission === undefined) break
        await this.put(submission, index)
      }
      for (const partition of this.fillings.keys()) await this.send(partition)
    } finally {
      await Promise.all(this.underWay)
    }
    if (this.failure !== undefined) throw this.failure.error
  }

  private async put(submission: Submission, index: number): Promise<void> {
    const partition = placeOf(submission, this.submitters.length) ?? this.current
    const bytes = bytesOf(submission)
    const filling = this.fillings[partition]!
    if (!this.submitters[partition]!.fits(filling.submissions.length, filling.bytes + bytes)) {
      await this.send(partition)
      if (partition === this.current) this.current = (this.current + 1) % this.submitters.length
    }
    filling.submissions.push(submission)
    filling.indexes.push(index)
    filling.bytes += bytes
  }

  private async send(partition: number): Promise<void> {
    const filling = this.fillings[partition]!
    const { submissions, indexes } = filling
    if (submissions.length === 0 || this.failure !== undefined) return
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
    if (this.underWay.size >= blocksPerPartition * this.submitters.length) await Promise.race(this.underWay)
  }
}
