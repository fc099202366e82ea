/**
 * Time, timers and randomness of this process, replaced by those of the simulated process whose event is running. One
 * simulation per process at a time: what is replaced is global. Functions that Node's own modules export are replaced too.
 */
import { createRequire, syncBuiltinESMExports } from 'node:module'
import { cancel, type Scheduled, type SimProcess, type World } from './world.ts'

const require = createRequire(import.meta.url)
const cryptoModule = require('node:crypto') as { randomBytes: unknown; randomUUID: unknown }
const timersModule = require('node:timers/promises') as { setImmediate: unknown; setTimeout: unknown }

/** What a turn of the event loop takes. */
const immediateMs = 0.01

type Handler = (...args: unknown[]) => void

/** What `setTimeout` and `setInterval` return. */
class SimTimer {
  entry: Scheduled | undefined

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }

  hasRef(): boolean {
    return true
  }

  close(): void {
    cancel(this.entry)
    this.entry = undefined
  }
}

/** Replaces them until the returned function is called. */
export function installGlobals(world: World): () => void {
  const kept = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setInterval: globalThis.setInterval,
    clearInterval: globalThis.clearInterval,
    setImmediate: globalThis.setImmediate,
    clearImmediate: globalThis.clearImmediate,
  }
  const keptNow = Date.now
  const keptRandom = Math.random
  const keptPerformanceNow = performance.now.bind(performance)
  const keptCrypto = { randomBytes: cryptoModule.randomBytes, randomUUID: cryptoModule.randomUUID }
  const keptTimers = { setImmediate: timersModule.setImmediate, setTimeout: timersModule.setTimeout }

  const owner = (): SimProcess => {
    if (world.current === undefined) throw new Error('a timer was set outside of every simulated process')
    return world.current
  }
  const after = (process: SimProcess, ms: number | undefined, run: () => void): Scheduled => {
    const delayMs = Math.max(1, Math.min(Number(ms ?? 1) || 1, 2 ** 31 - 1)) / process.clockRate
    return world.schedule(process, delayMs, 'timer', run)
  }
  const stop = (timer: unknown): void => {
    if (timer instanceof SimTimer) timer.close()
  }
  const replaced = {
    setTimeout: (handler: Handler, ms?: number, ...args: unknown[]) => {
      const timer = new SimTimer()
      timer.entry = after(owner(), ms, () => handler(...args))
      return timer
    },
    setInterval: (handler: Handler, ms?: number, ...args: unknown[]) => {
      const timer = new SimTimer()
      const process = owner()
      const tick = () => {
        timer.entry = after(process, ms, tick)
        handler(...args)
      }
      timer.entry = after(process, ms, tick)
      return timer
    },
    setImmediate: (handler: Handler, ...args: unknown[]) => {
      const timer = new SimTimer()
      timer.entry = world.schedule(owner(), immediateMs, 'immediate', () => handler(...args))
      return timer
    },
    clearTimeout: stop,
    clearInterval: stop,
    clearImmediate: stop,
  }
  Object.assign(globalThis, replaced)
  Date.now = () => world.current?.wallMs ?? world.epochMs + Math.floor(world.nowMs)
  Math.random = () => owner().random.next()
  performance.now = () => world.current?.monotonicMs ?? world.nowMs
  cryptoModule.randomBytes = (count: number) => owner().random.bytes(count)
  cryptoModule.randomUUID = () => {
    const hex = owner().random.bytes(16).toString('hex')
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`
  }
  timersModule.setImmediate = (value: unknown) => new Promise((resolve) => replaced.setImmediate(() => resolve(value)))
  timersModule.setTimeout = (ms: number, value: unknown) =>
    new Promise((resolve) => replaced.setTimeout(() => resolve(value), ms))
  syncBuiltinESMExports()
  const onRejection = (error: unknown) => world.escape(world.current, error)
  process.on('unhandledRejection', onRejection)
  process.on('uncaughtException', onRejection)

  return () => {
    Object.assign(globalThis, kept)
    Date.now = keptNow
    Math.random = keptRandom
    performance.now = keptPerformanceNow
    Object.assign(cryptoModule, keptCrypto)
    Object.assign(timersModule, keptTimers)
    syncBuiltinESMExports()
    process.off('unhandledRejection', onRejection)
    process.off('uncaughtException', onRejection)
  }
}
