/**
 * Gives each submission to the partition that it belongs to: one that is told by the submission itself goes there, any other
 * to the partitions in turn, a block at a time.
 */
import type { Submission } from '../protocol/entries.ts'
import { placeOf, placeOfFlow } from '../protocol/partitions.ts'
import { Bulk, type Next, type StoredBlock } from './bulk.ts'
import type { Block, Submitter } from './submitter.ts'

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

  /** Writes all that `next` gives; see `Bulk`. */
  addAll(next: Next, onStored: (block: StoredBlock) => void): Promise<void> {
    return new Bulk(this.submitters, this.inTurn(), onStored).addAll(next)
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
