/**
 * One run of an async function from its top: makes its calls, gives their outcomes in order, commits its state, and leaves
 * (parked or handed back) when nothing but waiting is left. What each kind of call does is in `function-steps`, `-waits`
 * and `-children`; this file decides when a call may be made, and when the run is over.
 *
 * A run that has left never answers another call: the function stays where it is and is forgotten.
 */
import type { AnyTaskDefinition } from '../../client/task.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import { errorRecord, packValue, unpackValue } from '../../protocol/payload.ts'
import { Alarm } from './alarm.ts'
import { type Call, type CallJournal, orderMismatch } from './call-journal.ts'
import { misuse } from './function-misuse.ts'
import { type SavedRun, Saves } from './function-saves.ts'
import { type Wait, Waiting } from './function-waiting.ts'
import type { ArrivedSignal, ChildSubmission, LogicPort, Packed } from './logic.ts'
import { failureRecord, revive } from './outcome.ts'

/** How long a call may wait for its turn in the order of an earlier run before the code counts as changed. */
export const replayStallMs = 3_000

/** A function that was given an outcome and makes no call is taken to be at work on its own for so long. */
const atWorkMs = 1_000

interface Pending {
  readonly call: Call
  readonly start: () => void
  resolve: (value: never) => void
  reject: (error: unknown) => void
  /** The value as it was computed in this run, so that it need not be unpacked. */
  live?: { readonly value: unknown }
}

export class FunctionRun implements SavedRun {
  readonly port: LogicPort
  readonly definition: AnyTaskDefinition
  readonly journal: CallJournal
  readonly waiting = new Waiting()
  readonly saves: Saves = new Saves(this)
  /** Steps, short sleeps and questions that are under way: while there are any, the task is not parked. */
  #busy = 0
  #pending: Map<Call, Pending> | undefined
  #held: Pending[] = []
  #restored: { readonly value: unknown } | undefined
  #controller: AbortController | undefined
  #aborted: TroupeError | undefined
  #over = false
  /** The function has returned or thrown. */
  #ended = false
  #handingBack: Alarm | undefined
  /** Takes back the look that is due; undefined if none is. */
  #leaving: (() => void) | undefined
  #stall: Alarm | undefined
  /** An outcome was given in this macrotask. */
  #pausing = false
  /** The function was given an outcome and has made no call since: some of it may be at work on its own. */
  #atWork = false
  /** Further signals stay in the log for a later turn. */
  #inboxFull = false

  constructor(definition: AnyTaskDefinition, port: LogicPort, journal: CallJournal) {
    this.definition = definition
    this.port = port
    this.journal = journal
    if (journal.checkpoint !== null) this.#restored = { value: unpackValue(journal.checkpoint) }
  }

  // --- what the context asks --------------------------------------------------------------------------------------

  /**
   * Makes a call: answers what it answered before, or runs `start`, which must lead to `finish`. `key` is computed only if
   * the run goes on, so that a forgotten function changes nothing.
   */
  call<T>(key: string | (() => string), start: (call: Call) => void, whileLeaving = false): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      const refused = this.#aborted ?? misuse(this, this.#ended)
      if (refused !== undefined) return reject(refused)
      if (this.#over) return
      if (this.#handingBack !== undefined && !whileLeaving) return this.leaveSoon()
      let call: Call
      try {
        call = this.journal.begin(typeof key === 'string' ? key : key())
      } catch (error) {
        this.#mismatch(error as TroupeError)
        return reject(error)
      }
      const begin = () => {
        this.journal.open(call)
        start(call)
      }
      const pending: Pending = { call, start: begin, resolve: resolve as (value: never) => void, reject }
      this.#pending = (this.#pending ?? new Map()).set(call, pending)
      this.#noteCall()
      if (call.end === -2) this.#give(call)
      else if (call.outcome !== 'open') this.#deliver()
      else if (this.journal.mayStart(call)) begin()
      else this.#held.push(pending)
      this.#watchStall()
    })
    // A call that nobody awaits (the loser of a race) must not end the process when it is refused.
    answer.catch(() => {})
    return answer
  }

  /** A call has an outcome that need not be stored before the function goes on: it comes out the same again. */
  finish(call: Call, outcome: 'value' | 'error', value: Packed, live?: { readonly value: unknown }): void {
    this.#end(call, outcome, value, live)
    call.ready = true
    this.#deliver()
  }

  /** A call has a result that must be stored before the function goes on. */
  finishStored(
    call: Call,
    value: Packed,
    live?: { readonly value: unknown },
    children: readonly ChildSubmission[] = [],
  ): void {
    this.#end(call, 'value', value, live)
    this.saves.soon(children, () => {
      call.ready = true
      this.#deliver()
    })
  }

  busy(change: 1 | -1): void {
    this.#busy += change
    if (change < 0) this.leaveSoon()
  }

  /** True while the run may still change anything. */
  get live(): boolean {
    return !this.#over
  }

  abortSignal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#aborted !== undefined) this.#controller.abort(this.#aborted)
    }
    return this.#controller.signal
  }

  restored(): unknown {
    this.journal.preamble = false
    return this.#restored?.value
  }

  idempotencyKey(step = ''): string {
    return `${this.port.namespace}:${this.port.id}${step && `:${step}`}`
  }

  checkpoint(value: unknown): Promise<void> {
    let packed: Uint8Array | null
    try {
      packed = packValue(value, 'checkpoint')
    } catch (error) {
      return Promise.reject(error)
    }
    return this.call<void>(
      () => this.journal.nextKey('checkpoint'),
      (call) => {
        this.journal.startEra(packed)
        if (this.journal.preamble) Object.assign(call, { outcome: 'value', end: -2 })
        else this.journal.calls.delete(call.key)
        this.saves.soon([], () => this.#settle(call, (pending) => pending.resolve(undefined as never)))
      },
      // It is what is handed back: without it, a task that is asked to leave again and again would never get anywhere.
      true,
    )
  }

  // --- state ------------------------------------------------------------------------------------------------------

  get consumed(): number {
    return this.journal.consumed
  }

  handedBackInstead(state: Uint8Array): boolean {
    if (this.#handingBack === undefined || this.#busy > 0) return false
    this.#over = true
    this.port.handBack(state, this.consumed)
    return true
  }

  storedSome(): void {
    this.leaveSoon()
  }

  pack(): Uint8Array | undefined {
    try {
      return this.journal.pack(this.definition.profile.version)
    } catch (error) {
      this.fail(error)
      return undefined
    }
  }

  #end(call: Call, outcome: 'value' | 'error', value: Packed, live?: { readonly value: unknown }): void {
    if (this.#over) return
    this.journal.end(call, outcome, value, this.port.attempt)
    const pending = this.#pending?.get(call)
    if (pending !== undefined && live !== undefined) pending.live = live
  }

  // --- outcomes in order ------------------------------------------------------------------------------------------

  /**
   * Gives the next outcome. One to a macrotask, now as in an earlier run, so that what follows from one comes before what
   * follows from the next, whether they were far apart at first or not.
   */
  #deliver(): void {
    if (this.#over) return
    const call = this.#pausing ? undefined : this.journal.deliver()
    if (call !== undefined) {
      this.#pausing = true
      setImmediate(() => {
        this.#pausing = false
        this.#deliver()
      })
      this.#give(call)
      this.#stall?.cancel()
      this.#stall = undefined
    }
    this.#startHeld()
    this.#watchStall()
    this.leaveSoon()
  }

  #give(call: Call): void {
    this.#atWork = true
    this.#settle(call, ({ resolve, reject, live }) => {
      if (call.outcome === 'value') resolve((live === undefined ? unpackValue(call.value) : live.value) as never)
      else reject(live === undefined ? revive(call.value) : live.value)
    })
  }

  #settle(call: Call, settle: (pending: Pending) => void): void {
    const pending = this.#pending?.get(call)
    this.#pending?.delete(call)
    if (pending !== undefined && !this.#over) settle(pending)
  }

  #startHeld(): void {
    if (this.#held.length === 0) return
    const ready = this.#held.filter(({ call }) => this.journal.mayStart(call))
    this.#held = this.#held.filter((pending) => !ready.includes(pending))
    for (const { start } of ready) if (!this.#over) start()
  }

  /** The function makes a call: it is not gone, and where it stands is looked at anew. */
  #noteCall(): void {
    this.#atWork = false
    this.#stall?.cancel()
    this.#stall = undefined
    this.#stay()
  }

  /** A call is held, or an outcome kept back, because an earlier one has not been asked for: for so long, and no longer. */
  #watchStall(): void {
    if (!this.journal.replaying || this.#stall !== undefined || this.#over) return
    const expected = this.journal.ends[this.journal.delivered]
    if (expected === undefined || expected.asked || !this.#pending?.size) return
    this.#stall = new Alarm(this.port, this.port.nowMs() + replayStallMs, () => {
      const asked = [...(this.#pending?.keys() ?? [])].filter((call) => !this.waiting.has(call))
      this.#mismatch(orderMismatch(expected, asked))
    })
  }

  #mismatch(error: TroupeError): void {
    if (this.#over) return
    this.#over = true
    this.port.fault(errorRecord(error, 'TROUPE_STEP_MISMATCH'), false)
  }

  // --- leaving ----------------------------------------------------------------------------------------------------

  /** Looks, once the function has had its say, whether nothing but waiting is left. */
  leaveSoon(): void {
    if (this.#over || this.#leaving !== undefined) return
    if (!this.#mayLeave()) return
    const look = () => {
      this.#leaving = undefined
      if (!this.#over && this.#mayLeave()) this.#leave()
    }
    const lingerMs = this.#lingerMs()
    if (lingerMs === 0) {
      const immediate = setImmediate(look)
      this.#leaving = () => clearImmediate(immediate)
    } else {
      const alarm = new Alarm(this.port, this.port.nowMs() + lingerMs, look)
      this.#leaving = () => alarm.cancel()
    }
  }

  #stay(): void {
    this.#leaving?.()
    this.#leaving = undefined
  }

  #lingerMs(): number {
    if (this.#handingBack !== undefined) return 0
    if (this.#atWork) return atWorkMs
    return this.waiting.forEvents.length > 0 ? this.definition.park.lingerMs : 0
  }

  #mayLeave(): boolean {
    if (this.#pausing || this.#busy > 0 || this.saves.unstored > 0 || this.#held.length > 0) return false
    return this.#handingBack !== undefined || this.#mayPark()
  }

  #mayPark(): boolean {
    const { waiting, journal } = this
    if (waiting.isEmpty || journal.delivered < journal.ends.length) return false
    const wakeAtMs = waiting.wakeAtMs()
    return wakeAtMs === 0 || wakeAtMs - this.port.nowMs() >= this.definition.park.afterMs || waiting.forChildren
  }

  #leave(): void {
    const state = this.pack()
    if (state === undefined) return
    this.#over = true
    if (this.#mayPark()) this.port.park(state, this.consumed, this.waiting.parkedFor())
    else this.port.handBack(state, this.consumed)
  }

  /** The node wants the slot back. */
  handBack(graceMs: number): void {
    if (this.#over || this.#handingBack !== undefined) return
    this.#handingBack = new Alarm(this.port, this.port.nowMs() + graceMs, () => this.#giveUp())
    if (!this.waiting.isEmpty) this.leaveSoon()
  }

  /** The grace is over: what the function does now is lost, and done again from the last stored state. */
  #giveUp(): void {
    if (this.#over) return
    const state = this.pack()
    if (state === undefined) return
    this.#over = true
    const error = new TroupeError('TROUPE_DRAINING', `the node of task "${this.port.id}" is draining`)
    this.port.handBack(state, this.journal.consumed)
    this.#controller?.abort(error)
  }

  // --- from the turn ----------------------------------------------------------------------------------------------

  signal([sequence, event]: ArrivedSignal): void {
    if (this.#over || this.#inboxFull || sequence <= this.journal.consumed) return
    if (this.journal.inbox.length >= limits.signalsPerTaskMax) {
      this.#inboxFull = true
      return
    }
    this.journal.inbox.push([sequence, event])
    this.journal.consumed = sequence
    for (const wait of this.waiting.forEvents) if (this.#offer(wait)) return
  }

  #offer(wait: Wait): boolean {
    const taken = this.journal.takeSignal(wait.event as string)
    if (taken === undefined) return false
    this.waiting.end(wait)
    this.finish(wait.call, 'value', taken.packed, { value: taken.event })
    return true
  }

  /** The function has returned. */
  complete(value: unknown): void {
    this.#ended = true
    if (this.#over) return
    try {
      const packed = packValue(value, 'result')
      this.#over = true
      this.port.done(packed)
    } catch (error) {
      this.fail(error)
    }
  }

  /** The function has thrown. */
  fail(error: unknown): void {
    this.#ended = true
    if (this.#over) return
    const { record, retryable } = failureRecord(error)
    this.#over = true
    this.port.fault(record, retryable, this.journal.event)
  }

  stop(error: TroupeError | undefined): void {
    this.#over = true
    this.#aborted = error
    if (error !== undefined) this.#controller?.abort(error)
    this.waiting.cancelAll()
    this.#handingBack?.cancel()
    this.#stall?.cancel()
    this.#stay()
    if (error !== undefined) for (const { reject } of this.#pending?.values() ?? []) reject(error)
    this.#pending?.clear()
  }
}
