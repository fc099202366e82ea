/**
 * How long the tasks took that a node has completed for one partition, until a bid has told its leader. The node measures it,
 * since a task that keeps its main loop keeps its entries back as well: by the log's clock such a task begins and ends at once.
 */
import { limits } from '../../protocol/limits.ts'
import type { TypeTook } from '../../protocol/messages.ts'

/** What took less counts as this much: a difference of microseconds is no difference. */
const shortestMs = 0.1

export class Completions {
  private readonly byType = new Map<string, { count: number; sumOfLogs: number }>()

  completed(type: string, lastedMs: number): void {
    const log = Math.log(Math.max(shortestMs, lastedMs))
    const noted = this.byType.get(type)
    if (noted === undefined) {
      if (this.byType.size < limits.typesPerNodeMax) this.byType.set(type, { count: 1, sumOfLogs: log })
      return
    }
    noted.count++
    noted.sumOfLogs += log
  }

  /**
   * What has not been told yet, of so many types at most; the rest follows. `contention`: by how much tasks slowed each other
   * down, which is taken out.
   */
  untold(contention = 1): TypeTook[] {
    const took: TypeTook[] = []
    for (const [type, { count, sumOfLogs }] of this.byType) {
      if (took.length === limits.typesTookMax) break
      took.push([type, count, Math.exp(sumOfLogs / count) / contention])
    }
    return took
  }

  /** A bid has said so. */
  told(took: readonly TypeTook[]): void {
    for (const [type] of took) this.byType.delete(type)
  }
}
