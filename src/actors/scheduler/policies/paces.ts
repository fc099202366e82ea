/**
 * How much longer a type's tasks take on one node than on the fastest, learned from what nodes report of those that completed.
 * It sees what no measurement of load does: a slower processor, a quota, how many others queue for the same core, a far disk.
 *
 * A duration counts as what it would have been on an idle node: it is divided by the slowdown that the node states. So pace and
 * slowdown are two things, and multiply; and work that a busy processor does not slow down is seen not to be.
 *
 * Per type and node, μ and σ² of ln(duration ÷ slowdown) are moving averages, α = 0.2, over n tasks (σ at least 0.3). With b the node of
 * the least μ, and e² = σ²/min(n, 9) the square of what chance makes of a mean:
 *
 *     pace = exp(max(0, μ − μ_b − √(e² + e_b²)) × 2^(−age / 10 s))        below 1.25: 1
 *
 * So differences that may be chance do not count, and a node of which nothing has been heard is tried again after a while.
 */
import { limits } from '../../../protocol/limits.ts'

const weight = 0.2
const varianceMin = 0.09
/** Tasks that a moving average of this weight speaks of: 2/α − 1. */
const memory = 2 / weight - 1
const halfLifeMs = 10_000
const paceMin = 1.25
/** What took less counts as this much. */
const shortestMs = 0.1
/** Nodes remembered of one type. */
const nodesMax = 10_000

interface Learned {
  mean: number
  variance: number
  count: number
  atMs: number
}

interface TypePaces {
  readonly nodes: Map<string, Learned>
  /** The least mean. */
  best: Learned | undefined
}

export class Paces {
  private readonly byType = new Map<string, TypePaces>()

  /** So many tasks have completed there, in `meanMs` as their geometric mean, while the node stated this slowdown. */
  completed(type: string, node: string, [count, meanMs]: readonly [number, number], slowdown: number, nowMs: number) {
    const log = Math.log(Math.max(shortestMs, meanMs / Math.max(1, slowdown)))
    const share = 1 - (1 - weight) ** count
    const paces = this.pacesOf(type)
    if (paces === undefined) return
    const { nodes, best } = paces
    const learned = nodes.get(node)
    if (learned === undefined) {
      if (nodes.size === nodesMax) return
      nodes.set(node, { mean: log, variance: 0, count, atMs: nowMs })
      paces.best = fastest(nodes.values())
      return
    }
    const off = log - learned.mean
    learned.mean += share * off
    learned.variance = (1 - share) * (learned.variance + share * off * off)
    learned.count += count
    learned.atMs = nowMs
    if (learned === best && off > 0) paces.best = fastest(nodes.values())
    else if (best === undefined || learned.mean < best.mean) paces.best = learned
  }

  /** Typical duration on the fastest node when idle, ms; undefined before one of the type has ended. */
  bestMs(type: string): number | undefined {
    const best = this.byType.get(type)?.best
    return best && Math.exp(best.mean)
  }

  /** How many times as long as on the fastest node, at least 1; 1 for a node that has not ended any. */
  pace(type: string, node: string, nowMs: number): number {
    const paces = this.byType.get(type)
    const learned = paces?.nodes.get(node)
    const best = paces?.best
    if (learned === undefined || best === undefined || learned === best) return 1
    const chance = Math.sqrt(errorOf(learned) + errorOf(best))
    const slower = Math.max(0, learned.mean - best.mean - chance)
    const pace = Math.exp(slower * 2 ** (-Math.max(0, nowMs - learned.atMs) / halfLifeMs))
    return pace < paceMin ? 1 : pace
  }

  /** The node is gone; one that comes again under its name is learned anew. */
  forget(node: string): void {
    for (const paces of this.byType.values()) {
      if (paces.nodes.delete(node)) paces.best = fastest(paces.nodes.values())
    }
  }

  private pacesOf(type: string): TypePaces | undefined {
    let paces = this.byType.get(type)
    if (paces === undefined && this.byType.size < limits.typesPerNodeMax) {
      this.byType.set(type, (paces = { nodes: new Map(), best: undefined }))
    }
    return paces
  }
}

function errorOf({ variance, count }: Learned): number {
  return Math.max(varianceMin, variance) / Math.min(count, memory)
}

function fastest(all: Iterable<Learned>): Learned | undefined {
  let best: Learned | undefined
  for (const learned of all) if (best === undefined || learned.mean < best.mean) best = learned
  return best
}
