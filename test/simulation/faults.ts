/**
 * The faults of one seed: a random subset of all kinds (swarm), each with its own rate, brought about at random times.
 * What a kind means is here; what the network and the stream do to single messages is set once and ends with `calm`.
 */
import {
  type ControlMachine,
  firstOf,
  type NodeMachine,
  type Partition,
  type Server,
  type SimMachine,
} from './cluster.ts'
import type { Link, Network } from './network.ts'
import type { Random } from './random.ts'
import type { SimThreads } from './sim-lanes.ts'
import type { StreamHost } from './sim-log.ts'
import type { SimProcess, World } from './world.ts'

export interface Machines {
  readonly controls: readonly ControlMachine[]
  readonly nodes: readonly NodeMachine[]
  readonly clients: readonly SimMachine[]
  readonly threads: SimThreads
}

/** Kinds that happen at moments, with the mean time between two of them, ms. */
const moments = {
  'crash node': 6_000,
  'crash control': 9_000,
  'crash client': 15_000,
  'crash at output': 6_000,
  'pause short': 4_000,
  'pause long': 12_000,
  stall: 10_000,
  partition: 8_000,
  'one-way partition': 8_000,
  disconnect: 6_000,
  'log leader gap': 30_000,
  'lease outage': 15_000,
  'clock jump': 5_000,
  drain: 12_000,
  'power loss': 20_000,
  'door closes': 20_000,
  'full log': 20_000,
  'rolling restart': 30_000,
  'crash thread': 3_000,
  'thread hangs': 8_000,
  'nodes fall silent': 15_000,
  'server lags': 10_000,
} as const

export const momentKinds: readonly string[] = Object.keys(moments)

type Stores = Pick<Server, 'network' | 'leases'> & Omit<Partition, 'subjects'>

/** Kinds that are about single messages, with what they set. */
const shares: Readonly<Record<string, (stores: Stores, random: Random) => void>> = {
  delay: ({ network }, random) => Object.assign(network.faults, { delayMaxMs: random.integer(20, 400) }),
  loss: ({ network }, random) => Object.assign(network.faults, { loss: random.next() * 0.2 }),
  duplication: ({ network }, random) => Object.assign(network.faults, { duplication: random.next() * 0.2 }),
  reordering: ({ network }, random) => Object.assign(network.faults, { reordering: random.next() * 0.2 }),
  'lost write': ({ log }, random) => Object.assign(log.faults, { lossOfWrites: random.next() * 0.1 }),
  'lost ack': ({ log, leases }, random) => {
    log.faults.lossOfAcks = random.next() * 0.1
    leases.faults.lossOfAcks = random.next() * 0.05
  },
  'vague answer': ({ log }, random) => Object.assign(log.faults, { vagueAnswers: random.next() * 0.1 }),
  'slow write': ({ log }, random) =>
    Object.assign(log.faults, { slowWrites: random.next() * 0.2, slowMsMax: random.integer(50, 4_000) }),
  'stale read': ({ log }, random) => Object.assign(log.faults, { staleReads: random.next() * 0.2 }),
  'two writers': ({ log }, random) => Object.assign(log.faults, { twoWriters: random.next() * 0.5 }),
  'stream clock step': ({ log }, random) => Object.assign(log.faults, { clockStepsBackMs: random.integer(10, 3_000) }),
  'lost checkpoint request': ({ shelf }, random) => Object.assign(shelf, { loss: random.next() * 0.2 }),
}

/** Those that are about a log: each has its own measure of them. */
const ofLogs = [
  'lost write',
  'lost ack',
  'vague answer',
  'slow write',
  'stale read',
  'two writers',
  'stream clock step',
  'lost checkpoint request',
]

/** Kinds that break promises which hold only with replicas and synced writes; drawn seldom, judged by fewer predicates. */
const rare = new Set(['power loss', 'two writers'])
/** What a plan cannot promise to come about in a short run. */
const uncertain = new Set([
  'reordering',
  'duplication',
  'delay',
  'clock skew',
  'two writers',
  'lost checkpoint request',
  'crash at output',
  'stale read',
  'stall',
])

/** Kinds that have promises of their own, which can be judged only where nothing else goes wrong. */
const judgedAlone = ['crash node', 'full log', 'nodes fall silent']
/** By then every node that started with the cluster has joined and beats. */
const firstBeatsMs = 2_000
/** The share of the log that is taken in the end: below that at which its door opens again. */
const roomyShare = 0.45

/** Half of those that draw none have one alone. */
export function drawKinds(random: Random): string[] {
  const kinds = [...Object.keys(moments), ...Object.keys(shares), 'clock skew']
  // The youngest come last, so that they change little of what older seeds have drawn.
  for (const young of [
    'full log',
    'rolling restart',
    'crash thread',
    'thread hangs',
    'nodes fall silent',
    'server lags',
  ])
    kinds.push(...kinds.splice(kinds.indexOf(young), 1))
  const share = random.pick([0, 0.15, 0.3, 0.5])
  if (share === 0) return random.chance(0.5) ? [random.pick(judgedAlone)] : []
  return kinds.filter((kind) => random.chance(rare.has(kind) ? share / 6 : share))
}

export class FaultDriver {
  readonly kinds: readonly string[]
  readonly fired: (kind: string, detail: string) => void
  /** So much of a log's room is taken from now on. */
  private readonly filled: (partition: number, share: number) => void
  private readonly world: World
  private readonly random: Random
  private readonly server: Server
  private readonly machines: Machines
  private isOver = false
  private isSilent = false
  private readonly full = new Set<StreamHost>()

  constructor(
    parts: { world: World; random: Random; server: Server; machines: Machines },
    kinds: readonly string[],
    fired: (kind: string, detail: string) => void,
    filled: (partition: number, share: number) => void,
  ) {
    this.world = parts.world
    this.random = parts.random
    this.server = parts.server
    this.machines = parts.machines
    this.kinds = kinds
    this.fired = fired
    this.filled = filled
  }

  /** Kinds that must have come about, or the run shows nothing about them. */
  get certain(): readonly string[] {
    return this.kinds.filter((kind) => !uncertain.has(kind) && !(kind in moments))
  }

  start(): void {
    const { random, kinds } = this
    const { network, leases, partitions } = this.server
    const [first, ...others] = partitions
    for (const kind of kinds) shares[kind]?.({ network, leases, ...first! }, random)
    for (const other of others) {
      for (const kind of ofLogs)
        if (kinds.includes(kind) && random.chance(0.7)) shares[kind]!({ network, leases, ...other }, random)
    }
    if (kinds.includes('clock skew')) {
      for (const machine of this.all()) {
        machine.process.skewMs = random.integer(-3_600_000, 3_600_000)
        machine.process.drift = (random.next() - 0.5) * 0.0004
      }
    }
    if (kinds.includes('server lags')) for (const { log } of partitions) log.replicas = 3
    for (const kind of kinds) if (kind in moments) this.plan(kind as keyof typeof moments)
  }

  /** Everything is well from now on; what is down comes back, but for what is not part of the core. */
  calm(core: ReadonlySet<SimMachine>): void {
    this.isOver = true
    const { network, leases, partitions } = this.server
    Object.assign(network.faults, { delayMinMs: 0.2, delayMaxMs: 2, loss: 0, duplication: 0, reordering: 0 })
    const none = { lossOfWrites: 0, lossOfAcks: 0, vagueAnswers: 0, slowWrites: 0, staleReads: 0, twoWriters: 0 }
    Object.assign(leases.faults, none)
    for (const { log, shelf } of partitions) {
      Object.assign(log.faults, none, { clockStepsBackMs: 0 })
      shelf.loss = 0
      this.endGap(log)
    }
    this.endGap(leases)
    // Opening the door is for whoever leads.
    for (const log of [...this.full]) this.fill(log, roomyShare)
    for (const { log } of partitions) for (const process of [...log.laggards.keys()]) this.endLag(log, process)
    for (const machine of this.all()) {
      if (!core.has(machine)) {
        machine.crash()
        continue
      }
      machine.process.crashAfterOutputs = undefined
      machine.process.resume()
      if (!machine.process.alive) machine.boot()
    }
    for (const link of network.links) network.heal(link)
  }

  private all(): SimMachine[] {
    const { controls, nodes, clients } = this.machines
    return [...controls, ...nodes, ...clients]
  }

  private plan(kind: keyof typeof moments): void {
    const waitMs = -Math.log(1 - this.random.next()) * moments[kind]
    this.world.schedule(undefined, waitMs, `fault ${kind}`, () => {
      if (this.isOver) return
      const detail = this.bring(kind)
      if (detail !== undefined) this.fired(kind, detail)
      this.plan(kind)
    })
  }

  /** Returns what it was done to; undefined if there was nothing. */
  private bring(kind: keyof typeof moments): string | undefined {
    const { random, machines, server } = this
    switch (kind) {
      case 'crash node':
        return this.crash(random.pick(machines.nodes))
      case 'crash control':
        return this.crash(random.pick(machines.controls))
      case 'crash client':
        return this.crash(random.pick(machines.clients))
      case 'crash at output': {
        const machine = random.pick(this.all())
        if (!machine.process.alive) return undefined
        machine.process.crashAfterOutputs = random.integer(0, 8)
        this.reviveLater(machine)
        return machine.name
      }
      case 'pause short':
        return this.pause(random.pick(this.all()), random.integer(50, 1_000), true)
      case 'pause long':
        return this.pause(random.pick(this.all()), random.integer(1_000, 20_000), true)
      case 'stall':
        return this.pause(random.pick(machines.nodes), random.integer(500, 40_000), false)
      case 'partition':
        return this.partition(['out', 'in'])
      case 'one-way partition':
        return this.partition([random.pick(['out', 'in'] as const)])
      case 'disconnect': {
        if (server.network.links.size === 0) return undefined
        const link = random.pick([...server.network.links])
        server.network.breakOff(link)
        return link.process.name
      }
      case 'log leader gap':
        return this.gap(
          this.anyPartition().log,
          random.chance(0.5) ? random.integer(500, 5_000) : random.integer(10_000, 30_000),
        )
      case 'server lags':
        return this.lag(this.anyPartition().log, random.pick(machines.controls), random.integer(500, 8_000))
      case 'lease outage':
        return this.gap(server.leases, random.integer(500, 15_000))
      case 'clock jump': {
        const machine = random.pick(this.all())
        machine.process.skewMs += random.integer(-1, 1) * random.integer(1, random.chance(0.3) ? 3_600_000 : 5_000)
        return machine.name
      }
      case 'drain':
        return this.drain(random.pick(machines.nodes))
      case 'power loss':
        return `${firstOf(server).log.loseSuffix(random.integer(1, 8))} messages`
      case 'door closes': {
        const { stream } = this.anyPartition().log
        stream.doorOpen = false
        this.world.schedule(undefined, random.integer(200, 4_000), 'door opens', () => {
          stream.doorOpen = true
        })
        return ''
      }
      case 'full log': {
        const { log } = this.anyPartition()
        if (this.full.has(log)) return undefined
        const [fullMs, lessMs] = [random.integer(1_000, 25_000), random.integer(1_000, 15_000)]
        this.fill(log, random.pick([0.85, 0.95, 1]))
        this.world.schedule(undefined, fullMs, 'some room is made', () => this.isOver || this.fill(log, 0.7))
        this.world.schedule(undefined, fullMs + lessMs, 'room is made', () => this.isOver || this.fill(log, roomyShare))
        return `${fullMs} ms`
      }
      case 'rolling restart':
        this.restartAll()
        return ''
      case 'crash thread':
        return machines.threads.endOne(random, 'crash')
      case 'thread hangs':
        return machines.threads.endOne(random, 'hang')
      case 'nodes fall silent':
        return this.silence(random.integer(1_000, 10_000))
    }
  }

  private fill(log: StreamHost, share: number): void {
    if (share > roomyShare) this.full.add(log)
    else this.full.delete(log)
    log.stream.fill(share)
    this.filled(
      this.server.partitions.findIndex((partition) => partition.log === log),
      share,
    )
  }

  /**
   * Of all nodes, or all but one, nothing comes for a while, and nothing reaches them. One such silence at a time, and none
   * before the nodes were heard: who never was does not fall silent.
   */
  private silence(forMs: number): string | undefined {
    if (this.isSilent || this.world.nowMs < firstBeatsMs) return undefined
    const { network } = this.server
    const { nodes } = this.machines
    const silent = nodes.length > 2 && this.random.chance(0.5) ? nodes.slice(1) : nodes
    const links = silent.flatMap((node) => this.linksOf(node, network))
    if (links.length === 0) return undefined
    this.isSilent = true
    for (const link of links) network.block(link, ['out', 'in'])
    this.world.schedule(undefined, forMs, 'nodes are heard again', () => {
      this.isSilent = false
      for (const link of links) network.heal(link)
    })
    return `${forMs} ms`
  }

  private anyPartition(): Partition {
    const { partitions } = this.server
    return partitions.length === 1 ? partitions[0]! : this.random.pick(partitions)
  }

  private crash(machine: SimMachine): string | undefined {
    if (!machine.process.alive) return undefined
    machine.crash()
    this.reviveLater(machine)
    return machine.name
  }

  private reviveLater(machine: SimMachine): void {
    this.world.schedule(undefined, this.random.integer(100, 8_000), `restart ${machine.name}`, () => {
      if (!machine.process.alive && !this.isOver) machine.boot()
    })
  }

  private pause(machine: SimMachine, forMs: number, withBeat: boolean): string | undefined {
    const { process } = machine
    if (!process.alive || process.paused) return undefined
    const beat = withBeat ? (machine as NodeMachine).beat : undefined
    process.pause()
    if (beat?.alive) beat.pause()
    this.world.schedule(undefined, forMs, `resume ${machine.name}`, () => {
      process.resume()
      beat?.resume()
    })
    return `${machine.name} ${forMs} ms`
  }

  private partition(ways: readonly ('out' | 'in')[]): string | undefined {
    const { network } = this.server
    const machine = this.random.pick(this.all())
    if (!machine.process.alive) return undefined
    const links = this.linksOf(machine, network)
    const breaks = this.random.chance(0.6)
    const lastsMs = this.random.integer(100, 12_000)
    for (const link of links) network.block(link, ways)
    if (breaks) {
      this.world.schedule(undefined, this.random.integer(50, 4_000), 'broken off', () => {
        for (const link of links) if (link.blocked.out || link.blocked.in) network.breakOff(link)
      })
    }
    this.world.schedule(undefined, lastsMs, 'healed', () => {
      for (const link of links) network.heal(link)
    })
    return `${machine.name} ${ways.join('+')} ${lastsMs} ms`
  }

  private linksOf(machine: SimMachine, network: Network): Link[] {
    const beat = (machine as NodeMachine).beat
    return [...network.links].filter(({ process }) => process === machine.process || process === beat)
  }

  private gap(host: StreamHost, forMs: number): string | undefined {
    if (host.leaderless) return undefined
    host.leaderless = true
    this.world.schedule(undefined, forMs, 'leader elected', () => this.endGap(host))
    return `${forMs} ms`
  }

  /** Its server stores and delivers nothing more, and answers with what it has. */
  private lag(log: StreamHost, machine: SimMachine, forMs: number): string | undefined {
    const { process } = machine
    if (!process.alive || log.laggards.has(process)) return undefined
    log.laggards.set(process, log.stream.last)
    this.world.schedule(undefined, forMs, `${machine.name} is behind no more`, () => this.endLag(log, process))
    return `${machine.name} ${forMs} ms`
  }

  private endLag(log: StreamHost, process: SimProcess): void {
    if (log.laggards.delete(process)) for (const wake of log.readers) wake()
  }

  private endGap(host: StreamHost): void {
    if (!host.leaderless) return
    host.leaderless = false
    for (const wake of host.readers) wake()
  }

  /** One process after the other, each asked to end in good order. */
  private restartAll(): void {
    const { world, machines } = this
    let afterMs = 0
    for (const machine of [...machines.controls, ...machines.nodes]) {
      world.schedule(undefined, afterMs, `restart ${machine.name} in turn`, () => {
        if (this.isOver) return
        if ('stop' in machine) this.stop(machine)
        else this.drain(machine)
      })
      afterMs += 3_000
    }
  }

  private stop(machine: ControlMachine): void {
    const { process } = machine
    if (!process.alive || process.paused || !machine.started) return
    const { life } = process
    this.world.schedule(process, 0, 'asked to end', () => {
      void machine.stop().then(() => {
        if (process.life !== life) return
        machine.crash()
        machine.restartAfter(500)
      })
    })
  }

  private drain(machine: NodeMachine): string | undefined {
    const { process } = machine
    if (!process.alive || process.paused || !machine.started) return undefined
    const { life } = process
    this.world.schedule(process, 0, 'asked to end', () => {
      void machine.drain().then(() => {
        if (process.life !== life) return
        machine.crash()
        machine.restartAfter(1_000)
      })
    })
    return machine.name
  }
}
