/**
 * Headers on the wire: written as text once, read only when a message has any. Names are lower-cased and the first
 * value counts; the client's own header class, which keeps every value and checks every character, is too slow here.
 */
import type { Msg, MsgHdrs } from '@nats-io/transport-node'
import { TroupeError } from '../protocol/errors.ts'
import type { Headers } from './bus.ts'

/** Returns what the client sends in front of a message; throws TROUPE_INVALID_OPTION for a line break in a value. */
export function encodeHeaders(headers: Headers | undefined, first = ''): MsgHdrs | undefined {
  let text = first
  if (headers) {
    for (const name in headers) text += headerLine(name, headers[name]!)
  }
  if (text === '') return undefined
  // The client asks nothing of it but `encode`.
  return new HeaderText(`NATS/1.0\r\n${text}\r\n`) as unknown as MsgHdrs
}

/** Returns `name: value` with its line break; throws TROUPE_INVALID_OPTION if either could end the line early. */
export function headerLine(name: string, value: string): string {
  if (/[\r\n:\s]/.test(name) || /[\r\n]/.test(value)) {
    throw new TroupeError(
      'TROUPE_INVALID_OPTION',
      `header ${JSON.stringify(name)} contains a line break, space or colon`,
    )
  }
  return `${name}: ${value}\r\n`
}

class HeaderText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  encode(): Uint8Array {
    return Buffer.from(this.text)
  }
}

/** Returns the headers of a message; undefined if it has none. */
export function readHeaders(message: Msg): ReadonlyMap<string, string> | undefined {
  const source = message.headers
  if (!source) return undefined
  const headers = new Map<string, string>()
  for (const [name, values] of source) {
    const lower = name.toLowerCase()
    if (!headers.has(lower)) headers.set(lower, values[0] ?? '')
  }
  return headers
}

/** The status that a server puts in the headers of a message without data: 503, 100, 404 and so on; 0 if none. */
export function statusOf(message: Msg): number {
  return message.data.length === 0 ? (message.headers?.code ?? 0) : 0
}
