/**
 * Policies by name, as people write them: `shortest-first`, `fair-shares:a=2,b=1`, `affinity:bound=1.5`. Returns the policy or
 * throws TROUPE_INVALID_OPTION with the names and parameters that there are.
 */
import { TroupeError } from '../../../protocol/errors.ts'
import { fifo, type OrderingPolicy, priority } from '../ordering.ts'
import { leastDelay, type PlacementPolicy } from '../placement.ts'
import {
  agedPriority,
  deficitRoundRobin,
  earliestDeadline,
  fairShares,
  preemptivePriority,
  roundRobinSlices,
  shortestFirst,
  shortestRemaining,
} from './orderings.ts'
import { affinity, bestFit, randomPlacement, roundRobin, smoothWeighted, spread, twoChoices } from './placements.ts'
import { defaultRebalancing, type RebalancingPolicy } from './rebalance.ts'

interface Row<Policy> {
  /** Parameters and their least values; `*`: any other name is the weight of a key or node. */
  readonly parameters?: Readonly<Record<string, number>>
  make(given: Readonly<Record<string, number>>): Policy
}

const orderings: Readonly<Record<string, Row<OrderingPolicy>>> = {
  priority: { make: () => priority },
  fifo: { make: () => fifo },
  'aged-priority': { parameters: { agingMs: 1 }, make: (given) => agedPriority(given) },
  'preemptive-priority': { parameters: { levels: 1 }, make: (given) => preemptivePriority(given) },
  'earliest-deadline': { make: () => earliestDeadline },
  'shortest-first': { parameters: { aging: 0 }, make: (given) => shortestFirst(given) },
  'shortest-remaining': { parameters: { aging: 0, marginMs: 0 }, make: (given) => shortestRemaining(given) },
  'round-robin': { parameters: { quantumMs: 1 }, make: (given) => roundRobinSlices(given) },
  'fair-shares': { parameters: { '*': 0.001 }, make: (weights) => fairShares({ weights }) },
  'deficit-round-robin': {
    parameters: { quantumMs: 1, '*': 0.001 },
    make: ({ quantumMs = 100, ...weights }) => deficitRoundRobin({ quantumMs, weights }),
  },
}

const placements: Readonly<Record<string, Row<PlacementPolicy>>> = {
  'least-delay': { make: () => leastDelay },
  random: { parameters: { seed: 0 }, make: (given) => randomPlacement(given) },
  'round-robin': { make: () => roundRobin() },
  'smooth-weighted': { parameters: { '*': 0.001 }, make: (weights) => smoothWeighted({ weights }) },
  'two-choices': { parameters: { seed: 0 }, make: (given) => twoChoices(given) },
  'best-fit': { make: () => bestFit },
  spread: { make: () => spread },
  affinity: { parameters: { bound: 1 }, make: (given) => affinity(given) },
}

const rebalancings: Readonly<Record<string, Row<RebalancingPolicy | undefined>>> = {
  threshold: {
    parameters: { ratio: 1, lagMs: 0, afterMs: 0, ageMinMs: 0, pauseMs: 0 },
    make: (given) => ({ ...defaultRebalancing, ...given }),
  },
  off: { make: () => undefined },
}

export const orderingNames: readonly string[] = Object.keys(orderings)
export const placementNames: readonly string[] = Object.keys(placements)
export const rebalancingNames: readonly string[] = Object.keys(rebalancings)

export function orderingNamed(text: string): OrderingPolicy {
  return named('ordering', orderings, text)
}

export function rebalancingNamed(text: string): RebalancingPolicy | undefined {
  return named('rebalancing', rebalancings, text)
}

export function placementNamed(text: string): PlacementPolicy {
  return named('placement', placements, text)
}

/**
 * `least-delay;resize=affinity:bound=1.5;etl=best-fit`: the placement of all types, and of some that differ. The first may be
 * left out.
 */
export function placementsNamed(text: string): {
  readonly placement: PlacementPolicy
  readonly placements: ReadonlyMap<string, PlacementPolicy>
} {
  let placement = leastDelay
  const byType = new Map<string, PlacementPolicy>()
  for (const part of text.split(';')) {
    const [, type, policy] = /^\s*([A-Za-z0-9_:@-]+)=(.+)$/.exec(part) ?? []
    const isOfType = type !== undefined && !type.includes(':') && policy !== undefined
    if (isOfType) byType.set(type, placementNamed(policy))
    else if (part.trim() !== '') placement = placementNamed(part)
  }
  return { placement, placements: byType }
}

function named<Policy>(what: string, rows: Readonly<Record<string, Row<Policy>>>, text: string): Policy {
  const [name = '', ...rest] = text.trim().split(':')
  if (!Object.hasOwn(rows, name)) {
    throw new TroupeError(
      'TROUPE_INVALID_OPTION',
      `there is no ${what} ${JSON.stringify(name.slice(0, 80))}; there are ${Object.keys(rows).join(', ')}`,
    )
  }
  const { parameters = {}, make } = rows[name]!
  return make(parametersOf(`${what} ${name}`, parameters, rest.join(':')))
}

function parametersOf(what: string, known: Readonly<Record<string, number>>, text: string): Record<string, number> {
  const given: Record<string, number> = {}
  for (const pair of text.split(',')) {
    if (pair.trim() === '') continue
    const at = pair.lastIndexOf('=')
    const name = pair.slice(0, at).trim()
    const value = Number(pair.slice(at + 1))
    const least = Object.hasOwn(known, name) ? known[name] : known['*']
    if (at < 1 || least === undefined || !Number.isFinite(value) || value < least) {
      const names = Object.entries(known).map(([one, min]) => `${one === '*' ? '<key>' : one}=<number from ${min} on>`)
      throw new TroupeError(
        'TROUPE_INVALID_OPTION',
        `${what}: ${JSON.stringify(pair.slice(0, 80))} is not one of its parameters: ${names.join(', ') || 'it has none'}`,
      )
    }
    Object.defineProperty(given, name, { value, enumerable: true, configurable: true })
  }
  return given
}
