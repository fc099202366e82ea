/** A number for a payload, by which inputs are compared and texts are spread over nodes and partitions. */
import type { Payload } from './entries.ts'

/**
 * Returns a whole number of 52 bits, the same everywhere for the same payload. It tells inputs under one task id apart: two
 * different inputs collide with odds of 2^-52, which wants no protection, since whoever could seek a collision could only
 * have their own task taken for the same. Two encodings of one value count as different.
 */
export function inputHash(payload: Payload): number {
  if (payload === null) return 0
  let low = 0x9e3779b9
  let high = 0x85ebca6b
  const isText = typeof payload === 'string'
  const source = isText || payload instanceof Uint8Array ? payload : payload[0]
  if (typeof source === 'string') {
    high ^= isText ? 1 : 2
    for (let index = 0; index < source.length; index++) {
      const code = source.charCodeAt(index)
      low = Math.imul(low ^ code, 0x9e3779b1)
      high = Math.imul(high ^ code, 0x5f356495)
    }
  } else {
    for (let index = 0; index < source.length; index++) {
      const byte = source[index]!
      low = Math.imul(low ^ byte, 0x9e3779b1)
      high = Math.imul(high ^ byte, 0x5f356495)
    }
  }
  // Mix the halves so that every input bit reaches every output bit (the finish of cyrb53).
  low = Math.imul(low ^ (low >>> 16), 0x85ebca6b) ^ Math.imul(high ^ (high >>> 13), 0xc2b2ae35)
  high = Math.imul(high ^ (high >>> 16), 0x85ebca6b) ^ Math.imul(low ^ (low >>> 13), 0xc2b2ae35)
  return (high >>> 12) * 0x1_0000_0000 + (low >>> 0)
}
