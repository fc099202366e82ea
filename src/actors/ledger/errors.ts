/**
 * Errors as the ledger holds them, one per task that failed: small. The entry in the log has all that the node wrote.
 */
import type { ErrorRecord } from '../../protocol/errors.ts'

/** Characters of one error, with its causes, that are held beyond code and message. */
const heldCharsMax = 16_384

/** Returns the error itself when it is small, else what fits: details go first, then causes, then the stack. */
export function boundedError(error: ErrorRecord): ErrorRecord {
  if (size(error, heldCharsMax) <= heldCharsMax) return error
  const { code, message, stack, cause } = error
  const bounded = { code, message, ...(stack !== undefined && { stack }) }
  if (cause === undefined) return bounded
  const withCause = { ...bounded, cause: { code: cause.code, message: cause.message } }
  return size(withCause, heldCharsMax) <= heldCharsMax ? withCause : bounded
}

/** About how many characters a value takes; stops counting beyond `max`. Bytes count as too large: they hold a message. */
function size(value: unknown, max: number): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 8
  if (value instanceof Uint8Array) return max + 1
  let total = 8
  for (const key of Object.keys(value)) {
    total += key.length + size((value as Record<string, unknown>)[key], max - total)
    if (total > max) return total
  }
  return total
}
