/**
 * Placement policies beyond the default, each with its formula, source and parameters. They choose among bids that can take
 * the task: whether a node has the type, a free credit, the resources and the labels was decided before.
 */
import type { TaskRecord } from '../../ledger/task-record.ts'
import { type Candidate, leastBy, type PlacementPolicy, preferenceMs } from '../placement.ts'
import { type Random, seededRandom } from './random.ts'
import { preferredPlace } from './rendezvous.ts'

/** Any node, each as likely. A baseline: it knows nothing of speed or load. `seed` repeats a run; default 1. */
export function randomPlacement({ seed = 1 }: { readonly seed?: number } = {}): PlacementPolicy {
  const random = seededRandom(seed)
  return { name: 'random', choose: (_task, candidates) => candidates[pick(random, candidates.length)]! }
}

/** Each node in turn, by node id. A baseline: it knows nothing of speed or load. */
export function roundRobin(): PlacementPolicy {
  let last = ''
  return {
    name: 'round-robin',
    choose(_task, candidates) {
      const first = leastBy(candidates, () => 0)
      let next: Candidate | undefined
      for (const candidate of candidates) {
        const { node } = candidate.offer.member
        if (node > last && (next === undefined || node < next.offer.member.node)) next = candidate
      }
      const chosen = next ?? first
      last = chosen.offer.member.node
      return chosen
    },
  }
}

/** Idle nodes whose place in the sequence is remembered. */
const nodesMax = 10_000

/**
 * Smooth weighted round robin (nginx): every node's current weight grows by its weight, the greatest is taken and loses the
 * sum of all. Weights 5, 1, 1 give a a b a c a a. The weight is what a node does in parallel ÷ its slowdown, or what `weights`
 * says for the node id.
 */
export function smoothWeighted({
  weights = {},
}: {
  readonly weights?: Readonly<Record<string, number>>
} = {}): PlacementPolicy {
  const current = new Map<string, number>()
  const weightOf = ({ offer: { member, bid } }: Candidate) =>
    Object.hasOwn(weights, member.node)
      ? weights[member.node]!
      : Math.min(member.profile.slots, bid.parallel ?? Number.POSITIVE_INFINITY) / Math.max(1, bid.slowdown)
  return {
    name: 'smooth-weighted',
    choose(_task, candidates) {
      if (current.size > nodesMax) current.clear()
      let sum = 0
      for (const candidate of candidates) {
        const { node } = candidate.offer.member
        const weight = weightOf(candidate)
        sum += weight
        current.set(node, (current.get(node) ?? 0) + weight)
      }
      const chosen = leastBy(candidates, ({ offer }) => -current.get(offer.member.node)!)
      const { node } = chosen.offer.member
      current.set(node, current.get(node)! - sum)
      return chosen
    },
  }
}

/**
 * The cheaper of two nodes picked at random (Mitzenmacher 2001): nearly as good as the cheapest of all, and no herd runs to
 * one node when prices are old. For very many nodes, or several schedulers.
 */
export function twoChoices({ seed = 1 }: { readonly seed?: number } = {}): PlacementPolicy {
  const random = seededRandom(seed)
  return {
    name: 'two-choices',
    choose(_task, candidates, expectedMs) {
      const first = pick(random, candidates.length)
      if (candidates.length === 1) return candidates[0]!
      const second = (first + 1 + pick(random, candidates.length - 1)) % candidates.length
      return leastBy([candidates[first]!, candidates[second]!], (candidate) => preferenceMs(candidate, expectedMs))
    },
  }
}

/**
 * The node on which the task leaves the least of the scarcest resource (best fit by dominant share): keeps room for large
 * tasks elsewhere, and lets idle machines be switched off.
 */
export const bestFit: PlacementPolicy = {
  name: 'best-fit',
  choose: (task, candidates) => leastBy(candidates, (candidate) => -dominantShare(task, candidate)),
}

/** The node on which the task leaves the most of the scarcest resource: the least disturbance among tasks. */
export const spread: PlacementPolicy = {
  name: 'spread',
  choose: (task, candidates) => leastBy(candidates, (candidate) => dominantShare(task, candidate)),
}

/**
 * The share in use of the scarcest resource of the node, with the task on it: the greatest of all named quantities that it
 * asks for (Ghodsi and others 2011), and of credits. 0 to 1.
 */
export function dominantShare(task: TaskRecord, { offer, free, room }: Candidate): number {
  const { member, bid } = offer
  let share = 1 - (free - 1) / Math.max(1, bid.credits)
  for (const [name, amount] of Object.entries(member.types.get(task.type)?.resources ?? {})) {
    const declared = member.profile.resources[name] ?? 0
    if (amount <= 0 || declared <= 0) continue
    share = Math.max(share, 1 - ((room?.[name] ?? declared) - amount) / declared)
  }
  return share
}

/**
 * Tasks with one key on one node while it has room, so that what it holds in memory serves again: rendezvous hashing with
 * weights (slots) and bounded load, `bound` times a node's fair share at most (default 1.25; smaller is more even, larger
 * moves fewer keys). A task without a key has its id for one. See `preferredPlace`.
 */
export function affinity({ bound = 1.25 }: { readonly bound?: number } = {}): PlacementPolicy {
  return {
    name: 'affinity',
    choose(task, candidates) {
      const places = candidates.map((candidate) => {
        const { member, awarded } = candidate.offer
        return {
          id: member.node,
          weight: Math.max(1, member.profile.slots),
          load: member.running.size + awarded,
          candidate,
        }
      })
      return preferredPlace(task.key ?? task.id, places, { bound })!.candidate
    },
  }
}

function pick(random: Random, count: number): number {
  return Math.floor(random() * count)
}
