/**
 * One simulated life of an installation from one seed: a safety phase with faults, then a liveness phase in which a random
 * core is healed and everything must come to its end. Returns the history for the checker.
 */
import type { LedgerState } from '../../src/actors/ledger/state.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { noteOrigin } from '../../src/runtime/tasks/load.ts'
import { differencesFromLog, savedState } from './checker/refold.ts'
import { ClientMachine } from './client-machine.ts'
import {
  type ClusterSettings,
  ControlMachine,
  NodeMachine,
  type Server,
  type SimMachine,
  simLogger,
} from './cluster.ts'
import { drawKinds, FaultDriver } from './faults.ts'
import { drawFeatures, type Feature, features, narrowLimits, rulesOf, typesOf } from './features.ts'
import { installGlobals } from './globals.ts'
import { type History, type HistoryEvent, type LedgerTask, Recorder } from './history.ts'
import { Network } from './network.ts'
import { OperatorMachine } from './operator-machine.ts'
import type { Plant } from './plants.ts'
import { Random } from './random.ts'
import { SimThreads } from './sim-lanes.ts'
import { type LogFaults, StreamHost } from './sim-log.ts'
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

class Simulation {
  readonly world: World
  readonly recorder = new Recorder()
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
  private saved: { readonly name: string; readonly state: LedgerState }[] = []

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
    const subjects = new Subjects('sim')
    const shape = random('shape')
    const { door, inner } = subjects.logSubjects(0)
    const common = { bytesMax: 64 * 1024 * 1024, dedupeMs: 60_000, createdAtMs: world.epochMs }
    const log = new SimStream({ ...common, door, inner })
    const leases = new SimStream({ ...common, door: [], inner: ['lease.>'], lastOnly: true })
    this.server = {
      network,
      log: new StreamHost(world, random('log'), log, noFaults(), count),
      leases: new StreamHost(world, random('leases'), leases, noFaults(), count),
      shelf: emptyShelf(),
      subjects,
      wrapLog: options.plant?.wrapLog?.(random('plant')),
    }
    this.server.log.onStored = (message) => this.recorder.stored(message)
    const asked = options.features ?? (options.plant === undefined ? undefined : (options.plant.features ?? []))
    this.features = asked ? new Set(features.filter((name) => asked.includes(name))) : drawFeatures(random('features'))
    this.threads = this.build(shape, random('features of the shape'), count)
    const { controls, nodes, threads } = this
    const machines = { controls, nodes, clients: [...this.clients, ...this.operators], threads }
    const kinds = options.kinds ?? options.plant?.kinds ?? drawKinds(random('kinds'))
    this.faults = new FaultDriver(
      { world, random: random('faults'), server: this.server, machines },
      kinds,
      (kind, detail) => {
        count(kind)
        world.note(`fault ${kind}`, detail)
        this.recorder.add({ what: 'fault', atMs: world.nowMs, kind, detail })
        if (kind === 'power loss') this.recorder.loseFrom(log.last + 1)
      },
      (share) => this.recorder.add({ what: 'filled', atMs: world.nowMs, share }),
    )
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
    const { delayMaxMs } = this.server.network.faults
    this.clockErrorMs = 5 + 2 * delayMaxMs + 2 * this.server.log.faults.clockStepsBackMs
    this.faults.calm(core)
    this.nurse()
    let lookAt = 0
    let ended = 0
    let untilMs = atMs + healMsMax
    await world.run({ untilMs: atMs + 20 * healMsMax, stepsMax: world.steps + healStepsMax }, () => {
      if (world.steps < lookAt) return false
      lookAt = world.steps + lookEvery
      const { totals } = this.leading()?.reader?.ledger.state ?? {}
      const endedNow = totals === undefined ? 0 : totals.completed + totals.failed + totals.cancelled + totals.expired
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
      const { ledger } = this.leading()?.reader ?? {}
      for (const task of ledger?.state.tasks.values() ?? []) {
        if (task.ended || (task.type !== 'listener' && task.type !== 'allergic')) continue
        const value = (round % 4) + 1
        const options = { headers: { 'Troupe-Id': `s${value}` } }
        const data = new TextEncoder().encode(JSON.stringify({ type: 'go', value }))
        if (client.process.alive)
          world.schedule(client.process, 0, 'nurse', () => {
            void client.log.append(this.server.subjects.signal(task.id), data, options)
          })
      }
      round++
      world.schedule(undefined, 1_500, 'nurse', visit)
    }
    world.schedule(undefined, 5_000, 'nurse', visit)
  }

  private leading(): ControlMachine | undefined {
    return this.controls.find(({ process, scheduler }) => process.alive && scheduler?.leading)
  }

  private allEnded(): boolean {
    const reader = this.leading()?.reader
    if (reader === undefined || reader.ledger.state.position < this.server.log.stream.last) return false
    const { counts } = reader.ledger.state
    if (counts.blocked + counts.waiting + counts.held + counts.running + counts.parked > 0) return false
    if (this.operators.some(({ done }) => !done) || !this.server.log.stream.doorOpen) return false
    return this.clients.every((client) => client.done && client.waiting.size === 0)
  }

  /** Of ledgers and of checkpoints, while the limits of this seed are in force, and the bug that was planted. */
  private compareWithLog(): ReturnType<typeof differencesFromLog> {
    const { recorder, server } = this
    const states = this.controls.flatMap(({ process, reader }) =>
      process.alive && reader?.live ? [reader.ledger.state] : [],
    )
    this.saved = server.shelf.checkpoints.flatMap(({ name, manifest, parts }) => {
      const state = manifest && savedState(manifest, parts, recorder.log)
      return state === undefined ? [] : [{ name, state }]
    })
    return differencesFromLog(server.subjects, recorder.log, [...states, ...this.saved.map(({ state }) => state)])
  }

  private history(): History {
    const { world, recorder, server } = this
    const waiting = this.clients.reduce((sum, client) => sum + (client.process.alive ? client.waiting.size : 0), 0)
    const ledgers = this.controls.flatMap(({ process, reader }) => {
      if (!process.alive || reader === undefined || !reader.live) return []
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
      return [{ holder: process.name, position: state.position, tasks, differences }]
    })
    return {
      events: recorder.events,
      log: recorder.log,
      lost: recorder.lost,
      objects: new Map([...server.shelf.objects].map(([name, { data }]) => [name, data])),
      ledgers,
      checkpoints: this.saved.map(({ name, state }) => ({ name, differences: this.differences.get(state) ?? [] })),
      escaped: world.escaped,
      planned: this.faults.certain,
      fired: server.network.fired,
      healed: this.heal,
      brokenFences: (server.network.fired.get('two writers') ?? 0) > 0,
      epochMs: world.epochMs,
      clockErrorMs: this.clockErrorMs,
      doorOpen: server.log.stream.doorOpen,
      waiting,
    }
  }
}

/** One simulation at a time in a process. */
export async function simulate(options: SimulationOptions): Promise<SimulationResult> {
  return new Simulation(options).run()
}

export { simLogger }
