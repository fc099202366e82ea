/** What a node has to give, unless it is told otherwise: processors and memory that this process may use. */
import { availableParallelism, totalmem } from 'node:os'

const mebibyte = 1024 * 1024

/** Returns `cpu` in processors (affinity and control group count) and `memory` in MiB (the control group's limit counts). */
export function detectedResources(): Record<string, number> {
  const constrained = process.constrainedMemory()
  const bytes = constrained > 0 && constrained < totalmem() ? constrained : totalmem()
  return { cpu: availableParallelism(), memory: Math.floor(bytes / mebibyte) }
}
