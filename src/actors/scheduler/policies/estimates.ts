/**
 * How long tasks will take: learned per type from those that ended, unless the submitter said. Durations are skewed, so the
 * logarithm is averaged: μ ← μ + α (ln d − μ), σ² ← (1 − α)(σ² + α (ln d − μ)²), α = 0.2; typical e^μ, p95 = e^(μ + 1.645 σ).
 *
 * What is left of a task that has already run for `attained` ms is its estimate less that, at least a tenth of the estimate;
 * beyond the p95 the estimate was wrong, and the task counts as long as it has already run (least attained service first).
 */
import { limits } from '../../../protocol/limits.ts'
import type { TaskRecord } from '../../ledger/task-record.ts'

const defaultWeight = 0.2
const p95Deviations = 1.645
/** Least share of an estimate that is taken to be left. */
const leftMin = 0.1
/** Log time has whole milliseconds; what took less took half of one. */
const shortestMs = 0.5

interface Learned {
  mean: number
  variance: number
  count: number
}

export class Estimates {
  private readonly byType = new Map<string, Learned>()
  private readonly weight: number

  /** `weight` is α. */
  constructor(weight = defaultWeight) {
    this.weight = weight
  }

  ended(type: string, lastedMs: number): void {
    const log = Math.log(Math.max(shortestMs, lastedMs))
    const learned = this.byType.get(type)
    if (learned === undefined) {
      if (this.byType.size < limits.typesPerNodeMax) this.byType.set(type, { mean: log, variance: 0, count: 1 })
      return
    }
    const { weight } = this
    const off = log - learned.mean
    learned.count++
    learned.mean += weight * off
    learned.variance = (1 - weight) * (learned.variance + weight * off * off)
  }

  /** Typical duration of the type, ms; undefined before the first of them has ended. */
  typicalMs(type: string): number | undefined {
    const learned = this.byType.get(type)
    return learned === undefined ? undefined : Math.exp(learned.mean)
  }

  p95Ms(type: string): number | undefined {
    return this.quantileMs(type, p95Deviations)
  }

  /** The duration so many standard deviations above the mean of the logarithm; undefined before one has ended. */
  quantileMs(type: string, deviations: number): number | undefined {
    const learned = this.byType.get(type)
    return learned === undefined ? undefined : Math.exp(learned.mean + deviations * Math.sqrt(learned.variance))
  }

  /** How many of the type have ended. */
  count(type: string): number {
    return this.byType.get(type)?.count ?? 0
  }

  /**
   * What is left of the task, ms, `moreMs` after its last turn began: by what its submitter said, else as learned, else 0.
   */
  leftMs(task: TaskRecord, moreMs = 0): number {
    const attainedMs = (task.rare?.attainedMs ?? 0) + moreMs
    const hintMs = task.rare?.expectedMs
    if (hintMs !== undefined) return attainedMs > hintMs ? attainedMs : hintMs - attainedMs
    const typicalMs = this.typicalMs(task.type) ?? 0
    if (attainedMs === 0) return typicalMs
    if (attainedMs > (this.p95Ms(task.type) ?? 0)) return attainedMs
    return Math.max(typicalMs - attainedMs, leftMin * typicalMs)
  }
}
