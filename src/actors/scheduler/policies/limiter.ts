/**
 * Whether a task may start by the limits of its type, which stand in the log: paused, so many at once, so many in a time,
 * and both for each key. Says for how much it is blocked (the type or the key) and until when, if time alone opens it.
 */
import type { BreakerLimit, TypeLimits } from '../../../protocol/options.ts'
import { type Breaker, defaultBreaker, halfOpenAtMs } from '../../ledger/breakers.ts'
import type { LedgerState } from '../../ledger/state.ts'
import type { TaskRecord } from '../../ledger/task-record.ts'
import type { Claims } from './claims.ts'
import { TokenBucket } from './token-bucket.ts'

export interface Block {
  readonly scope: 'type' | 'key'
  /** Infinity: not before something ends or the limits change. */
  readonly untilMs: number
  readonly reason: string
}

/** How many start at once, of a task's type and of its key. */
interface Together {
  readonly ofType: number
  readonly ofKey: number
}

const alone: Together = { ofType: 1, ofKey: 1 }

/** Buckets of keys; full ones are forgotten, for they say nothing. */
const bucketsMax = 100_000

export class Limiter {
  private readonly limits: ReadonlyMap<string, TypeLimits>
  private readonly breakers: ReadonlyMap<string, Breaker>
  private readonly claims: Claims
  private readonly buckets = new Map<string, TokenBucket>()

  constructor({ limits, breakers }: Pick<LedgerState, 'limits' | 'breakers'>, claims: Claims) {
    this.limits = limits
    this.breakers = breakers
    this.claims = claims
  }

  /** What keeps the task from starting, or undefined. */
  blocks(task: TaskRecord, nowMs: number): Block | undefined {
    return this.blockOf(task, alone, nowMs)
  }

  /** What keeps these from starting together, or undefined. */
  blocksAll(tasks: readonly TaskRecord[], nowMs: number): Block | undefined {
    const counts = new Map<string, number>()
    const count = (name: string) => counts.set(name, (counts.get(name) ?? 0) + 1)
    for (const task of tasks) {
      count(task.type)
      if (task.key !== undefined) count(keyName(task))
    }
    for (const task of tasks) {
      const together = { ofType: counts.get(task.type)!, ofKey: counts.get(keyName(task)) ?? 0 }
      const block = this.blockOf(task, together, nowMs)
      if (block !== undefined) return block
    }
    return undefined
  }

  private blockOf(task: TaskRecord, together: Together, nowMs: number): Block | undefined {
    const limits = this.limits.get(task.type)
    if (limits === undefined) return undefined
    const { paused, runningMax, startsMax } = limits
    if (paused) return { scope: 'type', untilMs: Number.POSITIVE_INFINITY, reason: `the type "${task.type}" is paused` }
    if (limits.breaker !== undefined) {
      const block = this.breakerBlock(task.type, limits.breaker, nowMs)
      if (block !== undefined) return block
    }
    const { ofType } = together
    if (runningMax !== undefined && this.claims.ofType(task.type) + ofType > runningMax) {
      if (ofType === 1) return full('type', `${runningMax} of the type "${task.type}" run, which is its limit`)
      return full(
        'type',
        `${ofType} more of the type "${task.type}" would be more than its limit of ${runningMax} at once`,
      )
    }
    if (startsMax !== undefined) {
      const block = this.rateBlock('type', task.type, limits.startsPeriodMs, startsMax, ofType, nowMs)
      if (block !== undefined) return block
    }
    return task.key === undefined ? undefined : this.keyBlock(task, limits, together.ofKey, nowMs)
  }

  /** A start of the task is on its way. */
  spend(task: TaskRecord, nowMs: number): void {
    const limits = this.limits.get(task.type)
    if (limits === undefined) return
    const { startsMax, startsPerKeyMax } = limits
    if (startsMax !== undefined) this.bucket(task.type, limits.startsPeriodMs, startsMax, nowMs).spend(nowMs)
    if (startsPerKeyMax !== undefined && task.key !== undefined) {
      this.bucket(keyName(task), limits.startsPeriodMs, startsPerKeyMax, nowMs).spend(nowMs)
    }
  }

  private breakerBlock(type: string, limit: BreakerLimit, nowMs: number): Block | undefined {
    const breaker = this.breakers.get(type)
    if (breaker === undefined || breaker.openedAtMs === 0) return undefined
    const untilMs = halfOpenAtMs(breaker, limit)
    const why = `${limit.failurePercent} % of the last ${limit.attempts ?? defaultBreaker.attempts} attempts, or a trial, failed`
    if (nowMs < untilMs) {
      const until = new Date(untilMs).toISOString()
      return { scope: 'type', untilMs, reason: `the breaker of the type "${type}" is open until ${until}: ${why}` }
    }
    const left = (limit.trials ?? defaultBreaker.trials) - breaker.outcomes.length
    if (this.claims.ofType(type) < left) return undefined
    return full('type', `the breaker of the type "${type}" is half-open, and its trials run`)
  }

  private keyBlock(task: TaskRecord, limits: TypeLimits, ofKey: number, nowMs: number): Block | undefined {
    const { runningPerKeyMax, startsPerKeyMax, startsPeriodMs } = limits
    if (runningPerKeyMax !== undefined && this.claims.ofKey(task) + ofKey > runningPerKeyMax) {
      const limit = `which is the limit of the type "${task.type}"`
      if (ofKey === 1) return full('key', `${runningPerKeyMax} with the key "${task.key}" run, ${limit}`)
      return full(
        'key',
        `${ofKey} more with the key "${task.key}" would be more than ${runningPerKeyMax} at once, ${limit}`,
      )
    }
    if (startsPerKeyMax === undefined) return undefined
    return this.rateBlock('key', keyName(task), startsPeriodMs, startsPerKeyMax, ofKey, nowMs)
  }

  private rateBlock(
    scope: Block['scope'],
    name: string,
    periodMs: number | undefined,
    starts: number,
    together: number,
    nowMs: number,
  ): Block | undefined {
    const untilMs = this.bucket(name, periodMs, starts, nowMs).openAtMs(nowMs, together)
    if (untilMs <= nowMs) return undefined
    return { scope, untilMs, reason: `its ${scope} starts at most ${starts} in ${periodMs ?? secondMs} ms` }
  }

  private bucket(name: string, periodMs: number = secondMs, starts: number, nowMs: number): TokenBucket {
    let bucket = this.buckets.get(name)
    if (bucket === undefined) {
      if (this.buckets.size >= bucketsMax) this.forgetFull(nowMs)
      this.buckets.set(name, (bucket = new TokenBucket(starts, periodMs, nowMs)))
    }
    return bucket
  }

  private forgetFull(nowMs: number): void {
    for (const [name, bucket] of this.buckets) if (bucket.isFull(nowMs)) this.buckets.delete(name)
  }

  /** The limits of the type have changed: its rates begin anew, as their past leaves them. */
  changed(type: string, nowMs: number, tasks: Iterable<TaskRecord>): void {
    for (const name of this.buckets.keys()) if (name === type || name.startsWith(`${type} `)) this.buckets.delete(name)
    const limits = this.limits.get(type)
    if (limits?.startsMax === undefined && limits?.startsPerKeyMax === undefined) return
    const { startsMax, startsPerKeyMax, startsPeriodMs = secondMs } = limits
    const spent = new Map<string, number>()
    for (const task of tasks) {
      if (task.type !== type || task.turnAtMs <= nowMs - startsPeriodMs) continue
      spent.set(type, (spent.get(type) ?? 0) + 1)
      if (task.key !== undefined) spent.set(`${type} ${task.key}`, (spent.get(`${type} ${task.key}`) ?? 0) + 1)
    }
    for (const [name, starts] of spent) {
      const most = name === type ? startsMax : startsPerKeyMax
      if (most !== undefined) this.buckets.set(name, new TokenBucket(most, startsPeriodMs, nowMs, starts))
    }
  }
}

const secondMs = 1_000

function keyName({ type, key }: TaskRecord): string {
  return `${type} ${key}`
}

function full(scope: Block['scope'], reason: string): Block {
  return { scope, untilMs: Number.POSITIVE_INFINITY, reason }
}
