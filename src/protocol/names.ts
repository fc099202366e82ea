/**
 * Names that become part of a subject: task ids, task types, node ids, client ids, namespaces. The alphabet leaves out
 * everything that NATS gives a meaning (".", "*", ">", spaces, control characters, "$"), so a name is always exactly one
 * token and can never reach another subject.
 */
import { TroupeError } from './errors.ts'
import { limits } from './limits.ts'

const alphabet = /^[A-Za-z0-9_:=@-]+$/
const systemId = /^\d+-\d+(-\d+)?$/

/** True for a string that can be a name. Never throws. */
export function isName(text: unknown): text is string {
  return typeof text === 'string' && text.length <= limits.nameCharsMax && alphabet.test(text)
}

/** True for an id of the form that only the system gives out: `<partition>-<sequence>[-<index>]`. */
export function isSystemId(id: string): boolean {
  return systemId.test(id)
}

/** The id of the submission at this place in the log; `index` counts within a block and is left out otherwise. */
export function systemTaskId(partition: number, sequence: number, index?: number): string {
  return index === undefined ? `${partition}-${sequence}` : `${partition}-${sequence}-${index}`
}

/** Returns `text`; throws TROUPE_INVALID_NAME if it cannot be a name. `what` names it in the message. */
export function checkName(what: string, text: unknown): string {
  if (isName(text)) return text
  const shown = typeof text === 'string' ? JSON.stringify(text.slice(0, 80)) : `a value of type ${typeof text}`
  throw new TroupeError('TROUPE_INVALID_NAME', `${what} ${shown} is not a valid name`, { details: { what } })
}

/** Returns `id`; throws TROUPE_INVALID_NAME, or TROUPE_RESERVED_ID if it has the form of a system id. */
export function checkTaskId(id: unknown): string {
  const name = checkName('task id', id)
  if (isSystemId(name))
    throw new TroupeError('TROUPE_RESERVED_ID', `task id "${name}" has a form reserved for the system`)
  return name
}
