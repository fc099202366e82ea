/**
 * One process of a deployment: opens the connection and the namespace, starts the roles that it is given in each partition,
 * and owns all of it until `stop`.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Logger } from 'pino'
import type { AgendaOptions } from '../actors/scheduler/agenda.ts'
import { orderingNamed, placementsNamed, rebalancingNamed } from '../actors/scheduler/policies/named.ts'
import { ordered, type TaskView } from '../actors/scheduler/policies/orderings.ts'
import { type EncryptionOptions, Keyring } from '../client/encryption.ts'
import type { AnyTaskDefinition } from '../client/task.ts'
import { type BusOptions, openBus } from '../nats/connect.ts'
import type { NatsBus, Violation } from '../nats/connection.ts'
import { readCredentials } from '../nats/credentials.ts'
import { type OpenNamespace, openNamespace, partitionsOf } from '../nats/setup.ts'
import type { FoldRules } from '../protocol/entries.ts'
import { adviceFor, TroupeError } from '../protocol/errors.ts'
import type { NodeProfile } from '../protocol/options.ts'
import { Subjects } from '../protocol/subjects.ts'
import { checkPermissions } from './auth/needs.ts'
import { type RunningHeartbeat, startHeartbeat } from './heartbeat/heartbeat.ts'
import { LeadershipSpread } from './leadership-spread.ts'
import type { LedgerReader } from './ledger/ledger-reader.ts'
import { Capacity } from './node/capacity.ts'
import { detectedResources } from './node/detected-resources.ts'
import { MeasuredBalance } from './node/measured-balance.ts'
import { NodeLife } from './node/node-life.ts'
import type { NodeService } from './node/node-service.ts'
import { PartitionRoles } from './partition-roles.ts'
import { keepSecret } from './redaction.ts'
import { Registration } from './registration.ts'
import type { SchedulerService } from './scheduler/scheduler-service.ts'
import { servicesOf } from './services.ts'
import { lanes } from './tasks/lanes.ts'

export type Role = 'node' | 'scheduler' | 'supervisor'

export interface ProcessOptions extends Omit<BusOptions, 'name'> {
  readonly namespace?: string
  readonly roles: readonly Role[]
  /** A name; default: host and a random part. */
  readonly name?: string
  readonly definitions?: readonly AnyTaskDefinition[]
  /** Tasks that the node runs at once. Default 256. */
  readonly slots?: number
  readonly resources?: Readonly<Record<string, number>>
  readonly labels?: Readonly<Record<string, string>>
  /** Of a scheduler, while it leads: the order of tasks, as `shortest-first:aging=0.5`, or a rank for each. Default: priority. */
  readonly ordering?: string | ((task: TaskView) => number)
  /** Of a scheduler: which node gets a task, as `least-delay;resize=affinity`. Default: least-delay. */
  readonly placement?: string
  /** By name, like `threshold:ratio=3` or `off`. Default: `threshold`. */
  readonly rebalancing?: string
  readonly rules?: Partial<FoldRules>
  readonly replicas?: number
  /** Of the namespace, 1 to 64, when it is made. Default: those that there are, or 1. */
  readonly partitions?: number
  readonly drainMs?: number
  /** Keys of a node, by which the values of its tasks are encrypted. */
  readonly encryption?: EncryptionOptions
  readonly logger: Logger
}

export const slotsDefault = 256
/** Of Troupe. */
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly version: string
}

export class TroupeProcess {
  readonly name: string
  readonly bus: NatsBus
  readonly namespace: OpenNamespace
  /** The roles in each partition. */
  readonly partitions: readonly PartitionRoles[]
  profile: NodeProfile | undefined
  private heartbeat: RunningHeartbeat | undefined
  private registration: Registration | undefined
  private spread: LeadershipSpread | undefined
  private readonly options: ProcessOptions
  private lastRefused: string | undefined

  private constructor(options: ProcessOptions, name: string, bus: NatsBus, namespace: OpenNamespace) {
    this.options = options
    this.name = name
    this.bus = bus
    this.namespace = namespace
    const { logger } = options
    this.partitions = namespace.partitions.map((opened) => new PartitionRoles({ bus, namespace, opened, name, logger }))
  }

  /** Resolves when every role has started: the ledger has caught up, the node has joined. */
  static async start(options: ProcessOptions): Promise<TroupeProcess> {
    const credentials = options.creds === undefined ? undefined : readCredentials(options.creds)
    const { encryption, password, token } = options
    keepSecret(password, token, ...Object.values(encryption?.keys ?? {}).filter((key) => typeof key === 'string'))
    const name = options.name ?? credentials?.name ?? randomName()
    const bus = await openBus({ ...options, name: `troupe ${options.roles.join(',')} ${name}` })
    let process: TroupeProcess | undefined
    try {
      const opened = await open(bus, name, options)
      process = new TroupeProcess(options, name, bus, opened)
      bus.onRefused((violation) => process?.refused(violation))
      await process.startRoles()
      await process.checkPartitions()
      return process
    } catch (error) {
      await process?.stop().catch(() => undefined)
      await bus.close()
      throw error
    }
  }

  /** Whoever made the namespace may have given it its partitions while this process started. */
  private async checkPartitions(): Promise<void> {
    const { namespace, bus, partitions } = this
    const there = await partitionsOf(bus, namespace.subjects.namespace)
    if (there === partitions.length) return
    const message = `namespace "${namespace.subjects.namespace}" was given ${there} partitions while this process started`
    throw new TroupeError('TROUPE_PARTITIONS', message)
  }

  /** What it does in the first partition; where there is one only, all that it does. */
  get node(): NodeService | undefined {
    return this.partitions[0]!.node
  }

  get scheduler(): SchedulerService | undefined {
    return this.partitions[0]!.scheduler
  }

  get reader(): LedgerReader | undefined {
    return this.partitions[0]!.reader
  }

  /** Resolves when every partition has a scheduler that leads, as this process has folded it. */
  async led(deadlineMs = 10_000): Promise<void> {
    await Promise.all(this.partitions.map((roles) => roles.led(deadlineMs)))
  }

  /** Why the process is not ready to work, or undefined when it is. */
  complaint(): string | undefined {
    if (this.lastRefused !== undefined) return this.lastRefused
    if (!this.bus.connected) return 'not connected to NATS'
    for (const roles of this.partitions) {
      const complaint = roles.complaint()
      if (complaint !== undefined) return complaint
    }
    return undefined
  }

  /** Permissions can change while a process runs. Said once per subject: what beats would say it for ever. */
  private refused({ operation, subject }: Violation): void {
    const complaint = `this user may not ${operation} to ${subject}`
    if (this.lastRefused === complaint) return
    this.lastRefused = complaint
    const code = 'TROUPE_NOT_ALLOWED'
    this.options.logger.error({ code, operation, subject, next: adviceFor(code) }, complaint)
  }

  /** Hands everything back and leaves: the node drains, leases are released. */
  async stop(): Promise<void> {
    await Promise.all(this.partitions.map(({ node }) => node?.drain()))
    this.registration?.stop()
    await this.heartbeat?.stop()
    if (this.node !== undefined) await lanes.close()
    this.spread?.stop()
    await Promise.all(this.partitions.map((roles) => roles.stop()))
    await this.bus.flush().catch(() => undefined)
    await this.bus.close()
  }

  private async startRoles(): Promise<void> {
    const { roles, rules } = this.options
    const { partitions } = this
    if (roles.includes('scheduler') || roles.includes('supervisor')) {
      await Promise.all(partitions.map((partition) => partition.startLedger()))
    }
    if (roles.includes('supervisor')) for (const partition of partitions) partition.startSupervisor()
    if (roles.includes('scheduler'))
      for (const partition of partitions) partition.startScheduler(this.policies(), rules)
    for (const partition of partitions) if (partition.reader !== undefined) partition.startHousekeeping()
    if (roles.includes('scheduler') && partitions.length > 1) this.startSpread()
    if (roles.includes('node')) await this.startNode()
    this.register()
  }

  /** Whoever asks with NATS's own tooling finds each role from now on. */
  private register(): void {
    const { bus, name, namespace } = this
    this.registration = new Registration({
      bus,
      subjects: namespace.subjects,
      name,
      version,
      services: servicesOf(this),
      complaint: () => this.complaint(),
    })
  }

  /** Other processes lead some of the partitions. */
  private startSpread(): void {
    const { bus, name, namespace, partitions } = this
    const schedulers = partitions.map(({ scheduler }) => scheduler!)
    this.spread = new LeadershipSpread({ bus, subjects: namespace.subjects, name, schedulers })
    this.spread.start()
  }

  /** Throws TROUPE_INVALID_OPTION. */
  private policies(): AgendaOptions {
    const { ordering = 'priority', placement = '', rebalancing = 'threshold' } = this.options
    const moving = rebalancingNamed(rebalancing)
    return {
      ordering: typeof ordering === 'string' ? orderingNamed(ordering) : ordered('custom', ordering),
      ...placementsNamed(placement),
      ...(moving && { rebalancing: moving }),
    }
  }

  private async startNode(): Promise<void> {
    const { subjects } = this.namespace
    const { definitions = [], slots = slotsDefault, labels = {}, resources, logger, drainMs, encryption } = this.options
    this.profile = {
      node: this.name,
      host: hostname(),
      pid: process.pid,
      version,
      slots,
      resources: { ...detectedResources(), ...resources },
      labels,
      types: definitions.map((definition) => definition.profile),
    }
    const connection = { ...connectionOf(this.options), name: `troupe node ${this.name}` }
    const heartbeat = startHeartbeat({ connection, subjects, node: this.name, bus: this.bus })
    this.heartbeat = heartbeat
    const shared = {
      profile: this.profile,
      definitions,
      ...(encryption && { keyring: new Keyring(subjects.namespace, encryption) }),
      balance: new MeasuredBalance(slots),
      capacity: new Capacity(slots, this.profile.resources),
      life: new NodeLife(),
      logger: logger.child({ role: 'node', node: this.name }),
      ...(drainMs !== undefined && { drainMs }),
    }
    /** Partitions in which the present incarnation has joined. */
    const joined = new Set<number>()
    const follow = (partition: number, incarnation: string | undefined) => {
      if (incarnation === undefined) joined.delete(partition)
      else joined.add(partition)
      heartbeat.setIncarnation(joined.size === 0 ? undefined : shared.life.incarnation, [...joined])
    }
    await Promise.all(
      this.partitions.map((roles) =>
        roles.startNode({ ...shared, onIncarnation: (incarnation) => follow(roles.partition, incarnation) }),
      ),
    )
  }
}

/** The namespace with its partitions. Throws TROUPE_NOT_ALLOWED naming what this user lacks, TROUPE_PARTITIONS. */
async function open(bus: NatsBus, name: string, options: ProcessOptions): Promise<OpenNamespace> {
  const { namespace = 'main', roles, partitions, replicas } = options
  const there = await partitionsOf(bus, namespace)
  await checkPermissions(bus, new Subjects(namespace, 0, Math.max(there, partitions ?? 1)), { name, roles })
  return openNamespace(bus, {
    namespace,
    ...(partitions !== undefined && { partitions }),
    ...(replicas !== undefined && { replicas }),
  })
}

function randomName(): string {
  const host = hostname().replaceAll(/[^A-Za-z0-9_-]/g, '-')
  return `${host.slice(0, 40)}-${randomBytes(3).toString('hex')}`
}

/** What another connection of the same process needs. */
function connectionOf({
  servers,
  creds,
  nkey,
  user,
  password,
  token,
  tls,
  inboxPrefix,
}: ProcessOptions): Omit<BusOptions, 'name'> {
  return {
    servers,
    ...(creds !== undefined && { creds }),
    ...(nkey !== undefined && { nkey }),
    ...(user !== undefined && { user }),
    ...(password !== undefined && { password }),
    ...(token !== undefined && { token }),
    ...(tls !== undefined && { tls }),
    ...(inboxPrefix !== undefined && { inboxPrefix }),
  }
}
