/**
 * The simulated world: virtual time, a heap of what happens next, and processes that can be paused and killed. One event
 * at a time; every promise that it settles has run its course before the next. Knows nothing of networks or of Troupe.
 */
import { Random } from './random.ts'

/** Something that will happen. A cancelled one stays in the heap until its time. */
export interface Scheduled {
  atMs: number
  order: number
  readonly process: SimProcess | undefined
  readonly life: number
  readonly label: string
  run: (() => void) | undefined
}

/** A process of an operating system, as far as a simulation needs one. */
export class SimProcess {
  readonly name: string
  readonly world: World
  readonly random: Random
  alive = true
  /** Grows with each crash: what belongs to an earlier life never happens. */
  life = 1
  paused = false
  /** What this process takes for the time of day is so far from the world's, and its clocks run so much faster. */
  skewMs = 0
  drift = 0
  /** Crashes when it has said so many more things to others; undefined: it does not. */
  crashAfterOutputs: number | undefined
  readonly held: Scheduled[] = []
  readonly onCrash: (() => void)[] = []
  /** On whose machine it runs: threads have the clock of their process. */
  private readonly host: SimProcess | undefined

  constructor(world: World, name: string, host?: SimProcess) {
    this.world = world
    this.name = name
    this.host = host
    this.random = new Random(world.seed, name)
  }

  /** How many of its own ms pass in one of the world. */
  get clockRate(): number {
    return this.host?.clockRate ?? 1 + this.drift
  }

  /** Ms since the world began, by this process's monotonic clock. */
  get monotonicMs(): number {
    return this.host?.monotonicMs ?? this.world.nowMs * this.clockRate
  }

  get wallMs(): number {
    return this.host?.wallMs ?? Math.floor(this.world.epochMs + this.skewMs + this.monotonicMs)
  }

  /** Something is about to leave the process. False if it has just died instead. */
  mayOutput(life: number): boolean {
    if (life !== this.life || !this.alive) return false
    if (this.crashAfterOutputs === undefined) return true
    if (this.crashAfterOutputs-- > 0) return true
    this.crash()
    return false
  }

  crash(): void {
    if (!this.alive) return
    this.alive = false
    this.life++
    this.paused = false
    this.crashAfterOutputs = undefined
    this.held.length = 0
    this.world.note('crash', this.name)
    for (const listener of this.onCrash.splice(0)) listener()
  }

  /** A new life with the same name. */
  revive(): void {
    this.alive = true
  }

  pause(): void {
    this.paused = true
    this.world.note('pause', this.name)
  }

  resume(): void {
    if (!this.paused) return
    this.paused = false
    this.world.note('resume', this.name)
    for (const entry of this.held.splice(0)) this.world.again(entry)
  }
}

/** The macrotask queue of the real event loop, kept before it is replaced. */
const realImmediate = setImmediate
/** Runs every job of every promise, and reports rejections that nobody handles: what Node does after each callback. */
const settle = (process as unknown as { _tickCallback(): void })._tickCallback
/** The event loop gets a turn this often, for what the world does not see: standard output, signals. */
const stepsPerTurn = 1_000
const nothing = (): void => undefined

export class World {
  readonly seed: number
  /** Wall clock at the beginning, ms since 1970. */
  readonly epochMs: number
  nowMs = 0
  steps = 0
  current: SimProcess | undefined
  /** A hash over everything that happened; equal for equal seeds. */
  hash = 0x811c9dc5
  onTrace: ((line: string) => void) | undefined
  /** What escaped from a step: in a real process, its end. */
  readonly escaped: { readonly process: string; readonly atMs: number; readonly error: unknown }[] = []
  private readonly heap: Scheduled[] = []
  private orders = 0

  constructor(seed: number, epochMs = Date.UTC(2026, 0, 1)) {
    this.seed = seed
    this.epochMs = epochMs
  }

  schedule(process: SimProcess | undefined, delayMs: number, label: string, run: () => void): Scheduled {
    const entry: Scheduled = {
      atMs: this.nowMs + Math.max(0, delayMs),
      order: ++this.orders,
      process,
      life: process?.life ?? 0,
      label,
      run,
    }
    this.push(entry)
    return entry
  }

  /** What was held while its process was paused happens now. */
  again(entry: Scheduled): void {
    entry.atMs = this.nowMs
    entry.order = ++this.orders
    this.push(entry)
  }

  note(what: string, detail: string): void {
    let hash = Math.imul(this.hash ^ this.steps, 0x01000193)
    hash = Math.imul(hash ^ (this.nowMs * 1_000), 0x01000193)
    for (let at = 0; at < what.length; at++) hash = Math.imul(hash ^ what.charCodeAt(at), 0x01000193)
    for (let at = 0; at < detail.length; at++) hash = Math.imul(hash ^ detail.charCodeAt(at), 0x01000193)
    this.hash = hash
    this.onTrace?.(`${this.nowMs.toFixed(3)} ${this.steps} ${what} ${detail}`)
  }

  escape(process: SimProcess | undefined, error: unknown): void {
    this.escaped.push({ process: process?.name ?? 'world', atMs: this.nowMs, error })
    this.note('escaped', `${process?.name} ${error instanceof Error ? error.message : String(error)}`)
  }

  /** Runs until `done`, or until nothing is left, or until the limits. */
  async run(limits: { untilMs: number; stepsMax: number }, done: () => boolean = () => false): Promise<void> {
    let isOver = false
    while (!isOver) {
      // Outside of any promise's job: only there can all of them be run to their end.
      isOver = await new Promise<boolean>((resolve, reject) =>
        realImmediate(() => {
          try {
            resolve(this.turn(limits, done))
          } catch (error) {
            reject(error)
          }
        }),
      )
    }
  }

  /** Many events, each with all that it settles. True when it is over. */
  private turn(limits: { untilMs: number; stepsMax: number }, done: () => boolean): boolean {
    for (let at = 0; at < stepsPerTurn; at++) {
      if (this.steps >= limits.stepsMax || done()) return true
      const next = this.heap[0]
      if (next === undefined || next.atMs > limits.untilMs) return true
      this.pop()
      if (this.step(next)) settle()
    }
    return false
  }

  /** Returns whether anything happened. */
  private step(entry: Scheduled): boolean {
    const { process, run } = entry
    if (run === undefined) return false
    if (process !== undefined) {
      if (entry.life !== process.life) return false
      if (process.paused) {
        process.held.push(entry)
        return false
      }
    }
    if (entry.atMs > this.nowMs) this.nowMs = entry.atMs
    this.steps++
    this.current = process
    this.note(process?.name ?? '-', entry.label)
    entry.run = undefined
    try {
      run()
    } catch (error) {
      this.escape(process, error)
    }
    return true
  }

  private push(entry: Scheduled): void {
    const { heap } = this
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (isBefore(heap[parent]!, entry)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop()!
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(last, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

export function cancel(entry: Scheduled | undefined): void {
  if (entry?.run !== undefined) entry.run = undefined
}

export { nothing }

function isBefore(a: Scheduled, b: Scheduled): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}
