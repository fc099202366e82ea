/**
 * Which parts of the product a seed exercises beside plain tasks: a random subset of all (swarm), so that each is also seen
 * alone. Bounds that are large in real life are made small, so that runs of minutes come up against them.
 */
import type { FoldRules } from '../../src/protocol/entries.ts'
import { limits } from '../../src/protocol/limits.ts'
import type { Random } from './random.ts'

export const features = [
  /** Inputs, results and snapshots that are kept as objects. */
  'large values',
  /** An operator pauses types, limits them, their rate and their queues, and gives them circuit breakers. */
  'limits',
  /** An operator sets and removes schedules. */
  'schedules',
  /** Submissions that run only if none of their key came before. */
  'unique',
  /** Results and dead letters are soon forgotten. */
  'retention',
  /** Some nodes are of a later version, which writes entries and fields that nobody else knows. */
  'newer nodes',
  /** Tasks in threads of their own. */
  'isolated',
  /** More signals than a task may have. */
  'signal flood',
  /** Tasks that fail on an event each time. */
  'poison',
  /** Dead letters are tried again, or removed. */
  'dead letters',
  /** Two or three partitions, plain clients that publish in any of them, and tasks that wait for tasks of others. */
  'partitions',
] as const

export type Feature = (typeof features)[number]

/** A third of all seeds have none, and are what they were before there were any. */
export function drawFeatures(random: Random): ReadonlySet<Feature> {
  const share = random.pick([0, 0.25, 0.5])
  return new Set(features.filter(() => random.chance(share)))
}

/** Types of tasks that a feature brings. */
export function typesOf(drawn: ReadonlySet<Feature>): string[] {
  return [
    ...(drawn.has('large values') ? ['blob'] : []),
    ...(drawn.has('isolated') ? ['hermit'] : []),
    ...(drawn.has('poison') ? ['allergic'] : []),
    ...(drawn.has('dead letters') ? ['brood'] : []),
  ]
}

export function rulesOf(drawn: ReadonlySet<Feature>, random: Random): Partial<FoldRules> {
  if (!drawn.has('retention')) return {}
  return {
    resultsKeepCount: random.integer(5, 60),
    resultsKeepMs: random.integer(5_000, 120_000),
    deadKeepCount: random.integer(5, 30),
    deadKeepMs: random.integer(5_000, 120_000),
  }
}

/** How many partitions the namespace has. */
export function partitionsOf(drawn: ReadonlySet<Feature>, random: Random): number {
  return drawn.has('partitions') ? random.integer(2, 3) : 1
}

/** Until the returned function is called. */
export function narrowLimits(drawn: ReadonlySet<Feature>, random: Random): () => void {
  const kept = { ...limits }
  const narrowed = {
    ...(drawn.has('large values') && { inlineBytesMax: random.integer(100, 600) }),
    ...(drawn.has('signal flood') && { signalsPerTaskMax: random.integer(4, 10) }),
  }
  Object.assign(limits, narrowed)
  return () => Object.assign(limits, kept)
}
