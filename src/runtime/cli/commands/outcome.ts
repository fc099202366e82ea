/** Waits for a task's outcome and prints it: the result on stdout, or the error with exit code 1. */
import { TaskCancelled, TaskExpired, TaskFailed } from '../../../client/failures.ts'
import type { TaskHandle } from '../../../client/handle.ts'
import { errorRecord } from '../../../protocol/error-record.ts'
import { adviceFor, TroupeError } from '../../../protocol/errors.ts'
import { jsonable } from '../../../protocol/jsonable.ts'
import type { Output } from '../output.ts'

const statusOf = {
  TROUPE_TASK_FAILED: 'failed',
  TROUPE_TASK_CANCELLED: 'cancelled',
  TROUPE_TASK_EXPIRED: 'expired',
} as const

/** Resolves with the exit code; rejects when there is no outcome (unknown id, no answer, refused). */
export async function printOutcome(handle: TaskHandle, timeoutMs: number | undefined, output: Output): Promise<number> {
  try {
    const result = jsonable(await handle.result(timeoutMs === undefined ? {} : { timeout: timeoutMs }))
    if (output.json) output.value({ id: handle.id, status: 'completed', ...(result === undefined ? {} : { result }) })
    else if (result !== undefined) output.line(JSON.stringify(result, undefined, 2))
    return 0
  } catch (error) {
    if (!(error instanceof TaskFailed || error instanceof TaskCancelled || error instanceof TaskExpired)) throw error
    printFailure(handle.id, error, output)
    return 1
  }
}

function printFailure(id: string, error: TaskFailed | TaskCancelled | TaskExpired, output: Output): void {
  const cause = error.cause instanceof TroupeError ? error.cause : error
  if (output.json) {
    const { stack: _, ...record } = errorRecord(cause)
    output.value({ id, status: statusOf[error.code as keyof typeof statusOf], error: record })
    return
  }
  output.problem(error.message)
  if (cause.code !== error.code) output.note(`${cause.code}: ${adviceFor(cause.code) ?? ''}`)
  else output.note(adviceFor(error.code) ?? '')
}
