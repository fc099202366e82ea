/**
 * One simulated life of an installation from one seed: a safety phase with faults, then a liveness phase in which a random
 * core is healed and everything must come to its end. Returns the history for the checker.
 */
import type { Ledger } from '../../src/actors/ledger/ledger.ts'
import type { LedgerState } from '../../src/actors/ledger/state.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { noteOrigin } from '../../src/runtime/tasks/load.ts'
import { differencesFromLog, savedState } from './checker/refold.ts'
import { ClientMachine } from './client-machine.ts'
import {
  type ClusterSettings,
  ControlMachine,
  firstOf,
  NodeMachine,
  type Partition,
  type Server,
  type SimMachine,
  simLogger,
} from './cluster.ts'
import { drawKinds, FaultDriver } from './faults.ts'
import { drawFeatures, type Feature, features, narrowLimits, partitionsOf, rulesOf, typesOf } from './features.ts'
import { installGlobals } from './globals.ts'
import { type History, type HistoryEvent, type LedgerTask, Recorder } from './history.ts'
import { Network } from './network.ts'
import { OperatorMachine } from './operator-machine.ts'
import type { Plant } from './plants.ts'
import { Random } from './random.ts'
import { SimThreads } from './sim-lanes.ts'
import { type LogFaults, StreamHost } from './sim-log.ts'
import { emptyObjects, objectSubjects } from './sim-objects.ts'
import { emptyShelf } from './sim-stores.ts'
import { SimStream } from './sim-stream.ts'
import { rareTasks, trialTasks } from './tasks.ts'
import { World } from './world.ts'

export interface SimulationOptions {
  readonly seed: number
  /** Events in the safety phase. Default 10,000. */
  readonly steps?: number
  readonly plant?: Plant | undefined
  readonly onTrace?: ((line: string) => void) | undefined
  /** These kinds of faults instead of drawn ones. */
  readonly kinds?: readonly string[] | undefined
  /** These features instead of drawn ones. */
  readonly features?: readonly string[] | undefined
}

export interface SimulationResult {
  readonly history: History
  readonly steps: number
  readonly virtualMs: number
  readonly hash: string
  readonly kinds: readonly string[]
  readonly features: readonly string[]
}

/** Something must end in every stretch of this length; many tasks may be left for one slow node. */
const healMsMax = 120_000
const healStepsMax = 600_000
/** How often it is looked whether all is done, in events. */
const lookEvery = 200

function noFaults(): LogFaults {
  return {
    lossOfWrites: 0,
    lossOfAcks: 0,
    vagueAnswers: 0,
    slowWrites: 0,
    slowMsMax: 100,
    staleReads: 0,
    twoWriters: 0,
    clockStepsBackMs: 0,
  }
}

/** What streams are made with. */
function common({ epochMs }: World) {
  return { bytesMax: 64 * 1024 * 1024, dedupeMs: 60_000, createdAtMs: epochMs }
}

class Simulation {
  readonly world: World
  readonly recorder: Recorder
  readonly server: Server
  readonly controls: ControlMachine[] = []
  readonly nodes: NodeMachine[] = []
  readonly clients: ClientMachine[] = []
  readonly operators: OperatorMachine[] = []
  readonly features: ReadonlySet<Feature>
  readonly threads: SimThreads
  readonly faults: FaultDriver
  private readonly options: SimulationOptions
  private marks = 0
  private clockErrorMs = 0
  private heal: { atMs: number; untilMs: number } | undefined
  private differences: ReturnType<typeof differencesFromLog> = new Map()
  private readonly saved: { readonly name: string; readonly state: LedgerState }[] = []

  constructor(options: SimulationOptions) {
    this.options = options
    const world = new World(options.seed)
    this.world = world
    world.onTrace = options.onTrace
    const random = (name: string) => new Random(options.seed, name)
    const network = new Network(world, random('network'), {
      delayMinMs: 0.1,
      delayMaxMs: 3,
      loss: 0,
      duplication: 0,
      reordering: 0,
    })
    const count = (fault: string) => network.count(fault)
    const asked = options.features ?? (options.plant === undefined ? undefined : (options.plant.features ?? []))
    this.features = asked ? new Set(features.filter((name) => asked.includes(name))) : drawFeatures(random('features'))
    const many = partitionsOf(this.features, random('partitions'))
    this.recorder = new Recorder(many)
    const leases = new SimStream({ ...common(world), door: [], inner: ['lease.>'], lastOnly: true })
    const drawn = options.kinds ?? options.plant?.kinds ?? drawKinds(random('kinds'))
    // A log that has lost what another one acted on is out of every promise.
    const kinds = many === 1 ? drawn : drawn.filter((kind) => kind !== 'power loss')
    const objects = new SimStream({ ...common(world), door: [], inner: objectSubjects })
    const subjectsOf = (at: number) => new Subjects('sim', at, many)
    const partitions = Array.from({ length: many }, (_, at) => this.partition(subjectsOf(at), random, count))
    const objectHost = new StreamHost(world, random('objects'), objects, noFaults(), count)
    this.server = {
      network,
      partitions,
      objects: emptyObjects(objectHost, partitions[0]!, kinds),
      leases: new StreamHost(world, random('leases'), leases, noFaults(), count),
      wrapLog: options.plant?.wrapLog?.(random('plant')),
    }
    this.server.objects.onChanged = (name, isThere) => {
      const logs = partitions.map(({ log: { stream } }) => ({ first: stream.first, last: stream.last }))
      this.recorder.add({ what: 'object', atMs: world.nowMs, name, isThere, logs })
    }
    this.threads = this.build(random('shape'), random('features of the shape'), count)
    const { controls, nodes, threads } = this
    const machines = { controls, nodes, clients: [...this.clients, ...this.operators], threads }
    this.faults = new FaultDriver(
      { world, random: random('faults'), server: this.server, machines },
      kinds,
      (kind, detail) => {
        count(kind)
        world.note(`fault ${kind}`, detail)
        this.recorder.add({ what: 'fault', atMs: world.nowMs, kind, detail })
        if (kind === 'power loss') this.recorder.loseFrom(firstOf(this.server).log.stream.last + 1)
      },
      (partition, share) => this.recorder.add({ what: 'filled', atMs: world.nowMs, partition, share }),
    )
  }

  private partition(subjects: Subjects, random: (name: string) => Random, count: (what: string) => void): Partition {
    const { world, recorder } = this
    const { partition } = subjects
    const stream = new SimStream({ ...common(world), ...subjects.logSubjects(partition) })
    const name = partition === 0 ? 'log' : `log ${partition}`
    const log = new StreamHost(world, random(name), stream, noFaults(), count)
    log.onStored = (message) => recorder.stored(partition, message)
    return { subjects, log, shelf: emptyShelf() }
  }

  private build(shape: Random, extra: Random, count: (what: string) => void): SimThreads {
    const { world, server, recorder } = this
    const drawn = this.features
    const settings: ClusterSettings = {
      slots: shape.integer(1, 6),
      housekeepingMs: shape.integer(300, 3_000),
      messagesPerCheckpoint: shape.integer(20, 300),
      checkpointMs: shape.integer(2_000, 60_000),
      rules: rulesOf(drawn, extra),
      sweeps: drawn.has('large values'),
      newerNodes: new Set(drawn.has('newer nodes') ? ['node1', 'node3'] : []),
    }
    const witness = {
      get nowMs() {
        return world.nowMs
      },
      get process() {
        return world.current?.name ?? '?'
      },
      add: (event: HistoryEvent) => recorder.add(event),
    }
    const definitions = trialTasks(witness)
    const all = [...definitions, ...rareTasks(witness)]
    for (const definition of all) noteOrigin(definition, 'file:///tasks.ts')
    for (let at = 1; at <= shape.integer(1, 3); at++)
      this.controls.push(new ControlMachine(world, server, `control${at}`, settings))
    for (let at = 1; at <= shape.integer(1, 4); at++)
      this.nodes.push(new NodeMachine(world, server, `node${at}`, all, settings))
    const types = definitions.map(({ type }) => type).filter(() => shape.chance(0.7))
    // Twice, so that a feature which was drawn has tasks.
    types.push(...typesOf(drawn), ...typesOf(drawn))
    const plan = {
      submissions: shape.integer(10, 120),
      everyMs: shape.integer(10, 600),
      types: types.length > 0 ? types : ['steps'],
      slots: settings.slots,
      features: drawn,
      count,
    }
    for (let at = 1; at <= shape.integer(1, 2); at++)
      this.clients.push(new ClientMachine(world, server, `client${at}`, plan, recorder, () => ++this.marks))
    if (drawn.has('limits') || drawn.has('schedules')) {
      const operation = { features: drawn, types: [...new Set(plan.types)], count }
      this.operators.push(new OperatorMachine(world, server, 'operator', operation))
    }
    return new SimThreads(world, all)
  }

  async run(): Promise<SimulationResult> {
    const { world, options } = this
    const unplant = options.plant?.patch?.()
    const widen = narrowLimits(this.features, new Random(options.seed, 'limits'))
    const removeThreads = this.threads.install()
    const restore = installGlobals(world)
    try {
      for (const machine of this.all()) machine.boot()
      this.faults.start()
      await world.run({ untilMs: Number.POSITIVE_INFINITY, stepsMax: options.steps ?? 10_000 })
      await this.liveness()
      this.differences = this.compareWithLog()
    } finally {
      world.current = undefined
      unplant?.()
      restore()
      removeThreads()
      widen()
    }
    return {
      history: this.history(),
      steps: world.steps,
      virtualMs: world.nowMs,
      hash: (world.hash >>> 0).toString(16),
      kinds: this.faults.kinds,
      features: [...this.features],
    }
  }

  private all(): SimMachine[] {
    return [...this.controls, ...this.nodes, ...this.clients, ...this.operators]
  }

  /** Heals one or more of each, leaves the rest dead, and waits for everything to end. */
  private async liveness(): Promise<void> {
    const { world, options } = this
    const random = new Random(options.seed, 'core')
    const some = <Machine>(machines: readonly Machine[]) => {
      const sure = random.pick(machines)
      return machines.filter((machine) => machine === sure || random.chance(0.5))
    }
    const core = new Set<SimMachine>([...some(this.controls), ...some(this.nodes), ...this.clients, ...this.operators])
    for (const operator of this.operators) operator.isOver = true
    world.note('heal', [...core].map(({ name }) => name).join(' '))
    const atMs = world.nowMs
    const { network, partitions } = this.server
    const stepsMs = Math.max(...partitions.map(({ log }) => log.faults.clockStepsBackMs))
    this.clockErrorMs = 5 + 2 * network.faults.delayMaxMs + 2 * stepsMs
    this.faults.calm(core)
    this.nurse()
    let lookAt = 0
    let ended = 0
    let untilMs = atMs + healMsMax
    await world.run({ untilMs: atMs + 20 * healMsMax, stepsMax: world.steps + healStepsMax }, () => {
      if (world.steps < lookAt) return false
      lookAt = world.steps + lookEvery
      const endedNow = this.endedTasks()
      if (endedNow > ended) untilMs = world.nowMs + healMsMax
      ended = Math.max(ended, endedNow)
      return this.allEnded() || world.nowMs > untilMs
    })
    this.heal = { atMs, untilMs: world.nowMs }
  }

  /** Tasks whose client died wait for signals that nobody sends: somebody sends them. */
  private nurse(): void {
    const { world } = this
    const client = this.clients[0]!
    let round = 0
    const visit = () => {
      for (const [partition, { subjects }] of this.server.partitions.entries()) {
        for (const task of this.leading(partition)?.state.tasks.values() ?? []) {
          if (task.ended || (task.type !== 'listener' && task.type !== 'allergic')) continue
          const value = (round % 4) + 1
          const options = { headers: { 'Troupe-Id': `s${value}` } }
          const data = new TextEncoder().encode(JSON.stringify({ type: 'go', value }))
          if (client.process.alive)
            world.schedule(client.process, 0, 'nurse', () => {
              void client.logs[partition]!.append(subjects.signal(task.id), data, options)
            })
        }
      }
      round++
      world.schedule(undefined, 1_500, 'nurse', visit)
    }
    world.schedule(undefined, 5_000, 'nurse', visit)
  }

  /** The ledger of a partition as who leads there has it. */
  private leading(partition: number): Ledger | undefined {
    for (const control of this.controls) {
      const roles = control.leading(partition)
      if (roles !== undefined) return roles.reader.ledger
    }
    return undefined
  }

  private endedTasks(): number {
    return this.server.partitions.reduce((sum, _, partition) => {
      const { totals } = this.leading(partition)?.state ?? {}
      if (totals === undefined) return sum
      return sum + totals.completed + totals.failed + totals.cancelled + totals.expired
    }, 0)
  }

  private allEnded(): boolean {
    for (const [partition, { log }] of this.server.partitions.entries()) {
      const state = this.leading(partition)?.state
      if (state === undefined || state.position < log.stream.last || !log.stream.doorOpen) return false
      const { counts, strays } = state
      if (counts.blocked + counts.waiting + counts.held + counts.running + counts.parked > 0) return false
      if (strays.submissions.size + strays.signals.size > 0) return false
    }
    if (this.operators.some(({ done }) => !done)) return false
    return this.clients.every((client) => client.done && client.waiting.size === 0)
  }

  /** Of ledgers and of checkpoints, while the limits of this seed are in force, and the bug that was planted. */
  private compareWithLog(): ReturnType<typeof differencesFromLog> {
    const { recorder, server, controls } = this
    const compared = server.partitions.map(({ subjects, shelf }, partition) => {
      const log = recorder.logs[partition]!
      const states = controls.flatMap(({ process, roles }) => {
        const reader = process.alive ? roles[partition]?.reader : undefined
        return reader?.live ? [reader.ledger.state] : []
      })
      const saved = shelf.checkpoints.flatMap(({ name, manifest, parts }) => {
        const state = manifest && savedState(manifest, parts, log)
        return state === undefined ? [] : [{ name, state }]
      })
      this.saved.push(...saved)
      return [...differencesFromLog(subjects, log, [...states, ...saved.map(({ state }) => state)])]
    })
    return new Map(compared.flat())
  }

  private history(): History {
    const { world, recorder, server } = this
    const waiting = this.clients.reduce((sum, client) => sum + (client.process.alive ? client.waiting.size : 0), 0)
    const roles = this.controls.flatMap((control) => (control.process.alive ? control.roles : []))
    const ledgers = roles.flatMap(({ holder, reader }) => {
      if (!reader.live) return []
      const { state } = reader.ledger
      const differences = this.differences.get(state) ?? []
      const tasks = [...state.tasks.values()].map(
        (task): LedgerTask => ({
          id: task.id,
          status: task.status,
          turn: task.turn,
          attempt: task.attempt,
          owner: task.owner?.incarnation,
          outcome: task.outcome && `${task.outcome.sequence}/${task.outcome.index}`,
        }),
      )
      return [{ holder, partition: state.partition, position: state.position, tasks, differences }]
    })
    return {
      events: recorder.events,
      logs: recorder.logs,
      lost: recorder.lost,
      objects: server.objects.values,
      ledgers,
      checkpoints: this.saved.map(({ name, state }) => ({ name, differences: this.differences.get(state) ?? [] })),
      escaped: world.escaped,
      planned: [...this.faults.certain, ...(server.partitions.length > 1 ? ['stray'] : [])],
      fired: server.network.fired,
      healed: this.heal,
      brokenFences: (server.network.fired.get('two writers') ?? 0) > 0,
      epochMs: world.epochMs,
      clockErrorMs: this.clockErrorMs,
      doorOpen: server.partitions.every(({ log }) => log.stream.doorOpen),
      waiting,
    }
  }
}

/** One simulation at a time in a process. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  return new Simulation(options).run()
}

export { simLogger }
