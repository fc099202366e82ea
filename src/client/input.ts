/** Checks an input against the schema of its task type, for the SDK before it submits and for a node before it runs. */
import { TroupeError } from '../protocol/errors.ts'
import type { AnyTaskDefinition } from './task.ts'

/**
 * Returns the input as the schema gives it out, or the input itself if the type has no schema; a promise only if the
 * schema is asynchronous. Throws (or rejects with) TROUPE_INVALID_INPUT listing the issues with their paths.
 */
export function checkInput(definition: AnyTaskDefinition, input: unknown): unknown {
  if (definition.schema === undefined) return input
  const outcome = definition.schema['~standard'].validate(input)
  return outcome instanceof Promise ? outcome.then((late) => outputOf(definition, late)) : outputOf(definition, outcome)
}

type Outcome = Awaited<ReturnType<NonNullable<AnyTaskDefinition['schema']>['~standard']['validate']>>

function outputOf(definition: AnyTaskDefinition, outcome: Outcome): unknown {
  if (!outcome.issues) return outcome.value
  const issues = outcome.issues.slice(0, 20).map((issue) => ({
    path: (issue.path ?? []).map((part) => String(typeof part === 'object' ? part.key : part)).join('.'),
    message: issue.message,
  }))
  const first = issues.map(({ path, message }) => (path ? `${path}: ${message}` : message)).join('; ')
  throw new TroupeError('TROUPE_INVALID_INPUT', `the input does not fit task type "${definition.type}": ${first}`, {
    details: { issues },
  })
}
