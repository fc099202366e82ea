/**
 * A node process as a member of one partition: carries out what the node machine decides. Owns the incarnation's journal,
 * subscriptions and turns. An award is answered by handing `accepted` to the journal and running at once; the log says later
 * whose turn it was.
 */
import type { Logger } from 'pino'
import { createActor } from 'xstate'
import { type BidSaid, isNews } from '../../actors/node/bid-pace.ts'
import { Completions } from '../../actors/node/completions.ts'
import { type NodeEffect, nodeMachine } from '../../actors/node/node.ts'
import { readAnswer } from '../../client/ask.ts'
import { type Keyring, openedAnswer } from '../../client/encryption.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import type { Bus, Log, ObjectStore, Subscription } from '../../nats/bus.ts'
import { packBlock, unpackNodeMessage } from '../../protocol/blocks.ts'
import { type JournalEntry, kind } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/json.ts'
import type { CallForBids, NodeMessage, NodeReport, TaskAnswer } from '../../protocol/messages.ts'
import type { NodeProfile } from '../../protocol/options.ts'
import type { AskedTask } from '../../protocol/quotes.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { LogTime } from '../ledger/log-time.ts'
import type { Turn } from '../tasks/turn.ts'
import type { Balance } from './balance.ts'
import { Capacity } from './capacity.ts'
import { CapacityShare } from './capacity-share.ts'
import { Journal } from './journal.ts'
import { type Membership, NodeLife } from './node-life.ts'
import { Quoting } from './quoting.ts'
import { Turns, type TurnsOwner } from './turns.ts'
import { answerValidation } from './validation.ts'

export interface NodeServiceOptions {
  readonly bus: Bus
  readonly log: Log
  readonly objects: ObjectStore
  readonly subjects: Subjects
  readonly partition: number
  readonly profile: NodeProfile
  readonly definitions: readonly AnyTaskDefinition[]
  readonly balance: Balance
  /** Shared with the same process's memberships of other partitions; default: its own. */
  readonly capacity?: Capacity
  readonly life?: NodeLife
  readonly logger: Logger
  /** Undefined: values are not encrypted. */
  readonly keyring?: Keyring | undefined
  /** How long a drain waits for turns to yield before it leaves without them. Default 5,000. */
  readonly drainMs?: number
  /** A new incarnation began, or none is live any more; the heartbeat thread follows. */
  readonly onIncarnation?: (incarnation: string | undefined) => void
}

const bidEveryMs = 250
const runningEveryMs = 1_000
const aliveEveryMs = 60_000
const takenByOthers = 'its slots are in use by other partitions'

export class NodeService implements TurnsOwner, Membership {
  readonly namespace: string
  readonly log: Logger
  private readonly turns: Turns
  private readonly quoting: Quoting
  readonly keyring: Keyring | undefined
  incarnation = ''
  private readonly options: NodeServiceOptions
  private readonly time: LogTime
  private readonly capacity: Capacity
  private readonly life: NodeLife
  private readonly actor
  /** Where the process is a member of other partitions as well. */
  private readonly share: CapacityShare | undefined
  private journal: Journal | undefined
  private readonly completions = new Completions()
  private lastBid: BidSaid | undefined
  private subscriptions: Subscription[] = []
  private timers: NodeJS.Timeout[] = []
  private wait: NodeJS.Timeout | undefined
  private drainDeadline: NodeJS.Timeout | undefined
  private readonly ready = Promise.withResolvers<void>()
  private readonly gone = Promise.withResolvers<void>()

  constructor(options: NodeServiceOptions) {
    this.options = options
    this.namespace = options.subjects.namespace
    this.log = options.logger
    this.keyring = options.keyring
    this.time = new LogTime(options.log)
    const { profile, partition } = options
    this.capacity = options.capacity ?? new Capacity(profile.slots, profile.resources)
    this.life = options.life ?? new NodeLife()
    this.life.add(this)
    this.turns = new Turns(this, this.capacity, options.definitions, partition)
    const { partitions } = options.subjects
    if (partitions > 1) this.share = new CapacityShare(this.capacity, this.turns, partitions)
    const { node: id, labels, slots } = profile
    this.quoting = new Quoting({
      definitions: options.definitions,
      keyring: options.keyring,
      node: () => ({ id, labels, slots, running: this.capacity.used().running }),
      loadObject: (name) => this.loadObject(name),
    })
    const ask = (effect: NodeEffect) => this.carryOut(effect)
    this.actor = createActor(nodeMachine, { input: { node: options.profile.node, ask } })
  }

  /** Resolves once the node has joined and bids. */
  async start(): Promise<void> {
    const { bus, subjects, partition, definitions } = this.options
    this.subscriptions.push(
      bus.subscribe(subjects.leading('scheduler'), () => this.bid()),
      bus.subscribe(subjects.call(partition), ({ data }) => this.called(data)),
      // Once for the process.
      ...(partition === 0 ? answerValidation(bus, subjects, definitions, this.keyring) : []),
    )
    this.timers.push(setInterval(() => this.beat(), bidEveryMs))
    this.timers.push(setInterval(() => this.reportRunning(), runningEveryMs))
    this.timers.push(setInterval(() => this.journal?.write([[kind.alive]]), aliveEveryMs))
    this.time.start()
    this.actor.start()
    await this.ready.promise
  }

  /** Hands its tasks back and leaves. Resolves when it has left, at the latest some seconds after `drainMs`. */
  async drain(): Promise<void> {
    this.actor.send({ type: 'DRAIN' })
    await this.gone.promise
  }

  get slots(): Turns['slots'] {
    return this.turns.slots
  }

  get status(): string {
    return this.actor.getSnapshot().value as string
  }

  // --- what a turn asks of its node (TurnHost) ---------------------------------------------------------------------

  nowMs(): number {
    return this.time.nowMs()
  }

  nowAtMostMs(): number {
    return this.time.nowAtMostMs()
  }

  commit(entries: readonly JournalEntry[], onStored?: () => void): void {
    this.write(entries, onStored)
  }

  ended(turn: Turn, completed: boolean): void {
    const lastedMs = this.turns.ended(turn)
    if (lastedMs === undefined) return
    this.options.balance.taskEnded(turn.type, lastedMs)
    if (completed) this.completions.completed(turn.type, lastedMs)
  }

  storeObject(data: Uint8Array): Promise<string> {
    return this.options.objects.put(data)
  }

  async loadObject(name: string): Promise<Uint8Array> {
    const data = await this.options.objects.get(name)
    if (data === undefined)
      throw new TroupeError('TROUPE_UNREADABLE', `the large value ${name} is not in the object store`)
    return data
  }

  async ask(id: string): Promise<TaskAnswer> {
    const subject = this.options.subjects.task(id)
    const answer = await this.options.bus.request(subject, new Uint8Array(0))
    return openedAnswer(this.keyring, readAnswer<TaskAnswer>(answer, subject))
  }

  gap(turn: Turn, sequence: number): void {
    this.report(['gap', turn.task, turn.turn, sequence])
  }

  // --- what the machine asks ----------------------------------------------------------------------------------------

  private carryOut(effect: NodeEffect): void {
    switch (effect.do) {
      case 'join':
        return this.join()
      case 'bid':
        // The machine is in its new state, which the bid states, once its actions have run.
        queueMicrotask(() => {
          this.bid()
          this.ready.resolve()
        })
        return
      case 'abort':
        return this.turns.abortAll(effect.reason)
      case 'wait':
        this.wait = setTimeout(() => this.actor.send({ type: 'RETRY' }), effect.ms)
        return
      case 'yield':
        // After the bid, so that what is declined does not come back.
        queueMicrotask(() => {
          if (this.status === 'draining') this.yieldAll()
        })
        return
      case 'leave':
        return this.leave()
      case 'gone':
        return this.close()
    }
  }

  private join(): void {
    const { log, subjects, partition, profile, bus, logger } = this.options
    this.incarnation = this.life.incarnation
    const { incarnation } = this
    const subject = subjects.journal(partition, profile.node, incarnation)
    const onFenced = (error: TroupeError) => this.life.end(incarnation, error)
    this.journal = new Journal({ log, subject, onFenced })
    const inbox = bus.subscribe(subjects.node(profile.node, incarnation), (message) => {
      if (incarnation !== this.incarnation) return inbox.unsubscribe()
      const unpacked = unpackNodeMessage(message.data)
      if (unpacked.ok) this.receive(unpacked.message, onFenced)
      else logger.warn({ reason: unpacked.reason }, 'a message to this node cannot be read')
    })
    this.write([[kind.joined, profile]], async () => {
      this.options.onIncarnation?.(incarnation)
      // Timers of tasks are due in log time; without it a clock that is wrong here would fire them early or late.
      await this.time.known
      if (incarnation !== this.incarnation) return
      logger.info({ incarnation, types: profile.types.length, slots: profile.slots }, 'joined')
      this.actor.send({ type: 'JOINED' })
    })
  }

  lifeEnded(incarnation: string, error: TroupeError): void {
    if (incarnation !== this.incarnation) return
    this.options.logger.warn({ incarnation, reason: error.message }, 'fenced: this incarnation is over')
    this.journal?.end(error)
    this.options.onIncarnation?.(undefined)
    this.actor.send({ type: 'FENCED', reason: error.message })
  }

  askedToDrain(): void {
    this.actor.send({ type: 'DRAIN' })
  }

  write(entries: readonly JournalEntry[], onStored?: () => void): number {
    return this.journal?.write(entries, onStored) ?? 0
  }

  private receive(message: NodeMessage, onFenced: (error: TroupeError) => void): void {
    switch (message[0]) {
      case 'award':
        this.turns.awarded(message[2], message[3])
        return this.handBackExcess()
      case 'signal':
        this.turns.turnOf(message[1], message[2])?.signal(message[3])
        return
      case 'drop':
        for (const [id, turn, reason] of message[1]) this.turns.drop(id, turn, reason)
        return
      case 'yield':
        for (const [id, turn] of message[1]) this.turns.yieldOne(id, turn)
        return
      case 'begin':
        for (const [id, turn] of message[1]) this.turns.beginHeld(id, turn)
        return
      case 'release':
        return this.turns.release(message[1], message[2])
      case 'quote':
        void this.quote(message[1])
        return
      case 'drain':
        return this.life.drain()
      case 'fenced':
        onFenced(new TroupeError('TROUPE_FENCED', message[1]))
    }
  }

  private yieldAll(): void {
    const { drainMs = 5_000 } = this.options
    this.turns.yieldAll(Math.floor(drainMs / 2))
    this.drainDeadline = setTimeout(() => this.actor.send({ type: 'DEADLINE' }), drainMs)
    const check = setInterval(() => {
      if (this.turns.slots.running.size > 0 && this.status === 'draining') return
      clearInterval(check)
      this.actor.send({ type: 'EMPTY' })
    }, 5)
    this.timers.push(check)
  }

  private leave(): void {
    clearTimeout(this.drainDeadline)
    this.drainDeadline = setTimeout(() => this.actor.send({ type: 'DEADLINE' }), 3_000)
    this.write([[kind.left]], () => this.actor.send({ type: 'LEFT' }))
  }

  private close(): void {
    this.time.stop()
    for (const timer of this.timers) clearInterval(timer)
    clearTimeout(this.wait)
    clearTimeout(this.drainDeadline)
    for (const subscription of this.subscriptions) subscription.unsubscribe()
    this.journal?.end(new TroupeError('TROUPE_CLOSED', 'the node has left'))
    this.options.onIncarnation?.(undefined)
    this.ready.resolve()
    this.gone.resolve()
  }

  // --- reports ------------------------------------------------------------------------------------------------------

  report(report: NodeReport): void {
    const { bus, subjects, profile } = this.options
    bus.publish(subjects.report(profile.node, this.incarnation), packBlock(report))
  }

  private beat(): void {
    this.turns.expireReservations()
    if (this.share !== undefined) this.turns.decline(this.share.takeLapsing(), takenByOthers)
    this.bid(false)
  }

  /** Bids; unless asked to, only when there is something new to say. */
  bid(always = true): void {
    const { status } = this
    if (status !== 'ready' && status !== 'draining') return
    const { slots, room, freeQuantities } = this.turns
    const { running, held } = this.capacity.used()
    const { bid, load, contention } = this.options.balance.bid({ running, held, draining: status === 'draining' })
    const capacity = this.share?.creditsOf(bid.credits) ?? bid.credits - slots.reserved
    const credits = Math.max(0, Math.min(capacity, slots.running.size + room))
    const said = { ...bid, credits }
    const took = this.completions.untold(contention)
    const own = slots.running.size + slots.heldCount
    const now = { bid: said, busy: own, status, free: freeQuantities, took, atMs: performance.now() }
    if (!always && !isNews(this.lastBid, now, slots.slots)) return
    this.lastBid = now
    this.completions.told(took)
    this.report(['bid', said, load, slots.running.size, slots.heldCount, status, freeQuantities, took])
  }

  /** Of what was awarded here, another partition may have taken the place a moment before. */
  private handBackExcess(): void {
    if (this.share === undefined || this.slots.heldCount === 0) return
    const { running, held } = this.capacity.used()
    const { bid } = this.options.balance.bid({ running, held, draining: false })
    this.turns.decline(this.share.takeExcess(bid.credits), takenByOthers)
  }

  /** A scheduler calls for bids. */
  private called(data: Uint8Array): void {
    const { definitions, logger } = this.options
    try {
      const { types, tender } = parseJson(data) as CallForBids
      if (!definitions.some(({ type }) => types.includes(type))) return
      if (tender !== undefined) this.reserve(tender)
      this.bid()
    } catch (error) {
      logger.warn({ err: error }, 'a call for bids cannot be read')
    }
  }

  /** A scheduler asks what tasks cost here beyond the bid. */
  private async quote(tasks: readonly AskedTask[]): Promise<void> {
    const { incarnation } = this
    const quotes = await this.quoting.quotes(tasks)
    if (incarnation === this.incarnation) this.report(['quoted', quotes])
  }

  private reserve({ id, wants, ttlMs }: NonNullable<CallForBids['tender']>): void {
    if (this.status !== 'ready' && this.status !== 'draining') return
    const { places, reason } = this.turns.reserve(id, wants, ttlMs)
    this.report(['reserved', id, places, ttlMs, reason ?? ''])
  }

  /** All turns whose accept is stored, so that a ledger folded past the last block must know each of them. */
  private reportRunning(): void {
    const { journal, status } = this
    if (journal === undefined || (status !== 'ready' && status !== 'draining')) return
    const turns = this.turns.listed(journal.stored, journal.unstored())
    if (turns !== undefined) this.report(['running', journal.lastSequence, turns])
  }
}
