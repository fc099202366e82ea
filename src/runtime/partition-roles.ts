/**
 * The roles of a process in one partition, and what they share there: one ledger for scheduler and supervisor. Owns all of it
 * until `stop`.
 */
import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { AgendaOptions } from '../actors/scheduler/agenda.ts'
import type { NatsBus } from '../nats/connection.ts'
import type { OpenNamespace, OpenPartition } from '../nats/setup.ts'
import type { FoldRules } from '../protocol/entries.ts'
import { TroupeError } from '../protocol/errors.ts'
import { HealthWatch } from './health-watch.ts'
import { Housekeeping } from './ledger/housekeeping.ts'
import { LedgerMembers } from './ledger/ledger-members.ts'
import { LedgerReader } from './ledger/ledger-reader.ts'
import { NodeService, type NodeServiceOptions } from './node/node-service.ts'
import type { NodeStatusSource } from './scheduler/answers.ts'
import { SchedulerService } from './scheduler/scheduler-service.ts'
import { Supervisor } from './supervisor.ts'

export interface PartitionRolesOptions {
  readonly bus: NatsBus
  readonly namespace: OpenNamespace
  readonly opened: OpenPartition
  /** Of the process. */
  readonly name: string
  readonly logger: Logger
}

/** What a node has whatever the partition. */
export type NodeParts = Omit<NodeServiceOptions, 'bus' | 'log' | 'objects' | 'subjects' | 'partition'>

export class PartitionRoles {
  readonly partition: number
  reader: LedgerReader | undefined
  supervisor: Supervisor | undefined
  scheduler: SchedulerService | undefined
  node: NodeService | undefined
  private readonly options: PartitionRolesOptions
  /** Of a scheduler without a supervisor: it watches, so that it can say how nodes are. */
  private watch: HealthWatch | undefined
  private housekeeping: Housekeeping | undefined

  constructor(options: PartitionRolesOptions) {
    this.options = options
    this.partition = options.opened.partition
  }

  /** Resolves when the ledger has caught up; call it before the roles that need one. */
  async startLedger(): Promise<void> {
    const { opened, logger } = this.options
    this.reader = new LedgerReader({ ...opened, logger })
    await this.reader.start()
  }

  startHousekeeping(): void {
    const { opened, logger } = this.options
    const { log, checkpoints } = opened
    const { scheduler } = this
    this.housekeeping = new Housekeeping({ reader: this.reader!, log, checkpoints, scheduler, logger })
    this.housekeeping.start()
  }

  startSupervisor(): void {
    const { bus, namespace, opened } = this.options
    const logger = this.options.logger.child({ role: 'supervisor', ...this.named })
    this.supervisor = new Supervisor({
      bus,
      ...opened,
      leases: namespace.leases,
      members: new LedgerMembers(this.reader!),
      holder: this.holder(),
      onReport: ({ what, text, details }) => {
        if (what === 'leading' || what === 'standby') logger.info(details, text)
        else logger.warn(details, text)
      },
    })
    this.supervisor.start()
  }

  startScheduler(policies: AgendaOptions, rules: Partial<FoldRules> | undefined): void {
    const { bus, namespace, opened, logger } = this.options
    this.scheduler = new SchedulerService({
      bus,
      ...opened,
      leases: namespace.leases,
      logs: namespace.partitions.map(({ log }) => log),
      reader: this.reader!,
      logger: logger.child({ role: 'scheduler', ...this.named }),
      name: this.holder(),
      nodes: this.health(),
      policies,
      ...(rules && { rules }),
    })
    this.scheduler.start()
  }

  /** Resolves once the node has joined here. */
  async startNode(parts: NodeParts): Promise<void> {
    const { bus, namespace, opened } = this.options
    const { log, subjects, partition } = opened
    this.node = new NodeService({ ...parts, bus, log, objects: namespace.objects, subjects, partition })
    await this.node.start()
  }

  /** Resolves when some scheduler leads, as this process has folded it. */
  async led(deadlineMs: number): Promise<void> {
    const { reader } = this
    if (reader === undefined || this.scheduler === undefined) return
    if (this.scheduler.leading) return
    await new Promise<void>((resolve, reject) => {
      const late = new TroupeError('TROUPE_NO_ANSWER', `no scheduler began to lead within ${deadlineMs} ms`)
      const timer = setTimeout(() => done(() => reject(late)), deadlineMs)
      const stop = reader.listen({
        folded: (changes) => {
          if (changes.some(({ what }) => what === 'led')) done(resolve)
        },
        replaced: () => undefined,
      })
      const done = (settle: () => void) => {
        clearTimeout(timer)
        stop()
        settle()
      }
    })
  }

  /** Why it is not ready to work, or undefined when it is. */
  complaint(): string | undefined {
    const where = this.options.namespace.partitions.length > 1 ? ` in partition ${this.partition}` : ''
    if (this.reader !== undefined && !this.reader.live) return `the ledger is being loaded${where}`
    if (this.node !== undefined && this.node.status !== 'ready') return `the node is ${this.node.status}${where}`
    return undefined
  }

  /** The node has left before. */
  async stop(): Promise<void> {
    this.watch?.stop()
    await this.supervisor?.stop()
    await this.housekeeping?.stop()
    await this.scheduler?.stop()
    await this.reader?.stop()
  }

  /** For log lines, where there are several. */
  private get named(): { readonly partition?: number } {
    return this.options.namespace.partitions.length > 1 ? { partition: this.partition } : {}
  }

  private holder(): string {
    return `${this.options.name}-${randomBytes(3).toString('hex')}`
  }

  /** What is known of a node beyond the ledger, from heartbeats. */
  private health(): NodeStatusSource {
    const { bus, opened } = this.options
    if (this.supervisor === undefined) {
      this.watch = new HealthWatch({ bus, subjects: opened.subjects, members: new LedgerMembers(this.reader!) })
      this.watch.start()
    }
    const source = this.supervisor ?? this.watch!
    return {
      health(incarnation) {
        const status = source.statusOf(incarnation)
        return status && { status, lastSeenAtMs: source.lastSeenAtMs(incarnation) }
      },
    }
  }
}
