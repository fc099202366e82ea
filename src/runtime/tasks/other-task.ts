/** What became of another task, for one that waits for it. */
import { hasCode } from '../../protocol/errors.ts'
import type { TaskAnswer } from '../../protocol/messages.ts'
import { errorRecord } from '../../protocol/payload.ts'

export interface OtherTask extends Pick<TaskAnswer, 'id' | 'status' | 'result' | 'error'> {
  /** There is no such task, or not any more. */
  readonly isUnknown?: true
}

/**
 * Returns what the scheduler says about the task. One that nobody knows any more, or whose result the log does not hold any
 * more, has failed: a dead letter that is retried may find its children so, and nobody else will ever say how they ended.
 */
export async function askAbout(
  id: string,
  host: { readonly ask: (id: string) => Promise<TaskAnswer> },
): Promise<OtherTask> {
  try {
    const answer = await host.ask(id)
    return answer.status === 'completed' && answer.error !== undefined ? { ...answer, status: 'failed' } : answer
  } catch (error) {
    if (!hasCode(error, 'TROUPE_UNKNOWN_TASK')) throw error
    return { id, status: 'failed', error: errorRecord(error), isUnknown: true }
  }
}
