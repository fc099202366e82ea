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
import { Housekeeping } from '../../src/runtime/ledger/housekeeping.ts'
import { LedgerMembers } from '../../src/runtime/ledger/ledger-members.ts'
import { LedgerReader } from '../../src/runtime/ledger/ledger-reader.ts'
import { NodeService } from '../../src/runtime/node/node-service.ts'
import { SchedulerService } from '../../src/runtime/scheduler/scheduler-service.ts'
import { Supervisor } from '../../src/runtime/supervisor.ts'
import { changedLog } from './changed-log.ts'
import type { Link, Network } from './network.ts'
import { Random } from './random.ts'
import { MoodyBalance } from './sim-balance.ts'
import { SimBus } from './sim-bus.ts'
import { SimLog, type StreamHost } from './sim-log.ts'
import { type Shelf, SimCheckpointStore, SimLeaseStore, SimObjectStore } from './sim-stores.ts'
import { SimProcess, type World } from './world.ts'

export type SimRole = 'control' | 'node' | 'client'

/** What a planted bug may put between the product and the simulated server. */
export type WrapLog = (log: Log, role: SimRole) => Log

export interface Server {
  readonly network: Network
  readonly log: StreamHost
  readonly leases: StreamHost
  readonly shelf: Shelf
  readonly subjects: Subjects
  readonly wrapLog: WrapLog | undefined
}

export interface ClusterSettings {
  readonly slots: number
  readonly housekeepingMs: number
  readonly messagesPerCheckpoint: number
  readonly checkpointMs: number
  readonly rules: Partial<FoldRules>
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
  log!: Log
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
    const log = new SimLog(this.server.log, this.bus)
    this.log = this.server.wrapLog?.(log, this.role) ?? log
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

/** Scheduler and supervisor in one process, over one ledger. */
export class ControlMachine extends SimMachine {
  reader: LedgerReader | undefined
  scheduler: SchedulerService | undefined
  supervisor: Supervisor | undefined
  private housekeeping: Housekeeping | undefined
  private readonly settings: ClusterSettings

  constructor(world: World, server: Server, name: string, settings: ClusterSettings) {
    super(world, server, name, 'control')
    this.settings = settings
  }

  protected async start(): Promise<void> {
    const { bus, log, process, settings, world } = this
    const { subjects, shelf, leases: leaseHost, log: host } = this.server
    const logger = simLogger(world, process.name)
    const checkpoints = new SimCheckpointStore(shelf, host, bus)
    const leases = new SimLeaseStore(leaseHost, bus)
    const holder = `${process.name}-${process.life}`
    const reader = new LedgerReader({ log, checkpoints, subjects, logger })
    this.reader = reader
    this.scheduler = undefined
    this.housekeeping = undefined
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
      leases,
      checkpoints,
      subjects,
      partition: 0,
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

  /** Gives back what it leads, and ends, as a process that was asked to. */
  async stop(): Promise<void> {
    await this.scheduler?.stop()
    await this.supervisor?.stop()
    await this.housekeeping?.stop()
    await this.reader?.stop()
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
  node: NodeService | undefined
  readonly beat: SimProcess
  beatLink!: Link
  private readonly definitions: readonly AnyTaskDefinition[]
  private readonly settings: ClusterSettings
  private incarnation: string | undefined
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
    const bus = new SimBus(this.server.network, this.beatLink)
    this.world.schedule(this.beat, 1, 'boot', () => this.startBeat(bus))
    this.process.onCrash.push(() => this.beat.crash())
  }

  protected async start(): Promise<void> {
    const { bus, process, world, settings, definitions } = this
    const { subjects, shelf, log: host } = this.server
    const isNewer = settings.newerNodes?.has(process.name) ?? false
    const log = isNewer ? newerLog(this.log) : this.log
    this.tickAtMs = world.nowMs
    setInterval(() => {
      this.ticks++
      this.tickAtMs = world.nowMs
    }, pulseEveryMs)
    const node = new NodeService({
      bus,
      log,
      objects: new SimObjectStore(shelf, host, bus),
      subjects,
      partition: 0,
      profile: {
        node: process.name,
        host: process.name,
        pid: process.life,
        version: isNewer ? '0.2.0' : '0.1.0',
        slots: settings.slots,
        resources: { cpu: 1 },
        labels: {},
        types: definitions.map((definition) => definition.profile),
      },
      definitions,
      balance: new MoodyBalance(settings.slots, new Random(world.seed, `${process.name} load`), () => world.nowMs),
      logger: simLogger(world, process.name),
      drainMs: 2_000,
      onIncarnation: (incarnation) => {
        this.incarnation = incarnation
      },
    })
    this.node = node
    await node.start()
  }

  private startBeat(bus: SimBus): void {
    const { subjects } = this.server
    const probes = new Map<string, { unsubscribe(): void }>()
    const heartbeat = () => {
      this.beats++
      return packBlock([this.beats, this.ticks, Math.max(0, Math.floor(this.world.nowMs - this.tickAtMs))])
    }
    setInterval(() => {
      const { incarnation } = this
      for (const [of, probe] of probes) {
        if (of === incarnation) continue
        probe.unsubscribe()
        probes.delete(of)
      }
      if (incarnation === undefined) return
      if (!probes.has(incarnation)) {
        const answer = ({ reply }: { reply: string | undefined }) => {
          if (reply !== undefined) bus.publish(reply, heartbeat())
        }
        probes.set(incarnation, bus.subscribe(subjects.probe(this.name, incarnation), answer))
      }
      if (bus.connected) bus.publish(subjects.heartbeat(this.name, incarnation), heartbeat())
    }, beatEveryMs)
  }
}

export type { Random }
