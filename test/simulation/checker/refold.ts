/**
 * Ledgers that have come a long way (through checkpoints, gaps and other processes) against one that folds the whole log from
 * its first message, by the product's own fold: what a checkpoint leaves out, or saves as it was a moment later, differs.
 */
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import type { LedgerState } from '../../../src/actors/ledger/state.ts'
import type { LogMessage } from '../../../src/protocol/entries.ts'
import type { Subjects } from '../../../src/protocol/subjects.ts'
import { describeState } from '../../actors/ledger/describe.ts'

const differencesMax = 5

/** For each state where it differs from the log's fold at its position, as "path: value, not value". */
export function differencesFromLog(
  subjects: Subjects,
  log: readonly LogMessage[],
  states: readonly LedgerState[],
): ReadonlyMap<LedgerState, readonly string[]> {
  const ledger = new Ledger(subjects)
  const found = new Map<LedgerState, readonly string[]>()
  let at = 0
  for (const state of states.toSorted((a, b) => a.position - b.position)) {
    for (; at < log.length && log[at]!.sequence <= state.position; at++) ledger.fold(log[at]!)
    ledger.takeChanges()
    const differences: string[] = []
    compare('', describeState(state), describeState(ledger.state), differences)
    found.set(state, differences)
  }
  return found
}

function compare(path: string, mine: unknown, theirs: unknown, differences: string[]): void {
  if (differences.length >= differencesMax || Object.is(mine, theirs)) return
  if (typeof mine === 'object' && typeof theirs === 'object' && mine !== null && theirs !== null) {
    for (const key of new Set([...Object.keys(mine), ...Object.keys(theirs)])) {
      compare(`${path}/${key}`, Reflect.get(mine, key), Reflect.get(theirs, key), differences)
    }
  } else differences.push(`${path}: ${JSON.stringify(mine)}, not ${JSON.stringify(theirs)}`)
}
