/**
 * A simulated installation: one server, and processes of the real services (scheduler with supervisor, nodes) over it.
 * Puts them together as a process of Troupe does, and lets them crash and come back.
 */
import type { Logger } from 'pino'
import type { AnyTaskDefinition } from '../../src/client/task.ts'
import type { Log } from '../../src/nats/bus.ts'
import { packBlock, unpackJournalBlock } from '../../src/protocol/blocks.ts'
import { type FoldRules, formatVersion } from '../../src/protocol/entries.ts'
import type { Subjects } from '../../src/protocol/subjects.ts'
import { LeadershipSpread } from '../../src/runtime/leadership-spread.ts'
import { Housekeeping } from '../../src/runtime/ledger/housekeeping.ts'
import { LedgerMembers } from '../../src/runtime/ledger/ledger-members.ts'
import { LedgerReader } from '../../src/runtime/ledger/ledger-reader.ts'
import { ObjectSweep } from '../../src/runtime/ledger/object-sweep.ts'
import { Capacity } from '../../src/runtime/node/capacity.ts'
import { NodeLife } from '../../src/runtime/node/node-life.ts'
import { NodeService } from '../../src/runtime/node/node-service.ts'
import { SchedulerService } from '../../src/runtime/scheduler/scheduler-service.ts'
import { Supervisor } from '../../src/runtime/supervisor.ts'
import { changedLog } from './changed-log.ts'
import type { Link, Network } from './network.ts'
import { Random } from './random.ts'
import { MoodyBalance } from './sim-balance.ts'
import { SimBus } from './sim-bus.ts'
import { SimLog, type StreamHost } from './sim-log.ts'
import { type ObjectShelf, simObjects } from './sim-objects.ts'
import { type Shelf, SimCheckpointStore, SimLeaseStore } from './sim-stores.ts'
import { SimProcess, type World } from './world.ts'

export type SimRole = 'control' | 'node' | 'client'

/** What a planted bug may put between the product and the simulated server. */
export type WrapLog = (log: Log, role: SimRole) => Log

/** What the server holds of one partition. */
export interface Partition {
  readonly subjects: Subjects
  readonly log: StreamHost
  /** Its checkpoints. */
  readonly shelf: Shelf
}

export interface Server {
  readonly network: Network
  readonly partitions: readonly Partition[]
  readonly leases: StreamHost
  readonly objects: ObjectShelf
  readonly wrapLog: WrapLog | undefined
}

/** The one that there is always, and whose subjects are the namespace's. */
export function firstOf({ partitions }: Server): Partition {
  return partitions[0]!
}

export interface ClusterSettings {
  readonly slots: number
  readonly housekeepingMs: number
  readonly messagesPerCheckpoint: number
  readonly checkpointMs: number
  readonly rules: Partial<FoldRules>
  /** Large values that nothing needs are removed. */
  readonly sweeps?: boolean
  /** Nodes of a later version write what others do not know. */
  readonly newerNodes?: ReadonlySet<string>
}

export function simLogger(world: World, name: string): Logger {
  const say = (level: string) => (details: unknown, text?: string) => {
    if (world.onTrace === undefined) return
    const error = (details as { err?: unknown } | null)?.err
    world.onTrace(
      `        ${name} ${level}: ${text ?? String(details)} ${error instanceof Error ? error.message : short(details)}`,
    )
  }
  const logger: Record<string, unknown> = { level: 'info', child: () => logger }
  for (const level of ['trace', 'debug', 'info', 'warn', 'error', 'fatal']) logger[level] = say(level)
  return logger as unknown as Logger
}

function short(details: unknown): string {
  try {
    return JSON.stringify(details).slice(0, 200)
  } catch {
    return ''
  }
}

/** One life after another of a process: what it connects with is new each time. */
export abstract class SimMachine {
  readonly process: SimProcess
  readonly server: Server
  readonly world: World
  readonly role: SimRole
  /** Of the present life. */
  link!: Link
  bus!: SimBus
  /** By partition. */
  logs: readonly Log[] = []
  started = false

  constructor(world: World, server: Server, name: string, role: SimRole) {
    this.world = world
    this.server = server
    this.role = role
    this.process = new SimProcess(world, name)
  }

  get name(): string {
    return this.process.name
  }

  boot(): void {
    this.process.revive()
    this.link = this.server.network.connect(this.process)
    this.bus = new SimBus(this.server.network, this.link)
    this.logs = this.server.partitions.map((partition) => {
      const log = new SimLog(partition.log, this.bus)
      return this.server.wrapLog?.(log, this.role) ?? log
    })
    this.started = false
    this.world.schedule(this.process, 1, 'boot', () => {
      this.start().then(
        () => {
          this.started = true
        },
        (error: unknown) => this.failed(error),
      )
    })
  }

  crash(): void {
    this.process.crash()
  }

  restartAfter(delayMs: number): void {
    this.world.schedule(undefined, delayMs, `restart ${this.name}`, () => {
      if (!this.process.alive) this.boot()
    })
  }

  protected abstract start(): Promise<void>

  /** A process that cannot start ends, and whoever looks after it starts it again. */
  private failed(error: unknown): void {
    this.world.note('start failed', `${this.name} ${error instanceof Error ? error.message : String(error)}`)
    this.crash()
    this.restartAfter(1_000)
  }
}

/** Scheduler and supervisor of one partition, over one ledger. */
class ControlRoles {
  readonly reader: LedgerReader
  scheduler: SchedulerService | undefined
  supervisor: Supervisor | undefined
  private housekeeping: Housekeeping | undefined
  private readonly machine: ControlMachine
  private readonly partition: Partition

  constructor(machine: ControlMachine, partition: Partition) {
    this.machine = machine
    this.partition = partition
    const { subjects } = partition
    this.reader = new LedgerReader({
      log: this.log,
      checkpoints: this.checkpoints(),
      subjects,
      logger: machine.logger,
    })
  }

  /** Whose ledger it is, for reports. */
  get holder(): string {
    const { partition, partitions } = this.partition.subjects
    return partitions === 1 ? this.machine.name : `${this.machine.name} of partition ${partition}`
  }

  private get log(): Log {
    return this.machine.logs[this.partition.subjects.partition]!
  }

  private checkpoints(): SimCheckpointStore {
    return new SimCheckpointStore(this.partition.shelf, this.partition.log, this.machine.bus)
  }

  async start(): Promise<void> {
    const { reader, log, machine } = this
    const { bus, process, settings, world, logger, server } = machine
    const { subjects } = this.partition
    const { partition } = subjects
    const checkpoints = this.checkpoints()
    const leases = new SimLeaseStore(server.leases, bus)
    const holder = `${process.name}-${process.life}`
    await reader.start()
    const members = new LedgerMembers(reader)
    const supervisor = new Supervisor({
      bus,
      log,
      leases,
      subjects,
      members,
      holder,
      onReport: ({ text }) => world.onTrace?.(`        ${process.name} supervisor: ${text}`),
    })
    supervisor.start()
    const scheduler = new SchedulerService({
      bus,
      log,
      logs: machine.logs,
      leases,
      checkpoints,
      subjects,
      partition,
      reader,
      logger,
      name: holder,
      rules: settings.rules,
      policies: { rebalancing: { ratio: 1.5, lagMs: 100, afterMs: 0, ageMinMs: 10, pauseMs: 300 } },
    })
    scheduler.start()
    const housekeeping = new Housekeeping({
      reader,
      log,
      checkpoints,
      scheduler,
      ...(settings.sweeps && { objects: simObjects(server.objects, bus) }),
      logger,
      everyMs: settings.housekeepingMs,
      messagesPerCheckpoint: settings.messagesPerCheckpoint,
      checkpointMs: settings.checkpointMs,
    })
    housekeeping.start()
    this.supervisor = supervisor
    this.scheduler = scheduler
    this.housekeeping = housekeeping
  }

  async stop(): Promise<void> {
    await this.scheduler?.stop()
    await this.supervisor?.stop()
    await this.housekeeping?.stop()
    await this.reader.stop()
  }
}

/** A process with the roles of scheduler and supervisor in every partition. */
export class ControlMachine extends SimMachine {
  readonly settings: ClusterSettings
  readonly logger: Logger
  /** By partition; of the present life. */
  roles: readonly ControlRoles[] = []
  private spread: LeadershipSpread | undefined
  private sweep: ObjectSweep | undefined

  constructor(world: World, server: Server, name: string, settings: ClusterSettings) {
    super(world, server, name, 'control')
    this.settings = settings
    this.logger = simLogger(world, name)
  }

  protected async start(): Promise<void> {
    const { bus, name, server } = this
    this.spread = undefined
    this.sweep = undefined
    this.roles = server.partitions.map((partition) => new ControlRoles(this, partition))
    await Promise.all(this.roles.map((roles) => roles.start()))
    if (this.settings.sweeps) this.startSweep()
    if (this.roles.length === 1) return
    const schedulers = this.roles.map(({ scheduler }) => scheduler!)
    this.spread = new LeadershipSpread({ bus, subjects: firstOf(server).subjects, name, schedulers })
    this.spread.start()
  }

  private startSweep(): void {
    const { bus, server, roles, logger } = this
    this.sweep = new ObjectSweep({
      objects: simObjects(server.objects, bus),
      partitions: roles.map(({ reader }, partition) => ({ log: this.logs[partition]!, reader })),
      isInCharge: () => roles[0]!.scheduler?.leading === true,
      logger,
      ...server.objects.ages,
    })
    this.sweep.start()
  }

  /** What it has of a partition, if it leads there. */
  leading(partition: number): ControlRoles | undefined {
    const roles = this.process.alive ? this.roles[partition] : undefined
    return roles?.scheduler?.leading ? roles : undefined
  }

  /** Gives back what it leads, and ends, as a process that was asked to. */
  async stop(): Promise<void> {
    this.spread?.stop()
    await this.sweep?.stop()
    await Promise.all(this.roles.map((roles) => roles.stop()))
  }
}

/** What a later version writes: entries of a kind that is not known yet, behind those that are. */
function newerLog(log: Log): Log {
  return changedLog(log, {
    append: (subject, data, options) => {
      const block = unpackJournalBlock(data)
      if (!block.ok) return log.append(subject, data, options)
      const entries = [...block.entries, [99, 'of a later version', { and: ['its', 'fields'] }]]
      return log.append(subject, packBlock([formatVersion, block.number, entries as never]), options)
    },
  })
}

const beatEveryMs = 250
const pulseEveryMs = 100

/** A node, with its heartbeat thread as a process beside it that beats on when the main loop stands still. */
export class NodeMachine extends SimMachine {
  /** Its memberships by partition; of the present life. */
  memberships: readonly NodeService[] = []
  readonly beat: SimProcess
  beatLink!: Link
  private readonly definitions: readonly AnyTaskDefinition[]
  private readonly settings: ClusterSettings
  private incarnation: string | undefined
  /** Partitions in which that has joined. */
  private readonly joined = new Set<number>()
  private ticks = 0
  private tickAtMs = 0
  private beats = 0

  constructor(
    world: World,
    server: Server,
    name: string,
    definitions: readonly AnyTaskDefinition[],
    settings: ClusterSettings,
  ) {
    super(world, server, name, 'node')
    this.definitions = definitions
    this.settings = settings
    this.beat = new SimProcess(world, `${name}-beat`)
    this.beat.alive = false
  }

  override boot(): void {
    super.boot()
    this.beat.revive()
    this.beatLink = this.server.network.connect(this.beat)
    this.incarnation = undefined
    this.joined.clear()
    const bus = new SimBus(this.server.network, this.beatLink)
    this.world.schedule(this.beat, 1, 'boot', () => this.startBeat(bus))
    this.process.onCrash.push(() => this.beat.crash())
  }

  protected async start(): Promise<void> {
    const { bus, process, world, settings, definitions, server } = this
    const isNewer = settings.newerNodes?.has(process.name) ?? false
    this.tickAtMs = world.nowMs
    setInterval(() => {
      this.ticks++
      this.tickAtMs = world.nowMs
    }, pulseEveryMs)
    const profile = {
      node: process.name,
      host: process.name,
      pid: process.life,
      version: isNewer ? '0.2.0' : '0.1.0',
      slots: settings.slots,
      resources: { cpu: 1 },
      labels: {},
      types: definitions.map((definition) => definition.profile),
    }
    const life = new NodeLife()
    const shared = {
      bus,
      objects: simObjects(server.objects, bus),
      profile,
      definitions,
      balance: new MoodyBalance(settings.slots, new Random(world.seed, `${process.name} load`), () => world.nowMs),
      capacity: new Capacity(profile.slots, profile.resources),
      life,
      logger: simLogger(world, process.name),
      drainMs: 2_000,
    }
    this.memberships = server.partitions.map(({ subjects }, partition) => {
      const log = this.logs[partition]!
      const onIncarnation = (incarnation: string | undefined) => this.follow(partition, incarnation)
      return new NodeService({ ...shared, log: isNewer ? newerLog(log) : log, subjects, partition, onIncarnation })
    })
    await Promise.all(this.memberships.map((membership) => membership.start()))
  }

  /** Hands everything back and leaves. */
  async drain(): Promise<void> {
    await Promise.all(this.memberships.map((membership) => membership.drain()))
  }

  /** What the heartbeat thread is told. */
  private follow(partition: number, incarnation: string | undefined): void {
    if (incarnation === undefined) this.joined.delete(partition)
    else this.joined.add(partition)
    this.incarnation = incarnation ?? (this.joined.size === 0 ? undefined : this.incarnation)
  }

  private startBeat(bus: SimBus): void {
    const probes = new Map<string, { unsubscribe(): void }>()
    const heartbeat = () => {
      this.beats++
      return packBlock([this.beats, this.ticks, Math.max(0, Math.floor(this.world.nowMs - this.tickAtMs))])
    }
    const answer = ({ reply }: { reply: string | undefined }) => {
      if (reply !== undefined) bus.publish(reply, heartbeat())
    }
    setInterval(() => {
      const { incarnation } = this
      const own = incarnation === undefined ? [] : [...this.joined].map((at) => this.server.partitions[at]!.subjects)
      const wanted = new Set(own.map((subjects) => subjects.probe(this.name, incarnation!)))
      for (const [subject, probe] of probes) {
        if (wanted.has(subject)) continue
        probe.unsubscribe()
        probes.delete(subject)
      }
      for (const subject of wanted) if (!probes.has(subject)) probes.set(subject, bus.subscribe(subject, answer))
      if (!bus.connected || own.length === 0) return
      const data = heartbeat()
      for (const subjects of own) bus.publish(subjects.heartbeat(this.name, incarnation!), data)
    }, beatEveryMs)
  }
}

export type { Random }
