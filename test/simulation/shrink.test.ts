import { expect, test } from 'vitest'
import { commandOf, shrink } from './shrink.ts'
import type { Trial, TrialResult } from './trial.ts'

function result(trial: Trial, broken: readonly string[]): TrialResult {
  const { kinds = [], features = [] } = trial
  const nothing = { virtualMs: 0, cpuMs: 0, submissions: 0, fired: [], neverFired: [], explained: [], hash: '' }
  return { ...trial, ...nothing, kinds, features, stepsTaken: trial.steps, broken }
}

test('a failing trial is made smaller as long as the same promise breaks', async () => {
  const tried: Trial[] = []
  const attempt = async (trial: Trial) => {
    tried.push(trial)
    const breaks =
      trial.kinds?.includes('drain') &&
      trial.kinds.includes('loss') &&
      trial.features?.includes('limits') &&
      trial.steps >= 1_200
    // A shorter run may break something else, which is another failure.
    return result(trial, breaks ? ['ends', 'told'] : trial.steps < 900 ? ['kept'] : [])
  }
  const failing = await attempt({
    seed: 7,
    steps: 10_000,
    plant: undefined,
    kinds: ['delay', 'drain', 'stall', 'loss'],
    features: ['unique', 'limits'],
  })
  const smallest = await shrink(failing, attempt)
  expect(smallest.kinds).toEqual(['drain', 'loss'])
  expect(smallest.features).toEqual(['limits'])
  expect(smallest.steps).toBeGreaterThanOrEqual(1_200)
  expect(smallest.steps).toBeLessThan(1_400)
  expect(tried.length).toBeLessThan(42)
  expect(commandOf(smallest)).toBe(
    `npm run simulate -- --seed 7 --steps ${smallest.steps} --faults "drain,loss" --features "limits" --trace`,
  )
})
