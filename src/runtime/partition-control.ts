/** Scheduler and supervisor of a process in one partition, over the one ledger that they share. Owns all of it until `stop`. */
import { randomBytes } from 'node:crypto'
import type { AgendaOptions } from '../actors/scheduler/agenda.ts'
import { orderingNamed, placementsNamed, rebalancingNamed } from '../actors/scheduler/policies/named.ts'
import { ordered } from '../actors/scheduler/policies/orderings.ts'
import type { FoldRules } from '../protocol/entries.ts'
import { TroupeError } from '../protocol/errors.ts'
import { maySweep } from './auth/needs.ts'
import { HealthWatch } from './health-watch.ts'
import { Housekeeping } from './ledger/housekeeping.ts'
import { LedgerMembers } from './ledger/ledger-members.ts'
import { LedgerReader } from './ledger/ledger-reader.ts'
import { ObjectSweep } from './ledger/object-sweep.ts'
import type { PartitionRolesOptions } from './partition-roles.ts'
import type { ProcessOptions } from './process.ts'
import type { NodeStatusSource } from './scheduler/answers.ts'
import { SchedulerService } from './scheduler/scheduler-service.ts'
import { Supervisor } from './supervisor.ts'

/** How a scheduler orders and places, by name or by function. Throws TROUPE_INVALID_OPTION. */
export function policiesOf({
  ordering = 'priority',
  placement = '',
  rebalancing = 'threshold',
}: Pick<ProcessOptions, 'ordering' | 'placement' | 'rebalancing'>): AgendaOptions {
  const moving = rebalancingNamed(rebalancing)
  return {
    ordering: typeof ordering === 'string' ? orderingNamed(ordering) : ordered('custom', ordering),
    ...placementsNamed(placement),
    ...(moving && { rebalancing: moving }),
  }
}

/**
 * The process whose scheduler leads in the first partition removes large values for all: it has the ledger of each. Returns what
 * does so, and has to be stopped.
 */
export async function startSweep(
  controls: readonly PartitionControl[],
  { bus, namespace, name, logger }: PartitionRolesOptions,
): Promise<ObjectSweep> {
  const { scheduler } = controls[0]!
  const isAble = scheduler !== undefined && (await maySweep(bus, namespace.subjects, name))
  if (scheduler !== undefined && !isAble) {
    const details = {
      code: 'TROUPE_NOT_ALLOWED',
      next: 'Make its credentials again: `troupe auth`; see docs/security.md.',
    }
    logger.warn(details, 'this scheduler may not remove large values: they stay for good')
  }
  const sweep = new ObjectSweep({
    objects: namespace.objects,
    partitions: namespace.partitions.map(({ log }, partition) => ({ log, reader: controls[partition]!.reader })),
    isInCharge: () => isAble && scheduler.leading,
    logger,
  })
  sweep.start()
  return sweep
}

export class PartitionControl {
  readonly reader: LedgerReader
  supervisor: Supervisor | undefined
  scheduler: SchedulerService | undefined
  private readonly options: PartitionRolesOptions
  /** Of a scheduler without a supervisor: it watches, so that it can say how nodes are. */
  private watch: HealthWatch | undefined
  private housekeeping: Housekeeping | undefined

  constructor(options: PartitionRolesOptions) {
    const { opened, logger } = options
    this.options = options
    this.reader = new LedgerReader({ ...opened, logger })
  }

  /** Resolves when the ledger has caught up; the roles come after it. */
  startLedger(): Promise<void> {
    return this.reader.start()
  }

  startHousekeeping(): void {
    const { opened, namespace, logger } = this.options
    const { log, checkpoints } = opened
    const { reader, scheduler } = this
    const { objects } = namespace
    this.housekeeping = new Housekeeping({ reader, log, checkpoints, scheduler, objects, logger })
    this.housekeeping.start()
  }

  startSupervisor(): void {
    const { bus, namespace, opened } = this.options
    const logger = this.options.logger.child({ role: 'supervisor', ...this.named })
    this.supervisor = new Supervisor({
      bus,
      ...opened,
      leases: namespace.leases,
      members: new LedgerMembers(this.reader),
      holder: this.holder(),
      onReport: ({ what, text, details }) => {
        // That it sees again is good, and that it was late itself for a moment is nothing to do about.
        const isCalm = what === 'sight' && (details.sight === 'clear' || details.cause === 'own-lag')
        if (what === 'leading' || what === 'standby' || isCalm) logger.info(details, text)
        else logger.warn(details, text)
      },
    })
    this.supervisor.start()
  }

  startScheduler(policies: AgendaOptions, rules: Partial<FoldRules> | undefined): void {
    const { bus, namespace, opened, logger } = this.options
    this.scheduler = new SchedulerService({
      bus,
      ...opened,
      leases: namespace.leases,
      logs: namespace.partitions.map(({ log }) => log),
      reader: this.reader,
      logger: logger.child({ role: 'scheduler', ...this.named }),
      name: this.holder(),
      nodes: this.health(),
      policies,
      ...(rules && { rules }),
    })
    this.scheduler.start()
  }

  /** Resolves when some scheduler leads, as this process has folded it. */
  async led(deadlineMs: number): Promise<void> {
    const { reader } = this
    if (this.scheduler === undefined || this.scheduler.leading) return
    await new Promise<void>((resolve, reject) => {
      const late = new TroupeError('TROUPE_NO_ANSWER', `no scheduler began to lead within ${deadlineMs} ms`)
      const timer = setTimeout(() => done(() => reject(late)), deadlineMs)
      const stop = reader.listen({
        folded: (changes) => {
          if (changes.some(({ what }) => what === 'led')) done(resolve)
        },
        replaced: () => undefined,
      })
      const done = (settle: () => void) => {
        clearTimeout(timer)
        stop()
        settle()
      }
    })
  }

  async stop(): Promise<void> {
    this.watch?.stop()
    await this.supervisor?.stop()
    await this.housekeeping?.stop()
    await this.scheduler?.stop()
    await this.reader.stop()
  }

  /** For log lines, where there are several. */
  private get named(): { readonly partition?: number } {
    return this.options.namespace.partitions.length > 1 ? { partition: this.options.opened.partition } : {}
  }

  private holder(): string {
    return `${this.options.name}-${randomBytes(3).toString('hex')}`
  }

  /** What is known of a node beyond the ledger, from heartbeats. */
  private health(): NodeStatusSource {
    const { bus, opened } = this.options
    if (this.supervisor === undefined) {
      this.watch = new HealthWatch({ bus, subjects: opened.subjects, members: new LedgerMembers(this.reader) })
      this.watch.start()
    }
    const source = this.supervisor ?? this.watch!
    return {
      health(incarnation) {
        const status = source.statusOf(incarnation)
        return status && { status, lastSeenAtMs: source.lastSeenAtMs(incarnation) }
      },
    }
  }
}
