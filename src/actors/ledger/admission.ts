/**
 * Whether a queue takes another task: each type may have a limit, and `_all` holds for all types together. What waits to be
 * accepted counts, be it ready, delayed, awarded or blocked. Children and firings of schedules are always taken: they belong
 * to what was taken before.
 */
import type { ErrorRecord } from '../../protocol/errors.ts'
import { allTypes } from '../../protocol/options.ts'
import type { LedgerState } from './state.ts'

/** Why the queue of this type takes nothing more, or undefined. */
export function queueFull(state: LedgerState, type: string): ErrorRecord | undefined {
  if (state.limits.size === 0) return undefined
  return fullness(state, type, type) ?? fullness(state, allTypes, type)
}

function fullness(state: LedgerState, limited: string, type: string): ErrorRecord | undefined {
  const max = state.limits.get(limited)?.queuedMax
  if (max === undefined) return undefined
  const queued = state.queuedOf(limited === allTypes ? undefined : limited)
  if (queued < max) return undefined
  const where = limited === allTypes ? 'all types together have' : `the type "${limited}" has`
  const message = `${where} ${queued} tasks that wait, of ${max} that may`
  return { code: 'TROUPE_QUEUE_FULL', message, details: { type, queued, max } }
}

/** The types whose queues are full; `_all` among them means every type. */
export function fullTypes(state: LedgerState): string[] {
  return [...state.limits.keys()].filter((limited) => fullness(state, limited, limited) !== undefined)
}
