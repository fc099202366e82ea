/**
 * The interface `Log` of one process over a simulated stream: what JetStream does to a writer and a reader when acks get
 * lost, leaders change and servers lose power.
 */
import type { AppendOptions, AppendResult, Log, LogInfo, LogReading, LogReadOptions } from '../../src/nats/bus.ts'
import type { LogMessage } from '../../src/protocol/entries.ts'
import type { Random } from './random.ts'
import { noAnswer, type SimBus } from './sim-bus.ts'
import type { SimStream } from './sim-stream.ts'
import type { SimProcess, World } from './world.ts'

/** What becomes of writes and reads; shares are 0 to 1. */
export interface LogFaults {
  lossOfWrites: number
  lossOfAcks: number
  /** Answers that leave it open whether it was stored (10077 and the like). */
  vagueAnswers: number
  /** Writes that wait long for the disk, up to so many ms. */
  slowWrites: number
  slowMsMax: number
  /** Reads answered by a replica that lags. */
  staleReads: number
  /** Expectations that a faulty server overlooks. */
  twoWriters: number
  /** The stream's clock steps back by up to so many ms now and then. */
  clockStepsBackMs: number
}

/** The server's side of a stream, which all processes share. */
export class StreamHost {
  readonly stream: SimStream
  readonly world: World
  readonly random: Random
  readonly faults: LogFaults
  readonly fired: (fault: string) => void
  /** While it has no leader nothing is answered. */
  leaderless = false
  /** Processes whose server is cut off from the others and does not know it: where the log ends on it. */
  readonly laggards = new Map<SimProcess, number>()
  replicas = 1
  /** Grows when the server comes back without its newest messages: every consumer is made again. */
  generation = 0
  readonly readers = new Set<() => void>()
  onStored: ((message: LogMessage) => void) | undefined
  private skewMs = 0

  constructor(world: World, random: Random, stream: SimStream, faults: LogFaults, fired: (fault: string) => void) {
    this.world = world
    this.random = random
    this.stream = stream
    this.faults = faults
    this.fired = fired
  }

  get clockMs(): number {
    return this.world.epochMs + this.world.nowMs + this.skewMs
  }

  append(subject: string, data: Uint8Array, options: AppendOptions): AppendResult {
    const { random, faults } = this
    if (random.chance(faults.vagueAnswers / 2)) {
      this.fired('vague answer')
      return { outcome: 'unknown', code: 10077, message: 'not stored, but nobody knows' }
    }
    if (faults.clockStepsBackMs > 0 && random.chance(0.02)) {
      this.skewMs = -random.integer(0, faults.clockStepsBackMs)
      this.fired('stream clock step')
    }
    const acceptsAll = random.chance(faults.twoWriters)
    const before = this.stream.last
    const expectation = this.stream.lastOf(subject)?.sequence ?? 0
    const result = this.stream.append({ subject, data, ...options }, this.clockMs, acceptsAll)
    if (this.stream.last > before) {
      const expected = options.expectedLastSubjectSequence
      if (expected !== undefined && expected !== expectation) this.fired('two writers')
      this.onStored?.(this.stream.get(this.stream.last)!)
      for (const wake of this.readers) wake()
    }
    if (result.outcome === 'stored' && random.chance(faults.vagueAnswers / 2)) {
      this.fired('vague answer')
      return { outcome: 'unknown', code: 10158, message: 'stored, but nobody knows' }
    }
    return result
  }

  loseSuffix(count: number): number {
    const lost = this.stream.loseSuffix(count)
    this.generation++
    for (const wake of this.readers) wake()
    return lost
  }
}

const apiMs = 5_000
const appendMs = 5_000

export class SimLog implements Log {
  readonly host: StreamHost
  readonly bus: SimBus

  constructor(host: StreamHost, bus: SimBus) {
    this.host = host
    this.bus = bus
  }

  /** Where the log ends on the server of this process, if that lags. */
  private get lagsFrom(): number | undefined {
    return this.host.laggards.get(this.bus.link.process)
  }

  async append(subject: string, data: Uint8Array, options: AppendOptions = {}): Promise<AppendResult> {
    const { host, bus } = this
    const { random, faults } = host
    try {
      return await new Promise<AppendResult>((resolve, reject) => {
        const isLost = random.chance(faults.lossOfWrites)
        const isUnheard = random.chance(faults.lossOfAcks)
        const isSlow = random.chance(faults.slowWrites)
        let answer: AppendResult | undefined
        const timeoutMs = options.timeoutMs ?? appendMs
        const work = (): AppendResult | undefined => {
          if (isLost) host.fired('lost write')
          if (isLost || host.leaderless || this.lagsFrom !== undefined) return undefined
          answer = host.append(subject, data, options)
          if (isUnheard) host.fired('lost ack')
          return isUnheard ? undefined : answer
        }
        const call = isSlow
          ? this.slowly(subject, timeoutMs, work)
          : bus.call(subject, timeoutMs, () => answered(work()))
        if (isSlow) host.fired('slow write')
        call.then(resolve, reject)
      })
    } catch (error) {
      if ((error as { code?: string }).code === 'TROUPE_CLOSED') throw error
      return { outcome: 'unknown', code: 0, message: (error as Error).message }
    }
  }

  /** The write reaches the disk late; the ack follows it. */
  private slowly(subject: string, timeoutMs: number, work: () => AppendResult | undefined): Promise<AppendResult> {
    const { host, bus } = this
    const lateMs = host.random.integer(10, host.faults.slowMsMax)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(noAnswer(subject, 'no acknowledgement in time', false)), timeoutMs)
      bus
        .call(subject, timeoutMs, () => {
          host.world.schedule(undefined, lateMs, `slow ${subject}`, () => {
            const answer = work()
            if (answer === undefined) return
            bus.network.receive(bus.link, subject, () => {
              clearTimeout(timer)
              resolve(answer)
            })
          })
          return undefined
        })
        .catch(reject)
    })
  }

  async get(sequence: number): Promise<LogMessage | undefined> {
    return this.api('get', (stream) => stream.get(sequence))
  }

  getRange(sequence: number, messagesMax: number, bytesMax: number): Promise<LogMessage[]> {
    const { host } = this
    return this.api('range', (stream) => {
      const found = stream.range(sequence, messagesMax, bytesMax)
      if (!host.random.chance(host.faults.staleReads)) return found
      host.fired('stale read')
      const behind = stream.last - host.random.integer(1, 20)
      return found.filter((message) => message.sequence <= behind)
    })
  }

  lastOf(subject: string): Promise<LogMessage | undefined> {
    return this.api('last', (stream) => stream.lastOf(subject))
  }

  /** A server that lags answers as well, with what it has. */
  info(): Promise<LogInfo> {
    const { host } = this
    const info = (stream: SimStream): LogInfo => ({ ...stream.info(host.clockMs), replicas: host.replicas })
    const lastSequence = this.lagsFrom
    if (lastSequence === undefined) return this.api('info', info)
    return this.bus.call('info', apiMs, () => ({ value: { ...info(host.stream), lastSequence } }))
  }

  trim(sequence: number): Promise<void> {
    return this.api('trim', (stream) => {
      if (sequence > stream.first) this.host.fired('trim')
      stream.trim(sequence)
    })
  }

  setDoor(open: boolean): Promise<void> {
    return this.api('door', (stream) => {
      if (stream.doorOpen !== open) this.host.fired(open ? 'door opened' : 'door closed')
      stream.setDoor(open)
    })
  }

  takeReserve(): Promise<void> {
    return this.api('reserve', (stream) => {
      if (stream.reserveBytes === 0) this.host.fired('reserve taken')
      stream.takeReserve()
    })
  }

  private api<Value>(what: string, work: (stream: SimStream) => Value): Promise<Value> {
    const { host } = this
    return this.bus.call(what, apiMs, () => {
      const isUnanswered = host.leaderless || this.lagsFrom !== undefined
      if (isUnanswered || host.random.chance(host.faults.lossOfAcks)) return undefined
      return { value: work(host.stream) }
    })
  }

  async read(options: LogReadOptions): Promise<LogReading> {
    const info = await this.info()
    const latest = options.from > info.firstSequence ? await this.get(options.from - 1) : undefined
    const reader = new SimReader(this.host, this.bus, options, info, latest)
    reader.start()
    return reader
  }
}

function answered<Value>(value: Value | undefined): { readonly value: Value } | undefined {
  return value === undefined ? undefined : { value }
}

const batchMax = 256

/** A push consumer: in order, without a gap, until the stream no longer has what comes next. */
class SimReader implements LogReading {
  private readonly host: StreamHost
  private readonly bus: SimBus
  private readonly options: LogReadOptions
  private next: number
  private latest: LogMessage | undefined
  private target: number | undefined
  private stopped = false
  private busy = false
  private generation: number
  private readonly wake = () => this.soon()

  constructor(host: StreamHost, bus: SimBus, options: LogReadOptions, info: LogInfo, latest: LogMessage | undefined) {
    this.host = host
    this.bus = bus
    this.options = options
    this.next = Math.max(1, options.from)
    this.target = info.lastSequence
    this.latest = latest
    this.generation = host.generation
  }

  start(): void {
    this.host.readers.add(this.wake)
    this.bus.link.process.onCrash.push(() => this.host.readers.delete(this.wake))
    this.bus.onConnection((state) => {
      if (state === 'connected') this.again()
    })
    this.soon()
  }

  async stop(): Promise<void> {
    this.stopped = true
    this.host.readers.delete(this.wake)
  }

  /** The consumer was lost with the connection or the server: another one is made a moment later. */
  private again(): void {
    this.busy = false
    this.soon()
  }

  private soon(): void {
    const { host, bus } = this
    if (this.busy || this.stopped || this.isStuck || !bus.link.connected) return
    const isNew = this.generation !== host.generation
    if (!isNew && this.next > host.stream.last && this.target === undefined) return
    this.busy = true
    const { epoch } = bus.link
    const waitMs = isNew ? host.random.integer(100, 3_000) : 0
    host.world.schedule(undefined, waitMs, 'push', () => {
      if (epoch !== bus.link.epoch || this.stopped) return
      if (this.isStuck) this.busy = false
      else this.push()
    })
  }

  private get isStuck(): boolean {
    return this.host.leaderless || this.host.laggards.has(this.bus.link.process)
  }

  private push(): void {
    const { host, bus } = this
    const { stream } = host
    const { generation } = host
    const { next } = this
    const { latest } = this
    const isReplaced = latest !== undefined && latest.sequence >= stream.first && stream.get(latest.sequence) !== latest
    const isGap = stream.first > next || stream.last + 1 < next || isReplaced
    const messages = isGap ? [] : stream.range(next, batchMax, 1024 * 1024)
    const { first } = stream
    const pending = host.stream.last
    bus.network.receive(bus.link, 'log', () => {
      this.busy = false
      this.generation = generation
      if (this.stopped) return
      if (isGap || (messages[0]?.sequence ?? next) !== next) {
        host.fired('gap')
        void this.stop()
        this.options.onGap(next, first)
        return
      }
      if (messages.length > 0) {
        this.latest = messages.at(-1)!
        this.next = this.latest.sequence + 1
        this.options.onMessages(messages)
      }
      if (this.target !== undefined && (this.next > this.target || this.next > pending) && !this.stopped) {
        this.target = undefined
        this.options.onCaughtUp?.()
      }
      this.soon()
    })
  }
}
