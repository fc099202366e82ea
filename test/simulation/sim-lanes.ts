/**
 * Threads for isolated tasks in the simulation: each is a simulated process beside its node, with the program that real
 * threads run and structured clones between them. One may crash, or stand still until the node ends it.
 */
import type { AnyTaskDefinition } from '../../src/client/task.ts'
import type { FromLane, ToLane } from '../../src/runtime/tasks/isolated-messages.ts'
import { IsolatedTurns } from '../../src/runtime/tasks/isolated-turns.ts'
import { type Lane, type Lanes, lanes } from '../../src/runtime/tasks/lanes.ts'
import type { Random } from './random.ts'
import { SimProcess, type World } from './world.ts'

/** Threads that a node has at most; further turns wait. */
const threadsMax = 2
/** How long a message takes between a node and its thread, ms. */
const messageMs = 0.05

type TakeLane = (lane: Lane) => void

class SimLane {
  readonly thread: SimProcess
  onMessage: ((message: FromLane) => void) | undefined
  onGone: ((reason: string) => void) | undefined
  runs = 0
  private readonly node: SimProcess
  private readonly program: IsolatedTurns

  constructor(node: SimProcess, name: string, definitions: ReadonlyMap<string, AnyTaskDefinition>) {
    this.node = node
    this.thread = new SimProcess(node.world, name, node)
    node.onCrash.push(() => this.thread.crash())
    this.program = new IsolatedTurns(
      (message) => this.toNode(message),
      async (_, type) => definitions.get(type)!,
    )
  }

  post(message: ToLane): void {
    const copy = structuredClone(message)
    this.node.world.schedule(this.thread, messageMs, 'to thread', () => this.program.hear(copy))
  }

  private toNode(message: FromLane): void {
    const copy = structuredClone(message)
    this.node.world.schedule(this.node, messageMs, 'from thread', () => this.onMessage?.(copy))
  }

  /** It ends without being asked to. */
  crash(): void {
    this.thread.crash()
    this.node.world.schedule(this.node, messageMs, 'thread gone', () => this.onGone?.('the thread crashed'))
  }
}

class NodeLanes {
  readonly busy = new Set<SimLane>()
  private readonly waiting: TakeLane[] = []
  private readonly node: SimProcess
  private readonly definitions: ReadonlyMap<string, AnyTaskDefinition>
  private made = 0

  constructor(node: SimProcess, definitions: ReadonlyMap<string, AnyTaskDefinition>) {
    this.node = node
    this.definitions = definitions
  }

  acquire(take: TakeLane): () => void {
    this.waiting.push(take)
    this.serve()
    return () => {
      const at = this.waiting.indexOf(take)
      if (at >= 0) this.waiting.splice(at, 1)
    }
  }

  /** Its turn is over; the next has a thread of its own, for what is left of this one must not reach it. */
  end(lane: SimLane): void {
    lane.thread.crash()
    if (this.busy.delete(lane)) this.serve()
  }

  private serve(): void {
    while (this.waiting.length > 0 && this.busy.size < threadsMax) {
      const { node } = this
      const lane = new SimLane(node, `${node.name}-${node.life}-thread${++this.made}`, this.definitions)
      this.busy.add(lane)
      this.waiting.shift()!(lane as unknown as Lane)
    }
  }
}

/** What nodes have of threads, from now on until the returned function is called. */
export class SimThreads {
  private readonly world: World
  private readonly definitions: ReadonlyMap<string, AnyTaskDefinition>
  private readonly nodes = new Map<string, NodeLanes>()

  constructor(world: World, definitions: readonly AnyTaskDefinition[]) {
    this.world = world
    this.definitions = new Map(definitions.map((definition) => [definition.type, definition]))
  }

  install(): () => void {
    const end = (lane: Lane) => {
      const simulated = lane as unknown as SimLane
      for (const node of this.nodes.values()) if (node.busy.has(simulated)) node.end(simulated)
    }
    const replaced: Pick<Lanes, 'acquire' | 'release' | 'discard'> = {
      acquire: (_kind, _memoryMb, take) => this.of(this.world.current!).acquire(take),
      release: end,
      discard: async (lane) => end(lane),
    }
    // Methods of its class are hidden by these until they are deleted.
    Object.assign(lanes, replaced)
    return () => {
      for (const name of Object.keys(replaced)) delete (lanes as unknown as Record<string, unknown>)[name]
    }
  }

  /** A thread crashes in the middle of its work, or loops for ever; returns its name, if there is one. */
  endOne(random: Random, how: 'crash' | 'hang'): string | undefined {
    const all = [...this.nodes.values()].flatMap(({ busy }) => [...busy])
    const working = all.filter(({ thread }) => thread.alive && !thread.paused)
    if (working.length === 0) return undefined
    const lane = random.pick(working)
    if (how === 'crash') lane.crash()
    else lane.thread.pause()
    return lane.thread.name
  }

  private of(node: SimProcess): NodeLanes {
    const name = `${node.name}/${node.life}`
    let known = this.nodes.get(name)
    if (known === undefined) this.nodes.set(name, (known = new NodeLanes(node, this.definitions)))
    return known
  }
}
