/** Signals as anybody may send them: an event with a type, in JSON or msgpack. What is no event never reaches a task. */
import type { LogMessage } from './entries.ts'
import { type ErrorRecord, TroupeError } from './errors.ts'
import { limits } from './limits.ts'
import { unpackValue } from './payload.ts'
import { readBody } from './submission.ts'

/** Why the message on `signal.<id>` is no event, or undefined if it is one. Never throws. */
export function signalComplaint({ data, headers }: LogMessage): ErrorRecord | undefined {
  if (data.length > limits.inlineBytesMax) {
    return {
      code: 'TROUPE_TOO_LARGE',
      message: `a signal of ${data.length} bytes is more than ${limits.inlineBytesMax}`,
    }
  }
  try {
    const event = unpackValue(readBody(data, headers?.get('content-type')))
    const type = typeof event === 'object' && event !== null ? (event as { type?: unknown }).type : undefined
    if (typeof type === 'string') return undefined
    return { code: 'TROUPE_UNREADABLE', message: 'a signal is an event with a type, like {"type":"APPROVE"}' }
  } catch (error) {
    const code = error instanceof TroupeError ? error.code : 'TROUPE_UNREADABLE'
    return { code, message: `a signal cannot be read: ${error instanceof Error ? error.message : String(error)}` }
  }
}
