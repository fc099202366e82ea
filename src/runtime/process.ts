/**
 * One process of a deployment: opens the connection and the namespace, starts the roles it is given, and owns all of it
 * until `stop`. Scheduler and supervisor of one process share one ledger.
 */
import { randomBytes } from 'node:crypto'
import { availableParallelism, hostname } from 'node:os'
import type { Logger } from 'pino'
import type { AnyTaskDefinition } from '../client/task.ts'
import type { Bus } from '../nats/bus.ts'
import { type BusOptions, openBus } from '../nats/connect.ts'
import { type OpenNamespace, openNamespace } from '../nats/setup.ts'
import type { FoldRules } from '../protocol/entries.ts'
import type { NodeProfile } from '../protocol/options.ts'
import { LedgerReader } from './ledger/ledger-reader.ts'
import { MeasuredBalance } from './node/measured-balance.ts'
import { NodeService } from './node/node-service.ts'
import { SchedulerService } from './scheduler/scheduler-service.ts'

export type Role = 'node' | 'scheduler' | 'supervisor'

export interface ProcessOptions extends Omit<BusOptions, 'name'> {
  readonly namespace?: string
  readonly roles: readonly Role[]
  /** A name; default: host and a random part. */
  readonly name?: string
  readonly definitions?: readonly AnyTaskDefinition[]
  /** Tasks that the node runs at once. Default 100. */
  readonly slots?: number
  readonly resources?: Readonly<Record<string, number>>
  readonly labels?: Readonly<Record<string, string>>
  readonly rules?: Partial<FoldRules>
  readonly replicas?: number
  readonly drainMs?: number
  readonly logger: Logger
}

export const slotsDefault = 100

export class TroupeProcess {
  readonly name: string
  readonly bus: Bus
  readonly namespace: OpenNamespace
  node: NodeService | undefined
  scheduler: SchedulerService | undefined
  reader: LedgerReader | undefined
  private readonly options: ProcessOptions

  private constructor(options: ProcessOptions, name: string, bus: Bus, namespace: OpenNamespace) {
    this.options = options
    this.name = name
    this.bus = bus
    this.namespace = namespace
  }

  /** Resolves when every role has started: the ledger has caught up, the node has joined. */
  static async start(options: ProcessOptions): Promise<TroupeProcess> {
    const name =
      options.name ??
      `${hostname()
        .replaceAll(/[^A-Za-z0-9_-]/g, '-')
        .slice(0, 40)}-${randomBytes(3).toString('hex')}`
    const bus = await openBus({ ...options, name: `troupe ${options.roles.join(',')} ${name}` })
    const opened = await openNamespace(bus, {
      ...(options.namespace !== undefined && { namespace: options.namespace }),
      ...(options.replicas !== undefined && { replicas: options.replicas }),
    })
    const process = new TroupeProcess(options, name, bus, opened)
    await process.startRoles()
    return process
  }

  /** Hands everything back and leaves: the node drains, leases are released. */
  async stop(): Promise<void> {
    await this.node?.drain()
    await this.scheduler?.stop()
    await this.reader?.stop()
    await this.bus.flush().catch(() => undefined)
    await this.bus.close()
  }

  private async startRoles(): Promise<void> {
    const { roles } = this.options
    if (roles.includes('scheduler') || roles.includes('supervisor')) await this.startLedger()
    if (roles.includes('scheduler')) this.startScheduler()
    if (roles.includes('node')) await this.startNode()
  }

  private async startLedger(): Promise<void> {
    const { log, checkpoints, subjects, partition } = this.namespace
    this.reader = new LedgerReader({ log, checkpoints, subjects, partition, logger: this.options.logger })
    await this.reader.start()
  }

  private startScheduler(): void {
    const { log, checkpoints, leases, subjects, partition } = this.namespace
    const { logger, rules } = this.options
    this.scheduler = new SchedulerService({
      bus: this.bus,
      log,
      leases,
      checkpoints,
      subjects,
      partition,
      reader: this.reader!,
      logger: logger.child({ role: 'scheduler' }),
      name: `${this.name}-${randomBytes(3).toString('hex')}`,
      ...(rules && { rules }),
    })
    this.scheduler.start()
  }

  private async startNode(): Promise<void> {
    const { log, objects, subjects, partition } = this.namespace
    const { definitions = [], slots = slotsDefault, labels = {}, resources, logger, drainMs } = this.options
    const profile: NodeProfile = {
      node: this.name,
      host: hostname(),
      pid: process.pid,
      version: '0.1.0',
      slots,
      resources: resources ?? { cpu: availableParallelism() },
      labels,
      types: definitions.map((definition) => definition.profile),
    }
    this.node = new NodeService({
      bus: this.bus,
      log,
      objects,
      subjects,
      partition,
      profile,
      definitions,
      balance: new MeasuredBalance(slots),
      logger: logger.child({ role: 'node', node: this.name }),
      ...(drainMs !== undefined && { drainMs }),
    })
    await this.node.start()
  }
}
