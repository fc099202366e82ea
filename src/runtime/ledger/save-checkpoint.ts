/** Saves the present ledger as a checkpoint, a slice at a time, while folding goes on. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { type CheckpointPart, LedgerSaving, type Manifest } from '../../actors/ledger/checkpoint.ts'
import type { Ledger } from '../../actors/ledger/ledger.ts'
import type { CheckpointStore, Log } from '../../nats/bus.ts'
import type { LogMessage } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { inputHash } from '../../protocol/input-hash.ts'
import { packValue } from '../../protocol/payload.ts'

/** Records in one part; a row is some hundred bytes, so a part stays well below a message's limit. */
const rowsPerPart = 1_000
const partBytesMax = 400_000
const keepCheckpoints = 3

let saves = 0

/**
 * Returns the manifest of what was saved. `folded` is the message at the ledger's position as it was read. Throws
 * TROUPE_LOG_MISMATCH when that is gone already, or when another stands in its place since the server lost its newest
 * messages (the checkpoint would say that it belongs to a log which it never saw); TROUPE_NO_ANSWER when the store does
 * not answer.
 */
export async function saveCheckpoint(
  ledger: Ledger,
  log: Log,
  checkpoints: CheckpointStore,
  folded?: LogMessage,
): Promise<Manifest> {
  const { state } = ledger
  const { position } = state
  const saving = new LedgerSaving(state, ++saves)
  try {
    const [info, message] = await Promise.all([log.info(), log.get(position)])
    if (message === undefined) {
      throw new TroupeError('TROUPE_LOG_MISMATCH', `the message at the ledger's position ${position} is not in the log`)
    }
    if (folded !== undefined && !isSame(folded, message)) {
      throw new TroupeError('TROUPE_LOG_MISMATCH', `the message at ${position} is not the one that was folded`)
    }
    const parts: Uint8Array[] = []
    for (let rows = saving.rows(rowsPerPart); rows !== undefined; rows = saving.rows(rowsPerPart)) {
      for (const part of packPart(['tasks', rows])) parts.push(part)
      await nextTurn()
    }
    for (const others of saving.others()) {
      for (const part of packPart(others)) parts.push(part)
      await nextTurn()
    }
    const about = { log: info.identity, storedAtMs: message.timestampMs }
    const manifest = { ...saving.manifest(info.createdAtMs, inputHash(message.data)), ...about }
    await checkpoints.save(packValue(manifest) as Uint8Array, parts, keepCheckpoints)
    return manifest
  } finally {
    saving.abandon()
  }
}

/** Bytes alone may be the same in many messages, which differ in their subject or headers. */
function isSame(a: LogMessage, b: LogMessage): boolean {
  return a.sequence === b.sequence && a.timestampMs === b.timestampMs && Buffer.compare(a.data, b.data) === 0
}

/** Usually one part; rows with hundreds of signals, or of many types, are split until they fit. */
function packPart(part: CheckpointPart): Uint8Array[] {
  const [of, rows] = part
  if (rows.length === 0) return []
  const packed = packValue(part) as Uint8Array
  if (packed.length <= partBytesMax || rows.length === 1) return [packed]
  const half = rows.length >> 1
  return [[of, rows.slice(0, half)] as CheckpointPart, [of, rows.slice(half)] as CheckpointPart].flatMap(packPart)
}
