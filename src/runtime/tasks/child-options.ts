/** What a task says about a child, as it goes into the log. */
import type { ChildOptions } from '../../client/context.ts'
import { durationMs, type SubmissionOptions } from '../../protocol/options.ts'

/** Returns the options with durations in ms. Throws TROUPE_INVALID_OPTION. */
export function submissionOptions(options: ChildOptions, nowMs: number): SubmissionOptions {
  const { delay, deadline, startWithin, ...rest } = options
  return {
    ...rest,
    ...(delay === undefined ? {} : { delayMs: durationMs('delay', delay) }),
    ...(startWithin === undefined ? {} : { startWithinMs: durationMs('startWithin', startWithin) }),
    ...(deadline === undefined ? {} : { deadlineAtMs: Math.max(nowMs, Number(deadline)) }),
  }
}
