/**
 * The newest saved ledger that belongs to this log, or an empty one when the log is whole. A checkpoint must fit the log:
 * same identity, and the message at its position with the same hash, if it is still there (rule 12).
 */
import type { Logger } from 'pino'
import { type CheckpointPart, checkpointFormat, type Manifest, restoreState } from '../../actors/ledger/checkpoint.ts'
import { Ledger } from '../../actors/ledger/ledger.ts'
import type { LedgerState } from '../../actors/ledger/state.ts'
import type { CheckpointStore, Log, LogInfo, StoredCheckpoint } from '../../nats/bus.ts'
import type { LogMessage } from '../../protocol/entries.ts'
import { hasCode, TroupeError } from '../../protocol/errors.ts'
import { inputHash } from '../../protocol/input-hash.ts'
import { unpackValue } from '../../protocol/payload.ts'
import type { Subjects } from '../../protocol/subjects.ts'

interface LoadOptions {
  readonly log: Log
  readonly checkpoints: CheckpointStore
  /** Of the partition. */
  readonly subjects: Subjects
  readonly logger: Logger
}

/** Throws TROUPE_LOG_MISMATCH when the beginning of the log is gone and no checkpoint fits, TROUPE_NO_ANSWER. */
export async function loadCheckpoint({ log, checkpoints, subjects, logger }: LoadOptions): Promise<Ledger> {
  const info = await log.info()
  const complaints: string[] = []
  let isAnotherLog = false
  for (const stored of await checkpoints.list()) {
    const manifest = readManifest(stored)
    let complaint = manifest === undefined ? 'its format is not known here' : undefined
    if (manifest !== undefined) {
      complaint = await misfit(manifest, info, log)
      isAnotherLog ||= complaint !== undefined && complaint !== trimmed
      if (complaint === undefined) {
        const state = await readState(manifest, stored)
        if (typeof state !== 'string') return new Ledger(subjects, state)
        complaint = state
      }
    }
    complaints.push(complaint ?? '')
    logger.warn({ savedAtMs: stored.savedAtMs, complaint }, 'a ledger checkpoint is passed over')
  }
  if (info.firstSequence <= 1 && !isAnotherLog) return new Ledger(subjects)
  const message = `log ${subjects.logStream(subjects.partition)} begins at ${info.firstSequence} and no checkpoint fits it: ${complaints.join('; ') || 'there is none'}`
  throw new TroupeError('TROUPE_LOG_MISMATCH', message, { details: { firstSequence: info.firstSequence } })
}

/** What a stored checkpoint says of itself; undefined when this version cannot know. */
export function readManifest(stored: StoredCheckpoint): Manifest | undefined {
  try {
    const manifest = unpackValue(stored.manifest) as Manifest | undefined
    return manifest?.format === checkpointFormat ? manifest : undefined
  } catch {
    return undefined
  }
}

/** The state, or why the checkpoint cannot be used. Throws when the store does not answer: it may be whole all the same. */
export async function readState(manifest: Manifest, stored: StoredCheckpoint): Promise<LedgerState | string> {
  try {
    const parts: CheckpointPart[] = []
    for await (const part of stored.parts()) parts.push(unpackValue(part) as CheckpointPart)
    const rows = parts.reduce((count, [, more]) => count + more.length, 0)
    return rows === manifest.rows ? restoreState(manifest, parts) : 'it is incomplete'
  } catch (error) {
    if (hasCode(error, 'TROUPE_NO_ANSWER') || hasCode(error, 'TROUPE_CLOSED')) throw error
    return `it cannot be read: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** Whether it was saved from this log, and not from one that was here before. */
export function isOf(manifest: Manifest, info: LogInfo): boolean {
  return manifest.log === undefined ? manifest.createdAtMs === info.createdAtMs : manifest.log === info.identity
}

const trimmed = 'what followed it is trimmed'

async function misfit(manifest: Manifest, info: LogInfo, log: Log): Promise<string | undefined> {
  if (!isOf(manifest, info)) return 'the log was created anew since'
  if (manifest.position > info.lastSequence) return 'the log was rolled back behind it'
  if (manifest.position + 1 < info.firstSequence) return trimmed
  const message = await log.get(manifest.position)
  return message === undefined || isSaved(message, manifest) ? undefined : 'the log was replaced by another'
}

/** Bytes alone may be the same in many messages, which differ in their subject or headers; not the time as well. */
function isSaved(message: LogMessage, { hash, storedAtMs = message.timestampMs }: Manifest): boolean {
  return inputHash(message.data) === hash && message.timestampMs === storedAtMs
}
