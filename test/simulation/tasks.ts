/**
 * The tasks of a cluster on trial, simulated or real: each exercises one promise, and its log, its result or its effects
 * show whether it was kept. The input's `mark` names the submission.
 */
import { setup } from 'xstate'
import type { TaskContext } from '../../src/client/context.ts'
import { type AnyTaskDefinition, task } from '../../src/client/task.ts'
import type { HistoryEvent } from './history.ts'

export interface TaskInput {
  readonly mark: number
  /** How many steps, signals, children or failures. */
  readonly count: number
  readonly ms: number
  /** Before that time it fails. */
  readonly untilMs?: number
  /** Makes the input large. */
  readonly pad?: string
}

/** How long a step works: a timer of the process that runs it. */
function work(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Writes down what tasks do, where and when. */
export interface Witness {
  readonly nowMs: number
  readonly process: string
  readonly add: (event: HistoryEvent) => void
}

/** What tasks do that their witness writes down. */
function deedsFor(witness: Witness) {
  const began = (ctx: TaskContext, restored?: unknown) => {
    const { id, attempt } = ctx
    const { nowMs: atMs, process } = witness
    witness.add({ what: 'run', atMs, process, id, attempt, restored })
  }
  const effect = (ctx: TaskContext, step: string, key: string) => {
    const { id, attempt } = ctx
    const { nowMs: atMs, process } = witness
    witness.add({ what: 'effect', atMs, process, id, step, key, attempt })
  }
  const step = (ctx: TaskContext, name: string, ms: number) =>
    ctx.step(name, async ({ idempotencyKey }) => {
      if (ms > 0) await work(ms)
      effect(ctx, name, idempotencyKey)
    })
  const count = async ({ count, ms }: TaskInput, ctx: TaskContext) => {
    let done = (ctx.restored as number | undefined) ?? 0
    began(ctx, done)
    while (done < count) {
      await step(ctx, `c${done}`, ms)
      done++
      await ctx.checkpoint(done)
    }
    return done
  }
  return { began, effect, step, count }
}

export function trialTasks(witness: Witness): readonly AnyTaskDefinition[] {
  const { began, effect, step, count } = deedsFor(witness)
  const hedged = { hedge: { after: 30, budget: 1 } }
  const quick = task('quick', ({ mark }: TaskInput, ctx) => {
    began(ctx)
    effect(ctx, '', ctx.idempotencyKey())
    return mark * 2
  })
  const steps = task(
    'steps',
    async ({ mark, count, ms }: TaskInput, ctx) => {
      began(ctx)
      for (let at = 0; at < count; at++) await step(ctx, `s${at}`, ms)
      return mark * 2
    },
    hedged,
  )
  const counter = task('counter', count, hedged)
  const napper = task('napper', async ({ mark, ms }: TaskInput, ctx) => {
    began(ctx)
    await ctx.sleep(ms)
    await step(ctx, 'woken', 0)
    return mark * 2
  })
  const listener = task('listener', async ({ count }: TaskInput, ctx: TaskContext<{ type: 'go'; value: number }>) => {
    began(ctx as unknown as TaskContext)
    const heard: number[] = []
    while (heard.length < count) heard.push((await ctx.waitFor('go')).value)
    return heard
  })
  const flaky = task(
    'flaky',
    async ({ mark, count, ms }: TaskInput, ctx) => {
      began(ctx)
      await ctx.step('try', async ({ idempotencyKey }) => {
        if (ms > 0) await work(ms)
        effect(ctx, 'try', idempotencyKey)
        if (ctx.attempt <= count) throw new Error(`attempt ${ctx.attempt} fails`)
      })
      return mark * 2
    },
    { ...hedged, retry: { attempts: 3, backoff: 200, max: 1_000 } },
  )
  const late = task(
    'late',
    async ({ mark, ms }: TaskInput, ctx) => {
      began(ctx)
      if (ctx.attempt === 1) await step(ctx, 'long', ms + 10_000)
      return mark * 2
    },
    { ...hedged, timeout: 1_000, retry: { attempts: 2, backoff: 100 } },
  )
  const parent = task('parent', async ({ mark, count }: TaskInput, ctx) => {
    began(ctx)
    const inputs = Array.from({ length: count }, (_, at) => ({ mark: mark * 1_000 + at, count: 0, ms: 0 }))
    const doubled = await ctx.map('quick', inputs)
    return (doubled as number[]).length
  })
  const lamp = task(
    'lamp',
    setup({ types: { input: {} as TaskInput } }).createMachine({
      initial: 'red',
      states: { red: { after: { 700: 'green' } }, green: { after: { 1500: 'off' } }, off: { type: 'final' } },
    }),
  )
  return [quick, steps, counter, napper, listener, flaky, late, parent, lamp] as readonly AnyTaskDefinition[]
}

/** Those that belong to a feature of the product which not every run has. */
export function rareTasks(witness: Witness): readonly AnyTaskDefinition[] {
  const { began, count } = deedsFor(witness)
  const blob = task('blob', async ({ mark, count }: TaskInput, ctx) => {
    began(ctx)
    await ctx.checkpoint('x'.repeat(count * 150))
    return blobOf(mark, count)
  })
  const tick = task('tick', async ({ ms }: TaskInput, ctx) => {
    began(ctx)
    await ctx.sleep(ms)
    return 'ticked'
  })
  const hermit = task('hermit', count, { isolate: 'thread', timeout: 6_000, retry: { attempts: 4, backoff: 100 } })
  const allergic = task(
    'allergic',
    async ({ count }: TaskInput, ctx: TaskContext<{ type: 'go'; value: number }>) => {
      began(ctx as unknown as TaskContext)
      for (let at = 0; at < count; at++) {
        const { value } = await ctx.waitFor('go')
        if (value === count) throw new Error(`it cannot bear ${value}`)
      }
      return count
    },
    { retry: { attempts: 8, backoff: 50, max: 200 } },
  )
  const brood = task(
    'brood',
    async ({ mark, count, ms, untilMs = 0 }: TaskInput, ctx) => {
      began(ctx)
      const types = ['napper', 'steps', 'parent']
      const submitted = Array.from({ length: count }, (_, at) =>
        ctx.submit(types[at % 3]!, { mark: mark * 1_000 + at, count: 2, ms: ms + 500 }, { delay: at * 300 }),
      )
      const children = await Promise.all(submitted)
      if (witness.nowMs < untilMs) throw new Error('it is too early')
      const results = await Promise.all(children.map((child) => child.result()))
      return results.length
    },
    { retry: { attempts: 1 } },
  )
  return [blob, tick, hermit, allergic, brood] as readonly AnyTaskDefinition[]
}

export function blobOf(mark: number, count: number): string {
  return `${mark}${'x'.repeat(count * 150)}`
}
