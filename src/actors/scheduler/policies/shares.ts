/**
 * Fair shares among keys (tenants): which key is to be served next, by what each has been given. A key's share of the work
 * is its weight over the weights of all keys that have work; what an idle key did not use is not saved up for it. Cost is
 * milliseconds of running: an estimate when a task is taken, put right when its turn ends.
 */

export interface Shares {
  /** The key has work (again). */
  begin(key: string): void
  /** The key has no more work that waits. */
  end(key: string): void
  /** Smaller is served first; ties by the order in which the keys began. `costMs` is that of the key's first task. */
  pass(key: string, costMs: number): number
  taken(key: string, costMs: number): void
  /** The key has used this much more than it was charged, or less when negative. */
  correct(key: string, moreMs: number): void
}

export interface SharesOptions {
  /** Share of each key relative to others; default 1 for every key. More than 0. */
  readonly weights?: Readonly<Record<string, number>>
}

/** Idle keys remembered because they are ahead of their share. */
const idleMax = 100_000
/** A task costs something even if its estimate is nothing, or its key would be served for ever. */
const costMsMin = 0.1

interface StrideKey {
  pass: number
  waits: boolean
}

/**
 * Stride scheduling (Waldspurger and Weihl 1995): each key has a pass; the least pass is served and advances by cost ÷
 * weight (the usual 2²⁰ ÷ weight is the same, times a constant). A key that begins starts at the global pass.
 */
export class StrideShares implements Shares {
  private readonly weights: Readonly<Record<string, number>>
  private readonly keys = new Map<string, StrideKey>()
  private globalPass = 0

  constructor({ weights = {} }: SharesOptions = {}) {
    this.weights = weights
  }

  begin(key: string): void {
    const known = this.keys.get(key)
    if (known === undefined) this.keys.set(key, { pass: this.globalPass, waits: true })
    else {
      if (!known.waits) known.pass = Math.max(known.pass, this.globalPass)
      known.waits = true
    }
  }

  end(key: string): void {
    const known = this.keys.get(key)
    if (known === undefined) return
    known.waits = false
    if (this.keys.size > idleMax) this.forgetIdle()
  }

  pass(key: string): number {
    return this.keys.get(key)?.pass ?? this.globalPass
  }

  taken(key: string, costMs: number): void {
    const known = this.keys.get(key)
    if (known === undefined) return
    this.globalPass = Math.max(this.globalPass, known.pass)
    known.pass += Math.max(costMsMin, costMs) / weightOf(this.weights, key)
  }

  correct(key: string, moreMs: number): void {
    const known = this.keys.get(key)
    if (known !== undefined) known.pass += moreMs / weightOf(this.weights, key)
  }

  private forgetIdle(): void {
    for (const [key, { pass, waits }] of this.keys) if (!waits && pass <= this.globalPass) this.keys.delete(key)
    for (const [key, { waits }] of this.keys) {
      if (this.keys.size <= idleMax) return
      if (!waits) this.keys.delete(key)
    }
  }
}

interface DeficitKey {
  deficitMs: number
  /** The round up to which its quanta have been added. */
  round: number
}

/**
 * Deficit round robin (Shreedhar and Varghese 1995): keys take turns; each turn adds quantum × weight to what the key may
 * use, and it is served while its first task costs no more than that. Instead of walking the ring, the round in which a key
 * can pay for its first task is computed, so that long tasks and small quanta cost nothing.
 */
export class DeficitShares implements Shares {
  private readonly weights: Readonly<Record<string, number>>
  private readonly quantumMs: number
  private readonly keys = new Map<string, DeficitKey>()
  private round = 0

  /** `quantumMs`: default 100; smaller is finer, larger keeps a key's tasks together. */
  constructor({ weights = {}, quantumMs = 100 }: SharesOptions & { readonly quantumMs?: number } = {}) {
    this.weights = weights
    this.quantumMs = quantumMs
  }

  begin(key: string): void {
    if (!this.keys.has(key)) this.keys.set(key, { deficitMs: 0, round: this.round })
  }

  end(key: string): void {
    this.keys.delete(key)
  }

  pass(key: string, costMs: number): number {
    const known = this.keys.get(key)
    return known === undefined ? this.round : known.round + this.turnsFor(key, known, costMs)
  }

  taken(key: string, costMs: number): void {
    const known = this.keys.get(key)
    if (known === undefined) return
    const turns = this.turnsFor(key, known, costMs)
    known.round += turns
    known.deficitMs += turns * this.quantumMs * weightOf(this.weights, key) - Math.max(costMsMin, costMs)
    this.round = Math.max(this.round, known.round)
  }

  correct(key: string, moreMs: number): void {
    const known = this.keys.get(key)
    if (known !== undefined) known.deficitMs -= moreMs
  }

  private turnsFor(key: string, { deficitMs }: DeficitKey, costMs: number): number {
    const lacksMs = Math.max(costMsMin, costMs) - deficitMs
    return lacksMs <= 0 ? 0 : Math.ceil(lacksMs / (this.quantumMs * weightOf(this.weights, key)))
  }
}

function weightOf(weights: Readonly<Record<string, number>>, key: string): number {
  return Object.hasOwn(weights, key) ? weights[key]! : 1
}
