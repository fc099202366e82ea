/** Tasks and bids for tests of policies, made by hand. */
import { Member } from '../../../../src/actors/ledger/member.ts'
import { TaskRecord } from '../../../../src/actors/ledger/task-record.ts'
import type { Candidate } from '../../../../src/actors/scheduler/placement.ts'
import { defaultRestart, defaultRetry, type NodeProfile, type TaskProfile } from '../../../../src/protocol/options.ts'

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
    id: `t-${sequence}`,
    type: given.type ?? 'job',
    priority: given.priority ?? 4,
    key: given.key,
    sequence,
    index: -1,
    submittedAtMs: given.atMs ?? 0,
    hash: 0,
    client: undefined,
  })
  if (given.deadlineAtMs !== undefined) task.more.deadlineAtMs = given.deadlineAtMs
  if (given.expectedMs !== undefined) task.more.expectedMs = given.expectedMs
  return task
}

export function profileOf(type: string, more: Partial<TaskProfile> = {}): TaskProfile {
  return {
    type,
    logic: 'function',
    retry: defaultRetry,
    restart: defaultRestart,
    timeoutMs: 0,
    resources: {},
    schema: false,
    ...more,
  }
}

export interface NodeGiven extends Partial<Omit<NodeProfile, 'node'>> {
  readonly credits?: number
  readonly free?: number
  readonly priceMs?: number
  readonly slowdown?: number
  readonly parallel?: number
  readonly room?: Record<string, number>
}

export function memberOf(node: string, given: Partial<NodeProfile> = {}): Member {
  const profile: NodeProfile = {
    host: 'h',
    pid: 1,
    version: '0',
    slots: 4,
    resources: {},
    labels: {},
    types: [profileOf('job')],
    ...given,
    node,
  }
  return new Member(`journal.${node}`, `${node}-1`, profile, 0, 0)
}

/** A bid of a node with free credits. */
export function candidateOf(node: string, given: NodeGiven = {}): Candidate {
  const member = memberOf(node, given)
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
