/**
 * What one task type of an installation does under three kinds of load: many at once, each on its own with some in
 * flight, and one after the other. It submits, waits for the outcomes and forgets the tasks; who runs them is not its
 * concern.
 */
import { randomUUID } from 'node:crypto'
import type { TaskHandle } from '../../client/handle.ts'
import type { Troupe } from '../../client/troupe.ts'
import { hasCode, TroupeError } from '../../protocol/errors.ts'

export interface Load {
  readonly type: string
  readonly input: unknown
  /** Tasks of the first load; the second has a fifth of them, the third a fiftieth. */
  readonly tasks: number
  /** Tasks that are submitted on their own at a time. */
  readonly inFlight: number
  /** All loads together may take so long. */
  readonly timeoutMs: number
}

export interface Measurements {
  readonly type: string
  readonly bulk: { readonly tasks: number; readonly acceptedPerSecond: number; readonly perSecond: number }
  readonly single: { readonly tasks: number; readonly inFlight: number; readonly perSecond: number }
  readonly latencyMs: { readonly tasks: number; readonly p50: number; readonly p99: number; readonly max: number }
}

/** Enough for the compilers of all processes to have seen the path. */
const warmUpTasks = 200

/** Throws TROUPE_NO_ANSWER when the outcomes do not come in time, and what a task of the type throws. */
export async function measure(troupe: Troupe, load: Load): Promise<Measurements> {
  const accepted: string[] = []
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    const message = `not all tasks of type "${load.type}" ended within ${load.timeoutMs} ms`
    late.reject(new TroupeError('TROUPE_NO_ANSWER', message))
  }, load.timeoutMs)
  try {
    return await Promise.race([late.promise, loads(troupe, load, accepted)])
  } finally {
    clearTimeout(timer)
    await forget(troupe, accepted)
  }
}

async function loads(troupe: Troupe, load: Load, accepted: string[]): Promise<Measurements> {
  const { type, input, tasks, inFlight } = load
  const one = async () => {
    const handle = await troupe.submit(type, input)
    accepted.push(handle.id)
    await handle.result()
  }
  await lanes(Math.min(warmUpTasks, tasks), inFlight, one)

  const startedAt = performance.now()
  const handles = await troupe.submitMany(
    type,
    Array.from({ length: tasks }, () => input),
  )
  const acceptedMs = performance.now() - startedAt
  for (const { id } of handles) accepted.push(id)
  await Promise.all(handles.map((handle: TaskHandle) => handle.result()))
  const bulkMs = performance.now() - startedAt

  const singles = singlesOf(tasks)
  const singleMs = await lanes(singles, inFlight, one)

  const times: number[] = []
  for (let left = oneByOneOf(tasks); left > 0; left--) {
    const atMs = performance.now()
    await one()
    times.push(performance.now() - atMs)
  }
  times.sort((a, b) => a - b)
  const at = (part: number) => rounded(times[Math.min(times.length - 1, Math.floor(part * times.length))]!)
  return {
    type,
    bulk: { tasks, acceptedPerSecond: rate(tasks, acceptedMs), perSecond: rate(tasks, bulkMs) },
    single: { tasks: singles, inFlight, perSecond: rate(singles, singleMs) },
    latencyMs: { tasks: times.length, p50: at(0.5), p99: at(0.99), max: at(1) },
  }
}

/** Does `work` so many times, some at a time; returns how long that took. */
async function lanes(count: number, atOnce: number, work: () => Promise<void>): Promise<number> {
  const startedAt = performance.now()
  let left = count
  const lane = async () => {
    while (left-- > 0) await work()
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, lane))
  return performance.now() - startedAt
}

/** How many tasks all loads together submit. */
export function tasksOf(tasks: number): number {
  return Math.min(warmUpTasks, tasks) + tasks + singlesOf(tasks) + oneByOneOf(tasks)
}

function singlesOf(tasks: number): number {
  return Math.max(1, Math.floor(tasks / 5))
}

function oneByOneOf(tasks: number): number {
  return Math.max(1, Math.floor(tasks / 50))
}

/** Whether this user may remove tasks, found out with one that nobody has. */
export async function mayForget(troupe: Troupe): Promise<boolean> {
  try {
    await troupe.removeDead(`troupe-bench-nobody-${randomUUID()}`)
    return true
  } catch (error) {
    return !hasCode(error, 'TROUPE_NOT_ALLOWED')
  }
}

/** What has not ended is cancelled first. Best effort: a result that stays is dropped by age. */
async function forget(troupe: Troupe, ids: string[]): Promise<void> {
  const forgetOne = async () => {
    const id = ids.pop()!
    try {
      await troupe.removeDead(id)
    } catch {
      await troupe.handle(id).cancel()
      await troupe.removeDead(id)
    }
  }
  await lanes(ids.length, 500, () => forgetOne().catch(() => undefined))
}

function rate(count: number, ms: number): number {
  return Math.round((count / ms) * 1_000)
}

function rounded(ms: number): number {
  return Math.round(ms * 100) / 100
}
