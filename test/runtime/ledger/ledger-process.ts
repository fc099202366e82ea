/**
 * A process that folds, and may lead, without a scheduler: clients, nodes and the leader's decisions are written straight to
 * a real log, so that a test says exactly what is in it.
 */
import pino from 'pino'
import { defaultRules } from '../../../src/actors/ledger/state.ts'
import type { TaskRecord } from '../../../src/actors/ledger/task-record.ts'
import { packBlock } from '../../../src/protocol/blocks.ts'
import { type ControlEntry, formatVersion, type JournalEntry, kind } from '../../../src/protocol/entries.ts'
import { Housekeeping, type HousekeepingOptions } from '../../../src/runtime/ledger/housekeeping.ts'
import { LedgerReader } from '../../../src/runtime/ledger/ledger-reader.ts'
import { LogValues } from '../../../src/runtime/scheduler/log-values.ts'
import { nodeProfile } from '../../actors/ledger/test-log.ts'
import { type OpenTest, until } from '../../harness/server.ts'

export const logger = pino({ level: 'silent' })

export class LedgerProcess implements AsyncDisposable {
  readonly opened: OpenTest
  readonly reader: LedgerReader
  readonly leader = { leading: true, values: undefined as unknown as LogValues, decideAll: this.decideAll.bind(this) }
  #housekeeping: Housekeeping | undefined
  #epoch = 0
  readonly #last = new Map<string, { sequence: number; number: number }>()

  constructor(opened: OpenTest) {
    this.opened = opened
    this.reader = new LedgerReader({ ...opened, logger })
    this.leader.values = new LogValues(opened.log, opened.subjects)
  }

  static async start(opened: OpenTest): Promise<LedgerProcess> {
    const started = new LedgerProcess(opened)
    await started.reader.start()
    return started
  }

  get state() {
    return this.reader.ledger.state
  }

  task(id: string): TaskRecord {
    const task = this.state.tasks.get(id)
    if (task === undefined) throw new Error(`no task ${id}`)
    return task
  }

  /** Resolves when it is folded. Throws what the log answered instead. */
  async append(subject: string, data: Uint8Array, expected?: number): Promise<number> {
    const options = expected === undefined ? {} : { expectedLastSubjectSequence: expected }
    const result = await this.opened.log.append(subject, data, options)
    if (result.outcome !== 'stored') throw new Error(result.outcome === 'refused' ? result.reason : result.outcome)
    await this.reader.reached(result.sequence)
    return result.sequence
  }

  /** One task with an input of this many bytes; resolves with its id. */
  async submit(bytes = 10, type = 'work'): Promise<string> {
    const input = new TextEncoder().encode(JSON.stringify('x'.repeat(bytes)))
    return `0-${await this.append(this.opened.subjects.submit(type), input)}`
  }

  /** A block of a node's journal, fenced as a real one is. */
  async write(node: string, ...entries: JournalEntry[]): Promise<number> {
    const last = this.#last.get(node) ?? { sequence: 0, number: 0 }
    const number = last.number + 1
    const block = packBlock([formatVersion, number, entries])
    const sequence = await this.append(
      this.opened.subjects.journal(this.opened.partition, node, `${node}1`),
      block,
      last.sequence,
    )
    this.#last.set(node, { sequence, number })
    return sequence
  }

  join(node: string): Promise<number> {
    return this.write(node, [kind.joined, nodeProfile(node)])
  }

  async lead(): Promise<void> {
    const block = packBlock([formatVersion, 0, [[kind.led, defaultRules]]])
    this.#epoch = await this.append(this.opened.subjects.control(this.opened.partition, 's1'), block)
  }

  async decideAll(entries: readonly ControlEntry[]): Promise<void> {
    await this.append(
      this.opened.subjects.control(this.opened.partition, 's1'),
      packBlock([formatVersion, this.#epoch, entries]),
    )
  }

  keepHouse(options: Partial<HousekeepingOptions> = {}): void {
    const { reader, opened, leader } = this
    this.#housekeeping = new Housekeeping({ ...opened, reader, scheduler: leader, logger, everyMs: 20, ...options })
    this.#housekeeping.start()
  }

  firstSequence(): Promise<number> {
    return this.opened.log.info().then(({ firstSequence }) => firstSequence)
  }

  /** Until the log begins there. */
  async trimmedTo(sequence: number): Promise<void> {
    await until(async () => (await this.firstSequence()) >= sequence, `the log is trimmed to ${sequence}`)
  }

  async stop(): Promise<void> {
    await this.#housekeeping?.stop()
    this.#housekeeping = undefined
    await this.reader.stop()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }
}
