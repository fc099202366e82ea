/** One seed on trial: it is simulated and judged, one in so many twice, and what comes of it is a row for the report. */
import { check, explain } from './checker/check.ts'
import { plants } from './planted.ts'
import { type SimulationOptions, simulate } from './simulation.ts'

/** What is tried; plain data, so that it can be told to another process. */
export interface Trial {
  readonly seed: number
  readonly steps: number
  /** Name of a planted bug. */
  readonly plant: string | undefined
  /** Kinds of faults; undefined: as the seed draws them. */
  readonly kinds: readonly string[] | undefined
  /** Features of the product; undefined: as the seed draws them. */
  readonly features: readonly string[] | undefined
}

export interface TrialResult extends Trial {
  readonly kinds: readonly string[]
  readonly features: readonly string[]
  readonly stepsTaken: number
  readonly virtualMs: number
  /** Of the simulation alone, without the judgement. */
  readonly cpuMs: number
  readonly submissions: number
  readonly fired: readonly (readonly [kind: string, times: number])[]
  /** Planned faults that never came about. */
  readonly neverFired: readonly string[]
  /** Names of the predicates that do not hold, and what is to be said about them. */
  readonly broken: readonly string[]
  readonly explained: readonly string[]
  readonly hash: string
}

/** One seed in so many runs twice, and both must have the same trace. */
const twiceEvery = 20

export async function tryOut(trial: Trial, onTrace?: SimulationOptions['onTrace']): Promise<TrialResult> {
  const { seed, steps, kinds, features } = trial
  const plant = plants.find(({ name }) => name === trial.plant)
  const before = process.cpuUsage()
  const result = await simulate({ seed, steps, plant, kinds, features, onTrace })
  const { user, system } = process.cpuUsage(before)
  const { violations, neverFired } = check(result.history)
  const broken = violations.map(({ predicate }) => predicate)
  if (seed % twiceEvery === 0 && onTrace === undefined) {
    const again = await simulate({ seed, steps, plant, kinds, features })
    if (again.hash !== result.hash) broken.push('one-trace')
  }
  return {
    ...trial,
    kinds: result.kinds,
    features: result.features,
    stepsTaken: result.steps,
    virtualMs: result.virtualMs,
    cpuMs: (user + system) / 1_000,
    submissions: result.history.events.filter(({ what }) => what === 'accepted').length,
    fired: [...result.history.fired],
    neverFired,
    broken,
    explained: violations.map(explain),
    hash: result.hash,
  }
}
