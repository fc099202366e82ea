/** Appends control entries for a leading scheduler. Entries are idempotent, so an unknown outcome is simply sent again. */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Log } from '../../nats/bus.ts'
import { packBlock } from '../../protocol/blocks.ts'
import { type ControlEntry, formatVersion } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'

const tries = 8

export class ControlWriter {
  private readonly log: Log
  private readonly subject: string
  private readonly logger: Logger

  constructor(log: Log, subject: string, logger: Logger) {
    this.log = log
    this.subject = subject
    this.logger = logger
  }

  /** The sequence at which the entries are stored. Throws TROUPE_NO_ANSWER when they are not after some seconds. */
  async append(epoch: number, entries: readonly ControlEntry[]): Promise<number> {
    const bytes = packBlock([formatVersion, epoch, entries])
    const messageId = randomUUID()
    for (let attempt = 0; ; attempt++) {
      const result = await this.log.append(this.subject, bytes, { messageId, timeoutMs: 2_000 })
      if (result.outcome === 'stored') return result.sequence
      if (attempt + 1 >= tries) {
        throw new TroupeError('TROUPE_NO_ANSWER', `control entries could not be stored: ${result.message}`)
      }
      this.logger.warn({ attempt, message: result.message }, 'control entries are not stored yet')
      await new Promise((resolve) => setTimeout(resolve, Math.min(1_000, 50 * 2 ** attempt)))
    }
  }
}
