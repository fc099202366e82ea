/** One incarnation of a node as the ledger knows it. It is live from its `joined` until it leaves or is fenced. */
import type { NodeProfile, TaskProfile } from '../../protocol/options.ts'
import type { TaskRecord } from './task-record.ts'

export class Member {
  readonly node: string
  readonly incarnation: string
  readonly subject: string
  readonly joinedAtMs: number
  profile: NodeProfile
  live = true
  endReason = ''
  /** Sequence of the last message of its journal; what a trim must not remove while it lives. */
  lastSequence: number
  lastBlock = 0
  readonly types: Map<string, TaskProfile>
  /** Tasks whose present turn it owns. */
  readonly running = new Set<TaskRecord>()

  constructor(subject: string, incarnation: string, profile: NodeProfile, joinedAtMs: number, sequence: number) {
    this.subject = subject
    this.node = profile.node
    this.incarnation = incarnation
    this.profile = profile
    this.joinedAtMs = joinedAtMs
    this.lastSequence = sequence
    this.types = new Map(profile.types.map((type) => [type.type, type]))
  }
}
