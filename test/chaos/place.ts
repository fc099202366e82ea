/**
 * A place of a deployment: a process with these roles runs here, one after another, and reaches the servers through
 * proxies of its own. What is done to a place is done one thing after another.
 */
import type { Cluster, ClusterProcess, ProcessStart } from '../harness/cluster.ts'
import { openProxy, type TcpProxy } from '../harness/proxy.ts'
import { lasting } from '../harness/server.ts'

const drainMsMax = 30_000
/** A process that finds no server with a leader ends; whoever looks after it starts it again, for so long and this often. */
const startMsMax = 300_000
const startAgainMs = 500

export class Place {
  readonly start: ProcessStart
  readonly proxies: readonly TcpProxy[]
  /** Ends of processes that nobody had asked for. */
  readonly strayEnds: string[] = []
  present!: ClusterProcess
  private readonly cluster: Cluster
  private turn: Promise<void> = Promise.resolve()
  private waiting = 0
  /** Its present process is meant to end. */
  private ending = false

  private constructor(cluster: Cluster, start: ProcessStart, proxies: readonly TcpProxy[]) {
    this.cluster = cluster
    this.start = { ...start, servers: proxies.map(({ url }) => url) }
    this.proxies = proxies
  }

  static async open(cluster: Cluster, urls: readonly string[], start: ProcessStart): Promise<Place> {
    const place = new Place(cluster, start, await Promise.all(urls.map(openProxy)))
    await place.launch()
    return place
  }

  get isNode(): boolean {
    return this.start.roles.includes('node')
  }

  /** Something is being done to it. */
  get isBusy(): boolean {
    return this.waiting > 0
  }

  /** Does this when everything before is done. Never rejects. */
  next(work: () => Promise<void>): Promise<void> {
    this.waiting++
    this.turn = this.turn
      .then(work)
      .catch((error: unknown) => {
        this.strayEnds.push(`${this.present.name}: ${error instanceof Error ? error.message : String(error)}`)
      })
      .finally(() => {
        this.waiting--
      })
    return this.turn
  }

  async crash(downMs: number): Promise<void> {
    this.ending = true
    await this.present.kill()
    await lasting(downMs)
    await this.launch()
  }

  /** SIGTERM, as a deployment would; it hands back what it runs and ends with code 0. */
  async drain(downMs: number): Promise<void> {
    this.ending = true
    const { present } = this
    present.signal('SIGTERM')
    const late = lasting(drainMsMax).then(() => undefined)
    const ended = await Promise.race([present.exited, late])
    if (ended === undefined) {
      this.strayEnds.push(`${present.name} did not drain within ${drainMsMax} ms`)
      await present.kill()
    } else if (ended.code !== 0) this.strayEnds.push(`${present.name} drained and ended with ${JSON.stringify(ended)}`)
    await lasting(downMs)
    await this.launch()
  }

  async pause(forMs: number): Promise<void> {
    this.present.signal('SIGSTOP')
    await lasting(forMs)
    this.present.signal('SIGCONT')
  }

  async partition(forMs: number): Promise<void> {
    for (const proxy of this.proxies) proxy.freeze()
    await lasting(forMs)
    for (const proxy of this.proxies) proxy.thaw()
  }

  async disconnect(): Promise<void> {
    for (const proxy of this.proxies) proxy.cut()
    await lasting(50)
    for (const proxy of this.proxies) proxy.heal()
  }

  async slow(delayMs: number, forMs: number): Promise<void> {
    for (const proxy of this.proxies) proxy.slow(delayMs, delayMs)
    await lasting(forMs)
    for (const proxy of this.proxies) proxy.slow(0, 0)
  }

  async shiftClock(byMs: number, forMs: number): Promise<void> {
    this.present.tell({ clockShiftMs: byMs })
    await lasting(forMs)
    this.present.tell({ clockShiftMs: 0 })
  }

  /** Ends the process for good, as a deployment would. */
  async end(): Promise<void> {
    await this.turn
    this.ending = true
    this.present.signal('SIGTERM')
    const timer = setTimeout(() => this.present.signal('SIGKILL'), drainMsMax)
    await this.present.exited
    clearTimeout(timer)
    await Promise.all(this.proxies.map((proxy) => proxy.close()))
  }

  private async launch(): Promise<void> {
    this.ending = false
    const endMs = performance.now() + startMsMax
    for (;;) {
      const started = this.cluster.launch(this.start)
      this.present = started
      try {
        await started.ready()
        void started.exited.then(() => this.noteEnd(started))
        return
      } catch (error) {
        await started.kill()
        if (performance.now() > endMs) throw error
        await lasting(startAgainMs)
      }
    }
  }

  private noteEnd(process: ClusterProcess): void {
    if (process !== this.present || this.ending) return
    this.strayEnds.push(
      `${process.name} ended by itself: ${JSON.stringify(process.ended)}\n${process.log().slice(-2_000)}`,
    )
    void this.next(() => this.launch())
  }
}
