/** The envelope in which the snapshot of an XState task is stored, and what is refused when it is read. */
import { TroupeError } from '../../protocol/errors.ts'
import { packValue, unpackValue } from '../../protocol/payload.ts'
import type { StoredTimer } from './durable-timers.ts'
import type { Packed } from './logic.ts'
import type { StoredChildren } from './machine-children.ts'

export const machineFormat = 1

export interface MachineSnapshot {
  readonly format: number
  readonly kind: 'machine'
  /** Id of the machine, version of the task definition, and of XState, by which it was written. */
  readonly machine: string
  readonly version?: string
  readonly xstate: string
  /** XState's persisted snapshot, packed by itself. */
  readonly snapshot: Uint8Array
  readonly timers: readonly StoredTimer[]
  readonly nextTimerId: number
  readonly nextActorId: number
  /** Log sequence of the last signal that is part of the snapshot. */
  readonly consumed: number
  /** Signals that came when the machine had no transition for them. */
  readonly ignored: number
  /** Tasks that the machine has submitted; left out while there are none. */
  readonly children?: StoredChildren
}

export function packMachineSnapshot(snapshot: MachineSnapshot): Uint8Array {
  return packValue(snapshot, 'snapshot') as Uint8Array
}

/** Returns the envelope; throws TROUPE_SNAPSHOT_UNREADABLE with what was found instead. */
export function unpackMachineSnapshot(packed: Packed): MachineSnapshot {
  let snapshot: Partial<MachineSnapshot> | undefined
  try {
    snapshot = unpackValue(packed) as Partial<MachineSnapshot> | undefined
  } catch (cause) {
    throw new TroupeError('TROUPE_SNAPSHOT_UNREADABLE', 'the snapshot cannot be decoded', { cause })
  }
  if (snapshot?.kind === 'machine' && snapshot.format === machineFormat) return snapshot as MachineSnapshot
  throw new TroupeError(
    'TROUPE_SNAPSHOT_UNREADABLE',
    `the snapshot is of kind ${JSON.stringify(snapshot?.kind)} and format ${JSON.stringify(snapshot?.format)}; this version runs the task as XState logic with format ${machineFormat}`,
    { details: { kind: snapshot?.kind, format: snapshot?.format } },
  )
}
