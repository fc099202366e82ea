/** The roles of a process in one partition: what controls it, and what runs its tasks. Each is set when it has started. */
import type { Logger } from 'pino'
import type { NatsBus } from '../nats/connection.ts'
import type { OpenNamespace, OpenPartition } from '../nats/setup.ts'
import type { LedgerReader } from './ledger/ledger-reader.ts'
import type { NodeService } from './node/node-service.ts'
import type { PartitionControl } from './partition-control.ts'
import type { SchedulerService } from './scheduler/scheduler-service.ts'
import type { Supervisor } from './supervisor.ts'

export interface PartitionRolesOptions {
  readonly bus: NatsBus
  readonly namespace: OpenNamespace
  readonly opened: OpenPartition
  /** Of the process. */
  readonly name: string
  readonly logger: Logger
}

export class PartitionRoles {
  readonly options: PartitionRolesOptions
  control: PartitionControl | undefined
  node: NodeService | undefined

  constructor(options: PartitionRolesOptions) {
    this.options = options
  }

  get partition(): number {
    return this.options.opened.partition
  }

  get reader(): LedgerReader | undefined {
    return this.control?.reader
  }

  get scheduler(): SchedulerService | undefined {
    return this.control?.scheduler
  }

  get supervisor(): Supervisor | undefined {
    return this.control?.supervisor
  }

  /** Why it is not ready to work, or undefined when it is. */
  complaint(): string | undefined {
    const where = this.options.namespace.partitions.length > 1 ? ` in partition ${this.partition}` : ''
    if (this.reader !== undefined && !this.reader.live) return `the ledger is being loaded${where}`
    if (this.node !== undefined && this.node.status !== 'ready') return `the node is ${this.node.status}${where}`
    return undefined
  }
}
