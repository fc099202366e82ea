/** What a task says about a child, as it goes into the log. */
import type { ChildOptions } from '../../client/context.ts'
import { resolveOptions } from '../../client/submit-options.ts'
import { TroupeError } from '../../protocol/errors.ts'
import type { SubmissionOptions } from '../../protocol/options.ts'

/** Returns checked options: what the log would not take must not be asked for. Throws as `resolveOptions` does. */
export function submissionOptions(options: ChildOptions): SubmissionOptions {
  if ((options as { id?: unknown }).id !== undefined) {
    throw new TroupeError('TROUPE_INVALID_OPTION', 'a child gets its id from its parent; leave `id` out')
  }
  return resolveOptions(options) ?? {}
}
