/**
 * The turns of a node in one partition: what is awarded is held until a slot is free, accepted, and run; what cannot run here
 * is handed back. It knows nothing of lives and fences; whoever owns it says when to stop.
 */
import { Reservations, type Reserved } from '../../actors/node/reservations.ts'
import { Slots } from '../../actors/node/slots.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import {
  type Completed,
  type Failed,
  type JournalEntry,
  kind,
  type Parked,
  type Yielded,
} from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { AwardedTask, NodeReport, RunningTurn, TypeCount } from '../../protocol/messages.ts'
import { startTurn, type Turn, type TurnHost } from '../tasks/turn.ts'
import type { Capacity, CapacityUser } from './capacity.ts'

/** What the turns need of their node. */
export interface TurnsOwner extends TurnHost {
  /** Takes new work: anything else hands it back. */
  readonly status: string
  /** Writes to the journal; returns the number of the write. */
  write(entries: readonly JournalEntry[], onStored?: () => void): number
  report(report: NodeReport): void
  bid(): void
}

interface Run {
  readonly number: number
  turn: Turn | undefined
  /** The accept is stored once as many writes have been. */
  readonly ticket: number
  readonly startedAtMs: number
  /** Accepted, but waits for its gang. */
  held: HeldTurn | undefined
}

interface HeldTurn {
  readonly definition: AnyTaskDefinition
  readonly awarded: AwardedTask
}

/** A turn that is to make room for another may take this long to its next boundary: no work is lost for it. */
const boundaryMsMax = 24 * 3_600_000
/** More turns than this are not listed: they are too many to be looked through each second. */
const listedMax = limits.rowsMax * 10

export class Turns implements CapacityUser {
  readonly slots: Slots<Run>
  private readonly owner: TurnsOwner
  private readonly capacity: Capacity
  private readonly reservations: Reservations
  private readonly definitions: ReadonlyMap<string, AnyTaskDefinition>
  /** Under it, its tasks take of the quantities: an id may be there in two partitions. */
  private readonly holder: string

  constructor(owner: TurnsOwner, capacity: Capacity, definitions: readonly AnyTaskDefinition[], partition: number) {
    this.owner = owner
    this.capacity = capacity
    this.holder = partition === 0 ? '' : `${partition} `
    this.slots = new Slots(capacity)
    this.reservations = new Reservations(capacity.quantities, this.holder)
    this.definitions = new Map(definitions.map((definition) => [definition.type, definition]))
    capacity.add(this)
  }

  /** Turns that can start soon on top of those that run. */
  get room(): number {
    return this.capacity.pace.room
  }

  /** Quantities that no turn has taken. */
  get freeQuantities(): Readonly<Record<string, number>> {
    return this.capacity.quantities.free
  }

  awarded(ttlMs: number, tasks: readonly AwardedTask[]): void {
    if (this.owner.status !== 'ready') {
      this.owner.report([
        'declined',
        tasks.map((task) => [task[0], task[2], `the node is ${this.owner.status}`] as const),
      ])
      return
    }
    const expiresAtMs = performance.now() + ttlMs
    for (const task of tasks) {
      const tender = task[7]?.tender
      if (tender === undefined) this.slots.hold(task, expiresAtMs)
      else this.startReserved(tender, task)
    }
    this.pump()
  }

  private pump(): void {
    if (this.owner.status === 'ready') this.capacity.pump()
  }

  startNext(nowMs: number): boolean {
    const awarded = this.owner.status === 'ready' ? this.slots.next(nowMs) : undefined
    if (awarded === undefined) return false
    this.startTurn(awarded)
    return true
  }

  sliceEnded(): void {
    this.handBackExcess()
  }

  /** Hands back what this keeps no place for. */
  decline(tasks: readonly AwardedTask[], reason: string): void {
    if (tasks.length === 0) return
    // The bid comes first, so that they do not come back.
    this.owner.bid()
    this.owner.report(['declined', tasks.map((task) => [task[0], task[2], reason] as const)])
  }

  /** What cannot start here soon is for others. */
  private handBackExcess(): void {
    const { room } = this
    if (this.slots.heldCount <= 2 * room || this.owner.status !== 'ready') return
    this.decline(this.slots.takeHeld(room), 'the main loop is busy with others')
  }

  private startTurn(awarded: AwardedTask): void {
    const [id, type, number, , , , , about] = awarded
    const definition = this.definitions.get(type)
    const running = this.slots.running.has(id) ? 'an earlier turn has not ended here yet' : undefined
    const reason =
      definition && (running ?? this.capacity.quantities.take(this.holder + id, definition.profile.resources))
    if (definition === undefined || reason !== undefined) {
      this.owner.report(['declined', [[id, number, reason ?? `no task type "${type}" here`]]])
      return
    }
    // If a node may have choked on it, the log has to know that it is here before it can do so again.
    const careful = about?.careful === true && !about.gang
    const onStored = careful ? () => this.beginCarefully(id, definition, awarded) : undefined
    const ticket = this.owner.write([[kind.accepted, id, number]], onStored)
    const run: Run = { number, turn: undefined, ticket, startedAtMs: performance.now(), held: undefined }
    if (about?.gang) run.held = { definition, awarded }
    this.slots.running.set(id, run)
    if (!careful && run.held === undefined) this.begin(run, definition, awarded)
  }

  private beginCarefully(id: string, definition: AnyTaskDefinition, awarded: AwardedTask): void {
    const run = this.slots.running.get(id)
    if (run?.number !== awarded[2] || run.turn !== undefined) return
    if (this.owner.status === 'ready') this.begin(run, definition, awarded)
    else {
      this.owner.write([[kind.yielded, id, run.number, null, 0]])
      this.forget(id)
    }
  }

  // --- places kept for a call for bids, and gangs -----------------------------------------------------------------

  /** Keeps as many of the wanted places as there is room for. */
  reserve(tender: string, wants: readonly TypeCount[], ttlMs: number): Reserved {
    if (this.owner.status !== 'ready') return { places: [], reason: `the node is ${this.owner.status}` }
    const asked = (type: string) => this.definitions.get(type)?.profile.resources
    const reserved = this.reservations.reserve(tender, wants, asked, this.slots.free, performance.now() + ttlMs)
    this.slots.reserved = this.reservations.count
    return reserved
  }

  release(tender: string, keep: readonly TypeCount[]): void {
    this.reservations.release(tender, keep)
    this.freed()
  }

  /** Gives up reservations that nobody has used in time. */
  expireReservations(): void {
    if (this.slots.reserved > 0 && this.reservations.expire(performance.now())) this.freed()
  }

  private freed(): void {
    this.slots.reserved = this.reservations.count
    this.owner.bid()
    this.pump()
  }

  /** An award of a place that was reserved takes it at once, before whatever is held for a slot. */
  private startReserved(tender: string, awarded: AwardedTask): void {
    const isKept = this.reservations.use(tender, awarded[1])
    this.slots.reserved = this.reservations.count
    if (isKept) this.startTurn(awarded)
    else this.owner.report(['declined', [[awarded[0], awarded[2], 'its place was not reserved any more']]])
  }

  /** The gang of these turns has been accepted as a whole. */
  beginHeld(id: string, number: number): void {
    const run = this.slots.running.get(id)
    if (run?.number !== number || run.held === undefined) return
    const { definition, awarded } = run.held
    run.held = undefined
    this.begin(run, definition, awarded)
    // Its gang has started, so it cannot be handed back as if nothing had been; it begins, and yields.
    if (this.owner.status !== 'ready') run.turn?.yield(boundaryMsMax)
  }

  /** Frees a slot. */
  private forget(id: string): void {
    this.slots.running.delete(id)
    this.capacity.quantities.give(this.holder + id)
    this.capacity.pump()
  }

  private begin(run: Run, definition: AnyTaskDefinition, awarded: AwardedTask): void {
    const startedAtMs = performance.now()
    // The turn may end before it is returned; `ended` has removed the run then.
    run.turn = startTurn(definition, awarded, this.owner)
    this.capacity.pace.started(performance.now() - startedAtMs)
  }

  turnOf(id: string, number: number): Turn | undefined {
    const run = this.slots.running.get(id)
    return run?.number === number ? run.turn : undefined
  }

  drop(id: string, number: number, reason: string): void {
    if (this.slots.drop(id, number)) return
    const run = this.slots.running.get(id)
    if (run?.number === number && run.turn === undefined) this.forget(id)
    this.turnOf(id, number)?.abort(new TroupeError('TROUPE_FENCED', `turn ${number} of task "${id}": ${reason}`))
  }

  abortAll(reason: string): void {
    this.slots.takeHeld()
    const error = new TroupeError('TROUPE_FENCED', reason)
    const runs = [...this.slots.running]
    for (const [, run] of runs) run.turn?.abort(error)
    this.slots.running.clear()
    for (const [id] of runs) this.capacity.quantities.give(this.holder + id)
    this.reservations.clear()
    this.slots.reserved = 0
  }

  /** Declines what is held and asks every turn to yield within `graceMs`. */
  yieldAll(graceMs: number): void {
    const held = this.slots.takeHeld()
    if (held.length > 0)
      this.owner.report(['declined', held.map((task) => [task[0], task[2], 'the node is draining'] as const)])
    // The log says whether their gang has started; the scheduler takes these turns back, or has them begin.
    const waiting = [...this.slots.running].filter(([, run]) => run.held !== undefined)
    if (waiting.length > 0)
      this.owner.report(['declined', waiting.map(([id, run]) => [id, run.number, 'the node is draining'] as const)])
    for (const run of [...this.slots.running.values()]) run.turn?.yield(graceMs)
  }

  /** Asks one turn to make room at its next boundary. */
  yieldOne(id: string, number: number): void {
    this.turnOf(id, number)?.yield(boundaryMsMax)
  }

  /** The turn has ended: returns how long it had its slot, in ms; undefined when it is not one of ours any more. */
  ended(turn: Turn): number | undefined {
    const run = this.slots.running.get(turn.task)
    if (run === undefined || run.number !== turn.turn) return undefined
    this.forget(turn.task)
    return performance.now() - run.startedAtMs
  }

  /**
   * All turns whose accept was among the first `stored` writes and whose end is not stored; `unstored` is what was written
   * and is not stored yet. Undefined when they are too many to list.
   */
  listed(stored: number, unstored: Iterable<JournalEntry>): RunningTurn[] | undefined {
    const turns: RunningTurn[] = []
    for (const [id, run] of this.slots.running) {
      if (run.ticket <= stored) turns.push(run.held === undefined ? [id, run.number] : [id, run.number, true])
      if (turns.length > listedMax) return undefined
    }
    const acceptedOnly = new Set<string>()
    for (const entry of unstored) {
      if (entry[0] === kind.accepted) acceptedOnly.add(`${entry[2]} ${entry[1]}`)
      else if (endsTurn(entry) && !acceptedOnly.has(`${entry[2]} ${entry[1]}`)) turns.push([entry[1], entry[2]])
    }
    return turns.length > listedMax ? undefined : turns
  }
}

function endsTurn(entry: JournalEntry): entry is Completed | Failed | Parked | Yielded {
  return (
    entry[0] === kind.completed || entry[0] === kind.failed || entry[0] === kind.parked || entry[0] === kind.yielded
  )
}
