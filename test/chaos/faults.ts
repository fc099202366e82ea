/** Brings about what a plan says, to real places and servers, and writes down what was done when. */
import type { Cluster } from '../harness/cluster.ts'
import { lasting } from '../harness/server.ts'
import type { ServerTrio } from '../harness/server-trio.ts'
import type { HistoryEvent } from '../simulation/history.ts'
import type { Place } from './place.ts'
import type { PlannedFault } from './plan.ts'
import type { SmallDisk } from './small-disk.ts'

export type FaultEvent = Extract<HistoryEvent, { what: 'fault' }>

export interface Scene {
  readonly cluster: Cluster
  readonly servers: ServerTrio
  readonly places: readonly Place[]
  /** The store of one server lies on it; undefined where there can be none. */
  readonly disk: SmallDisk | undefined
}

export class FaultDriver {
  readonly done: FaultEvent[] = []
  /** Faults that could not be brought about, with the reason. */
  readonly failed: string[] = []
  /** Faults for which every place was busy with another. */
  skipped = 0
  private readonly scene: Scene
  private serverTurn: Promise<void> = Promise.resolve()
  private readonly open = new Set<Promise<void>>()

  constructor(scene: Scene) {
    this.scene = scene
  }

  /** Resolves when the last fault is over. */
  async carryOut(plan: readonly PlannedFault[]): Promise<void> {
    const startedAtMs = performance.now()
    for (const fault of plan) {
      await lasting(Math.max(0, startedAtMs + fault.atMs - performance.now()))
      const work = this.bring(fault).finally(() => this.open.delete(work))
      this.open.add(work)
    }
    await Promise.all(this.open)
  }

  private note(kind: string, detail: string): void {
    this.done.push({ what: 'fault', atMs: performance.timeOrigin + performance.now(), kind, detail })
  }

  private bring(fault: PlannedFault): Promise<void> {
    const { kind, place, forMs, byMs } = fault
    const { places } = this.scene
    const nodes = places.filter(({ isNode }) => isNode)
    const controls = places.filter(({ isNode }) => !isNode)
    switch (kind) {
      case 'crash node':
        return this.at(kind, nodes, place, (victim) => victim.crash(forMs))
      case 'crash control':
        return this.at(kind, controls, place, (victim) => victim.crash(forMs))
      case 'pause short':
      case 'pause long':
        return this.at(kind, places, place, (victim) => victim.pause(forMs))
      case 'drain':
        return this.at(kind, places, place, (victim) => victim.drain(forMs))
      case 'rolling restart':
        return this.rollingRestart()
      case 'partition':
        return this.at(kind, places, place, (victim) => victim.partition(forMs))
      case 'disconnect':
        return this.at(kind, places, place, (victim) => victim.disconnect())
      case 'delay':
        return this.at(kind, places, place, (victim) => victim.slow(byMs, forMs))
      case 'clock jump':
        return this.at(kind, places, place, (victim) => victim.shiftClock(byMs, forMs))
      default:
        return this.serverFault(fault)
    }
  }

  private at(
    kind: string,
    among: readonly Place[],
    place: number,
    work: (victim: Place) => Promise<void>,
  ): Promise<void> {
    // On a busy machine processes start slowly: who has hardly begun is left alone, or nobody would ever get to work.
    const order = among.map((_, at) => among[(place + at) % among.length]!)
    const idle = order.find(({ isBusy }) => !isBusy)
    if (idle === undefined && this.done.some((one) => one.kind === kind)) {
      this.skipped++
      return Promise.resolve()
    }
    const victim = idle ?? order[0]!
    return victim.next(async () => {
      this.note(kind, victim.present.name)
      await work(victim)
    })
  }

  /** One place after the other, each as soon as the one before is back. */
  private async rollingRestart(): Promise<void> {
    if (this.scene.places.some(({ isBusy }) => isBusy) && this.done.some(({ kind }) => kind === 'rolling restart')) {
      this.skipped++
      return
    }
    this.note('rolling restart', '')
    for (const place of this.scene.places) await place.next(() => place.drain(0))
  }

  /** One at a time: what two of three servers suffer together, nobody has promised to survive quickly. */
  private serverFault(fault: PlannedFault): Promise<void> {
    this.serverTurn = this.serverTurn
      .then(() => this.disturbServer(fault))
      .catch((error: unknown) => {
        this.failed.push(`${fault.kind}: ${error instanceof Error ? error.message : String(error)}`)
      })
    return this.serverTurn
  }

  private async disturbServer({ kind, place, forMs }: PlannedFault): Promise<void> {
    const { servers, disk } = this.scene
    const isAboutLeader = kind === 'crash log leader' || kind === 'pause log leader'
    const name = isAboutLeader ? await this.logLeader() : servers.names[place % servers.names.length]!
    switch (kind) {
      case 'crash log leader':
      case 'crash server':
        this.note(kind, name)
        await servers.kill(name)
        await lasting(forMs)
        return servers.start(name)
      case 'pause log leader':
        this.note(kind, name)
        servers.signal(name, 'SIGSTOP')
        await lasting(forMs)
        return servers.signal(name, 'SIGCONT')
      case 'isolate server':
        this.note(kind, name)
        servers.isolate(name)
        await lasting(forMs)
        return servers.rejoin(name)
      case 'full log':
        return this.fullLog(forMs)
      default:
        return this.fullDisk(disk!, forMs)
    }
  }

  private async logLeader(): Promise<string> {
    const { cluster, servers } = this.scene
    const leader = await cluster.client.leaderOf('LOG_0').catch(() => undefined)
    return leader !== undefined && servers.names.includes(leader) ? leader : servers.names[0]!
  }

  /** The log takes nothing more, journals included; then it is given the room that it had. */
  private async fullLog(forMs: number): Promise<void> {
    const { client } = this.scene.cluster
    const room = await client.limitLog(0)
    this.note('full log', `${room} bytes`)
    await lasting(forMs)
    // Whoever closes the log's door at this moment writes the whole configuration, and may write the old limit again.
    for (const pauseMs of [0, 1_000]) {
      await lasting(pauseMs)
      await client.limitLog(room)
    }
  }

  /** Nothing more can be written to one server's disk. Afterwards somebody makes room and starts the server again. */
  private async fullDisk(disk: SmallDisk, forMs: number): Promise<void> {
    const { servers } = this.scene
    this.note('full disk', `${disk.server}, ${disk.fill()} bytes`)
    await lasting(forMs)
    disk.clear()
    await servers.kill(disk.server)
    await servers.start(disk.server)
  }
}
