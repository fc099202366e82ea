/**
 * Whether what is stored of a task fits a definition: what a node would find when it starts the next turn, without starting
 * it. Actors are made from snapshots and never started, so no action, promise or step runs; only `migrate` and the input's
 * schema are called, and both have to be free of side effects anyway.
 */
import { checkInput } from '../../client/input.ts'
import type { LiveTask } from '../../client/live-tasks.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import type { TaskOutbox } from '../../client/task-actors.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { unpackValue } from '../../protocol/payload.ts'
import { unpackMachineSnapshot } from './machine-snapshot.ts'
import { restorable, restoredJournal, unreadable, versionName } from './restore.ts'
import { DurableActor, machineId } from './xstate-adapter.ts'

export type Fit =
  | { readonly fit: 'yes' }
  /** It would go on, but not all of what could stop it later can be known beforehand. */
  | { readonly fit: 'partly'; readonly why: string }
  | { readonly fit: 'no'; readonly error: TroupeError }

const yes: Fit = { fit: 'yes' }

/** Resolves with whether the task fits. Never rejects. */
export async function fitOf(definition: AnyTaskDefinition, task: LiveTask): Promise<Fit> {
  try {
    if (task.snapshot === null) {
      await checkInput(definition, unpackValue(task.input))
      return yes
    }
    return definition.logic.kind === 'function' ? functionFit(definition, task) : machineFit(definition, task)
  } catch (error) {
    return { fit: 'no', error: unreadable(error) }
  }
}

function functionFit(definition: AnyTaskDefinition, { snapshot, attempt }: LiveTask): Fit {
  const journal = restoredJournal(definition, snapshot, attempt)
  if (journal.checkpoint !== null) requireMigrate(definition, journal.version)
  const names = journal.names()
  if (names.length === 0) return yes
  const shown = names.slice(0, 10).map((name) => `"${name}"`)
  const more = names.length > shown.length ? ` and ${names.length - shown.length} more` : ''
  return {
    fit: 'partly',
    why: `a function is compared only when it runs: it has to ask for ${shown.join(', ')}${more} in this order again`,
  }
}

function machineFit(definition: AnyTaskDefinition, { id, snapshot }: LiveTask): Fit {
  if (definition.logic.kind !== 'machine') return yes
  const stored = unpackMachineSnapshot(snapshot)
  const logic = definition.logic.actor
  const persisted = restorable(definition, logic, stored)
  requireMigrate(definition, stored.version)
  const { outcome } = new DurableActor({
    logic,
    id,
    input: undefined,
    snapshot: persisted,
    timers: [],
    nextTimerId: stored.nextTimerId,
    nextActorId: stored.nextActorId,
    clock: { nowMs: () => 0, nowAtMostMs: () => 0 },
    logger: () => {},
    changed: () => {},
    failed: () => {},
    hold: () => {},
    outbox: nobody,
  })
  if (outcome.status === 'error') throw outcome.error
  const now = machineId(logic)
  if (definition.migrate !== undefined || stored.machine === now) return yes
  return { fit: 'partly', why: `it was stored by the machine "${stored.machine}"; this build's is called "${now}"` }
}

/** A version that changed says that the state did: somebody has to say how. */
function requireMigrate({ type, profile, migrate }: AnyTaskDefinition, version: string | undefined): void {
  if (migrate !== undefined || version === profile.version) return
  throw new TroupeError(
    'TROUPE_MIGRATION_MISSING',
    `the snapshot is of ${versionName(version)}, task "${type}" has ${versionName(profile.version)} and no "migrate" option: it would go on from the old state as it is`,
    { details: { version, now: profile.version } },
  )
}

const nobody: TaskOutbox = { submit: () => {}, signal: () => {}, forward: () => {} }
