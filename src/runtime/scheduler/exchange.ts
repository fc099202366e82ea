/** What a leading scheduler does for other partitions, and asks of them: brings what landed here, asks how far tasks ended. */
import type { Logger } from 'pino'
import type { Change } from '../../actors/ledger/change.ts'
import type { Log } from '../../nats/bus.ts'
import type { ControlEntry } from '../../protocol/entries.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { FarDependencies } from './far-dependencies.ts'
import { Forwarder } from './forwarder.ts'
import type { SchedulerService } from './scheduler-service.ts'

export class Exchange {
  readonly #forwarder: Forwarder
  readonly #dependencies: FarDependencies

  /** `logs`: of every partition. */
  constructor(
    service: SchedulerService,
    logs: readonly Log[],
    { subjects, logger }: { readonly subjects: Subjects; readonly logger: Logger },
  ) {
    const { values, switchboard } = service
    const state = () => service.ledger.state
    const decideAll = (entries: readonly ControlEntry[]) => service.decideAll(entries)
    const shared = { subjects, switchboard, logger, state, decideAll }
    this.#forwarder = new Forwarder({ ...shared, logs, values })
    this.#dependencies = new FarDependencies(shared)
  }

  start(): void {
    this.#forwarder.start()
    this.#dependencies.start()
  }

  stop(): void {
    this.#forwarder.stop()
    this.#dependencies.stop()
  }

  folded(changes: readonly Change[]): void {
    if (changes.some(({ what }) => what === 'stray')) this.#forwarder.wake()
  }
}
