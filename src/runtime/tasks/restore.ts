/**
 * From a stored snapshot to what logic can go on from: brings it to the version of the definition, and refuses what does
 * not fit. Runs nothing of the task but its `migrate`; `troupe check` asks here what a node would find.
 */
import type { AnyActorLogic } from 'xstate'
import type { AnyTaskDefinition } from '../../client/task.ts'
import type { SnapshotOrigin } from '../../client/task-options.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { packValue, unpackValue } from '../../protocol/payload.ts'
import { CallJournal } from './call-journal.ts'
import type { Packed } from './logic.ts'
import type { MachineSnapshot } from './machine-snapshot.ts'
import { misfits, type PersistedSnapshot } from './xstate-adapter.ts'

/**
 * Returns the persisted XState snapshot that this definition goes on from. Throws TROUPE_SNAPSHOT_UNREADABLE naming the
 * states and actors that it does not have, or TROUPE_MIGRATION_FAILED.
 */
export function restorable(
  definition: AnyTaskDefinition,
  logic: AnyActorLogic,
  stored: MachineSnapshot,
): PersistedSnapshot {
  const { version, machine, xstate } = stored
  const snapshot = migrated(definition, { version, machine, xstate }, () => unpackValue(stored.snapshot))
  const unknown = misfits(logic, snapshot as PersistedSnapshot)
  if (unknown.length === 0) return snapshot as PersistedSnapshot
  const now = definition.profile.version
  throw new TroupeError(
    'TROUPE_SNAPSHOT_UNREADABLE',
    `the snapshot names what this version does not have: ${unknown.join(', ')}; bring it back, or give the task a "migrate" option`,
    { details: { unknown, version, now } },
  )
}

/** Returns what an async function has done so far. Throws TROUPE_SNAPSHOT_UNREADABLE or TROUPE_MIGRATION_FAILED. */
export function restoredJournal(definition: AnyTaskDefinition, snapshot: Packed, attempt: number): CallJournal {
  if (snapshot === null) return new CallJournal()
  const journal = CallJournal.unpack(snapshot, attempt)
  const { checkpoint, version } = journal
  if (checkpoint !== null && needsMigration(definition, version)) {
    journal.checkpoint = packValue(
      migrated(definition, { version }, () => unpackValue(checkpoint)),
      'migrated checkpoint',
    )
  }
  return journal
}

/** XState tells what is wrong with a snapshot in errors of its own, or as a state. */
export function unreadable(cause: unknown): TroupeError {
  if (cause instanceof TroupeError) return cause
  const why = cause instanceof Error ? cause.message : String(cause)
  return new TroupeError('TROUPE_SNAPSHOT_UNREADABLE', `the snapshot cannot be restored: ${why}`, { cause })
}

/** True if the definition has something to say about a state of that version. */
function needsMigration({ migrate, profile }: AnyTaskDefinition, version: string | undefined): boolean {
  return migrate !== undefined && version !== profile.version
}

function migrated(definition: AnyTaskDefinition, from: SnapshotOrigin, read: () => unknown): unknown {
  const { migrate, profile } = definition
  if (migrate === undefined || !needsMigration(definition, from.version)) return read()
  try {
    return migrate(from, read())
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TroupeError(
      'TROUPE_MIGRATION_FAILED',
      `migrate of task "${definition.type}" could not bring a snapshot of ${versionName(from.version)} to ${versionName(profile.version)}: ${why}`,
      { cause, details: { version: from.version, now: profile.version } },
    )
  }
}

export function versionName(version: string | undefined): string {
  return version === undefined ? 'no version' : `version ${version}`
}
