/** Tasks that compute, for `uneven.ts`. On a slow node, as `UNEVEN_SLOW` says, the same work takes so many times as long. */
import { task } from '../../src/client/index.ts'

const slow = Number(process.env.UNEVEN_SLOW ?? 1)

/** A round takes about a hundredth of a millisecond of a processor. */
async function burn({ rounds }: { rounds: number }): Promise<number> {
  let sum = 0
  for (let i = 0; i < rounds * slow * 10_000; i++) sum += Math.sqrt(i)
  return sum
}

export const inline = task('inline', burn)
export const thread = task('thread', burn, { isolate: 'thread' })
export const own = task('process', burn, { isolate: 'process' })
