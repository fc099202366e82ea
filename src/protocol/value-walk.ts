/**
 * Whether a value can be packed, and if not, where it cannot. The first walk is on the path of every result: it only says
 * yes or no and what was seen. The second, after a no, finds the place and words it.
 */
import { TroupeError } from './errors.ts'
import { limits } from './limits.ts'
import { isErrorName } from './msgpack-scan.ts'
import { isDangerousKey } from './shapes.ts'

/** What `inspectValue` answers for a value that cannot be packed. */
export const unpackable = -1
/** Bit of the answer: the value holds a Map or a bigint. The bits above count objects. */
export const needsExact = 1

let seen = 0
let size = 0
let objects = 0
let isExact = false

/** Returns `unpackable`, or the number of plain objects times two, plus `needsExact`. May run getters; never throws. */
export function inspectValue(value: unknown): number {
  seen = 0
  size = 0
  objects = 0
  isExact = false
  try {
    if (!walk(value, 0)) return unpackable
  } catch {
    return unpackable
  }
  return objects * 2 + (isExact ? needsExact : 0)
}

function walk(value: unknown, depth: number): boolean {
  if (++seen > limits.itemsMax) return false
  switch (typeof value) {
    case 'string':
      size += value.length
      return size <= limits.valueBytesMax
    case 'number':
    case 'boolean':
    case 'undefined':
      return true
    case 'bigint':
      isExact = true
      return BigInt.asIntN(bigintBits, value) === value
    case 'object':
      return value === null || walkObject(value, depth + 1)
    default:
      return false
  }
}

/** Fits the scan's bound of 64 KiB. */
const bigintBits = 65_536 * 8

function walkObject(value: object, depth: number): boolean {
  if (depth > limits.depthMax) return false
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) if (!walk(value[index], depth)) return false
    return true
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype || prototype === null) return walkPlain(value as Record<string, unknown>, depth)
  if (value instanceof Map) return prototype === Map.prototype && walkMap(value, depth)
  if (value instanceof Set) return prototype === Set.prototype && walkSet(value, depth)
  if (value instanceof Error) return walkError(value, depth)
  if (value instanceof RegExp) return prototype === RegExp.prototype && depth < limits.depthMax
  if (value instanceof Date) return prototype === Date.prototype
  if (!ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer)) return false
  size += value.byteLength
  return isKnownBinary(value) && size <= limits.valueBytesMax
}

function walkPlain(value: Record<string, unknown>, depth: number): boolean {
  objects++
  for (const key in value) {
    size += key.length
    if (isDangerousKey(key) || !walk(value[key], depth)) return false
  }
  return true
}

function walkMap(map: Map<unknown, unknown>, depth: number): boolean {
  isExact = true
  for (const [key, value] of map) if (!walk(key, depth) || !walk(value, depth)) return false
  return true
}

// A Set, Error or RegExp takes two levels: its tag and the array of its parts.

function walkSet(set: Set<unknown>, depth: number): boolean {
  if (depth >= limits.depthMax) return false
  for (const item of set) if (!walk(item, depth + 1)) return false
  return true
}

function walkError(error: Error, depth: number): boolean {
  if (depth >= limits.depthMax || typeof error.message !== 'string') return false
  return typeof error.name === 'string' && isErrorName(error.name) && walk(error.cause, depth + 1)
}

const binaries = new Set(
  ['Int8', 'Uint8', 'Uint8Clamped', 'Int16', 'Uint16', 'Int32', 'Uint32', 'Float32', 'Float64', 'BigInt64', 'BigUint64']
    .map((type) => `${type}Array`)
    .concat('ArrayBuffer', 'DataView', 'Buffer'),
)

function isKnownBinary(value: object): boolean {
  return binaries.has(value.constructor.name)
}

// --- why not ------------------------------------------------------------------------------------------------------

/** Returns the error for a value that `inspectValue` refused. Never throws. */
export function findUnpackable(value: unknown, what: string): TroupeError {
  if (size > limits.valueBytesMax) {
    return new TroupeError('TROUPE_TOO_LARGE', `${what} is larger than ${limits.valueBytesMax} bytes`)
  }
  seen = 0
  try {
    const found = search(value, what, 0, new Set())
    if (found !== undefined) return found
  } catch (error) {
    return new TroupeError('TROUPE_NOT_SERIALIZABLE', `${what} throws when it is read`, {
      cause: error,
      details: { path: what },
    })
  }
  return refused(what, 'cannot be packed')
}

function refused(
  path: string,
  why: string,
  code: 'TROUPE_NOT_SERIALIZABLE' | 'TROUPE_CLASS_INSTANCE' | 'TROUPE_CYCLIC_VALUE' = 'TROUPE_NOT_SERIALIZABLE',
): TroupeError {
  return new TroupeError(code, `${shortened(path)} ${why}`, { details: { path: shortened(path) } })
}

function shortened(path: string): string {
  return path.length <= 200 ? path : `${path.slice(0, 120)} … ${path.slice(-60)}`
}

function search(value: unknown, path: string, depth: number, above: Set<object>): TroupeError | undefined {
  if (++seen > limits.itemsMax) {
    return new TroupeError('TROUPE_TOO_LARGE', `${shortened(path)} is beyond ${limits.itemsMax} values`, {
      details: { path: shortened(path) },
    })
  }
  if (typeof value === 'function' || typeof value === 'symbol') return refused(path, `is a ${typeof value}`)
  if (typeof value === 'bigint' && BigInt.asIntN(bigintBits, value) !== value)
    return refused(path, 'is a bigint above 64 KiB')
  if (typeof value !== 'object' || value === null) return undefined
  if (above.has(value)) return refused(path, 'refers back to something that contains it', 'TROUPE_CYCLIC_VALUE')
  if (depth >= limits.depthMax) return refused(path, `is nested more than ${limits.depthMax} deep`)
  above.add(value)
  const found = searchParts(value, path, depth + 1, above)
  above.delete(value)
  return found
}

function searchParts(value: object, path: string, depth: number, above: Set<object>): TroupeError | undefined {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (Array.isArray(value)) return searchEach(value.entries(), (key) => `${path}[${String(key)}]`, depth, above)
  if (prototype === Object.prototype || prototype === null)
    return searchPlain(value as Record<string, unknown>, path, depth, above)
  if (prototype === Map.prototype) return searchMap(value as Map<unknown, unknown>, path, depth, above)
  if (prototype === Set.prototype) {
    return searchEach([...(value as Set<unknown>)].entries(), (key) => `${path}[${String(key)}]`, depth + 1, above)
  }
  if (value instanceof Error) return searchError(value, path, depth, above)
  if (inspectBuiltIn(value, prototype)) {
    return depth >= limits.depthMax && value instanceof RegExp
      ? refused(path, `is nested more than ${limits.depthMax} deep`)
      : undefined
  }
  if (value instanceof Promise) return refused(path, 'is a promise that was not awaited')
  const name: unknown = value.constructor?.name
  const className = typeof name === 'string' && name !== '' ? name : 'a class'
  return refused(path, `is an instance of ${className}`, 'TROUPE_CLASS_INSTANCE')
}

function inspectBuiltIn(value: object, prototype: unknown): boolean {
  if (prototype === RegExp.prototype || prototype === Date.prototype) return true
  return (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) && isKnownBinary(value)
}

function searchEach(
  entries: Iterable<readonly [unknown, unknown]>,
  pathOf: (key: unknown) => string,
  depth: number,
  above: Set<object>,
): TroupeError | undefined {
  for (const [key, item] of entries) {
    const found = search(item, pathOf(key), depth, above)
    if (found !== undefined) return found
  }
  return undefined
}

function searchPlain(
  value: Record<string, unknown>,
  path: string,
  depth: number,
  above: Set<object>,
): TroupeError | undefined {
  for (const key in value) {
    const at = `${path}.${key}`
    if (isDangerousKey(key)) return refused(at, 'has a key that is not allowed')
    const found = search(value[key], at, depth, above)
    if (found !== undefined) return found
  }
  return undefined
}

function searchMap(
  map: Map<unknown, unknown>,
  path: string,
  depth: number,
  above: Set<object>,
): TroupeError | undefined {
  const keys = searchEach([...map.keys()].entries(), (index) => `${path}.keys[${String(index)}]`, depth, above)
  if (keys !== undefined) return keys
  const named = (key: unknown) => (typeof key === 'string' ? `${path}.get(${JSON.stringify(key)})` : `${path}.get(…)`)
  return searchEach(map, named, depth, above)
}

function searchError(error: Error, path: string, depth: number, above: Set<object>): TroupeError | undefined {
  if (typeof error.message !== 'string') return refused(`${path}.message`, 'is not a text')
  if (typeof error.name !== 'string' || !isErrorName(error.name))
    return refused(path, `is an error that cannot be packed: ${String(error.name)}`)
  return search(error.cause, `${path}.cause`, depth + 1, above)
}
