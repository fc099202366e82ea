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

/**
 * The place that a system id of this partition names, as `sequence * perMessage + index`; −1 for any other name, and for a
 * system id without an index. Asked for every entry of the log, so it makes no garbage.
 */
export function systemPlace(id: string, partition: number, perMessage: number): number {
  const first = id.indexOf('-')
  const second = id.indexOf('-', first + 1)
  if (first < 0 || second < 0 || wholeNumber(id, 0, first) !== partition) return -1
  const sequence = wholeNumber(id, first + 1, second)
  const index = wholeNumber(id, second + 1, id.length)
  return sequence < 0 || index < 0 || index >= perMessage ? -1 : sequence * perMessage + index
}

/** More would not stay exact as a place. */
const digitsMax = 12
const zero = 48

/** The number that stands there as JavaScript writes it, −1 if none does. */
function wholeNumber(text: string, from: number, to: number): number {
  if (from === to || to - from > digitsMax || (text.charCodeAt(from) === zero && to - from > 1)) return -1
  let number = 0
  for (let at = from; at < to; at++) {
    const digit = text.charCodeAt(at) - zero
    if (digit < 0 || digit > 9) return -1
    number = number * 10 + digit
  }
  return number
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
