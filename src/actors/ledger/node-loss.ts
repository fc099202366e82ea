/** What becomes of a task whose node died: it is ready again from its last snapshot, or dead if that happens too often. */
import { limits } from '../../protocol/limits.ts'
import { defaultRestart } from '../../protocol/options.ts'
import { restartAfter } from './delays.ts'
import type { Member } from './member.ts'
import type { LedgerState } from './state.ts'
import { mindsNodes, restartAfterFailure } from './supervision.ts'
import type { TaskRecord } from './task-record.ts'

/** Charged to the task's restart intensity, never to its attempts; to its group only if that minds. */
export function loseNode(state: LedgerState, task: TaskRecord, member: Member): void {
  const policy = task.profile?.restart ?? defaultRestart
  const { times, delayMs } = restartAfter(policy, task.rare?.restarts ?? [], state.timeMs)
  const rare = task.more
  rare.restarts = times
  // A task that ends every node it runs on may take a while for each: what counts then is that it never gets further.
  const standsAt = task.snapshot?.sequence ?? 0
  const deaths = rare.deaths?.standsAt === standsAt ? rare.deaths.count + 1 : 1
  rare.deaths = { standsAt, count: deaths }
  const place = { sequence: state.position, index: 0 }
  const minds = !rare.temporary && mindsNodes(state, task)
  if (delayMs !== undefined && deaths < limits.deathsInARowMax && !rare.temporary) {
    const message = `its node "${member.node}" died: ${member.endReason}`
    const failure = { task, error: { code: 'TROUPE_FENCED', message }, why: 'restarted', delayMs, place } as const
    if (minds) restartAfterFailure(state, failure)
    else state.makeReady(task, 'restarted', delayMs === 0 ? 0 : state.timeMs + delayMs)
    return
  }
  const how = rare.temporary
    ? 'and a temporary task is not restarted'
    : delayMs === undefined
      ? `${times.length} times within ${policy.periodMs} ms`
      : `${deaths} times in a row while it stood at the same snapshot`
  const message = `its node died ${how}, last "${member.node}"`
  const details = { restarts: times.length, deaths, node: member.node, reason: member.endReason }
  const error = { code: 'TROUPE_RESTART_INTENSITY', message, details }
  if (minds) restartAfterFailure(state, { task, error, why: 'restarted', delayMs: undefined, place })
  else state.end(task, 'failed', error, place)
}
