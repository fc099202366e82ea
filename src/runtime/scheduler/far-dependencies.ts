/**
 * Tasks that wait for one of another partition: asks there how it ended, now and then while it is waited for, and writes it
 * into the own log. An end never changes, so that who asks, and how often, does not matter.
 */
import type { Logger } from 'pino'
import type { LedgerState } from '../../actors/ledger/state.ts'
import { type ControlEntry, kind, type Settled } from '../../protocol/entries.ts'
import { hasCode } from '../../protocol/errors.ts'
import { homeOf } from '../../protocol/partitions.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import type { Switchboard } from './switchboard.ts'

export interface FarDependenciesOptions {
  readonly subjects: Subjects
  readonly switchboard: Switchboard
  readonly logger: Logger
  readonly state: () => LedgerState
  readonly decideAll: (entries: readonly ControlEntry[]) => Promise<void>
}

const everyMs = 500
/** Asked about in one round; the others have their turn in the next ones. */
const askedMax = 100
/** Where it should be is asked in each round, everybody in one of so many: a flow has tasks that are at home elsewhere. */
const thoroughEvery = 8

export class FarDependencies {
  private readonly options: FarDependenciesOptions
  private timer: NodeJS.Timeout | undefined
  private asking = false
  private rounds = 0
  /** The task asked about last: the next round goes on behind it. */
  private last: string | undefined

  constructor(options: FarDependenciesOptions) {
    this.options = options
  }

  start(): void {
    this.timer = setInterval(() => void this.ask(), everyMs)
  }

  stop(): void {
    clearInterval(this.timer)
  }

  private async ask(): Promise<void> {
    if (this.asking) return
    this.asking = true
    const isThorough = this.rounds++ % thoroughEvery === 0
    try {
      const asked = this.waitedFor().map((id) => this.endOf(id, isThorough))
      const ends = (await Promise.all(asked)).filter((end) => end !== undefined)
      if (ends.length > 0) await this.options.decideAll(ends)
    } catch (error) {
      this.options.logger.warn({ err: error }, 'how tasks of other partitions ended is not known yet')
    } finally {
      this.asking = false
    }
  }

  private waitedFor(): string[] {
    const { tasks, dependents } = this.options.state()
    if (dependents.size === 0) return []
    const far = [...dependents.keys()].filter((id) => !tasks.has(id))
    const from = this.last === undefined ? 0 : far.indexOf(this.last) + 1
    const next = [...far.slice(from), ...far.slice(0, from)].slice(0, askedMax)
    this.last = next.at(-1)
    return next
  }

  private async endOf(id: string, isThorough: boolean): Promise<Settled | undefined> {
    const { switchboard, subjects } = this.options
    const home = homeOf(id, subjects.partitions)
    const atHome = home === subjects.partition ? [] : [home]
    try {
      const status = await switchboard.statusOf(id, isThorough ? switchboard.others : atHome)
      const isEnd = status === 'completed' || status === 'failed' || status === 'cancelled' || status === 'expired'
      return isEnd ? [kind.settled, id, status] : undefined
    } catch (error) {
      if (hasCode(error, 'TROUPE_NO_ANSWER')) return undefined
      throw error
    }
  }
}
