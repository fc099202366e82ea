/**
 * How far a node can be trusted with tasks: what it failed, less what others would have failed in its place. A type that
 * fails everywhere says nothing about a node; a node that fails what others complete is broken, and must not get all the work
 * only because it is always free.
 *
 * Attempts count for less as time goes by (half after 30 s) and as others follow (the last 20 of a type make up most of it).
 * With n attempts of a type on the node, f of them failed, and N, F the same on all other nodes:
 *
 *     expected share g = (F + 0.2) / (N + 1)                    without any evidence a fifth may fail
 *     health = 1 − max(0, Σ f − Σ n g) / (Σ n + 2)              over the types that other nodes have too; 1: as good as others
 *
 * A node's credits are multiplied by its health. Below 0.5 it is on probation: one task, and 1 s after its end the next. So a
 * node on which everything fails costs a handful of attempts and then one a second, and one that is mended comes back slowly.
 */
import { limits } from '../../../protocol/limits.ts'

const weight = 0.05
const halfLifeMs = 30_000
const failingAnyway = 0.2
const doubt = 2
/** Less evidence than this is forgotten. */
const countMin = 0.05
/** Nodes remembered, live or not: one that comes again under its name is as good as it was. */
const nodesMax = 10_000

/** Below it a node is on probation. */
export const probationBelow = 0.5
/** From the end of one task on probation to the next. */
export const probationPauseMs = 1_000

interface Attempts {
  count: number
  failed: number
  atMs: number
}

export class Health {
  private readonly byNode = new Map<string, Map<string, Attempts>>()
  private shares: ReadonlyMap<string, number> = new Map()
  private failing = false

  /** A turn has ended there, by the task's own doing. */
  ended(type: string, node: string, failed: boolean, nowMs: number): void {
    // Without any failure there is nothing to compare, and nothing is counted.
    if (!failed && !this.failing) return
    this.failing = true
    let types = this.byNode.get(node)
    if (types === undefined) {
      if (this.byNode.size === nodesMax) return
      this.byNode.set(node, (types = new Map()))
    }
    let attempts = types.get(type)
    if (attempts === undefined) {
      if (types.size === limits.typesPerNodeMax) return
      types.set(type, (attempts = { count: 0, failed: 0, atMs: nowMs }))
    }
    fade(attempts, nowMs)
    attempts.count = attempts.count * (1 - weight) + 1
    attempts.failed = attempts.failed * (1 - weight) + (failed ? 1 : 0)
  }

  /** Some attempt has failed lately, so `judge` has something to say. */
  get isFailing(): boolean {
    return this.failing
  }

  /** Weighs what has ended until now. `elsewhere` says whether any node but this one has the type. */
  judge(nowMs: number, elsewhere: (type: string, node: string) => boolean): void {
    const all = this.totals(nowMs)
    const shares = new Map<string, number>()
    for (const [node, types] of this.byNode) {
      let excess = 0
      let sum = 0
      for (const [type, { count, failed }] of types) {
        if (!elsewhere(type, node)) continue
        const total = all.get(type)!
        const expected = (total.failed - failed + failingAnyway) / (total.count - count + 1)
        excess += failed - count * expected
        sum += count
      }
      const share = 1 - Math.max(0, excess) / (sum + doubt)
      if (share < 1) shares.set(node, share)
    }
    this.shares = shares
    this.failing = this.byNode.size > 0
  }

  /** As judged last: 1 for a node that fails no more than others, towards 0 for one that fails all that others complete. */
  of(node: string): number {
    return this.shares.get(node) ?? 1
  }

  /** Of all nodes by type; forgets what is as good as nothing. */
  private totals(nowMs: number): Map<string, Attempts> {
    const all = new Map<string, Attempts>()
    for (const [node, types] of this.byNode) {
      for (const [type, attempts] of types) {
        fade(attempts, nowMs)
        if (attempts.count < countMin) types.delete(type)
        const total = all.get(type)
        if (total === undefined) all.set(type, { ...attempts })
        else {
          total.count += attempts.count
          total.failed += attempts.failed
        }
      }
      if (types.size === 0) this.byNode.delete(node)
    }
    return all
  }
}

function fade(attempts: Attempts, nowMs: number): void {
  const left = 2 ** (-Math.max(0, nowMs - attempts.atMs) / halfLifeMs)
  attempts.count *= left
  attempts.failed *= left
  attempts.atMs = Math.max(nowMs, attempts.atMs)
}
