/**
 * The newest saved ledger that belongs to this log, or an empty one when the log is whole. A checkpoint must fit the log:
 * same creation time, and the message at its position with the same hash, if it is still there (rule 12).
 */
import type { Logger } from 'pino'
import { checkpointFormat, type Manifest, restoreState, type TaskRow } from '../../actors/ledger/checkpoint.ts'
import { Ledger } from '../../actors/ledger/ledger.ts'
import type { CheckpointStore, Log, LogInfo, StoredCheckpoint } from '../../nats/bus.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { unpackValue } from '../../protocol/payload.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { inputHash } from '../../protocol/submission.ts'

interface LoadOptions {
  readonly log: Log
  readonly checkpoints: CheckpointStore
  readonly subjects: Subjects
  readonly partition: number
  readonly logger: Logger
}

/** Throws TROUPE_LOG_MISMATCH when the beginning of the log is gone and no checkpoint fits. */
export async function loadCheckpoint({ log, checkpoints, subjects, partition, logger }: LoadOptions): Promise<Ledger> {
  const info = await log.info()
  const mismatches: string[] = []
  for (const stored of await checkpoints.list()) {
    const manifest = readManifest(stored)
    const complaint = manifest === undefined ? 'it cannot be read' : await misfit(manifest, info, log)
    if (manifest === undefined || complaint !== undefined) {
      mismatches.push(complaint ?? '')
      logger.warn({ savedAtMs: stored.savedAtMs, complaint }, 'a ledger checkpoint is passed over')
      continue
    }
    const parts: TaskRow[][] = []
    for await (const part of stored.parts()) parts.push(unpackValue(part) as TaskRow[])
    const state = restoreState(manifest, parts)
    if (state.tasks.size === manifest.tasks) return new Ledger(subjects, partition, state)
    logger.warn({ savedAtMs: stored.savedAtMs }, 'a ledger checkpoint is incomplete')
  }
  if (info.firstSequence <= 1 && mismatches.every((complaint) => !complaint.includes('log'))) {
    return new Ledger(subjects, partition)
  }
  const message = `log ${subjects.logStream(partition)} begins at ${info.firstSequence} and no checkpoint fits it: ${mismatches.join('; ') || 'there is none'}`
  throw new TroupeError('TROUPE_LOG_MISMATCH', message, { details: { firstSequence: info.firstSequence } })
}

function readManifest(stored: StoredCheckpoint): Manifest | undefined {
  try {
    const manifest = unpackValue(stored.manifest) as Manifest
    return manifest.format === checkpointFormat ? manifest : undefined
  } catch {
    return undefined
  }
}

async function misfit(manifest: Manifest, info: LogInfo, log: Log): Promise<string | undefined> {
  if (manifest.createdAtMs !== info.createdAtMs) return 'the log was created anew since'
  if (manifest.position > info.lastSequence) return 'the log was rolled back behind it'
  if (manifest.position + 1 < info.firstSequence) return 'what followed it is trimmed'
  const message = await log.get(manifest.position)
  if (message !== undefined && inputHash(message.data) !== manifest.hash) return 'the log was replaced by another'
  return undefined
}
