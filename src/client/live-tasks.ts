/** The tasks that have not ended, page by page, with what is stored of each: for whoever compares them with new code. */
import type { Bus, ObjectStore } from '../nats/bus.ts'
import { hasCode } from '../protocol/errors.ts'
import type {
  SnapshotAnswer,
  SnapshotsAnswer,
  SnapshotsRequest,
  TaskStatus,
  ValueAnswer,
} from '../protocol/messages.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { ask } from './ask.ts'
import { type Keyring, refuseSealed } from './encryption.ts'

/** A task that has not ended. Values are packed as in the log: msgpack, JSON text, or null for none. */
export interface LiveTask {
  readonly id: string
  readonly type: string
  readonly status: TaskStatus
  readonly attempt: number
  /** What its next turn starts from; null before the first is stored. */
  readonly snapshot: Uint8Array | string | null
  /** Its input, while it has no snapshot. */
  readonly input: Uint8Array | string | null
}

const pageRows = 500

/** Yields each live task once, oldest first. Rejects with TROUPE_NO_ANSWER, or as the object store does. */
export async function* liveTasks(
  bus: Bus,
  subjects: Subjects,
  objects: ObjectStore,
  keyring?: Keyring,
): AsyncGenerator<LiveTask> {
  const seen: string[] = []
  const known = new Set<string>()
  for (let more = true; more; ) {
    const page = await pageAfter(bus, subjects, seen)
    for (const row of page.tasks) {
      if (known.has(row.id)) continue
      known.add(row.id)
      seen.push(row.id)
      yield await liveTask(row, objects, keyring)
    }
    more = page.more
  }
}

/** The last task of the page before may have ended and been forgotten since: then the one before it is the place. */
async function pageAfter(bus: Bus, subjects: Subjects, seen: string[]): Promise<SnapshotsAnswer> {
  for (;;) {
    const after = seen.at(-1)
    const request: SnapshotsRequest = { limit: pageRows, ...(after !== undefined && { after }) }
    try {
      return await ask<SnapshotsAnswer>(bus, subjects.snapshots, request)
    } catch (error) {
      if (after === undefined || !hasCode(error, 'TROUPE_UNKNOWN_TASK')) throw error
      seen.pop()
    }
  }
}

async function liveTask(row: SnapshotAnswer, objects: ObjectStore, keyring: Keyring | undefined): Promise<LiveTask> {
  const { id, type, status, attempt } = row
  const [snapshot, input] = await Promise.all([fetchedValue(row.snapshot, objects), fetchedValue(row.input, objects)])
  if (keyring === undefined) {
    refuseSealed(snapshot, `snapshot:${id}`)
    refuseSealed(input, `input:${id}`)
    return { id, type, status, attempt, snapshot, input }
  }
  return {
    id,
    type,
    status,
    attempt,
    snapshot: keyring.open(snapshot, `snapshot:${id}`),
    input: keyring.open(input, `input:${id}`, `type:${type}`),
  }
}

async function fetchedValue(value: ValueAnswer | undefined, objects: ObjectStore): Promise<Uint8Array | string | null> {
  if (value === undefined) return null
  if ('json' in value) return value.json
  if (!('object' in value)) return Buffer.from(value.packed, 'base64')
  // An object that is gone was that of a snapshot which is not the last any more.
  const data = (await objects.get(value.object)) ?? null
  return data === null || value.packed ? data : new TextDecoder().decode(data)
}
