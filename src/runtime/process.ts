/**
 * One process of a deployment: opens the connection and the namespace, starts the roles that it is given in each partition,
 * and owns all of it until `stop`.
 */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Logger } from 'pino'
import type { TaskView } from '../actors/scheduler/policies/orderings.ts'
import type { EncryptionOptions } from '../client/encryption.ts'
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
import { LeadershipSpread } from './leadership-spread.ts'
import type { LedgerReader } from './ledger/ledger-reader.ts'
import type { ObjectSweep } from './ledger/object-sweep.ts'
import type { NodeService } from './node/node-service.ts'
import type { NodeRole } from './node-role.ts'
import { PartitionRoles } from './partition-roles.ts'
import { keepSecret } from './redaction.ts'
import { Registration } from './registration.ts'
import type { SchedulerService } from './scheduler/scheduler-service.ts'
import { servicesOf } from './services.ts'
import { whenAnswered } from './when-answered.ts'

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
  /** Of each partition's log. Default 8 GiB, or less if the server has less. Raises what is there. */
  readonly logBytesMax?: number
  /** Of the namespace, 1 to 64, when it is made. Default: those that there are, or 1. */
  readonly partitions?: number
  readonly drainMs?: number
  /** Keys of a node, by which the values of its tasks are encrypted. */
  readonly encryption?: EncryptionOptions
  readonly logger: Logger
}

/** Of Troupe. */
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  readonly version: string
}

const isControl = (role: Role) => role !== 'node'
const controlCode = () => import('./partition-control.ts')
const nodeCode = () => import('./node-role.ts')

/**
 * Resolves when the code of these roles is loaded, and of no others: a node that starts compiles no scheduler. Whoever waits
 * for a server meanwhile may call it early.
 */
export async function loadRoles(roles: readonly Role[]): Promise<void> {
  if (roles.some(isControl)) await controlCode()
  if (roles.includes('node')) await nodeCode()
}

export class TroupeProcess {
  readonly name: string
  readonly bus: NatsBus
  readonly namespace: OpenNamespace
  /** The roles in each partition. */
  readonly partitions: readonly PartitionRoles[]
  private nodeRole: NodeRole | undefined
  private registration: Registration | undefined
  private spread: LeadershipSpread | undefined
  private sweep: ObjectSweep | undefined
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
    const opening = openBus({ ...options, name: `troupe ${options.roles.join(',')} ${name}` })
    const [bus] = await Promise.all([opening, loadRoles(options.roles)])
    let process: TroupeProcess | undefined
    try {
      const opened = await whenAnswered(() => open(bus, name, options), options.logger)
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

  /** Of its node. */
  get profile(): NodeProfile | undefined {
    return this.nodeRole?.profile
  }

  get scheduler(): SchedulerService | undefined {
    return this.partitions[0]!.scheduler
  }

  get reader(): LedgerReader | undefined {
    return this.partitions[0]!.reader
  }

  /** Resolves when every partition has a scheduler that leads, as this process has folded it. */
  async led(deadlineMs = 10_000): Promise<void> {
    await Promise.all(this.partitions.map(({ control }) => control?.led(deadlineMs)))
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
    await this.nodeRole?.stop()
    this.spread?.stop()
    await this.sweep?.stop()
    await Promise.all(this.partitions.map(({ control }) => control?.stop()))
    await this.bus.flush().catch(() => undefined)
    await this.bus.close()
  }

  private async startRoles(): Promise<void> {
    const { roles } = this.options
    if (roles.some(isControl)) await this.startControl()
    if (roles.includes('node')) await this.startNode()
    this.register()
  }

  private async startControl(): Promise<void> {
    const { PartitionControl, policiesOf, startSweep } = await controlCode()
    const { roles, rules } = this.options
    const started = this.partitions.map((partition) => {
      partition.control = new PartitionControl(partition.options)
      return partition.control
    })
    await Promise.all(started.map((control) => whenAnswered(() => control.startLedger(), this.options.logger)))
    if (roles.includes('supervisor')) for (const control of started) control.startSupervisor()
    if (roles.includes('scheduler'))
      for (const control of started) control.startScheduler(policiesOf(this.options), rules)
    for (const control of started) control.startHousekeeping()
    if (roles.includes('scheduler') && started.length > 1) this.startSpread()
    this.sweep = await startSweep(started, this.partitions[0]!.options)
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

  private async startNode(): Promise<void> {
    const { NodeRole } = await nodeCode()
    const { bus, name, namespace, partitions } = this
    const connection = connectionOf(this.options)
    this.nodeRole = new NodeRole({ ...this.options, connection, bus, name, subjects: namespace.subjects, version })
    await this.nodeRole.start(partitions)
  }
}

/** The namespace with its partitions. Throws TROUPE_NOT_ALLOWED naming what this user lacks, TROUPE_PARTITIONS. */
async function open(bus: NatsBus, name: string, options: ProcessOptions): Promise<OpenNamespace> {
  const { namespace = 'main', roles, partitions, replicas, logBytesMax } = options
  const there = await partitionsOf(bus, namespace)
  await checkPermissions(bus, new Subjects(namespace, 0, Math.max(there, partitions ?? 1)), { name, roles })
  return openNamespace(bus, {
    namespace,
    ...(partitions !== undefined && { partitions }),
    ...(replicas !== undefined && { replicas }),
    ...(logBytesMax !== undefined && { logBytesMax }),
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
