/**
 * Threads and processes that run one turn each at a time. As many as the machine has cores, and at least two; further
 * turns wait in order. Beside a turn that goes on for longer than a second another may start, up to four times as many:
 * a few that loop for ever do not keep the others waiting until they time out. An idle lane is kept for a while, because a
 * new one costs 30 ms and more; it does not keep the process alive. A lane whose turn crashed or had to be killed is never
 * used again.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { FromLane, ToLane } from './isolated-messages.ts'

export type LaneKind = 'thread' | 'process'

/** One thread or process. `onGone` is called once, with the reason, when it ended without being closed. */
export class Lane {
  readonly kind: LaneKind
  readonly memoryMb: number
  onMessage: ((message: FromLane) => void) | undefined
  onGone: ((reason: string) => void) | undefined
  runs = 0
  takenAtMs = 0
  idleTimer: ReturnType<typeof setTimeout> | undefined
  #over = false
  readonly #worker: Worker | undefined
  readonly #child: ChildProcess | undefined

  constructor(kind: LaneKind, memoryMb: number) {
    this.kind = kind
    this.memoryMb = memoryMb
    const entry = new URL(`./isolated-entry${extname(import.meta.url)}`, import.meta.url)
    if (kind === 'thread') {
      this.#worker = new Worker(entry, memoryMb === 0 ? {} : { resourceLimits: { maxOldGenerationSizeMb: memoryMb } })
      this.#worker.on('message', (message: FromLane) => this.onMessage?.(message))
      this.#worker.on('error', (error: Error & { code?: string }) => this.#gone(whyOf(error, memoryMb)))
      this.#worker.on('exit', (code) => this.#gone(`the thread ended with code ${code}`))
    } else {
      const execArgv = memoryMb === 0 ? [] : [`--max-old-space-size=${memoryMb}`]
      this.#child = fork(entry, [], {
        serialization: 'advanced',
        execArgv,
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      })
      this.#child.on('message', (message) => this.onMessage?.(message as FromLane))
      this.#child.on('error', (error) => this.#gone(`the process could not run: ${error.message}`))
      this.#child.on('exit', (code, signal) => this.#gone(`the process ended with ${signal ?? `code ${code}`}`))
    }
  }

  get isOver(): boolean {
    return this.#over
  }

  post(message: ToLane): void {
    if (this.#over) return
    if (this.#worker !== undefined) this.#worker.postMessage(message)
    else this.#child?.send(message, () => {})
  }

  /** Ends it at once, whatever it does. */
  async close(): Promise<void> {
    this.#over = true
    clearTimeout(this.idleTimer)
    await this.#worker?.terminate()
    if (this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) {
      const ended = new Promise((resolve) => this.#child?.once('exit', resolve))
      this.#child.kill('SIGKILL')
      await ended
    }
  }

  /** Whether it keeps this process alive. */
  hold(holds: boolean): void {
    if (holds) {
      this.#worker?.ref()
      this.#child?.ref()
      this.#child?.channel?.ref()
    } else {
      this.#worker?.unref()
      this.#child?.unref()
      this.#child?.channel?.unref()
    }
  }

  #gone(reason: string): void {
    if (this.#over) return
    this.#over = true
    this.onGone?.(reason)
  }
}

function whyOf(error: Error & { code?: string }, memoryMb: number): string {
  return error.code === 'ERR_WORKER_OUT_OF_MEMORY'
    ? `the thread used more than ${memoryMb === 0 ? 'all' : `${memoryMb} MiB`} of its heap`
    : `the thread crashed: ${error.message}`
}

/** How long an idle lane is kept. */
const idleMs = 30_000
/** A turn that is longer makes room for another. */
const longTurnMs = 1_000
const growthMax = 4

export class Lanes {
  readonly #max: number
  readonly #all = new Set<Lane>()
  readonly #idle: Lane[] = []
  #waiting: { kind: LaneKind; memoryMb: number; take: (lane: Lane) => void }[] = []
  #lookAgain: ReturnType<typeof setTimeout> | undefined

  constructor(max = Math.max(2, availableParallelism())) {
    this.#max = max
  }

  /** Calls `take` with a lane for one turn, at once or when one is free. Returns how to stop waiting. */
  acquire(kind: LaneKind, memoryMb: number, take: (lane: Lane) => void): () => void {
    const wanted = { kind, memoryMb, take }
    this.#waiting.push(wanted)
    this.#serve()
    return () => {
      this.#waiting = this.#waiting.filter((other) => other !== wanted)
    }
  }

  /** The turn is over and the logic at rest: the lane may run another. */
  release(lane: Lane): void {
    lane.onMessage = undefined
    lane.onGone = () => this.#forget(lane)
    if (lane.isOver || !this.#all.has(lane)) {
      this.#forget(lane)
      return
    }
    lane.hold(false)
    lane.idleTimer = setTimeout(() => void this.discard(lane), idleMs)
    lane.idleTimer.unref?.()
    this.#idle.push(lane)
    this.#serve()
  }

  /** Ends a lane, whatever it does. */
  async discard(lane: Lane): Promise<void> {
    const closed = lane.close()
    this.#forget(lane)
    await closed
  }

  /** Ends all lanes; the turns on them are not told. */
  async close(): Promise<void> {
    this.#waiting = []
    clearTimeout(this.#lookAgain)
    await Promise.all([...this.#all].map((lane) => this.discard(lane)))
  }

  #forget(lane: Lane): void {
    this.#all.delete(lane)
    const at = this.#idle.indexOf(lane)
    if (at >= 0) this.#idle.splice(at, 1)
    this.#serve()
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const lane = this.#laneFor(next.kind, next.memoryMb)
      if (lane === undefined) return this.#lookSoon()
      this.#waiting.shift()
      clearTimeout(lane.idleTimer)
      lane.takenAtMs = performance.now()
      lane.hold(true)
      next.take(lane)
    }
  }

  #lookSoon(): void {
    clearTimeout(this.#lookAgain)
    this.#lookAgain = setTimeout(() => this.#serve(), longTurnMs)
    this.#lookAgain.unref?.()
  }

  /** How many there may be now. */
  get #most(): number {
    const sinceMs = performance.now() - longTurnMs
    const long = [...this.#all].filter((lane) => !this.#idle.includes(lane) && lane.takenAtMs <= sinceMs).length
    return Math.min(growthMax * this.#max, this.#max + long)
  }

  #laneFor(kind: LaneKind, memoryMb: number): Lane | undefined {
    const at = this.#idle.findIndex((lane) => lane.kind === kind && lane.memoryMb === memoryMb && !lane.isOver)
    if (at >= 0) return this.#idle.splice(at, 1)[0]
    if (this.#all.size >= this.#most) {
      const other = this.#idle.shift()
      if (other === undefined) return undefined
      this.#all.delete(other)
      void other.close()
    }
    const lane = new Lane(kind, memoryMb)
    this.#all.add(lane)
    return lane
  }
}

/** The lanes of this process. */
export const lanes = new Lanes()
