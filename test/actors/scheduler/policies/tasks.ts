/** Tasks and bids for tests of policies, made by hand. */
import { Member } from '../../../../src/actors/ledger/member.ts'
import { TaskRecord } from '../../../../src/actors/ledger/task-record.ts'
import type { Candidate } from '../../../../src/actors/scheduler/placement.ts'
import type { NodeProfile } from '../../../../src/protocol/options.ts'
import { nodeProfile, taskProfile } from '../../ledger/test-log.ts'

export interface TaskGiven {
  readonly type?: string
  readonly key?: string
  readonly priority?: number
  readonly atMs?: number
  readonly deadlineAtMs?: number
  readonly expectedMs?: number
}

/** A waiting task; `sequence` is its place in the log. */
export function waitingTask(sequence: number, given: TaskGiven = {}): TaskRecord {
  const task = new TaskRecord({
    name: `t-${sequence}`,
    type: given.type ?? 'job',
    priority: given.priority ?? 4,
    key: given.key,
    arrival: { partition: 0, sequence, submittedAtMs: given.atMs ?? 0, client: undefined },
    index: -1,
    hash: 0,
  })
  if (given.deadlineAtMs !== undefined) task.more.deadlineAtMs = given.deadlineAtMs
  if (given.expectedMs !== undefined) task.more.expectedMs = given.expectedMs
  return task
}

export interface NodeGiven extends Partial<Omit<NodeProfile, 'node'>> {
  readonly credits?: number
  readonly free?: number
  readonly priceMs?: number
  readonly slowdown?: number
  readonly parallel?: number
  readonly room?: Record<string, number>
}

/** A bid of a node with free credits. */
export function candidateOf(node: string, given: NodeGiven = {}): Candidate {
  const profile = { ...nodeProfile(node, [taskProfile('job')]), ...given }
  const member = new Member(`journal.${node}`, `${node}-1`, profile, 0, 0)
  const credits = given.credits ?? member.profile.slots
  const bid = {
    credits,
    priceMs: given.priceMs ?? 0,
    slowdown: given.slowdown ?? 1,
    parallel: given.parallel ?? member.profile.slots,
    ttlMs: 1_000,
  }
  const load = { loop: 0, loopDelayMs: 0, cpu: 0, memory: 0, rssBytes: 0 }
  const offer = {
    member,
    bid,
    load,
    status: 'ready' as const,
    free: {},
    heardAtMs: 0,
    expiresAtMs: 1_000,
    awarded: 0,
  }
  return { offer, free: given.free ?? credits, ...(given.room && { room: given.room }) }
}
