/**
 * Writes submissions to the log in blocks. Single submissions are group-committed: what was submitted in one turn of the
 * event loop, or while two blocks are on their way, travels in one block. Bulk submissions fill blocks of their own
 * (`bulk.ts`). A submission's place is (log sequence of its block, index in it).
 *
 * It knows nothing of handles and outcomes.
 */
import type { Log } from '../nats/bus.ts'
import { packBlock } from '../protocol/blocks.ts'
import { formatVersion, type Submission } from '../protocol/entries.ts'
import { TroupeError } from '../protocol/errors.ts'
import { appendDurably } from './append.ts'

export interface SubmitterOptions {
  readonly log: Log
  readonly subject: string
  /** Returns a random id per block: `Nats-Msg-Id`. */
  readonly messageId: () => string
  readonly blockBytesMax: number
  readonly blockEntriesMax: number
  /** Blocks of single submissions on their way at once. */
  readonly singleBlocksMax: number
  /** Bytes of single submissions that may wait for their turn; further ones wait before they are packed. */
  readonly waitingBytesMax: number
  readonly deadlineMs: number
  /** Of the namespace. */
  readonly partitions: number
}

/** A block being filled or on its way. `stored` is its log sequence. */
export interface Block {
  readonly submissions: Submission[]
  bytes: number
  readonly stored: Promise<number>
  readonly resolve: (sequence: number) => void
  readonly reject: (error: unknown) => void
}

export class Submitter {
  private readonly options: SubmitterOptions
  /** Filled blocks that wait, oldest first; the last one still takes submissions. */
  private readonly queue: Block[] = []
  private waitingBytes = 0
  private room: PromiseWithResolvers<void> | undefined
  private inFlight = 0
  private flushing = false
  private closed = false

  constructor(options: SubmitterOptions) {
    this.options = options
  }

  /** Puts the submission into the next block; its place is known once `block.stored` resolves. */
  async add(submission: Submission): Promise<{ block: Block; index: number }> {
    while (this.waitingBytes > this.options.waitingBytesMax && !this.closed) {
      this.room ??= Promise.withResolvers()
      await this.room.promise
    }
    return this.addNow(submission)
  }

  private addNow(submission: Submission): { block: Block; index: number } {
    if (this.closed) throw closedError()
    const bytes = bytesOf(submission)
    let block = this.queue.at(-1)
    if (block === undefined || !this.fits(block.submissions.length, block.bytes + bytes)) {
      block = newBlock()
      this.queue.push(block)
    }
    block.submissions.push(submission)
    block.bytes += bytes
    this.waitingBytes += bytes
    if (!this.flushing) {
      this.flushing = true
      queueMicrotask(() => this.flush())
    }
    return { block, index: block.submissions.length - 1 }
  }

  private flush(): void {
    this.flushing = false
    while (this.inFlight < this.options.singleBlocksMax) {
      const block = this.queue.shift()
      if (block === undefined) break
      this.inFlight += 1
      this.waitingBytes -= block.bytes
      this.write(block.submissions)
        .then(block.resolve, block.reject)
        .finally(() => {
          this.inFlight -= 1
          this.flush()
        })
    }
    if (this.room !== undefined && this.waitingBytes <= this.options.waitingBytesMax) {
      this.room.resolve()
      this.room = undefined
    }
  }

  /** Whether a block of so many submissions takes one more, with which it has so many bytes. */
  fits(count: number, bytes: number): boolean {
    return count < this.options.blockEntriesMax && bytes <= this.options.blockBytesMax
  }

  /** Writes these in one block and returns its log sequence; throws TROUPE_TOO_LARGE if they do not fit. */
  async addTogether(submissions: readonly Submission[], entriesMax: number): Promise<number> {
    const bytes = submissions.reduce((sum, submission) => sum + bytesOf(submission), 0)
    if (submissions.length > entriesMax || bytes > this.options.blockBytesMax) {
      throw new TroupeError(
        'TROUPE_TOO_LARGE',
        `${submissions.length} tasks of ${bytes} bytes do not fit in one block of ${entriesMax} tasks and ${this.options.blockBytesMax} bytes`,
      )
    }
    return this.write(submissions)
  }

  /** Writes these, which fit in one block, and returns its log sequence. */
  async write(submissions: readonly Submission[]): Promise<number> {
    if (this.closed) throw closedError()
    const count = submissions.length
    return appendDurably({
      log: this.options.log,
      subject: this.options.subject,
      data: packBlock([formatVersion, submissions]),
      messageId: this.options.messageId(),
      partitions: this.options.partitions,
      what: count === 1 ? 'the submission' : `${count} submissions`,
      deadlineMs: this.options.deadlineMs,
      isClosed: () => this.closed,
    })
  }

  /** Nothing is taken any more; what waits for its turn is refused, what is on its way ends by itself. */
  close(): void {
    this.closed = true
    for (const block of this.queue.splice(0)) block.reject(closedError())
    this.room?.resolve()
    this.room = undefined
  }
}

function newBlock(): Block {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  return { submissions: [], bytes: 0, stored: promise, resolve, reject }
}

function closedError(): TroupeError {
  return new TroupeError('TROUPE_CLOSED', 'the connection is closed: nothing was submitted', {
    details: { mayBeAccepted: false },
  })
}

/** An upper bound of the submission's size in its block. */
export function bytesOf(submission: Submission): number {
  const [type, input, options] = submission
  const payload =
    input === null ? 1 : typeof input === 'string' ? input.length * 3 : input instanceof Uint8Array ? input.length : 128
  if (options === undefined) return payload + type.length + 16
  const after = options.after === undefined ? 0 : options.after.reduce((sum, id) => sum + id.length + 3, 0)
  return (
    payload +
    type.length +
    after +
    (options.id?.length ?? 0) +
    (options.key?.length ?? 0) +
    (options.replyTo?.length ?? 0) +
    (options.gang?.id.length ?? 0) +
    (options.unique?.key?.length ?? 0) +
    128
  )
}
