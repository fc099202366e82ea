/** Makes a failing trial smaller: fewer kinds of faults and fewer features, then a shorter run, as long as one of the same predicates breaks. */
import { type Trial, type TrialResult, tryOut } from './trial.ts'

const triesMax = 40

export async function shrink(failing: TrialResult, attempt = tryOut): Promise<TrialResult> {
  let smallest = failing
  let tries = 0
  const breaks = async (change: Partial<Trial>): Promise<boolean> => {
    if (tries++ >= triesMax) return false
    const { seed, steps, plant, kinds, features } = smallest
    const result = await attempt({ seed, steps, plant, kinds, features, ...change })
    if (!result.broken.some((name) => failing.broken.includes(name))) return false
    smallest = result
    return true
  }
  for (const kind of failing.kinds) await breaks({ kinds: smallest.kinds.filter((other) => other !== kind) })
  for (const one of failing.features) await breaks({ features: smallest.features.filter((other) => other !== one) })
  // Neither is monotonous: what breaks at 800 events may hold at 900. So this finds a short run, not the shortest.
  for (let cut = 0.5; cut > 0.05; ) if (!(await breaks({ steps: Math.floor(smallest.steps * (1 - cut)) }))) cut /= 2
  return smallest
}

/** What to type to see it again. */
export function commandOf({ seed, steps, plant, kinds, features }: Trial): string {
  const faults = kinds === undefined ? '' : ` --faults "${kinds.join(',')}"`
  const parts = features === undefined ? '' : ` --features "${features.join(',')}"`
  const bug = plant === undefined ? '' : ` --plant ${plant}`
  return `npm run simulate -- --seed ${seed} --steps ${steps}${faults}${parts}${bug} --trace`
}
