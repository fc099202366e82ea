/**
 * Which partition a submission belongs to: decided from the submission alone, so that everybody agrees and the same
 * submission made again meets the task that is there. It knows nothing of logs and of who leads them.
 */
import type { Submission } from './entries.ts'
import { inputHash } from './input-hash.ts'
import { limits } from './limits.ts'
import { isSystemId } from './names.ts'
import { integerBetween } from './options.ts'

/** Returns the number of partitions; throws TROUPE_INVALID_OPTION unless it is a whole number from 1 to 64. */
export function checkPartitions(count: unknown): number {
  return integerBetween('partitions', count, 1, limits.partitionsMax)
}

/** The partition of a text: the 32 bits of FNV-1a over its UTF-16 units, mixed, modulo the number of partitions. */
export function partitionOf(text: string, count: number): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193)
  // FNV's low bits follow those of its last characters; mixed, every bit counts (the finish of murmur3).
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return ((hash ^ (hash >>> 16)) >>> 0) % count
}

/** The partition at which a task of this id is looked for first: a system id names it, any other is hashed. */
export function homeOf(id: string, count: number): number {
  if (count === 1) return 0
  const named = isSystemId(id.split(':', 1)[0]!) ? Number(id.slice(0, id.indexOf('-'))) : count
  return named < count ? named : partitionOf(id, count)
}

/**
 * The partition that a submission belongs to; undefined if any will do. What acts on several tasks comes first, since they
 * have to meet: the gang, the outermost group, the key of a unique submission; then its own id, then what it waits for.
 */
export function placeOf([type, input, options]: Submission, count: number): number | undefined {
  if (options === undefined || count === 1) return undefined
  const { gang, group, unique, id, after } = options
  if (gang !== undefined) return partitionOf(`gang ${gang.id}`, count)
  if (group?.[0] !== undefined) return partitionOf(`group ${group[0].name}`, count)
  if (unique !== undefined) return partitionOf(`unique ${type} ${unique.key ?? inputHash(input)}`, count)
  if (id !== undefined) return homeOf(id, count)
  return after?.[0] === undefined ? undefined : homeOf(after[0], count)
}

/** The partition of a flow: that of its first id in alphabetical order, so that the same flow comes there again. */
export function placeOfFlow(ids: readonly string[], count: number): number {
  return homeOf([...ids].sort()[0] ?? '', count)
}
