/**
 * A second reading of a log, written apart from the product's fold so that it can judge it: who owned which turn, what
 * counted, how each task ended. Slow and plain. Shares with the product only the two delay formulas and the numbers of
 * the kinds of entries. It does not know copies forward, for it never loses a value.
 */
import { unpack } from 'msgpackr'
import { restartAfter, retryDelayMs } from '../../../src/actors/ledger/delays.ts'
import { kind, type LogMessage } from '../../../src/protocol/entries.ts'
import { limits } from '../../../src/protocol/limits.ts'
import { defaultRestart, defaultRetry, type NodeProfile, type TaskProfile } from '../../../src/protocol/options.ts'
import { type GangOption, ReplayGangs } from './replay-gangs.ts'
import { type GroupLevel, ReplayGroups } from './replay-groups.ts'
import * as hedges from './replay-hedges.ts'
import { ReplayQueues } from './replay-queues.ts'
import { type KeepRules, ReplayRetention } from './replay-retention.ts'
import { ReplaySchedules } from './replay-schedules.ts'
import { type Placed, ReplayStrays } from './replay-strays.ts'

export type ReplayStatus =
  | 'blocked'
  | 'waiting'
  | 'held'
  | 'running'
  | 'parked'
  | 'completed'
  | 'failed'
  | 'cancelled'
  | 'expired'

export interface ReplayTurn {
  readonly turn: number
  readonly incarnation: string
  /** Log time and position of the accept. */
  readonly atMs: number
  readonly sequence: number
  readonly attempt: number
  /** How many tasks of its type have an owner now, this one included; counted only while types have limits. */
  readonly owned: number
}

export interface ReplaySignal {
  readonly sequence: number
  readonly id: string
  readonly value: unknown
}

export class ReplayTask {
  readonly id: string
  readonly partition: number
  readonly type: string
  readonly input: unknown
  readonly sequence: number
  readonly submittedAtMs: number
  readonly parent: string | undefined
  status: ReplayStatus = 'waiting'
  turn = 0
  attempt = 1
  owner: ReplayMember | undefined
  profile: TaskProfile | undefined
  dueAtMs = 0
  delayMs = 0
  turnAtMs = 0
  hedge: hedges.ReplayHedge | undefined
  deadlineAtMs: number | undefined
  wakeAtMs = 0
  onSignal = false
  awaited = new Set<string>()
  /** One of them is enough. */
  awaitsAny = false
  children = new Set<string>()
  /** It was cancelled because its parent failed. */
  returnsWithParent = false
  after = new Set<string>()
  consumed = 0
  pending: ReplaySignal[] = []
  restarts: number[] = []
  /** Ids of signals that are remembered, and the place at which it fails again and again. */
  readonly signalIds = new Set<string>()
  failing: { readonly at: string; readonly times: number } | undefined
  snapshotSequence = 0
  /** A dead letter that nothing can bring back. */
  isHopeless = false
  /** Only one of its key may come within so long. */
  unique: { readonly key: string; readonly withinMs: number } | undefined
  retries = 0
  /** It waits for others to end in any way. */
  afterEnd = false
  /** Nobody can ask for it any more. */
  isForgotten = false
  /** Every end that it had: an operator may let a dead letter run again. */
  readonly endings: { readonly status: ReplayStatus; readonly result: unknown; readonly error: string | undefined }[] =
    []
  /** Sequence and index of the entry that ended it. */
  outcome: string | undefined
  endedAtMs = 0
  result: unknown
  error: string | undefined
  readonly turns: ReplayTurn[] = []
  /** Values of counted checkpoints of an async function, with the turn that made them. */
  readonly checkpoints: { readonly value: unknown; readonly turn: number }[] = []
  readonly signals: ReplaySignal[] = []

  constructor(born: Pick<ReplayTask, 'id' | 'partition' | 'type' | 'input' | 'sequence' | 'submittedAtMs' | 'parent'>) {
    this.id = born.id
    this.partition = born.partition
    this.type = born.type
    this.input = born.input
    this.sequence = born.sequence
    this.submittedAtMs = born.submittedAtMs
    this.parent = born.parent
  }

  get ended(): boolean {
    return ['completed', 'failed', 'cancelled', 'expired'].includes(this.status)
  }

  /** The number by which a submission is known; undefined for inputs of another form. */
  get mark(): number | undefined {
    const input = decoded(this.input) as { mark?: unknown } | null | undefined
    return typeof input?.mark === 'number' ? input.mark : undefined
  }
}

export interface ReplayMember {
  readonly incarnation: string
  readonly node: string
  readonly subject: string
  readonly types: ReadonlyMap<string, TaskProfile>
}

type Entry = readonly [kind: number, ...rest: unknown[]]

export function decoded(payload: unknown): unknown {
  if (payload === null || payload === undefined) return undefined
  if (typeof payload === 'string') return JSON.parse(payload)
  return payload instanceof Uint8Array ? (unpack(payload) as unknown) : payload
}

/** Which of how many partitions a log is of. */
interface LogPlace {
  readonly partition: number
  readonly partitions: number
}

/** Large values by their names. */
export type Objects = ReadonlyMap<string, Uint8Array>

export class Replay {
  /** Those that are readable; one that was forgotten makes room for another of its id. */
  readonly tasks = new Map<string, ReplayTask>()
  /** All that there ever were. */
  readonly all: ReplayTask[] = []
  readonly queues = new ReplayQueues()
  readonly schedules = new ReplaySchedules()
  /** Failures of attempts in their order: task, and the sequence of the event on which it failed, 0 for none. */
  readonly failedOn: { readonly id: string; readonly event: number }[] = []
  readonly gangs = new ReplayGangs()
  readonly groups = new ReplayGroups()
  readonly strays: ReplayStrays
  /** Submissions that named the id of another. */
  readonly conflicts: { readonly id: string; readonly sequence: number }[] = []
  /** Each incarnation, with the log times between which it lived. */
  readonly lives: { readonly node: string; readonly incarnation: string; readonly fromMs: number; toMs: number }[] = []
  /** Blocks that the broker stored on a journal behind its fence. */
  readonly storedAfterFence: { readonly subject: string; readonly sequence: number }[] = []
  timeMs = 0
  position = 0
  private readonly live = new Map<string, ReplayMember>()
  /** Number of the last block of each journal: one that comes again does not count. */
  private readonly blocks = new Map<string, number>()
  private readonly dead = new Set<string>()
  private readonly fenced = new Set<string>()
  /** Who waits for the end of a task: as one that comes after it, or as its parent. */
  private readonly waiters = new Map<string, Set<ReplayTask>>()
  private readonly retention = new ReplayRetention()
  private readonly ending: (() => unknown)[] = []
  private readonly objects: Objects
  private epoch = 0
  private leader = ''

  constructor(objects: Objects = new Map(), { partition, partitions }: LogPlace = { partition: 0, partitions: 1 }) {
    this.objects = objects
    this.strays = new ReplayStrays(partition, partitions)
  }

  /** Folds messages up to `position`. */
  static of(
    log: readonly LogMessage[],
    objects?: Objects,
    position = Number.POSITIVE_INFINITY,
    place?: LogPlace,
  ): Replay {
    const replay = new Replay(objects, place)
    for (const message of log) if (message.sequence <= position) replay.fold(message)
    return replay
  }

  fold(message: LogMessage): void {
    this.position = message.sequence
    this.timeMs = Math.max(this.timeMs, message.timestampMs)
    const rest = message.subject.split('.').slice(2)
    const tokens = rest[0] === 'partition' ? rest.slice(2) : rest
    if (tokens[0] === 'submit') {
      const type = tokens[1] ?? ''
      const options = optionsOf(message)
      if (!this.strays.landed(this.position, type, options))
        this.submit(type, Buffer.from(message.data).toString(), options, -1)
    } else if (tokens[0] === 'block') {
      const [, submissions] = unpack(message.data) as [number, [string, Uint8Array | null, Options?][]]
      for (const [index, [type, input, options]] of submissions.entries())
        this.submit(type, input, options ?? {}, index)
      const block = submissions.map(([type, , options = {}]) => ({ type, options }))
      this.strays.placed(this.position, block)
    } else if (tokens[0] === 'signal') {
      const value = headersSayPacked(message) ? decoded(message.data) : JSON.parse(Buffer.from(message.data).toString())
      this.signal(tokens[1] ?? '', message.headers?.get('troupe-id') ?? '', value)
    } else if (tokens[0] === 'journal') this.journal(message, tokens[2] ?? '', tokens[3] ?? '')
    else if (tokens[0] === 'control') this.control(message, tokens[2] ?? '')
    else if (tokens[0] === 'forward') this.forward(message, Number(tokens[1]))
    for (const task of this.retention.overdue(this.timeMs)) this.forget(task)
  }

  private forget(task: ReplayTask): void {
    task.isForgotten = true
    this.tasks.delete(task.id)
    this.tasks.get(task.parent ?? '')?.children.delete(task.id)
    this.letChildrenGo(task)
  }

  /** Nobody can let the parent run again, and so nobody can let them. */
  private letChildrenGo(parent: ReplayTask): void {
    for (const child of this.childrenOf(parent)) {
      if (!child.returnsWithParent) continue
      this.retention.leave(child)
      child.returnsWithParent = false
      this.letChildrenGo(child)
      this.retention.ended(child)
    }
  }

  private childrenOf({ id: parent, children }: ReplayTask): ReplayTask[] {
    const known = [...children].map((id) => this.tasks.get(id))
    return known.filter((child) => child !== undefined).filter((child) => child.parent === parent)
  }

  /** The value itself, where a reference to a large one stands. */
  private fetched(payload: unknown): unknown {
    return Array.isArray(payload) ? this.objects.get(String(payload[0])) : payload
  }

  /** Returns the new task; undefined if it is there already. `isNeeded`: what was taken before needs it, so it is taken. */
  private submit(
    type: string,
    given: unknown,
    options: Options,
    index: number,
    parent?: string,
    isNeeded = parent !== undefined,
    named?: string,
  ): ReplayTask | undefined {
    const input = this.fetched(given)
    const { partition } = this.strays
    const reference = index < 0 ? `${partition}-${this.position}` : `${partition}-${this.position}-${index}`
    const id = options.id ?? named ?? reference
    const known = this.tasks.get(id)
    if (known !== undefined) {
      if (known.type !== type || !sameBytes(known.input, input)) this.conflicts.push({ id, sequence: this.position })
      return undefined
    }
    const born = { id, partition, type, input, sequence: this.position, submittedAtMs: this.timeMs, parent }
    const task = new ReplayTask(born)
    task.delayMs = options.delayMs ?? 0
    if (task.delayMs > 0) task.dueAtMs = this.timeMs + task.delayMs
    task.deadlineAtMs = options.deadlineAtMs
    const isFull = !isNeeded && this.queues.isFull(type, this.tasks.values())
    this.tasks.set(id, task)
    this.all.push(task)
    if (parent !== undefined) this.tasks.get(parent)?.children.add(id)
    const fit = options.gang === undefined ? 'joined' : this.gangs.join(task, options.gang, this.position)
    if (fit !== 'joined') {
      task.isHopeless = fit === 'conflict'
      this.terminate(
        task,
        'failed',
        index,
        undefined,
        fit === 'conflict' ? 'TROUPE_GANG_CONFLICT' : 'TROUPE_GANG_BROKEN',
      )
      return task
    }
    const { unique } = options
    if (unique !== undefined) task.unique = { key: `${type}/${unique.key ?? ''}`, withinMs: unique.withinMs }
    if (isFull) {
      for (const other of options.after ?? []) if (this.tasks.get(other)?.status !== 'completed') task.after.add(other)
      this.terminate(task, 'failed', index, undefined, 'TROUPE_QUEUE_FULL')
    } else if (unique && this.queues.hasRival(id, type, unique.key ?? '', unique.withinMs, this.timeMs)) {
      this.terminate(task, 'cancelled', index, undefined, 'TROUPE_NOT_UNIQUE')
    } else this.await(task, options.after ?? [], index)
    if (options.group !== undefined && !task.ended) this.groups.join(task, options.group)
    return task
  }

  /** It waits for others to complete; one that has ended otherwise ends it at once. */
  private await(task: ReplayTask, after: readonly string[], index: number): void {
    const others = after.map((id) => this.tasks.get(id))
    if (others.some((other) => other?.ended && other.status !== 'completed')) {
      this.terminate(task, 'failed', index, undefined, 'TROUPE_DEPENDENCY_FAILED')
      return
    }
    for (const [at, id] of after.entries()) {
      if (others[at]?.status === 'completed') continue
      task.after.add(id)
      this.waitFor(id, task)
    }
    if (task.after.size > 0) task.status = 'blocked'
  }

  private waitFor(id: string, waiter: ReplayTask): void {
    const known = this.waiters.get(id)
    if (known === undefined) this.waiters.set(id, new Set([waiter]))
    else known.add(waiter)
  }

  private signal(to: string, signalId: string, value: unknown, wasBrought = false): void {
    const task = this.tasks.get(to)
    if (task === undefined && this.strays.partitions > 1 && !wasBrought)
      this.strays.signalled(this.position, { task: to, signalId, atMs: this.timeMs })
    if (task === undefined || task.ended) return
    if (signalId !== '' && task.signalIds.has(signalId)) return
    if (task.pending.length >= limits.signalsPerTaskMax) return
    if (signalId !== '') task.signalIds.add(signalId)
    if (task.signalIds.size > limits.signalsPerTaskMax) task.signalIds.delete([...task.signalIds][0]!)
    const signal = { sequence: this.position, id: signalId, value }
    task.signals.push(signal)
    task.pending.push(signal)
    if (task.status === 'parked' && task.onSignal) this.ready(task, 0)
  }

  /** What the leader of another partition has brought. */
  private forward(message: LogMessage, from: number): void {
    if (!(from >= 0 && from < this.strays.partitions)) return
    const [, entries] = unpack(message.data) as [number, Entry[]]
    for (const [index, entry] of entries.entries()) {
      if (entry[0] === kind.broughtSignal) {
        this.strays.broughtSignals.add(`${String(entry[1])} ${String(entry[2])}`)
        this.signal(String(entry[1]), String(entry[2]), decoded(entry[3]), true)
        continue
      }
      const [, sequence, type, input, options] = entry as [number, number, string, unknown, Options]
      if (!this.strays.cameFrom(from, sequence)) continue
      this.submit(type, input, options, index, undefined, false, `${from}-${sequence}`)
      this.strays.placed(this.position, [{ type, options }])
    }
  }

  // --- nodes ------------------------------------------------------------------------------------------------------

  private journal(message: LogMessage, node: string, incarnation: string): void {
    const [, number, entries] = unpack(message.data) as [number, number, Entry[]]
    const isRepeated = number > 0 && number <= (this.blocks.get(message.subject) ?? 0)
    if (isRepeated && this.live.has(incarnation)) return
    this.blocks.set(message.subject, number)
    const isFence = entries.length === 1 && entries[0]?.[0] === kind.fenced
    if (!isFence && this.fenced.has(message.subject)) {
      this.storedAfterFence.push({ subject: message.subject, sequence: message.sequence })
    }
    for (const [index, entry] of entries.entries()) {
      const member = this.live.get(incarnation)
      if (entry[0] === kind.joined) this.join(message.subject, node, incarnation, entry[1] as NodeProfile)
      else if (entry[0] === kind.fenced) {
        this.fenced.add(message.subject)
        this.end(incarnation, 'fenced')
        this.dead.add(incarnation)
      } else if (member === undefined) continue
      else if (entry[0] === kind.left) this.end(incarnation, 'left')
      else if (entry[0] === kind.submitted) this.child(member, entry, index)
      else if (entry[0] >= kind.accepted && entry[0] <= kind.failed) this.turn(member, entry, index)
    }
  }

  private join(subject: string, node: string, incarnation: string, profile: NodeProfile): void {
    if (this.live.has(incarnation) || this.dead.has(incarnation)) return
    for (const other of [...this.live.values()]) if (other.node === node) this.end(other.incarnation, 'fenced')
    const types = new Map(profile.types.map((type) => [type.type, type]))
    this.live.set(incarnation, { incarnation, node, subject, types })
    this.lives.push({ node, incarnation, fromMs: this.timeMs, toMs: Number.POSITIVE_INFINITY })
  }

  private end(incarnation: string, how: 'left' | 'fenced'): void {
    const member = this.live.get(incarnation)
    if (member === undefined) return
    this.live.delete(incarnation)
    this.dead.add(incarnation)
    for (const life of this.lives) if (life.incarnation === incarnation) life.toMs = this.timeMs
    for (const task of this.tasks.values()) {
      if (hedges.loses(task, member) || task.owner !== member) continue
      const isHeld = task.status === 'held'
      if (how === 'left' || isHeld) this.ready(task, 0)
      else this.restart(task)
      if (!isHeld && !task.ended) for (const other of this.gangs.lost(task)) this.ready(other, 0)
    }
  }

  private restart(task: ReplayTask): void {
    const { times, delayMs } = restartAfter(task.profile?.restart ?? defaultRestart, task.restarts, this.timeMs)
    task.restarts = times
    const code = 'TROUPE_RESTART_INTENSITY'
    if (this.groups.mindsNodes(task) && this.supervise(task, 0, code, delayMs)) return
    if (delayMs === undefined) this.terminate(task, 'failed', 0, undefined, code)
    else this.ready(task, delayMs === 0 ? 0 : this.timeMs + delayMs)
  }

  /** Does what the groups of a failed task say; false if it has none. `delayMs` undefined: it has had its chances. */
  private supervise(task: ReplayTask, index: number, code: string, delayMs: number | undefined): boolean {
    const verdict = this.groups.failed(task, delayMs !== undefined, this.timeMs, this.position)
    if (verdict?.what === 'lost') this.terminate(task, 'failed', index, undefined, code)
    else if (verdict?.what === 'end') {
      for (const one of verdict.tasks) this.terminate(one, 'failed', index, undefined, 'TROUPE_GROUP_FAILED')
    } else if (verdict?.what === 'restart') {
      const dueAtMs = this.timeMs + Math.max(delayMs ?? 0, verdict.delayMs)
      for (const one of verdict.tasks) {
        if (verdict.fresh) {
          one.attempt = 1
          one.restarts = []
        }
        if (one !== task && !isInterrupted(one, verdict.anew)) continue
        if (one !== task && one.owner === undefined) one.turn++
        if (verdict.anew) one.checkpoints.length = 0
        this.ready(one, one.status === 'waiting' ? Math.max(one.dueAtMs, dueAtMs) : dueAtMs)
      }
    }
    return verdict !== undefined
  }

  private owns(member: ReplayMember, id: unknown, turn: unknown): ReplayTask | undefined {
    const task = this.tasks.get(String(id))
    return task?.status === 'running' && hedges.holds(task, member, turn) ? task : undefined
  }

  private child(member: ReplayMember, entry: Entry, index: number): void {
    const [, parent, turn, type, input, options] = entry as [number, string, number, string, Uint8Array | null, Options]
    const task = this.owns(member, parent, turn)
    if (task === undefined) return
    hedges.commits(task, member)
    this.submit(type, input, options, index, parent)
  }

  // --- turns ------------------------------------------------------------------------------------------------------

  private turn(member: ReplayMember, entry: Entry, index: number): void {
    if (entry[0] === kind.accepted) return this.accept(member, entry)
    const task = this.owns(member, entry[1], entry[2])
    if (task === undefined) return
    const givesUp = entry[0] === kind.failed || (entry[0] === kind.yielded && entry[3] === null)
    if (givesUp && hedges.loses(task, member)) return
    if (entry[0] !== kind.progressed && !givesUp) hedges.commits(task, member)
    switch (entry[0]) {
      case kind.checkpointed:
        this.noteSnapshot(task, entry[3])
        this.consume(task, Number(entry[4]))
        break
      case kind.parked:
        this.park(task, entry)
        break
      case kind.yielded:
        if (entry[3] !== null) {
          this.noteSnapshot(task, entry[3])
          this.consume(task, Number(entry[4]))
        }
        this.ready(task, 0)
        break
      case kind.completed:
        this.terminate(task, 'completed', index, decoded(this.fetched(entry[3])), undefined)
        break
      case kind.failed: {
        const { code } = entry[3] as { code: string }
        if (entry[4] === true && this.isPoisoned(task, code, Number(entry[5] ?? 0))) {
          this.fail(task, index, 'TROUPE_POISONED', false)
        } else this.fail(task, index, code, entry[4] === true)
        break
      }
      default:
    }
  }

  private accept(member: ReplayMember, entry: Entry): void {
    const task = this.tasks.get(String(entry[1]))
    if (task === undefined || entry[2] !== task.turn + 1) return
    const isDue =
      (task.status === 'waiting' && task.dueAtMs <= this.timeMs) ||
      (task.status === 'parked' && task.wakeAtMs > 0 && task.wakeAtMs <= this.timeMs)
    const profile = member.types.get(task.type)
    if (hedges.accepts(task, member, this.timeMs)) this.noteTurn(task, member, task.turn + 1)
    if (!isDue || profile === undefined) return
    this.unpark(task)
    task.turn = Number(entry[2])
    task.owner = member
    task.profile = profile
    task.turnAtMs = this.timeMs
    if (!this.gangs.accepted(task, this.position, this.timeMs)) task.status = 'running'
    this.noteTurn(task, member, task.turn)
  }

  private noteTurn({ turns, type, attempt }: ReplayTask, { incarnation }: ReplayMember, turn: number): void {
    const owned = this.queues.spans.length === 0 ? 0 : this.ownedOf(type)
    turns.push({ turn, incarnation, atMs: this.timeMs, sequence: this.position, attempt, owned })
  }

  private ownedOf(type: string): number {
    let owned = 0
    for (const task of this.tasks.values()) if (task.type === type && task.owner !== undefined) owned++
    return owned
  }

  /** The third failure at one place: on the same event, or a crash in the same state. */
  private isPoisoned(task: ReplayTask, code: string, event: number): boolean {
    const isOnEvent = task.pending.some(({ sequence }) => sequence === event)
    this.failedOn.push({ id: task.id, event: isOnEvent ? event : 0 })
    const at = isOnEvent
      ? `event ${event}`
      : code === 'TROUPE_TASK_CRASHED'
        ? `state ${task.snapshotSequence}`
        : undefined
    const times = at !== undefined && task.failing?.at === at ? task.failing.times + 1 : 1
    task.failing = at === undefined ? undefined : { at, times }
    return at !== undefined && times >= 3
  }

  private noteSnapshot(task: ReplayTask, given: unknown): void {
    if (given !== null && given !== undefined) task.snapshotSequence = this.position
    const snapshot = this.fetched(given)
    const state = decoded(snapshot) as { kind?: string; checkpoint?: Uint8Array | null; era?: number } | undefined
    if (state?.kind !== 'function' || !state.era) return
    const value = decoded(state.checkpoint)
    if (task.checkpoints.at(-1)?.value !== value) task.checkpoints.push({ value, turn: task.turn })
  }

  private park(task: ReplayTask, entry: Entry): void {
    const [, , , snapshot, consumed, wakeAtMs, onSignal, children, anyChild = false] = entry as [
      number,
      string,
      number,
      unknown,
      number,
      number,
      boolean,
      string[],
      boolean?,
    ]
    this.noteSnapshot(task, snapshot)
    this.consume(task, consumed)
    const awaited = children.filter((id) => this.tasks.get(id)?.ended === false)
    const isEnough = anyChild ? awaited.length < new Set(children).size : awaited.length === 0
    const isThere = (onSignal && task.pending.length > 0) || (children.length > 0 && isEnough)
    if (isThere || (wakeAtMs === 0 && !onSignal && awaited.length === 0)) return this.ready(task, 0)
    hedges.over(task)
    task.owner = undefined
    task.status = 'parked'
    task.wakeAtMs = wakeAtMs
    task.onSignal = onSignal
    task.awaited = new Set(awaited)
    task.awaitsAny = anyChild
    for (const id of awaited) this.waitFor(id, task)
  }

  private consume(task: ReplayTask, consumed: number): void {
    task.pending = task.pending.filter(({ sequence }) => sequence > consumed)
  }

  private unpark(task: ReplayTask): void {
    task.wakeAtMs = 0
    task.onSignal = false
    task.awaited.clear()
  }

  private ready(task: ReplayTask, dueAtMs: number): void {
    this.unpark(task)
    hedges.over(task)
    task.owner = undefined
    task.status = 'waiting'
    task.dueAtMs = dueAtMs
  }

  private fail(task: ReplayTask, index: number, code: string, retryable: boolean): void {
    const policy = task.profile?.retry ?? defaultRetry
    if (!retryable) return this.terminate(task, 'failed', index, undefined, code)
    const hasMore = task.attempt < policy.attempts
    const delayMs = hasMore ? retryDelayMs(policy, task.attempt, task.id, task.turn) : undefined
    if (hasMore) task.attempt++
    if (this.supervise(task, index, code, delayMs)) return
    if (delayMs === undefined) this.terminate(task, 'failed', index, undefined, code)
    else this.ready(task, this.timeMs + delayMs)
  }

  /** The task ends, and then, one after another, those that end because of it. */
  private terminate(
    task: ReplayTask,
    status: ReplayStatus,
    index: number,
    result: unknown,
    error: string | undefined,
    withParent = false,
  ): void {
    const { ending } = this
    ending.push(() => task.ended || this.endOne(task, status, index, result, error, withParent))
    if (ending.length > 1) return
    for (let at = 0; at < ending.length; at++) ending[at]!()
    ending.length = 0
  }

  private endOne(
    task: ReplayTask,
    status: ReplayStatus,
    index: number,
    result: unknown,
    error: string | undefined,
    withParent: boolean,
  ): void {
    this.unpark(task)
    hedges.over(task)
    task.owner = undefined
    task.status = status
    task.outcome = `${this.position}/${index}`
    task.endedAtMs = this.timeMs
    task.result = result
    task.error = error
    task.endings.push({ status, result, error })
    task.returnsWithParent = withParent
    if (status === 'completed') task.snapshotSequence = 0
    const parent = this.tasks.get(task.parent ?? '')
    if (parent === undefined || parent.ended) this.retention.ended(task)
    const isLost = (status === 'failed' || status === 'expired') && error !== 'TROUPE_GROUP_FAILED'
    const needing = isLost ? this.groups.needing(task, this.position) : []
    this.groups.leave(task)
    for (const other of needing) this.terminate(other, 'failed', index, undefined, 'TROUPE_GROUP_FAILED')
    for (const id of task.children) {
      const child = this.tasks.get(id)
      if (child?.ended) this.retention.ended(child)
      else if (child !== undefined && status !== 'completed') {
        const mayReturn = (status === 'failed' && !task.isHopeless) || withParent
        this.terminate(child, 'cancelled', index, undefined, 'TROUPE_TASK_CANCELLED', mayReturn)
      }
    }
    const waiters = this.settle(task.id, status, index)
    for (const other of this.gangs.ended(task, this.timeMs, this.position)) {
      if (!other.ended) this.terminate(other, 'failed', index, undefined, 'TROUPE_GANG_BROKEN')
    }
    for (const other of waiters) {
      const isEnough = other.awaited.delete(task.id) && (other.awaited.size === 0 || other.awaitsAny)
      if (isEnough && other.status === 'parked') this.ready(other, 0)
    }
  }

  /** Those that come after a task go on, or end; returns all that waited for it. */
  private settle(id: string, status: string, index: number): Iterable<ReplayTask> {
    const waiters = this.waiters.get(id) ?? []
    this.waiters.delete(id)
    for (const other of waiters) {
      if (other.status !== 'blocked' || !other.after.has(id)) continue
      if (status !== 'completed' && !other.afterEnd)
        this.terminate(other, 'failed', index, undefined, 'TROUPE_DEPENDENCY_FAILED')
      else if (other.after.delete(id) && other.after.size === 0) other.status = 'waiting'
    }
    return waiters
  }

  // --- leaders ----------------------------------------------------------------------------------------------------

  private control(message: LogMessage, scheduler: string): void {
    const [, epoch, entries] = unpack(message.data) as [number, number, Entry[]]
    for (const [index, entry] of entries.entries()) {
      if (entry[0] === kind.led) {
        this.epoch = this.position
        this.leader = scheduler
        this.retention.rules = entry[1] as KeepRules
      } else if (epoch === this.epoch && scheduler === this.leader) this.decide(entry, index)
    }
  }

  private decide(entry: Entry, index: number): void {
    if (entry[0] === kind.ungathered) {
      for (const held of this.gangs.ungathered(String(entry[1]), Number(entry[2]))) this.ready(held, 0)
      return
    }
    if (entry[0] === kind.limited) {
      this.queues.limit(String(entry[1]), entry[2] as object | null, this.position, this.timeMs)
      return
    }
    if (entry[0] === kind.scheduled || entry[0] === kind.fired || entry[0] === kind.missed) {
      this.schedule(entry, index)
      return
    }
    if (entry[0] === kind.forwarded) {
      this.strays.forwarded.set(Number(entry[1]), Number(entry[2]))
      return
    }
    if (entry[0] === kind.astray) {
      this.strays.lookedFor(Number(entry[1]), entry[3] === true)
      return
    }
    if (entry[0] === kind.settled) return this.settled(String(entry[1]), String(entry[2]), index)
    const task = this.tasks.get(String(entry[1]))
    if (task === undefined) return
    if (entry[0] === kind.retried) this.retry(task, entry[2] === true)
    if (entry[0] === kind.removed && task.ended) {
      this.retention.leave(task)
      this.forget(task)
    }
    if (entry[0] === kind.revoked && task.turn === entry[2] && task.status === 'held') this.ready(task, 0)
    if (entry[0] === kind.hedged) hedges.open(task, entry[2])
    if (entry[0] === kind.revoked && task.status === 'running' && hedges.revoked(task, entry[2])) return
    const isTurn = task.status === 'running' && task.turn === entry[2]
    const timeoutMs = task.profile?.timeoutMs ?? 0
    if (entry[0] === kind.revoked && isTurn) {
      this.ready(task, 0)
      for (const other of this.gangs.lost(task)) this.ready(other, 0)
    }
    if (entry[0] === kind.lost && !task.ended && task.status !== 'running' && task.turn === entry[2]) {
      task.isHopeless = true
      this.terminate(task, 'failed', index, undefined, 'TROUPE_VALUES_LOST')
    } else if (entry[0] === kind.cancelled && !task.ended) {
      this.terminate(task, 'cancelled', index, undefined, 'TROUPE_TASK_CANCELLED')
    } else if (entry[0] === kind.expired && !task.ended && (task.deadlineAtMs ?? Infinity) <= this.timeMs) {
      this.terminate(task, 'expired', index, undefined, 'TROUPE_TASK_EXPIRED')
    } else if (entry[0] === kind.timedOut && isTurn && timeoutMs > 0 && task.turnAtMs + timeoutMs <= this.timeMs) {
      if (!hedges.revoked(task, entry[2])) this.fail(task, index, 'TROUPE_TIMEOUT', true)
    }
  }

  /** A task of another partition has ended. */
  private settled(id: string, status: string, index: number): void {
    if (this.tasks.has(id) || !this.waiters.has(id)) return
    this.strays.settled.push({ id, status })
    this.settle(id, status, index)
  }

  /** A dead letter of a task that is in no gang and no group runs again. */
  private retry(task: ReplayTask, skipsEvent: boolean): void {
    if (task.status !== 'failed' || task.isHopeless) return
    if (skipsEvent) {
      const at = task.pending.findIndex(({ sequence }) => `event ${sequence}` === task.failing?.at)
      task.pending.splice(Math.max(0, at), 1)
    }
    this.runAgain(task, 0)
  }

  /** With those of its children that were cancelled because it had failed. */
  private runAgain(task: ReplayTask, dueAtMs: number): void {
    this.retention.leave(task)
    task.returnsWithParent = false
    task.retries++
    task.attempt = 1
    task.restarts = []
    task.failing = undefined
    task.deadlineAtMs = undefined
    task.outcome = undefined
    const unmet = [...task.after].filter((id) => this.tasks.get(id)?.status !== 'completed')
    task.after.clear()
    this.ready(task, dueAtMs)
    for (const id of unmet) {
      task.after.add(id)
      this.waitFor(id, task)
      task.status = 'blocked'
    }
    for (const child of this.childrenOf(task)) {
      if (child.returnsWithParent) this.runAgain(child, child.dueAtMs)
      else if (child.ended) this.retention.leave(child)
    }
  }

  private schedule(entry: Entry, index: number): void {
    const [what, name, a, b, c] = entry as [number, string, unknown, unknown, unknown]
    if (what === kind.scheduled) {
      this.strays.scheduled(name)
      this.schedules.set(name, a as Parameters<ReplaySchedules['set']>[1], Number(entry[4]), this.position)
    } else if (what === kind.missed) this.schedules.missed(name, Number(a), Number(b), this.timeMs, entry[4])
    else {
      const firing = this.schedules.fired(name, Number(a), Number(b), this.timeMs, entry[5], (earlier) => {
        if (!earlier.ended) this.terminate(earlier, 'cancelled', index, undefined, 'TROUPE_TASK_CANCELLED')
      })
      if (firing?.what !== 'make') return
      const made = this.submit(firing.type, c, firing.options as Options, index, undefined, true)
      if (made !== undefined) made.afterEnd = true
      this.schedules.made(name, this.tasks.get(firing.id)!)
    }
  }
}

interface Options extends Placed {
  readonly delayMs?: number
  readonly deadlineAtMs?: number
  readonly gang?: GangOption
  readonly group?: readonly GroupLevel[]
  readonly unique?: { readonly key?: string; readonly withinMs: number }
}

/** It has begun, and does not just rest at its snapshot. */
function isInterrupted({ status, turns }: ReplayTask, anew: boolean): boolean {
  return status === 'running' || (anew && turns.length > 0 && status !== 'blocked')
}

/** Of a plain client's message, as far as those on trial use them; times are in whole ms. */
function optionsOf({ headers }: LogMessage): Options {
  const given = (name: string) => headers?.get(`troupe-${name}`)
  const [id, delay, after, unique] = [given('id'), given('delay'), given('after'), given('unique')]
  return {
    ...(id !== undefined && { id }),
    ...(delay !== undefined && { delayMs: Number.parseInt(delay, 10) }),
    ...(after !== undefined && { after: [after] }),
    ...(unique !== undefined && { unique: { key: given('unique-key')!, withinMs: Number.parseInt(unique, 10) } }),
  }
}

function headersSayPacked({ headers }: LogMessage): boolean {
  return headers?.get('content-type') === 'application/msgpack'
}

function sameBytes(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  return a === b
}
