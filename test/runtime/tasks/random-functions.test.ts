import fc from 'fast-check'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type TaskContext, task } from '../../../src/client/index.ts'
import { live, TaskLife } from './task-life.ts'

/**
 * Random functions (chains, branches side by side, steps of random length, sleeps, events, children, caught errors) run
 * whole and with their node killed at a random commit: the outcome must be the same, and no stored step runs twice.
 */
type Part =
  | { readonly do: 'step' | 'fail' | 'sleep' | 'child' | 'free'; readonly ms: number }
  | { readonly do: 'event' }
  | { readonly do: 'both'; readonly branches: readonly (readonly Part[])[] }

const one = (what: 'step' | 'fail' | 'sleep' | 'child' | 'free', max: number) =>
  fc.record({ do: fc.constant(what), ms: fc.integer({ min: 0, max }) })
const event = fc.constant({ do: 'event' as const })

/** Calls of every kind, driven by nothing but their outcomes. */
const driven = programs(one('step', 60), one('step', 60), one('fail', 60), one('sleep', 3_000), one('child', 0), event)
/** Steps, and work outside of them that takes another time in every run. */
const free = programs(one('step', 60), one('step', 60), one('fail', 60), one('free', 60))

function programs(...leaves: fc.Arbitrary<Part>[]): fc.Arbitrary<Part[]> {
  return fc.letrec<{ program: Part[]; part: Part }>((tie) => ({
    part: fc.oneof(
      { maxDepth: 2, withCrossShrink: true },
      fc.oneof(...leaves),
      fc.record({
        do: fc.constant('both' as const),
        branches: fc.array(tie('program'), { minLength: 2, maxLength: 3 }),
      }),
    ),
    program: fc.array(tie('part'), { minLength: 1, maxLength: 4 }),
  })).program
}

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 })
})
afterEach(() => {
  vi.useRealTimers()
})

test.each([
  ['driven by its calls', driven],
  ['with work of its own', free],
])(
  'a random function %s ends alike wherever its node is killed',
  async (_name, program) => {
    await fc.assert(
      fc.asyncProperty(program, fc.nat(), async (parts, where) => {
        const whole = await lived(parts, 0)
        expect(whole.life.error).toBeUndefined()
        for (const count of whole.runs.values()) expect(count).toBe(1)
        const broken = await lived(parts, 1 + (where % whole.life.commits))
        expect(broken.life.error).toBeUndefined()
        expect(broken.life.kills).toBe(1)
        expect(broken.life.value).toEqual(whole.life.value)
        for (const count of broken.runs.values()) expect(count).toBeLessThanOrEqual(2)
      }),
      { numRuns: 100, endOnFailure: true },
    )
  },
  60_000,
)

let freeRuns = 0

async function lived(parts: readonly Part[], killAtCommit: number) {
  const runs = new Map<string, number>()
  const definition = task('random', (_: undefined, ctx: TaskContext) => runParts(parts, ctx, 'p', runs))
  const life = new TaskLife(definition, killAtCommit === 0 ? {} : { killAtCommit })
  for (let round = 0; round < 200 && !life.isOver; round++) {
    await live(life, 500, (ms) => vi.advanceTimersByTimeAsync(ms), 20)
    for (const { id } of life.submitted) if (!life.children.has(id)) life.childEnded(id, { result: 'child' })
    if (life.status === 'running' || life.parked?.onSignal) life.signal({ type: 'GO' })
  }
  return { life, runs }
}

async function runParts(
  parts: readonly Part[],
  ctx: TaskContext,
  path: string,
  runs: Map<string, number>,
): Promise<unknown[]> {
  const results: unknown[] = []
  for (const [index, part] of parts.entries()) results.push(await runPart(part, ctx, `${path}.${index}`, runs))
  return results
}

async function runPart(part: Part, ctx: TaskContext, path: string, runs: Map<string, number>): Promise<unknown> {
  const later = (ms: number) => (ms === 0 ? undefined : new Promise((resolve) => setTimeout(resolve, ms)))
  switch (part.do) {
    case 'step':
      return ctx.step(path, async () => {
        runs.set(path, (runs.get(path) ?? 0) + 1)
        await later(part.ms)
        return path
      })
    case 'fail':
      return ctx
        .step(path, async () => {
          await later(part.ms)
          throw new Error(path)
        })
        .catch((error: Error) => error.message)
    case 'sleep':
      return ctx.sleep(part.ms)
    case 'free':
      await later((part.ms * (freeRuns++ % 7)) / 3)
      return 'free'
    case 'child':
      return (await ctx.submit('child', path)).result()
    case 'event':
      return ctx.waitFor('GO')
    case 'both':
      return Promise.all(part.branches.map((branch, index) => runParts(branch, ctx, `${path}/${index}`, runs)))
  }
}
