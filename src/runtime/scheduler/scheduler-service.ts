/**
 * A scheduler process: carries out what the scheduler machine decides. Follows the ledger that its process folds, hears
 * the nodes, and, while it leads, awards, decides, tells and answers.
 */
import type { Logger } from 'pino'
import { type Actor, createActor } from 'xstate'
import type { Change } from '../../actors/ledger/change.ts'
import { gangToStartWith } from '../../actors/ledger/gangs.ts'
import { foldVersion, type Ledger } from '../../actors/ledger/ledger.ts'
import { defaultRules } from '../../actors/ledger/state.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { Agenda, AgendaOptions } from '../../actors/scheduler/agenda.ts'
import type { SchedulerEffect } from '../../actors/scheduler/effects.ts'
import { schedulerMachine } from '../../actors/scheduler/scheduler.ts'
import type { Bus, CheckpointStore, LeaseStore, Log, Subscription } from '../../nats/bus.ts'
import { packBlock, unpackNodeReport } from '../../protocol/blocks.ts'
import { type ControlEntry, type FoldRules, kind } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { type Subjects, schedulerLease } from '../../protocol/subjects.ts'
import { Leadership } from '../leadership.ts'
import type { FoldListener, LedgerReader } from '../ledger/ledger-reader.ts'
import { Answers, type NodeStatusSource } from './answers.ts'
import { AwardSender } from './award-sender.ts'
import { CronCalendar } from './calendar.ts'
import { ControlWriter } from './control-writer.ts'
import { EventPublisher } from './event-publisher.ts'
import { Exchange } from './exchange.ts'
import { LogValues } from './log-values.ts'
import { QueueHints } from './queue-hints.ts'
import { QuoteCaller } from './quote-caller.ts'
import { Switchboard } from './switchboard.ts'
import { Teller } from './teller.ts'

export interface SchedulerServiceOptions {
  readonly bus: Bus
  readonly log: Log
  /** Of every partition, where there are several. */
  readonly logs?: readonly Log[]
  readonly leases: LeaseStore
  readonly checkpoints: CheckpointStore
  readonly subjects: Subjects
  readonly partition: number
  readonly reader: LedgerReader
  readonly logger: Logger
  /** Unique among all schedulers; a name. */
  readonly name: string
  readonly rules?: Partial<FoldRules>
  readonly policies?: AgendaOptions
  /** What supervisors of this process know of nodes. */
  readonly nodes?: NodeStatusSource
}

/** Time for the lease to show who should lead. */
const reclaimMs = 500

export class SchedulerService implements FoldListener {
  readonly teller: Teller
  readonly values: LogValues
  private readonly options: SchedulerServiceOptions
  private leadership: Leadership
  private readonly control: ControlWriter
  private readonly awards: AwardSender
  private readonly quotes: QuoteCaller
  private readonly events: EventPublisher
  private readonly hints: QueueHints
  private readonly answers: Answers
  readonly switchboard: Switchboard
  /** Where there are several partitions. */
  private readonly exchange: Exchange | undefined
  private readonly calendar = new CronCalendar()
  private readonly createdAtMs = performance.now()
  private actor: Actor<typeof schedulerMachine>
  private stopListening: (() => void) | undefined
  private subscriptions: Subscription[] = []
  private alarm: NodeJS.Timeout | undefined
  private alarmAtMs = Number.POSITIVE_INFINITY
  private reclaim: NodeJS.Timeout | undefined
  private again: NodeJS.Timeout | undefined
  private leaseHeld = false

  constructor(options: SchedulerServiceOptions) {
    const { bus, log, subjects, partition, name, logger } = options
    this.options = options
    this.values = new LogValues(log, subjects)
    this.teller = new Teller(bus, subjects)
    this.control = new ControlWriter(log, subjects.control(partition, name), logger)
    this.awards = new AwardSender({
      bus,
      subjects,
      values: this.values,
      logger,
      isDoubtful: (task) => this.agenda?.offers.lapsedBefore(task) ?? false,
      onLost: (task, reason) => this.lost(task, reason),
      startsWithGang: (task) => gangToStartWith(this.ledger.state, task) !== undefined,
    })
    this.quotes = new QuoteCaller({ bus, subjects, values: this.values, logger })
    this.events = new EventPublisher(bus, subjects)
    this.hints = new QueueHints(bus, subjects.full, () => this.ledger.state)
    this.switchboard = new Switchboard(bus, subjects)
    this.answers = new Answers(this, options, this.calendar)
    if ((options.logs?.length ?? 1) > 1) this.exchange = new Exchange(this, options.logs!, options)
    this.actor = this.createActor()
    this.leadership = this.candidacy()
  }

  /** The reader has caught up: begins to stand by, and to lead when nobody does. */
  start(): void {
    this.stopListening = this.options.reader.listen(this)
    this.actor.start()
    this.leadership.start()
  }

  /** Gives the lease back, so that another leads, and is a candidate again after so long. */
  async standBack(ms: number): Promise<void> {
    if (this.again !== undefined) return
    this.again = setTimeout(() => {
      this.again = undefined
      this.leadership = this.candidacy()
      this.leadership.start()
    }, ms)
    await this.leadership.stop({ release: true })
  }

  async stop(): Promise<void> {
    clearTimeout(this.again)
    await this.leadership.stop({ release: true })
    this.actor.send({ type: 'LEASE_LOST', reason: 'the process stops' })
    this.actor.stop()
    this.stopListening?.()
    clearTimeout(this.alarm)
    clearTimeout(this.reclaim)
  }

  get ledger(): Ledger {
    return this.options.reader.ledger
  }

  get agenda(): Agenda | undefined {
    return this.actor.getSnapshot().context.agenda
  }

  get leading(): boolean {
    return this.agenda !== undefined
  }

  nowMs(): number {
    return this.options.reader.clock.nowMs()
  }

  /** Appends a decision as leader and resolves when it is folded. Throws TROUPE_NO_ANSWER when it does not lead. */
  decide(entry: ControlEntry): Promise<void> {
    return this.decideAll([entry])
  }

  async decideAll(entries: readonly ControlEntry[]): Promise<void> {
    const { agenda } = this
    if (agenda === undefined) throw new TroupeError('TROUPE_NO_ANSWER', 'this scheduler does not lead any more')
    const sequence = await this.control.append(agenda.epoch, entries)
    await this.options.reader.reached(sequence)
  }

  // --- FoldListener -------------------------------------------------------------------------------------------------

  folded(changes: readonly Change[]): void {
    if (this.ledger.outdated) this.retireOutdated()
    if (!this.leaseHeld) return
    const { leading } = this
    if (leading) {
      this.holdInputs(changes)
      this.teller.tell(changes)
      this.tellAgain(changes)
    }
    this.actor.send({ type: 'FOLDED', changes, nowMs: this.nowMs() })
    if (leading) this.exchange?.folded(changes)
    // Last, for whoever watches can wait; outcomes and awards cannot.
    if (leading) this.events.publish(changes, this.ledger.state.timeMs)
  }

  private retireOutdated(): void {
    if (this.actor.getSnapshot().matches('retired')) return
    const message = `the log uses rules newer than version ${foldVersion}, which this process knows`
    this.options.logger.error(
      { err: new TroupeError('TROUPE_FOLD_VERSION', message) },
      'this scheduler will not lead any more',
    )
    this.actor.send({ type: 'OUTDATED' })
  }

  private tellAgain(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.what !== 'duplicate' || !change.task.ended) continue
      this.answers.tellAgain(change.task, change.submitter).catch((error: unknown) => {
        this.options.logger.warn(
          { err: error, task: change.task.id },
          'an outcome could not be read; the submitter will ask',
        )
      })
    }
  }

  replaced(): void {
    this.actor.send({ type: 'LEASE_LOST', reason: 'the ledger was loaded again' })
    this.actor.stop()
    this.actor = this.createActor()
    this.actor.start()
    if (this.leaseHeld) this.actor.send({ type: 'LEASE_WON' })
  }

  // --- effects ------------------------------------------------------------------------------------------------------

  private candidacy(): Leadership {
    const { leases, bus, partition, name } = this.options
    return new Leadership({
      leases,
      bus,
      key: schedulerLease(partition),
      holder: name,
      // A scheduler that leads without a lease does no harm, for its epoch is void once another leads; so it goes on
      // through a busy moment rather than losing what it has at hand.
      settings: { giveUpMs: 30_000 },
      onLeading: () => {
        this.leaseHeld = true
        this.actor.send({ type: 'LEASE_WON' })
      },
      onStepDown: (reason) => {
        this.leaseHeld = false
        this.actor.send({ type: 'LEASE_LOST', reason })
      },
    })
  }

  private createActor(): Actor<typeof schedulerMachine> {
    const { name, policies } = this.options
    const ask = (effect: SchedulerEffect) => this.carryOut(effect)
    const { calendar } = this
    // By now log time is known; when this was made it was not.
    const followingSinceMs = () => this.nowMs() - (performance.now() - this.createdAtMs)
    const { state: ledger } = this.options.reader.ledger
    const input = { name, ledger, ask, calendar, followingSinceMs, ...(policies && { policies }) }
    return createActor(schedulerMachine, { input })
  }

  private carryOut(effect: SchedulerEffect): void {
    const { bus, subjects } = this.options
    switch (effect.do) {
      case 'lead':
        void this.appendLed()
        return
      case 'append':
        this.append(effect.epoch, effect.entries)
        return
      case 'award':
        this.awards.send(effect)
        return
      case 'drop':
        bus.publish(subjects.node(effect.member.node, effect.member.incarnation), packBlock(['drop', effect.turns]))
        return
      case 'begin':
        bus.publish(subjects.node(effect.member.node, effect.member.incarnation), packBlock(['begin', effect.turns]))
        return
      case 'release': {
        const { member, tender, keep } = effect
        bus.publish(subjects.node(member.node, member.incarnation), packBlock(['release', tender, keep]))
        return
      }
      case 'yield': {
        const { member, task, reason } = effect
        bus.publish(
          subjects.node(member.node, member.incarnation),
          packBlock(['yield', [[task.id, task.turn, reason]]]),
        )
        return
      }
      case 'signal':
        void this.awards.sendSignals(effect)
        return
      case 'call': {
        const { types, tender } = effect
        const call = new TextEncoder().encode(JSON.stringify({ types, tender }))
        bus.publish(subjects.call(this.options.partition), call)
        return
      }
      case 'quote':
        void this.quotes.send(effect)
        return
      case 'wake':
        this.setAlarm(effect.atMs)
        return
      case 'announce':
        this.beginLeading(effect.epoch)
        return
      case 'retire':
        this.endLeading(effect.reason)
    }
  }

  private lost(task: TaskRecord, reason: string): void {
    this.options.logger.error({ task: task.id, reason }, 'values of a task are lost: it can never run')
    const { agenda } = this
    if (agenda !== undefined) this.append(agenda.epoch, [[kind.lost, task.id, task.turn, reason]])
  }

  private async appendLed(): Promise<void> {
    const rules: FoldRules = { ...defaultRules, ...this.options.rules, foldVersion }
    try {
      await this.control.append(0, [[kind.led, rules]])
    } catch (error) {
      // Nothing can be decided without the log. The lease is kept; writing is tried again as long as it is.
      this.options.logger.error({ err: error }, 'this scheduler could not begin to lead; it tries again')
      if (this.leaseHeld) setTimeout(() => void (this.leaseHeld && !this.leading && this.appendLed()), 500)
    }
  }

  private append(epoch: number, entries: readonly ControlEntry[]): void {
    this.control.append(epoch, entries).catch((error: unknown) => {
      this.options.logger.error({ err: error, entries: entries.length }, 'a decision could not be stored')
    })
  }

  private beginLeading(epoch: number): void {
    const { bus, subjects, logger, name } = this.options
    logger.info({ epoch, tasks: this.ledger.state.tasks.size }, 'this scheduler leads')
    this.subscriptions = [
      bus.subscribe(`${subjects.root}.report.*.*`, (message) => this.hear(message.subject, message.data)),
      ...this.answers.open(),
    ]
    this.hints.start()
    this.exchange?.start()
    const announcement = new TextEncoder().encode(JSON.stringify({ leader: name, epoch }))
    bus.publish(subjects.leading('scheduler'), announcement)
  }

  private endLeading(reason: string): void {
    this.options.logger.info({ reason }, 'this scheduler no longer leads')
    for (const subscription of this.subscriptions) subscription.unsubscribe()
    this.subscriptions = []
    this.hints.stop()
    this.exchange?.stop()
    this.teller.clear()
    this.events.flush()
    this.values.clear(this.ledger.state.tasks.values())
    clearTimeout(this.alarm)
    this.alarmAtMs = Number.POSITIVE_INFINITY
    if (this.leaseHeld) this.reclaimSoon()
  }

  /**
   * Another's `led` came although the lease is held here: from a predecessor whose write was late, or from a stranger. It
   * need not be there to lead, so whoever holds the lease leads again. A while later: if the lease is lost as well, that is
   * known by then.
   */
  private reclaimSoon(): void {
    clearTimeout(this.reclaim)
    this.reclaim = setTimeout(() => {
      if (this.leaseHeld) this.actor.send({ type: 'LEASE_WON' })
    }, reclaimMs)
  }

  private hear(subject: string, data: Uint8Array): void {
    const incarnation = subject.slice(subject.lastIndexOf('.') + 1)
    const unpacked = unpackNodeReport(data)
    if (!unpacked.ok) {
      this.options.logger.warn({ subject, reason: unpacked.reason }, 'a report cannot be read')
      return
    }
    this.actor.send({ type: 'REPORTED', incarnation, report: unpacked.message, nowMs: this.nowMs() })
  }

  private setAlarm(atMs: number): void {
    if (atMs >= this.alarmAtMs) return
    clearTimeout(this.alarm)
    this.alarmAtMs = atMs
    const delayMs = Math.min(2 ** 31 - 1, Math.max(0, atMs - this.nowMs()))
    this.alarm = setTimeout(() => {
      this.alarmAtMs = Number.POSITIVE_INFINITY
      this.actor.send({ type: 'ALARM', nowMs: this.nowMs() })
    }, delayMs)
  }

  /** Keeps the inputs of new tasks at hand until the tasks have started. */
  private holdInputs(changes: readonly Change[]): void {
    for (const change of changes) {
      switch (change.what) {
        case 'submitted':
          this.values.hold(change.task, change.input)
          break
        case 'running':
        case 'failed':
        case 'cancelled':
        case 'expired':
          this.values.used(change.task)
          break
        default:
      }
    }
  }
}
