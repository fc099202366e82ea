/**
 * JSON text as untrusted input: bounded in size, depth and number of items before it is parsed, free of keys that could
 * reach a prototype, and valid UTF-8. Of duplicate keys the last counts; whole numbers beyond 2^53 lose digits, as in
 * every JavaScript program.
 */
import { TroupeError } from './errors.ts'
import { limits } from './limits.ts'
import { isDangerousKey } from './shapes.ts'

const decoder = new TextDecoder('utf-8', { fatal: true })
const suspect = /__proto__|constructor|prototype|\\u/

/**
 * Returns the value. Throws TROUPE_UNREADABLE (with `details.position`, counted in characters, where it is known) and
 * TROUPE_TOO_LARGE.
 */
export function parseJson(source: string | Uint8Array): unknown {
  if (source.length > limits.valueBytesMax) {
    throw new TroupeError('TROUPE_TOO_LARGE', `JSON of ${source.length} bytes is more than ${limits.valueBytesMax}`)
  }
  const text = typeof source === 'string' ? source : decodeUtf8(source)
  // Shorter text cannot nest too deeply.
  if (text.length > limits.depthMax) checkBounds(text)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    throw unreadable(message, positionOf(message, text))
  }
  if (typeof value === 'object' && value !== null && suspect.test(text)) checkKeys(value)
  return value
}

/** Returns the text; throws TROUPE_UNREADABLE if the bytes are not UTF-8. A byte order mark is dropped. */
export function decodeUtf8(bytes: Uint8Array): string {
  try {
    return decoder.decode(bytes)
  } catch {
    throw new TroupeError('TROUPE_UNREADABLE', `the ${bytes.length} bytes of text are not valid UTF-8`)
  }
}

/** Where the engine stopped, if it says so; else its message quotes the place. */
function positionOf(message: string, text: string): number | undefined {
  const found = /position (\d+)/.exec(message)
  if (found !== null) return Number(found[1])
  return message.includes('end of JSON') ? text.length : undefined
}

function unreadable(message: string, position: number | undefined): TroupeError {
  const said = message.length > 200 ? `${message.slice(0, 200)}…` : message
  if (position === undefined) return new TroupeError('TROUPE_UNREADABLE', `JSON is unreadable: ${said}`)
  return new TroupeError('TROUPE_UNREADABLE', `JSON is unreadable at character ${position}: ${said}`, {
    details: { position },
  })
}

/** Depth and number of items, from the text alone; malformed text passes and fails in the parser. */
function checkBounds(text: string): void {
  let depth = 0
  let items = 0
  for (let index = 0; index < text.length; index++) {
    switch (text.charCodeAt(index)) {
      case 0x22: // "
        index = endOfString(text, index)
        break
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > limits.depthMax) throw unreadable(`nested more than ${limits.depthMax} deep`, index)
        items++
        break
      case 0x5d: // ]
      case 0x7d: // }
        depth--
        break
      case 0x2c: // ,
        items++
        break
    }
  }
  if (items > limits.itemsMax) {
    throw new TroupeError('TROUPE_TOO_LARGE', `JSON of ${items} items is more than ${limits.itemsMax}`)
  }
}

/** The index of the quote that ends the string which begins at `from`, or the end of the text. */
function endOfString(text: string, from: number): number {
  for (let index = from + 1; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 0x22) return index
    if (code === 0x5c) index++
  }
  return text.length
}

/** Walks what was parsed: an escaped key is only known then. The depth is known to be bounded. */
function checkKeys(value: object): void {
  if (Array.isArray(value)) {
    for (const item of value as unknown[]) if (typeof item === 'object' && item !== null) checkKeys(item)
    return
  }
  for (const key of Object.keys(value)) {
    if (isDangerousKey(key))
      throw new TroupeError('TROUPE_UNREADABLE', `JSON has the key "${key}", which is not allowed`)
    const item = (value as Record<string, unknown>)[key]
    if (typeof item === 'object' && item !== null) checkKeys(item)
  }
}
