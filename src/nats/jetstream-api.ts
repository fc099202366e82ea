/**
 * Requests to JetStream's API, and its error codes in Troupe's words. Waits for a lost connection until the deadline,
 * which the client's own manager does not.
 */
import { TroupeError } from '../protocol/errors.ts'
import type { NatsBus } from './connection.ts'

interface ApiAnswer {
  readonly error?: { readonly code: number; readonly err_code?: number; readonly description?: string }
}

export const apiCode = {
  streamNotFound: 10059,
  messageNotFound: 10037,
  consumerNotFound: 10014,
  streamNameInUse: 10058,
  noPeers: 10005,
} as const

const full = new Set([10002, 10023, 10028, 10047])
const empty = new Uint8Array(0)

/**
 * Returns the answer of `$JS.API.<endpoint>`. Throws TROUPE_NO_ANSWER, TROUPE_REFUSED (no space), TROUPE_LOG_MISMATCH
 * (no such stream), TROUPE_NOT_ALLOWED, TROUPE_CLOSED, TROUPE_INTERNAL; `apiCodeOf` tells the server's own code.
 */
export async function api<T>(bus: NatsBus, endpoint: string, body?: unknown, timeoutMs = 5_000): Promise<T> {
  const data = body === undefined ? empty : Buffer.from(JSON.stringify(body))
  const message = await bus.request(`$JS.API.${endpoint}`, data, { timeoutMs })
  const answer = JSON.parse(Buffer.from(message.data).toString()) as T & ApiAnswer
  if (answer.error) throw translate(endpoint, answer.error)
  return answer
}

/** The server's code in an error of `api`; undefined for other errors. */
export function apiCodeOf(error: unknown): number | undefined {
  if (!(error instanceof TroupeError)) return undefined
  return (error.details as { apiCode?: number } | undefined)?.apiCode
}

function translate(endpoint: string, error: NonNullable<ApiAnswer['error']>): TroupeError {
  const code = error.err_code ?? 0
  const message = `JetStream answered ${endpoint} with ${code}: ${error.description ?? 'no description'}`
  const details = { apiCode: code, endpoint, noResponders: false }
  if (full.has(code)) return new TroupeError('TROUPE_REFUSED', message, { details })
  if (code === apiCode.streamNotFound) return new TroupeError('TROUPE_LOG_MISMATCH', message, { details })
  if (code === apiCode.noPeers) {
    // Of a cluster: too little space on too many servers, or servers that are not there yet.
    const isFull = /insufficient storage|maximum/.test(error.description ?? '')
    return new TroupeError(isFull ? 'TROUPE_REFUSED' : 'TROUPE_NO_ANSWER', message, { details })
  }
  if (error.code === 503) return new TroupeError('TROUPE_NO_ANSWER', message, { details })
  return new TroupeError('TROUPE_INTERNAL', message, { details })
}
