/** Judges a history: which promises it breaks, and whether it says anything at all. */
import type { History } from '../history.ts'
import { Evidence, predicates } from './predicates.ts'

export interface Violation {
  readonly predicate: string
  readonly promise: string
  readonly sentence: string
  /** The first few places, and how many there are. */
  readonly places: readonly string[]
  readonly count: number
}

export interface Verdict {
  readonly violations: readonly Violation[]
  /** Planned faults that never came about: the history says nothing about them. */
  readonly neverFired: readonly string[]
}

const placesShown = 5

export function check(history: History): Verdict {
  const evidence = new Evidence(history)
  const violations: Violation[] = []
  for (const { name, promise, sentence, broken } of predicates) {
    const places = broken(evidence)
    if (places.length === 0) continue
    violations.push({ predicate: name, promise, sentence, places: places.slice(0, placesShown), count: places.length })
  }
  const neverFired = history.planned.filter((kind) => !history.fired.has(kind))
  return { violations, neverFired }
}

export function explain({ predicate, promise, sentence, places, count }: Violation): string {
  const more = count > places.length ? [`… ${count} in all`] : []
  return [`${predicate} (${promise}): ${sentence}`, ...places.map((place) => `    ${place}`), ...more].join('\n')
}
