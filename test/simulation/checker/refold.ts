/**
 * Ledgers that have come a long way (through checkpoints, gaps and other processes) against one that folds the whole log from
 * its first message, by the product's own fold: what a checkpoint leaves out, or saves as it was a moment later, differs.
 */
import { type CheckpointPart, type Manifest, restoreState } from '../../../src/actors/ledger/checkpoint.ts'
import { Ledger } from '../../../src/actors/ledger/ledger.ts'
import type { LedgerState } from '../../../src/actors/ledger/state.ts'
import type { LogMessage } from '../../../src/protocol/entries.ts'
import { inputHash } from '../../../src/protocol/input-hash.ts'
import { unpackValue } from '../../../src/protocol/payload.ts'
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

/** The state that a stored checkpoint holds; undefined if the message at its position is not the log's (the server lost that). */
export function savedState(
  packed: Uint8Array,
  parts: readonly Uint8Array[],
  log: readonly LogMessage[],
): LedgerState | undefined {
  const manifest = unpackValue(packed) as Manifest
  const message = log.find(({ sequence }) => sequence === manifest.position)
  if (message === undefined || inputHash(message.data) !== manifest.hash) return undefined
  return restoreState(
    manifest,
    parts.map((part) => unpackValue(part) as CheckpointPart),
  )
}

function compare(path: string, mine: unknown, theirs: unknown, differences: string[]): void {
  if (differences.length >= differencesMax || Object.is(mine, theirs)) return
  if (typeof mine === 'object' && typeof theirs === 'object' && mine !== null && theirs !== null) {
    for (const key of new Set([...Object.keys(mine), ...Object.keys(theirs)])) {
      compare(`${path}/${key}`, Reflect.get(mine, key), Reflect.get(theirs, key), differences)
    }
  } else differences.push(`${path}: ${JSON.stringify(mine)}, not ${JSON.stringify(theirs)}`)
}
