/**
 * A log in memory and the ledger that folds it, for tests: everything is written as the bytes that a client, a node, a
 * supervisor or a scheduler would write, at a time that the test sets.
 */
import type { Change } from '../../../src/actors/ledger/change.ts'
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import { defaultRules } from '../../../src/actors/ledger/state.ts'
import type { TaskRecord } from '../../../src/actors/ledger/task-record.ts'
import { packBlock } from '../../../src/protocol/blocks.ts'
import {
  type ControlEntry,
  type FoldRules,
  formatVersion,
  type JournalEntry,
  kind,
  type LogMessage,
  type Submission,
} from '../../../src/protocol/entries.ts'
import type { ErrorRecord } from '../../../src/protocol/errors.ts'
import { defaultRestart, defaultRetry, type NodeProfile, type TaskProfile } from '../../../src/protocol/options.ts'
import { Subjects } from '../../../src/protocol/subjects.ts'

export const startMs = 1_700_000_000_000
export const noJitter = { ...defaultRetry, jitterPercent: 0 }
export const boom: ErrorRecord = { code: 'TROUPE_TASK_FAILED', message: 'boom' }
const text = new TextEncoder()

export function taskProfile(type: string, options: Partial<TaskProfile> = {}): TaskProfile {
  return {
    type,
    logic: 'function',
    retry: noJitter,
    restart: defaultRestart,
    timeoutMs: 0,
    resources: {},
    schema: false,
    ...options,
  }
}

export function nodeProfile(node: string, types: readonly TaskProfile[] = [taskProfile('work')]): NodeProfile {
  return { node, host: 'host', pid: 1, version: '0', slots: 4, resources: {}, labels: {}, types }
}

/** One life of a node, as its journal's writer. */
export class TestNode {
  readonly log: TestLog
  readonly node: string
  readonly incarnation: string
  #number = 0

  constructor(log: TestLog, node: string, incarnation: string) {
    this.log = log
    this.node = node
    this.incarnation = incarnation
  }

  get subject(): string {
    return this.log.subjects.journal(this.log.subjects.partition, this.node, this.incarnation)
  }

  write(...entries: JournalEntry[]): number {
    return this.log.append(this.subject, packBlock([formatVersion, ++this.#number, entries]))
  }

  accept(id: string, turn = 1): void {
    this.write([kind.accepted, id, turn])
  }

  complete(id: string, turn = 1): void {
    this.write([kind.completed, id, turn, new Uint8Array([1])])
  }

  fail(id: string, turn = 1, retryable = true, error = boom): void {
    this.write([kind.failed, id, turn, error, retryable])
  }

  checkpoint(id: string, turn = 1, consumed = 0): number {
    return this.write([kind.checkpointed, id, turn, new Uint8Array([7]), consumed])
  }

  park(id: string, turn = 1, until: { wakeAtMs?: number; onSignal?: boolean; children?: string[] } = {}, consumed = 0) {
    const { wakeAtMs = 0, onSignal = false, children = [] } = until
    this.write([kind.parked, id, turn, new Uint8Array([8]), consumed, wakeAtMs, onSignal, children])
  }

  child(parent: string, turn: number, id: string, options: object = {}): void {
    this.write([kind.submitted, parent, turn, 'work', null, { id, ...options }])
  }

  get member() {
    return this.log.state.members.get(this.incarnation)
  }
}

export class TestLog {
  readonly subjects: Subjects
  readonly messages: LogMessage[] = []
  readonly changes: Change[] = []
  ledger: Ledger
  nowMs = startMs
  leader = ''
  epoch = 0

  /** Of the first of so many partitions, or another. */
  constructor(partitions = 1, partition = 0) {
    this.subjects = new Subjects('main', partition, partitions)
    this.ledger = new Ledger(this.subjects)
  }

  get state() {
    return this.ledger.state
  }

  /** The task; fails when there is none. */
  task(id: string): TaskRecord {
    const task = this.state.tasks.get(id)
    if (task === undefined) throw new Error(`no task "${id}"`)
    return task
  }

  append(subject: string, data: Uint8Array, headers?: Record<string, string>): number {
    const sequence = this.messages.length + 1
    const message: LogMessage = {
      subject,
      sequence,
      timestampMs: this.nowMs,
      data,
      headers: headers && new Map(Object.entries(headers)),
    }
    this.messages.push(message)
    this.ledger.fold(message)
    this.changes.push(...this.ledger.takeChanges())
    return sequence
  }

  /** What was reported since the last call. */
  takeChanges(): Change[] {
    return this.changes.splice(0)
  }

  advance(ms: number): void {
    this.nowMs += ms
  }

  /** A plain message; returns the task's id. */
  submit(headers: Record<string, string> = {}, type = 'work', body = 'null'): string {
    const sequence = this.append(this.subjects.submit(type), text.encode(body), headers)
    return headers['troupe-id'] ?? `${this.subjects.partition}-${sequence}`
  }

  submitBlock(client: string, submissions: readonly Submission[]): number {
    return this.append(this.subjects.block(client), packBlock([formatVersion, submissions]))
  }

  signal(id: string, signalId?: string): number {
    const headers = signalId === undefined ? undefined : { 'troupe-id': signalId }
    return this.append(this.subjects.signal(id), text.encode('{"type":"GO"}'), headers)
  }

  join(
    node: string,
    incarnation = `${node}1`,
    types?: readonly TaskProfile[],
    more: Partial<NodeProfile> = {},
  ): TestNode {
    const joined = new TestNode(this, node, incarnation)
    joined.write([kind.joined, { ...nodeProfile(node, types), ...more }])
    return joined
  }

  fence(node: TestNode): void {
    this.append(node.subject, packBlock([formatVersion, 0, [[kind.fenced, 'silent']]]))
  }

  lead(name = 's1', rules: Partial<FoldRules> = {}): void {
    this.leader = name
    const block = packBlock([formatVersion, 0, [[kind.led, { ...defaultRules, ...rules }]]])
    this.epoch = this.append(this.subjects.control(this.subjects.partition, name), block)
  }

  decide(...entries: ControlEntry[]): void {
    this.decideAs(this.leader, this.epoch, ...entries)
  }

  decideAs(name: string, epoch: number, ...entries: ControlEntry[]): void {
    this.append(this.subjects.control(this.subjects.partition, name), packBlock([formatVersion, epoch, entries]))
  }

  /** Everything again, in another ledger. */
  refold(): Ledger {
    const ledger = new Ledger(this.subjects)
    for (const message of this.messages) ledger.fold(message)
    return ledger
  }
}
