/**
 * One node process: carries out what the node machine decides. Owns the incarnation's journal, subscriptions and turns.
 * An award is answered by handing `accepted` to the journal and running at once; the log says later whose turn it was.
 */
import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import { createActor } from 'xstate'
import { type NodeEffect, nodeMachine } from '../../actors/node/node.ts'
import { Quantities } from '../../actors/node/quantities.ts'
import { Slots } from '../../actors/node/slots.ts'
import { StartPace } from '../../actors/node/start-pace.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import type { Bus, Log, ObjectStore, Subscription } from '../../nats/bus.ts'
import { packBlock, unpackNodeMessage } from '../../protocol/blocks.ts'
import { type JournalEntry, kind } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { AwardedTask, NodeMessage, TaskAnswer } from '../../protocol/messages.ts'
import type { NodeProfile } from '../../protocol/options.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { LogTime } from '../ledger/log-time.ts'
import { startTurn, type Turn, type TurnHost } from '../tasks/turn.ts'
import type { Balance } from './balance.ts'
import { Journal } from './journal.ts'
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
  readonly logger: Logger
  /** How long a drain waits for turns to yield before it leaves without them. Default 5,000. */
  readonly drainMs?: number
  /** A new incarnation began, or none is live any more; the heartbeat thread follows. */
  readonly onIncarnation?: (incarnation: string | undefined) => void
}

interface Run {
  readonly number: number
  turn: Turn | undefined
  /** Counts writes to the journal; the accept is stored once as many have been. */
  readonly ticket: number
  readonly startedAtMs: number
}

const bidEveryMs = 250
/** A turn that is to make room for another may take this long to its next boundary: no work is lost for it. */
const boundaryMsMax = 24 * 3_600_000
const runningEveryMs = 1_000
const aliveEveryMs = 60_000
/** Turns started in one go, and for how long, before the event loop gets a chance. */
const startsAtOnce = 256
const sliceMs = 10

export class NodeService implements TurnHost {
  readonly namespace: string
  readonly log: Logger
  readonly slots: Slots<Run>
  private readonly quantities: Quantities
  incarnation = ''
  private readonly options: NodeServiceOptions
  private readonly time: LogTime
  private readonly definitions: ReadonlyMap<string, AnyTaskDefinition>
  private readonly actor
  private journal: Journal | undefined
  private written = 0
  private stored = 0
  private pumping = false
  private sliceEnd: number | undefined
  private subscriptions: Subscription[] = []
  private timers: NodeJS.Timeout[] = []
  private wait: NodeJS.Timeout | undefined
  private drainDeadline: NodeJS.Timeout | undefined
  private readonly pace = new StartPace()
  private readonly ready = Promise.withResolvers<void>()
  private readonly gone = Promise.withResolvers<void>()

  constructor(options: NodeServiceOptions) {
    this.options = options
    this.namespace = options.subjects.namespace
    this.log = options.logger
    this.time = new LogTime(options.log)
    this.slots = new Slots(options.profile.slots)
    this.quantities = new Quantities(options.profile.resources)
    this.definitions = new Map(options.definitions.map((definition) => [definition.type, definition]))
    const ask = (effect: NodeEffect) => this.carryOut(effect)
    this.actor = createActor(nodeMachine, { input: { node: options.profile.node, ask } })
  }

  /** Resolves once the node has joined and bids. */
  async start(): Promise<void> {
    const { bus, subjects } = this.options
    this.subscriptions.push(
      bus.subscribe(subjects.leading('scheduler'), () => this.bid()),
      ...answerValidation(bus, subjects, this.options.definitions),
    )
    this.timers.push(setInterval(() => this.bid(), bidEveryMs))
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

  get status(): string {
    return this.actor.getSnapshot().value as string
  }

  // --- what a turn asks of its node (TurnHost) ---------------------------------------------------------------------

  nowMs(): number {
    return this.time.nowMs()
  }

  commit(entries: readonly JournalEntry[], onStored?: () => void): void {
    this.write(entries, onStored)
  }

  ended(turn: Turn): void {
    const run = this.slots.running.get(turn.task)
    if (run === undefined || run.number !== turn.turn) return
    this.slots.running.delete(turn.task)
    this.quantities.give(turn.task)
    this.options.balance.taskEnded(turn.type, performance.now() - run.startedAtMs)
    this.pump()
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
    const answer = await this.options.bus.request(this.options.subjects.task(id), new Uint8Array(0))
    const body = JSON.parse(new TextDecoder().decode(answer.data)) as TaskAnswer & { error?: { code?: string } }
    if (body.id === undefined) throw new TroupeError('TROUPE_UNKNOWN_TASK', `task "${id}" is not known`)
    return body
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
        this.ready.resolve()
        return this.bid()
      case 'abort':
        return this.abortAll(effect.reason)
      case 'wait':
        this.wait = setTimeout(() => this.actor.send({ type: 'RETRY' }), effect.ms)
        return
      case 'yield':
        return this.yieldAll()
      case 'leave':
        return this.leave()
      case 'gone':
        return this.close()
    }
  }

  private join(): void {
    const { log, subjects, partition, profile, bus, logger } = this.options
    this.incarnation = randomBytes(8).toString('hex')
    const { incarnation } = this
    const subject = subjects.journal(partition, profile.node, incarnation)
    const onFenced = (error: TroupeError) => {
      if (incarnation !== this.incarnation) return
      logger.warn({ incarnation, reason: error.message }, 'fenced: this incarnation is over')
      this.options.onIncarnation?.(undefined)
      this.actor.send({ type: 'FENCED', reason: error.message })
    }
    this.journal = new Journal({ log, subject, onFenced })
    this.written = 0
    this.stored = 0
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

  private write(entries: readonly JournalEntry[], onStored?: () => void): number {
    const ticket = ++this.written
    const { incarnation } = this
    this.journal?.write(entries, () => {
      if (incarnation !== this.incarnation) return
      this.stored = ticket
      onStored?.()
    })
    return ticket
  }

  private receive(message: NodeMessage, onFenced: (error: TroupeError) => void): void {
    switch (message[0]) {
      case 'award':
        return this.awarded(message[2], message[3])
      case 'signal': {
        const turn = this.turnOf(message[1], message[2])
        turn?.signal(message[3])
        return
      }
      case 'drop':
        for (const [id, turn, reason] of message[1]) this.drop(id, turn, reason)
        return
      case 'yield':
        for (const [id, turn] of message[1]) this.turnOf(id, turn)?.yield(boundaryMsMax)
        return
      case 'drain':
        this.actor.send({ type: 'DRAIN' })
        return
      case 'fenced': {
        const error = new TroupeError('TROUPE_FENCED', message[1])
        this.journal?.end(error)
        onFenced(error)
      }
    }
  }

  // --- turns --------------------------------------------------------------------------------------------------------

  private awarded(ttlMs: number, tasks: readonly AwardedTask[]): void {
    if (this.status !== 'ready') {
      this.report(['declined', tasks.map((task) => [task[0], task[2], `the node is ${this.status}`] as const)])
      return
    }
    const expiresAtMs = Date.now() + ttlMs
    for (const task of tasks) this.slots.hold(task, expiresAtMs)
    this.pump()
  }

  /**
   * Starts what is held while slots are free, a few hundred at a time and for a few milliseconds: tasks that use the main
   * loop at length must not keep it from sending what the node has accepted and done, nor the rest from going elsewhere.
   */
  private pump(): void {
    if (this.pumping || this.status !== 'ready' || this.slots.heldCount === 0) return
    const endMs = this.sliceEndMs()
    this.pumping = true
    const nowMs = Date.now()
    for (let started = 0; started < startsAtOnce && performance.now() < endMs; started++) {
      const awarded = this.slots.next(nowMs)
      if (awarded === undefined) break
      this.startTurn(awarded)
    }
    this.pumping = false
  }

  /** Until when turns may be started before the event loop gets a chance; then the rest follows. */
  private sliceEndMs(): number {
    if (this.sliceEnd !== undefined) return this.sliceEnd
    this.sliceEnd = performance.now() + sliceMs
    setImmediate(() => {
      this.sliceEnd = undefined
      this.handBackExcess()
      // Without a free slot it would come back here at once, for as long as its turns last; a turn that ends pumps.
      if (this.slots.free > 0) this.pump()
    })
    return this.sliceEnd
  }

  /** What cannot start here soon is for others; the bid comes first, so that it does not come back. */
  private handBackExcess(): void {
    const { room } = this.pace
    if (this.slots.heldCount <= 2 * room || this.status !== 'ready') return
    this.bid()
    const excess = this.slots.takeHeld(room)
    this.report(['declined', excess.map((task) => [task[0], task[2], 'the main loop is busy with others'] as const)])
  }

  private startTurn(awarded: AwardedTask): void {
    const [id, type, number] = awarded
    const definition = this.definitions.get(type)
    const running = this.slots.running.has(id) ? 'an earlier turn has not ended here yet' : undefined
    const reason = definition && (running ?? this.quantities.take(id, definition.profile.resources))
    if (definition === undefined || reason !== undefined) {
      this.report(['declined', [[id, number, reason ?? `no task type "${type}" here`]]])
      return
    }
    // If a node may have choked on it, the log has to know that it is here before it can do so again.
    const careful = awarded[7]?.careful === true
    const onStored = careful ? () => this.beginCarefully(id, definition, awarded) : undefined
    const ticket = this.write([[kind.accepted, id, number]], onStored)
    const run: Run = { number, turn: undefined, ticket, startedAtMs: performance.now() }
    this.slots.running.set(id, run)
    if (!careful) this.begin(run, definition, awarded)
  }

  private beginCarefully(id: string, definition: AnyTaskDefinition, awarded: AwardedTask): void {
    const run = this.slots.running.get(id)
    if (run?.number !== awarded[2] || run.turn !== undefined) return
    if (this.status === 'ready') this.begin(run, definition, awarded)
    else {
      this.write([[kind.yielded, id, run.number, null, 0]])
      this.forget(id)
    }
  }

  /** Frees the slot of a turn that never began. */
  private forget(id: string): void {
    this.slots.running.delete(id)
    this.quantities.give(id)
    this.pump()
  }

  private begin(run: Run, definition: AnyTaskDefinition, awarded: AwardedTask): void {
    const startedAtMs = performance.now()
    // The turn may end before it is returned; `ended` has removed the run then.
    run.turn = startTurn(definition, awarded, this)
    this.pace.started(performance.now() - startedAtMs)
  }

  private turnOf(id: string, number: number): Turn | undefined {
    const run = this.slots.running.get(id)
    return run?.number === number ? run.turn : undefined
  }

  private drop(id: string, number: number, reason: string): void {
    if (this.slots.drop(id, number)) return
    const run = this.slots.running.get(id)
    if (run?.number === number && run.turn === undefined) this.forget(id)
    this.turnOf(id, number)?.abort(new TroupeError('TROUPE_FENCED', `turn ${number} of task "${id}": ${reason}`))
  }

  private abortAll(reason: string): void {
    this.slots.takeHeld()
    const error = new TroupeError('TROUPE_FENCED', reason)
    for (const run of [...this.slots.running.values()]) run.turn?.abort(error)
    this.slots.running.clear()
    this.quantities.clear()
  }

  private yieldAll(): void {
    const { drainMs = 5_000 } = this.options
    const held = this.slots.takeHeld()
    if (held.length > 0)
      this.report(['declined', held.map((task) => [task[0], task[2], 'the node is draining'] as const)])
    for (const run of [...this.slots.running.values()]) run.turn?.yield(Math.floor(drainMs / 2))
    this.drainDeadline = setTimeout(() => this.actor.send({ type: 'DEADLINE' }), drainMs)
    const check = setInterval(() => {
      if (this.slots.running.size > 0 && this.status === 'draining') return
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

  private report(report: Parameters<typeof packBlock>[0]): void {
    const { bus, subjects, profile } = this.options
    bus.publish(subjects.report(profile.node, this.incarnation), packBlock(report))
  }

  private bid(): void {
    const { status } = this
    if (status !== 'ready' && status !== 'draining') return
    const { running } = this.slots
    const { bid, load } = this.options.balance.bid({
      running: running.size,
      held: this.slots.heldCount,
      draining: status === 'draining',
    })
    const credits = Math.min(bid.credits, running.size + this.pace.room)
    const { heldCount } = this.slots
    this.report(['bid', { ...bid, credits }, load, running.size, heldCount, status, this.quantities.free])
  }

  /** All turns whose accept is stored, so that a ledger folded past the last block must know each of them. */
  private reportRunning(): void {
    if (this.status !== 'ready' && this.status !== 'draining') return
    const turns: [string, number][] = []
    for (const [id, run] of this.slots.running) {
      if (run.ticket <= this.stored) turns.push([id, run.number])
      if (turns.length > limits.rowsMax * 10) return
    }
    this.report(['running', this.journal?.lastSequence ?? 0, turns])
  }
}
