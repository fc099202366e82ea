/**
 * A process that starts waits for JetStream: a stream that another one is making at this moment, or whose servers are electing a
 * leader, answers nothing until it has one, and who asked before is never answered.
 */
import type { Logger } from 'pino'
import { hasCode } from '../protocol/errors.ts'

const startMsMax = 30_000

/** Returns what `work` does; while it gets no answer it is done again, for half a minute. Throws what it throws. */
export async function whenAnswered<Value>(work: () => Promise<Value>, logger: Logger): Promise<Value> {
  const untilMs = performance.now() + startMsMax
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!isUnanswered(error) || performance.now() >= untilMs) throw error
      logger.warn({ err: error }, 'JetStream has not answered yet; it is asked again')
    }
  }
}

/** Where nobody listens at all, waiting does not help. */
function isUnanswered(error: unknown): boolean {
  if (!hasCode(error, 'TROUPE_NO_ANSWER')) return false
  return (error.details as { readonly noResponders?: boolean } | undefined)?.noResponders !== true
}
