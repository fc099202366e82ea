/**
 * One process of a deployment: opens the connection and the namespace, starts the roles it is given, and owns all of it
 * until `stop`. Scheduler and supervisor of one process share one ledger.
 */
import { randomBytes } from 'node:crypto'
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
import { type OpenNamespace, openNamespace } from '../nats/setup.ts'
import type { FoldRules } from '../protocol/entries.ts'
import { adviceFor, TroupeError } from '../protocol/errors.ts'
import type { NodeProfile } from '../protocol/options.ts'
import { checkPermissions } from './auth/needs.ts'
import { HealthWatch } from './health-watch.ts'
import { type RunningHeartbeat, startHeartbeat } from './heartbeat/heartbeat.ts'
import { Housekeeping } from './ledger/housekeeping.ts'
import { LedgerMembers } from './ledger/ledger-members.ts'
import { LedgerReader } from './ledger/ledger-reader.ts'
import { detectedResources } from './node/detected-resources.ts'
import { MeasuredBalance } from './node/measured-balance.ts'
import { NodeService } from './node/node-service.ts'
import { keepSecret } from './redaction.ts'
import { Registration } from './registration.ts'
import type { NodeStatusSource } from './scheduler/answers.ts'
import { SchedulerService } from './scheduler/scheduler-service.ts'
import { servicesOf } from './services.ts'
import { Supervisor } from './supervisor.ts'
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
  readonly drainMs?: number
  /** Keys of a node, by which the values of its tasks are encrypted. */
  readonly encryption?: EncryptionOptions
  readonly logger: Logger
}

export const slotsDefault = 256
/** Of Troupe. */
const version = '0.1.0'

export class TroupeProcess {
  readonly name: string
  readonly bus: NatsBus
  readonly namespace: OpenNamespace
  node: NodeService | undefined
  scheduler: SchedulerService | undefined
  reader: LedgerReader | undefined
  supervisor: Supervisor | undefined
  /** Of a scheduler without a supervisor: it watches, so that it can say how nodes are. */
  private watch: HealthWatch | undefined
  profile: NodeProfile | undefined
  private heartbeat: RunningHeartbeat | undefined
  private registration: Registration | undefined
  private housekeeping: Housekeeping | undefined
  private readonly options: ProcessOptions
  private lastRefused: string | undefined

  private constructor(options: ProcessOptions, name: string, bus: NatsBus, namespace: OpenNamespace) {
    this.options = options
    this.name = name
    this.bus = bus
    this.namespace = namespace
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
      const { namespace = 'main', roles } = options
      await checkPermissions(bus, namespace, { name, roles })
      const opened = await openNamespace(bus, {
        namespace,
        ...(options.replicas !== undefined && { replicas: options.replicas }),
      })
      process = new TroupeProcess(options, name, bus, opened)
      bus.onRefused((violation) => process?.refused(violation))
      await process.startRoles()
      return process
    } catch (error) {
      await process?.stop().catch(() => undefined)
      await bus.close()
      throw error
    }
  }

  /** Resolves when some scheduler leads, as this process has folded it. */
  async led(deadlineMs = 10_000): Promise<void> {
    const reader = this.reader
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

  /** Why the process is not ready to work, or undefined when it is. */
  complaint(): string | undefined {
    if (this.lastRefused !== undefined) return this.lastRefused
    if (!this.bus.connected) return 'not connected to NATS'
    if (this.reader !== undefined && !this.reader.live) return 'the ledger is being loaded'
    if (this.node !== undefined && this.node.status !== 'ready') return `the node is ${this.node.status}`
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
    await this.node?.drain()
    this.registration?.stop()
    await this.heartbeat?.stop()
    if (this.node !== undefined) await lanes.close()
    this.watch?.stop()
    await this.supervisor?.stop()
    await this.housekeeping?.stop()
    await this.scheduler?.stop()
    await this.reader?.stop()
    await this.bus.flush().catch(() => undefined)
    await this.bus.close()
  }

  private async startRoles(): Promise<void> {
    const { roles } = this.options
    if (roles.includes('scheduler') || roles.includes('supervisor')) await this.startLedger()
    if (roles.includes('supervisor')) this.startSupervisor()
    if (roles.includes('scheduler')) this.startScheduler()
    if (this.reader !== undefined) this.startHousekeeping(this.reader)
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

  private async startLedger(): Promise<void> {
    const { log, checkpoints, subjects, partition } = this.namespace
    this.reader = new LedgerReader({ log, checkpoints, subjects, partition, logger: this.options.logger })
    await this.reader.start()
  }

  private startHousekeeping(reader: LedgerReader): void {
    const { log, checkpoints } = this.namespace
    const { scheduler } = this
    this.housekeeping = new Housekeeping({ reader, log, checkpoints, scheduler, logger: this.options.logger })
    this.housekeeping.start()
  }

  private startSupervisor(): void {
    const { log, leases, subjects, partition } = this.namespace
    const logger = this.options.logger.child({ role: 'supervisor' })
    this.supervisor = new Supervisor({
      bus: this.bus,
      log,
      leases,
      subjects,
      partition,
      members: new LedgerMembers(this.reader!),
      holder: `${this.name}-${randomBytes(3).toString('hex')}`,
      onReport: ({ what, text, details }) => {
        if (what === 'leading' || what === 'standby') logger.info(details, text)
        else logger.warn(details, text)
      },
    })
    this.supervisor.start()
  }

  /** What is known of a node beyond the ledger, from heartbeats. */
  private health(): NodeStatusSource {
    const { bus } = this
    const { subjects } = this.namespace
    if (this.supervisor === undefined) {
      this.watch = new HealthWatch({ bus, subjects, members: new LedgerMembers(this.reader!) })
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
      nodes: this.health(),
      policies: this.policies(),
      ...(rules && { rules }),
    })
    this.scheduler.start()
  }

  private async startNode(): Promise<void> {
    const { log, objects, subjects, partition } = this.namespace
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
    this.heartbeat = startHeartbeat({ connection, subjects, node: this.name, bus: this.bus })
    this.node = new NodeService({
      bus: this.bus,
      log,
      objects,
      subjects,
      partition,
      profile: this.profile,
      definitions,
      ...(encryption && { keyring: new Keyring(subjects.namespace, encryption) }),
      balance: new MeasuredBalance(slots),
      logger: logger.child({ role: 'node', node: this.name }),
      onIncarnation: (incarnation) => this.heartbeat?.setIncarnation(incarnation),
      ...(drainMs !== undefined && { drainMs }),
    })
    await this.node.start()
  }
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
