/**
 * Virtual time for one test at a time: `Date` and the timers of this process stand still until they are moved, in the order
 * of their due times. What is replaced is global, so runs wait for each other. A timer belongs to the node that set it,
 * and is gone when that node is killed, as it would be.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { createRequire, syncBuiltinESMExports } from 'node:module'

const require = createRequire(import.meta.url)
const timersModule = require('node:timers') as Record<string, unknown>
const promisesModule = require('node:timers/promises') as Record<string, unknown>

type Handler = (...args: unknown[]) => void

const RealDate = Date
export const realImmediate = setImmediate
export const realTimeout = setTimeout
const realHrMs = performance.now.bind(performance)

/** What `setTimeout` and `setInterval` return while time is virtual. */
class VirtualTimer {
  readonly handler: Handler
  readonly args: unknown[]
  readonly everyMs: number
  readonly delayMs: number
  readonly owner: unknown
  readonly id: number
  dueAtMs: number
  armed = true
  readonly #time: VirtualTime

  constructor(time: VirtualTime, id: number, handler: Handler, delay: unknown, repeats: boolean, args: unknown[]) {
    const ms = Number(delay)
    this.#time = time
    this.id = id
    this.handler = handler
    this.args = args
    // As Node has it: what is no delay that its timers can count is one millisecond.
    this.delayMs = ms >= 1 && ms <= 2 ** 31 - 1 ? Math.trunc(ms) : 1
    this.everyMs = repeats ? this.delayMs : 0
    this.owner = time.owners.getStore()
    this.dueAtMs = time.nowMs + this.delayMs
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }

  refresh(): this {
    this.dueAtMs = this.#time.nowMs + this.delayMs
    return this
  }

  close(): void {
    this.#time.clear(this)
  }

  [Symbol.toPrimitive](): number {
    return this.id
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** Runs that want the globals, one after the other. */
let inTurn: Promise<unknown> = Promise.resolve()

export class VirtualTime {
  /** Milliseconds since 1970. */
  nowMs: number
  /** Grows with everything that happens; when it stands still, nothing does. */
  activity = 0
  /** Who sets a timer: the node within which this is called. */
  readonly owners = new AsyncLocalStorage<object>()
  readonly #timers = new Map<number, VirtualTimer>()
  #ids = 0

  constructor(startAtMs: number) {
    this.nowMs = startAtMs
  }

  /** Runs `body` with the process on this time, after all such runs before it; restores what was there. */
  async during<T>(body: () => Promise<T>): Promise<T> {
    const before = inTurn
    const { promise, resolve } = Promise.withResolvers<void>()
    inTurn = promise
    await before
    const restore = this.#install()
    try {
      return await body()
    } finally {
      restore()
      resolve()
    }
  }

  /** When the next timer is due; undefined if there is none. */
  nextDueMs(): number | undefined {
    let next: VirtualTimer | undefined
    for (const timer of this.#timers.values()) if (next === undefined || timer.dueAtMs < next.dueAtMs) next = timer
    return next?.dueAtMs
  }

  /** Moves time to `atMs`, which no timer may be before, and runs the first timer that is due then. */
  moveTo(atMs: number): void {
    this.nowMs = Math.max(this.nowMs, atMs)
    let due: VirtualTimer | undefined
    for (const timer of this.#timers.values()) {
      if (timer.dueAtMs <= this.nowMs && (due === undefined || timer.dueAtMs < due.dueAtMs)) due = timer
    }
    if (due === undefined) return
    this.activity++
    const { handler, args, owner } = due
    if (due.everyMs > 0) due.dueAtMs = this.nowMs + due.everyMs
    else this.clear(due)
    this.owners.run(owner as object, () => handler(...args))
  }

  /** The node is gone, and its timers with it. */
  dropTimersOf(owner: object): void {
    for (const timer of this.#timers.values()) if (timer.owner === owner) this.clear(timer)
  }

  clear(given: unknown): void {
    const id = given instanceof VirtualTimer ? given.id : Number(given)
    const timer = this.#timers.get(id)
    if (timer === undefined) return
    timer.armed = false
    this.#timers.delete(id)
    this.activity++
  }

  #set(handler: Handler, delay: unknown, repeats: boolean, args: unknown[]): VirtualTimer {
    if (typeof handler !== 'function') throw new TypeError('the callback of a timer must be a function')
    const timer = new VirtualTimer(this, ++this.#ids, handler, delay, repeats, args)
    this.#timers.set(timer.id, timer)
    this.activity++
    return timer
  }

  #install(): () => void {
    const timers = {
      setTimeout: (handler: Handler, delay?: unknown, ...args: unknown[]) => this.#set(handler, delay, false, args),
      setInterval: (handler: Handler, delay?: unknown, ...args: unknown[]) => this.#set(handler, delay, true, args),
      clearTimeout: (timer: unknown) => this.clear(timer),
      clearInterval: (timer: unknown) => this.clear(timer),
      // Takes no time; what goes on from one to the next is at work.
      setImmediate: (handler: Handler, ...args: unknown[]) => {
        this.activity++
        return realImmediate(handler, ...args)
      },
    }
    const promises = {
      setTimeout: (delay?: unknown, value?: unknown, options?: { signal?: AbortSignal }) =>
        this.#sleep(delay, value, options?.signal),
    }
    const globals = globalThis as unknown as Record<string, unknown>
    const undo = [
      replace(globals, { ...timers, Date: this.#date() }),
      replace(timersModule, timers),
      replace(promisesModule, promises),
    ]
    syncBuiltinESMExports()
    return () => {
      for (const restore of undo) restore()
      syncBuiltinESMExports()
      this.#timers.clear()
    }
  }

  #sleep(delay: unknown, value: unknown, signal: AbortSignal | undefined): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const timer = this.#set(() => resolve(value), delay, false, [])
      signal?.addEventListener('abort', () => {
        this.clear(timer)
        reject(signal.reason)
      })
    })
  }

  /** Makes real dates, so that `instanceof Date` holds for those of before and after. */
  #date(): DateConstructor {
    const now = () => this.nowMs
    const VirtualDate = function (this: unknown, ...args: unknown[]) {
      if (new.target === undefined) return new RealDate(now()).toString()
      return args.length === 0 ? new RealDate(now()) : Reflect.construct(RealDate, args)
    } as unknown as DateConstructor
    Object.defineProperty(VirtualDate, 'prototype', { value: RealDate.prototype })
    return Object.assign(VirtualDate, { now, parse: RealDate.parse, UTC: RealDate.UTC })
  }
}

function replace(target: Record<string, unknown>, by: Readonly<Record<string, unknown>>): () => void {
  const before = new Map(Object.keys(by).map((name) => [name, target[name]]))
  Object.assign(target, by)
  return () => {
    for (const [name, value] of before) target[name] = value
  }
}

/** Turns of the event loop in which nothing may happen before this process counts as idle. */
const quietTurns = 12
/** Real time that I/O of the code under test may take before time moves on without it. */
const realWaitMs = 5_000

/** Resolves when nothing happens any more unless time moves. Files, sockets and processes at work are waited for, in real time. */
export async function untilIdle(time: VirtualTime, busyBefore: ReadonlyMap<string, number>): Promise<void> {
  const deadlineMs = realHrMs() + realWaitMs
  for (let quiet = 0, seen = -1; quiet < quietTurns; ) {
    await new Promise((resolve) => realImmediate(resolve))
    quiet = seen === time.activity ? quiet + 1 : 0
    seen = time.activity
    if (quiet < quietTurns || realHrMs() > deadlineMs || !isMoreBusy(busyBefore)) continue
    quiet = 0
    await new Promise((resolve) => realTimeout(resolve, 1))
  }
}

const atWork = /Req|Job|Socket|TLS|ProcessWrap|Worker/

/** What this process is at work with, by kind; timers and what only listens left out. */
export function busyNow(): Map<string, number> {
  const kinds = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) {
    if (atWork.test(kind)) kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
  }
  return kinds
}

function isMoreBusy(before: ReadonlyMap<string, number>): boolean {
  for (const [kind, count] of busyNow()) if (count > (before.get(kind) ?? 0)) return true
  return false
}
