/**
 * A page of the tasks that have not ended, each with what its next turn would start from. Values are read from the log in
 * small groups, so that awards that need reading as well come in between.
 */
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { Payload } from '../../protocol/entries.ts'
import type { SnapshotAnswer, SnapshotsAnswer, SnapshotsRequest, ValueAnswer } from '../../protocol/messages.ts'
import { statusOf } from './answer-rows.ts'
import type { TaskValues } from './log-values.ts'
import { Page } from './page.ts'
import type { SchedulerService } from './scheduler-service.ts'

const readTogether = 64

export async function snapshotsPage(
  service: SchedulerService,
  { after, limit }: SnapshotsRequest & { readonly limit: number },
  bytesMax: number,
): Promise<SnapshotsAnswer> {
  const { tasks } = service.ledger.state
  const wanted = liveAfter(tasks.values(), after, limit + 1)
  const page = new Page<SnapshotAnswer>(limit, bytesMax)
  for (let from = 0; from < wanted.length; from += readTogether) {
    const group = wanted.slice(from, from + readTogether)
    const values = await service.values.load(group)
    for (const task of group) {
      const row = rowOf(task, values.get(task), statusOf(task, service.nowMs(), service.agenda))
      if (!page.add(row)) return { tasks: page.rows, more: true }
    }
  }
  return { tasks: page.rows, more: false }
}

function liveAfter(tasks: Iterable<TaskRecord>, after: string | undefined, count: number): TaskRecord[] {
  const live: TaskRecord[] = []
  let skipping = after !== undefined
  for (const task of tasks) {
    if (skipping) skipping = task.passingId !== after
    else if (!task.ended) live.push(task)
    if (live.length === count) break
  }
  return live
}

/** A task that has ended meanwhile has no values to show. */
function rowOf(task: TaskRecord, values: TaskValues | undefined, status: SnapshotAnswer['status']): SnapshotAnswer {
  const { id, type, attempt } = task
  const about = { id, type, status, attempt }
  if (values === undefined) return about
  const snapshot = valueAnswer(values.snapshot)
  if (snapshot !== undefined) return { ...about, snapshot }
  const input = valueAnswer(values.input)
  return input === undefined ? about : { ...about, input }
}

function valueAnswer(payload: Payload): ValueAnswer | undefined {
  if (payload === null) return undefined
  if (typeof payload === 'string') return { json: payload }
  if (payload instanceof Uint8Array) return { packed: Buffer.from(payload).toString('base64') }
  const [object, , packed] = payload
  return { object, packed: packed === 1 }
}
