/**
 * Brings what landed in the log of a leading scheduler's partition to the logs that it belongs to, and says so in its own. It
 * may do so twice, after a crash between the two: the other fold counts each once. So submissions go in the order of this
 * log, and the next ones only when the last are stored.
 */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { LedgerState } from '../../actors/ledger/state.ts'
import type { StraySignal } from '../../actors/ledger/strays.ts'
import type { Log } from '../../nats/bus.ts'
import { packBlock, payloadBytes } from '../../protocol/blocks.ts'
import { type Brought, type ControlEntry, type ForwardEntry, formatVersion, kind } from '../../protocol/entries.ts'
import { limits } from '../../protocol/limits.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { readSubmission } from '../../protocol/submission.ts'
import type { LogValues } from './log-values.ts'
import type { Switchboard } from './switchboard.ts'

export interface ForwarderOptions {
  readonly subjects: Subjects
  /** By partition. */
  readonly logs: readonly Log[]
  readonly values: LogValues
  readonly switchboard: Switchboard
  readonly logger: Logger
  /** How long to wait after something was not taken, ms. Default 500. */
  readonly againMs?: number
  readonly state: () => LedgerState
  /** Appends to the own log as its leader. */
  readonly decideAll: (entries: readonly ControlEntry[]) => Promise<void>
}

const batchMax = 256
const againMsDefault = 500
/** What an entry takes besides its payload, at most. */
const overheadBytes = 2_048

interface Batch {
  readonly to: number
  readonly entries: Brought[]
  /** The last of them, and of those that are not in the log any more. */
  last: number
}

export class Forwarder {
  private readonly options: ForwarderOptions
  private leading = false
  private working = false
  private timer: NodeJS.Timeout | undefined

  constructor(options: ForwarderOptions) {
    this.options = options
  }

  start(): void {
    this.leading = true
    this.wake()
  }

  stop(): void {
    this.leading = false
    clearTimeout(this.timer)
  }

  /** There may be something to bring. */
  wake(): void {
    if (!this.leading || this.working) return
    const { submissions, signals } = this.options.state().strays
    if (submissions.size === 0 && signals.size === 0) return
    this.working = true
    clearTimeout(this.timer)
    void this.work().then(
      () => this.rest(0),
      (error: unknown) => {
        this.options.logger.warn({ err: error }, 'what belongs to other partitions waits; it is tried again')
        this.rest(this.options.againMs ?? againMsDefault)
      },
    )
  }

  private rest(ms: number): void {
    this.working = false
    if (ms === 0) this.wake()
    else this.timer = setTimeout(() => this.wake(), ms)
  }

  /** One that cannot take anything now keeps the others waiting for a moment only. */
  private async work(): Promise<void> {
    const { submissions, signals } = this.options.state().strays
    const targets = [...new Set(submissions.values())]
    const work = targets.map((to) => this.bringSubmissions(to))
    if (signals.size > 0) work.push(this.bringSignals([...signals.values()].slice(0, batchMax)))
    const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  private async bringSubmissions(to: number): Promise<void> {
    const sequences: number[] = []
    for (const [sequence, place] of this.options.state().strays.submissions) {
      if (place === to) sequences.push(sequence)
      if (sequences.length >= batchMax) break
    }
    const batch = await this.read(to, sequences)
    if (!this.leading || batch.last === 0) return
    if (batch.entries.length > 0) await this.append(to, batch.entries)
    await this.options.decideAll([[kind.forwarded, to, batch.last]])
  }

  /** As many of them as fit in a block. */
  private async read(to: number, sequences: readonly number[]): Promise<Batch> {
    const { logs, subjects, logger } = this.options
    const batch: Batch = { to, entries: [], last: 0 }
    let bytes = 0
    const messages = await Promise.all(sequences.map((sequence) => logs[subjects.partition]!.get(sequence)))
    for (const [i, message] of messages.entries()) {
      const type = message && subjects.within(message.subject).slice('submit.'.length)
      const read = message && readSubmission(message, type!)
      if (read?.ok) {
        const [, input, options = {}] = read.submission
        bytes += payloadBytes(input) + overheadBytes
        if (bytes > limits.blockBytesMax && batch.entries.length > 0) break
        batch.entries.push([kind.brought, sequences[i]!, type!, input, options])
      } else
        logger.error({ sequence: sequences[i], to }, 'a submission for another partition is not in the log any more')
      batch.last = sequences[i]!
    }
    return batch
  }

  /** Those for one task in their order; one that has to wait keeps no other task's waiting. */
  private async bringSignals(signals: readonly StraySignal[]): Promise<void> {
    const work = [...Map.groupBy(signals, ({ task }) => task).values()].map(async (ofTask) => {
      for (const signal of ofTask) await this.bringSignal(signal)
    })
    const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  private async bringSignal({ sequence, index, task, signalId }: StraySignal): Promise<void> {
    const { switchboard, values, subjects, decideAll, state } = this.options
    const partition = state().tasks.has(task) ? subjects.partition : await switchboard.find(task)
    const [event] = await values.signals([{ sequence, index, previous: 0, id: signalId }])
    if (!this.leading) return
    const isFound = partition !== undefined && event !== undefined
    // Without an id of its own, its place here is what makes it count once there.
    const id = signalId === '' ? `${subjects.partition}-${sequence}` : signalId
    if (isFound) await this.append(partition, [[kind.broughtSignal, task, id, event]])
    await decideAll([[kind.astray, sequence, index, isFound]])
  }

  private async append(to: number, entries: readonly ForwardEntry[]): Promise<void> {
    const { logs, subjects } = this.options
    const subject = subjects.of(to).forward(subjects.partition)
    const data = packBlock([formatVersion, entries])
    const result = await logs[to]!.append(subject, data, { messageId: randomUUID() })
    if (result.outcome !== 'stored') throw new Error(`partition ${to} takes nothing now: ${result.message}`)
  }
}
