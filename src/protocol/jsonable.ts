/**
 * Any value as JSON can show it, for answers, dashboards and error details. Lossy on purpose and bounded: what does not fit
 * is cut and says so. Never throws, whatever getters and proxies do.
 */
import { limits } from './limits.ts'
import { isDangerousKey } from './shapes.ts'

let left = 0

/**
 * Returns plain data that `JSON.stringify` shows in full: a Map as an object (as pairs unless its keys are texts), a Set as
 * an array, a bigint as text, bytes in base64, an Error as {name, message}, a Date in ISO 8601. Functions, symbols and
 * undefined are left out; cycles, and what goes beyond `itemsMax` values or 64 levels, become a note in brackets.
 */
export function jsonable(value: unknown, itemsMax: number = limits.itemsMax): unknown {
  left = itemsMax
  return show(value, [])
}

function show(value: unknown, above: object[]): unknown {
  if (left-- <= 0) return '[cut]'
  switch (typeof value) {
    case 'bigint':
      return String(value)
    case 'function':
    case 'symbol':
    case 'undefined':
      return undefined
    case 'object':
      return value === null ? null : showObject(value, above)
    default:
      return value
  }
}

function showObject(value: object, above: object[]): unknown {
  if (above.includes(value)) return '[circular]'
  if (above.length >= limits.depthMax) return '[nested too deeply]'
  above.push(value)
  try {
    return showParts(value, above)
  } catch {
    return '[unreadable]'
  } finally {
    above.pop()
  }
}

function showParts(value: object, above: object[]): unknown {
  if (Array.isArray(value)) return showItems(value, above)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (value instanceof Map) return showMap(value, above)
  if (value instanceof Set) return showItems(value, above)
  if (value instanceof Error) return { name: String(value.name), message: String(value.message) }
  if (value instanceof RegExp) return String(value)
  if (value instanceof ArrayBuffer) return base64(new Uint8Array(value))
  if (ArrayBuffer.isView(value)) return base64(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))
  const { toJSON } = value as { toJSON?: unknown }
  if (typeof toJSON === 'function') return show(toJSON.call(value), above)
  const shown: Record<string, unknown> = {}
  for (const key of Object.keys(value)) {
    if (left < 0) break
    const item = show((value as Record<string, unknown>)[key], above)
    if (item !== undefined && !isDangerousKey(key)) shown[key] = item
  }
  return shown
}

function showItems(items: Iterable<unknown>, above: object[]): unknown[] {
  const shown: unknown[] = []
  for (const item of items) {
    shown.push(show(item, above) ?? null)
    if (left < 0) break
  }
  return shown
}

function showMap(map: Map<unknown, unknown>, above: object[]): unknown {
  const isObject = [...map.keys()].every((key) => typeof key === 'string' && !isDangerousKey(key))
  if (!isObject) return showItems(map, above)
  const shown: Record<string, unknown> = {}
  for (const [key, item] of map) {
    if (left < 0) break
    shown[key as string] = show(item, above) ?? null
  }
  return shown
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
