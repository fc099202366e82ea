/**
 * Runs XState logic for one turn. Its persisted snapshot is the checkpoint: taken in a microtask after anything changed
 * (XState runs to completion, so a cascade is over by then), encoded at once, committed if it differs from the last one,
 * one at a time. Promises, callbacks and observables that a state invokes start once that state is stored; actions run at
 * once, and again after a crash. With nothing to do but wait for a timer or an event, the task is parked.
 */
import type { AnyActorLogic, AnyEventObject } from 'xstate'
import { checkInput } from '../../client/input.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { packValue, unpackValue } from '../../protocol/payload.ts'
import { Alarm } from './alarm.ts'
import type { ArrivedSignal, LogicPort, LogicRunner, LogicStart, Packed, TaskRequest } from './logic.ts'
import { MachineChildren } from './machine-children.ts'
import { type MachineSnapshot, machineFormat, packMachineSnapshot, unpackMachineSnapshot } from './machine-snapshot.ts'
import { failureRecord } from './outcome.ts'
import { restorable, unreadable } from './restore.ts'
import { DurableActor, isReactive, machineId, xstateVersion } from './xstate-adapter.ts'

export class MachineRunner implements LogicRunner {
  readonly #definition: AnyTaskDefinition
  readonly #logic: AnyActorLogic
  readonly #port: LogicPort
  #actor: DurableActor | undefined
  #children: MachineChildren | undefined
  #early: ArrivedSignal[] = []
  #consumed = 0
  /** What of that is part of a state that was saved. */
  #saved = 0
  #ignored = 0
  #dirty = false
  #stored: Uint8Array | undefined
  #storing = false
  /** Children that start when the state that knows them is stored. */
  #held: (() => void)[] = []
  #over = false
  #leaving: Alarm | undefined
  #handingBack: Alarm | undefined

  constructor(definition: AnyTaskDefinition, logic: AnyActorLogic, port: LogicPort) {
    this.#definition = definition
    this.#logic = logic
    this.#port = port
  }

  start(from: LogicStart): void {
    this.#early = [...from.signals, ...this.#early]
    try {
      const before = from.snapshot === null ? undefined : unpackMachineSnapshot(from.snapshot)
      const input = unpackValue(from.input)
      const checked = before === undefined ? checkInput(this.#definition, input) : input
      if (this.#definition.schema !== undefined && checked instanceof Promise) {
        checked.then(
          (value: unknown) => this.#begin(value, before, from.snapshot),
          (error: unknown) => this.#fault(error),
        )
      } else this.#begin(checked, before, from.snapshot)
    } catch (error) {
      this.#fault(error)
    }
  }

  signal(signal: ArrivedSignal): void {
    if (this.#actor === undefined) this.#early.push(signal)
    else this.#give(signal)
  }

  handBack(graceMs: number): void {
    if (this.#over || this.#handingBack !== undefined) return
    this.#handingBack = new Alarm(this.#port, this.#port.nowMs() + graceMs, () => this.#leave())
    if (this.#actor === undefined || !this.#actor.isAtWork) this.#leave()
  }

  stop(_error: TroupeError | undefined): void {
    this.#over = true
    this.#leaving?.cancel()
    this.#handingBack?.cancel()
    this.#children?.stop()
    this.#actor?.stop()
  }

  // --- start ------------------------------------------------------------------------------------------------------

  #begin(input: unknown, before: MachineSnapshot | undefined, stored: Packed): void {
    if (this.#over) return
    try {
      this.#consumed = before?.consumed ?? 0
      this.#saved = this.#consumed
      this.#ignored = before?.ignored ?? 0
      // A state that is what was stored need not be stored again.
      if (stored instanceof Uint8Array) this.#stored = stored
      const children = new MachineChildren(
        this.#port,
        before?.children,
        () => this.#changed(),
        (child, event) => this.#actor?.tell(child, event),
      )
      this.#children = children
      const actor = new DurableActor({
        logic: this.#logic,
        id: this.#port.id,
        input,
        snapshot: before === undefined ? undefined : restorable(this.#definition, this.#logic, before),
        timers: before?.timers ?? [],
        nextTimerId: before?.nextTimerId ?? 1,
        nextActorId: before?.nextActorId ?? 1,
        clock: this.#port,
        logger: (...args) => this.#port.log.info({ args }, 'log action'),
        changed: () => this.#changed(),
        failed: () => this.#changed(),
        hold: (start) => {
          this.#held.push(start)
          this.#changed()
        },
        outbox: children,
      })
      if (before !== undefined && actor.outcome.status === 'error') throw actor.outcome.error
      this.#actor = actor
      actor.start()
      children.look(actor.taskActors())
      children.ask()
    } catch (error) {
      this.#fault(before === undefined ? error : unreadable(error))
      return
    }
    for (const signal of this.#early.splice(0)) this.#give(signal)
    this.#changed()
  }

  // --- events -----------------------------------------------------------------------------------------------------

  #give([sequence, packed]: ArrivedSignal): void {
    const actor = this.#actor
    if (this.#over || actor === undefined || sequence <= this.#consumed || actor.outcome.status === 'error') return
    this.#consumed = sequence
    const event = eventOf(packed)
    if (event === undefined || !this.#takes(actor, event)) {
      this.#ignored++
      const type = event?.type ?? 'without a type'
      const note = `event ${type} came in state ${actor.describe()}, which does not take it`
      this.#port.log.warn(
        { code: 'TROUPE_SIGNAL_REJECTED', event: type, state: actor.describe(), ignored: this.#ignored },
        note,
      )
      this.#port.progress(0, note)
    } else actor.send(event)
    this.#changed()
  }

  #takes(actor: DurableActor, event: AnyEventObject): boolean {
    try {
      return actor.takes(event)
    } catch {
      return true // A guard that throws is the machine's error, and comes up when the event is taken.
    }
  }

  // --- state ------------------------------------------------------------------------------------------------------

  #changed(): void {
    this.#leaving?.cancel()
    this.#leaving = undefined
    if (this.#dirty || this.#over) return
    this.#dirty = true
    queueMicrotask(() => this.#look())
  }

  /** Run to completion is over: says what has become of the actor. */
  #look(): void {
    if (this.#over || this.#actor === undefined) return
    const { status, output, error } = this.#actor.outcome
    if (status === 'done') {
      // What the last step asked for comes before the end.
      if (this.#storing) return
      if (this.#asksForSome()) this.#save()
      else this.#complete(output)
      return
    }
    if (status === 'error' || status === 'stopped') {
      this.#fail(status === 'error' ? error : new Error('the actor was stopped'))
      return
    }
    if (this.#storing) return
    this.#dirty = false
    if (this.#handingBack !== undefined) this.#leave()
    else this.#save()
  }

  #save(): void {
    const requests = this.#requests()
    if (requests === undefined) return
    const state = this.#pack()
    if (state === undefined) return
    const isStored = requests.length === 0 && this.#stored !== undefined && Buffer.compare(state, this.#stored) === 0
    if (!isReactive(this.#logic) || isStored) {
      this.#startHeld(this.#held.splice(0))
      this.#parkSoon()
      return
    }
    const held = this.#held.splice(0)
    this.#storing = true
    this.#saved = this.#consumed
    this.#port.save(state, this.#consumed, requests, () => {
      this.#storing = false
      this.#stored = state
      this.#children?.kept()
      this.#startHeld(held)
      if (this.#dirty || this.#children?.hasUnsent) this.#look()
      else if (this.#handingBack !== undefined) this.#leave()
      else this.#parkSoon()
    })
  }

  /** True if actors or actions have asked for anything that is not stored yet. */
  #asksForSome(): boolean {
    try {
      return this.#children?.look(this.#actor?.taskActors() ?? []) ?? false
    } catch (error) {
      this.#fail(error)
      return false
    }
  }

  /** What they have asked for; undefined if that cannot be, and the turn has failed. */
  #requests(): TaskRequest[] | undefined {
    const asks = this.#asksForSome()
    if (this.#over) return undefined
    return asks ? (this.#children?.take() ?? []) : []
  }

  #startHeld(held: readonly (() => void)[]): void {
    for (const start of held) if (!this.#over) start()
  }

  #pack(): Uint8Array | undefined {
    const actor = this.#actor as DurableActor
    try {
      const { version } = this.#definition.profile
      const children = this.#children?.stored()
      return packMachineSnapshot({
        format: machineFormat,
        kind: 'machine',
        machine: machineId(this.#logic),
        ...(version === undefined ? {} : { version }),
        xstate: xstateVersion,
        snapshot: actor.persist(),
        timers: actor.storedTimers(),
        nextTimerId: actor.nextTimerId,
        nextActorId: actor.nextActorId,
        consumed: this.#consumed,
        ignored: this.#ignored,
        ...(children && { children }),
      })
    } catch (error) {
      this.#fail(error)
      return undefined
    }
  }

  // --- leaving ----------------------------------------------------------------------------------------------------

  #parkSoon(): void {
    if (this.#over || this.#leaving !== undefined || this.#actor === undefined) return
    this.#children?.askSoon()
    if (this.#actor.isAtWork || this.#children?.isAsking) return
    const wakeAtMs = this.#actor.nextTimerAtMs
    const { afterMs, lingerMs } = this.#definition.park
    if (wakeAtMs > 0 && wakeAtMs - this.#port.nowMs() < afterMs) return
    this.#leaving = new Alarm(this.#port, this.#port.nowMs() + lingerMs, () => this.#leave())
  }

  /** Hands the task back: parked if it only waits, else to go on elsewhere from this state. */
  #leave(): void {
    if (this.#over) return
    if (this.#actor === undefined || !isReactive(this.#logic)) {
      this.#over = true
      this.#port.handBack(null, this.#consumed)
      return
    }
    if (this.#asksForSome()) {
      if (!this.#storing) this.#save()
      return
    }
    const { status, output, error } = this.#actor.outcome
    if (status !== 'active') {
      // It came to its end while the state before was being stored: parked, it would wait for nothing, for ever.
      if (status === 'done') this.#complete(output)
      else this.#fail(error ?? new Error('the actor was stopped'))
      return
    }
    const state = this.#over ? undefined : this.#pack()
    if (state === undefined) return
    this.#over = true
    const children = this.#children?.openIds.slice(0, limits.afterMax) ?? []
    if (this.#actor.isAtWork) this.#port.handBack(state, this.#consumed)
    else
      this.#port.park(state, this.#consumed, {
        wakeAtMs: this.#actor.nextTimerAtMs,
        onSignal: true,
        children,
        anyChild: children.length > 0,
      })
  }

  // --- the end ----------------------------------------------------------------------------------------------------

  #complete(output: unknown): void {
    let packed: Uint8Array | null
    try {
      packed = packValue(output, 'output')
    } catch (error) {
      this.#fail(error)
      return
    }
    this.#over = true
    this.#port.done(packed)
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#over = true
    const { record, retryable } = failureRecord(error)
    this.#port.fault(record, retryable, this.#consumed > this.#saved ? this.#consumed : 0)
  }

  #fault(error: unknown): void {
    if (this.#over) return
    this.#over = true
    const { record, retryable } = failureRecord(error)
    this.#port.fault(record, retryable && !(error instanceof TroupeError))
  }
}

/** Returns the signal as an event; undefined if it is none, or one that only XState itself may send. */
function eventOf(packed: Packed): AnyEventObject | undefined {
  const event = unpackValue(packed) as AnyEventObject | undefined
  return typeof event?.type === 'string' && !event.type.startsWith('xstate.') ? event : undefined
}
