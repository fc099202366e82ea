/** How much of the memory that this process can have is in use: of its heap, its control group, and the machine. */
import { freemem, totalmem } from 'node:os'
import { getHeapStatistics } from 'node:v8'
import { groupField, groupFolder, type ReadText, readText } from './proc.ts'

/** Returns the greatest of the shares that can be read, 0 to 1. */
export function memoryShare(read: ReadText = readText): number {
  const heap = getHeapStatistics()
  const shares = [heap.used_heap_size / heap.heap_size_limit, groupShare(read) ?? 0]
  // Elsewhere free memory leaves out what the system would give back at once, and is always small.
  if (process.platform === 'linux') shares.push(1 - freemem() / totalmem())
  return Math.min(1, Math.max(0, ...shares))
}

/** Files that the group has read are kept in memory as long as there is room; they are not in the way. */
function groupShare(read: ReadText): number | undefined {
  const folder = groupFolder(read('/proc/self/cgroup') ?? '')
  if (folder === undefined) return undefined
  const max = Number(read(`${folder}/memory.max`) ?? Number.NaN)
  const current = Number(read(`${folder}/memory.current`) ?? Number.NaN)
  if (!(max > 0) || !(current >= 0)) return undefined
  return (current - (groupField(read(`${folder}/memory.stat`) ?? '', 'inactive_file') ?? 0)) / max
}
