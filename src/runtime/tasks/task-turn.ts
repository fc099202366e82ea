/**
 * One turn: joins the task actor (which decides), the runner of the user's logic, and the node. It turns what the logic
 * says into journal entries, keeps their order when a large value has to be stored first, fetches large values at the
 * start, and enforces the timeout. It knows neither functions nor machines.
 */
import type { Logger } from 'pino'
import { TaskActor } from '../../actors/task/task-actor.ts'
import type { TaskEffect } from '../../actors/task/task-machine.ts'
import { isSealed } from '../../client/encryption.ts'
import type { AnyTaskDefinition } from '../../client/task.ts'
import { type JournalEntry, kind, type Payload } from '../../protocol/entries.ts'
import { type ErrorRecord, TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { AwardedTask, SignalItem } from '../../protocol/messages.ts'
import { errorRecord, unpackValue } from '../../protocol/payload.ts'
import { Alarm } from './alarm.ts'
import { inlineRunner } from './inline-runner.ts'
import { IsolatedRunner } from './isolated-runner.ts'
import { fetchPacked, isLarge, isReference, storeLarge } from './large-values.ts'
import type { ArrivedSignal, LogicPort, LogicRunner, LogicStart, Packed, ParkedFor, TaskRequest } from './logic.ts'
import { askAbout, type OtherTask } from './other-task.ts'
import { opened, sealed } from './seals.ts'
import type { Turn, TurnHost } from './turn.ts'

type TurnEvent =
  | { readonly type: 'START' | 'SAVED' }
  | { readonly type: 'LOADED'; readonly from: LogicStart }
  | { readonly type: 'SAVE'; readonly entries: readonly JournalEntry[]; readonly onStored: (() => void) | undefined }
  | { readonly type: 'WAIT' | 'HANDED_BACK' | 'DONE' | 'FAULT'; readonly entries: readonly JournalEntry[] }
  | { readonly type: 'YIELD'; readonly graceMs: number; readonly entries: readonly JournalEntry[] }
  | { readonly type: 'TIMEOUT'; readonly error: TroupeError; readonly entries: readonly JournalEntry[] }
  | { readonly type: 'ABORT'; readonly error: TroupeError }

const start: TurnEvent = { type: 'START' }
const saved: TurnEvent = { type: 'SAVED' }

/** Progress is told at most this often. */
const progressEveryMs = 250

export class TaskTurn implements Turn, LogicPort {
  readonly task: string
  readonly turn: number
  readonly type: string
  readonly attempt: number
  readonly #definition: AnyTaskDefinition
  readonly #awarded: AwardedTask
  readonly #host: TurnHost
  readonly #actor: TaskActor<TurnEvent>
  readonly #runner: LogicRunner
  #timeout: Alarm | undefined
  #heartbeat: Alarm | undefined
  #beatAtMs = 0
  #log: Logger | undefined
  /** Checkpoints with the journal that are not stored yet. */
  #unstored = 0
  /** What waits for a large value to be fetched, or stored; undefined while nothing does. */
  #inbound: Promise<void> | undefined
  #outbound: Promise<void> | undefined
  #begun = false
  #released = false
  /** Nothing more may be committed. */
  #silent = false
  /** Sequence of the last signal given to the logic, and those that wait for one before them. */
  #lastSignal = -1
  #snapshot: Packed = null
  #early: SignalItem[] | undefined
  #progress: { fraction: number; note: string } | undefined
  #progressAlarm: Alarm | undefined

  constructor(definition: AnyTaskDefinition, awarded: AwardedTask, host: TurnHost) {
    this.task = awarded[0]
    this.type = awarded[1]
    this.turn = awarded[2]
    this.attempt = awarded[3]
    this.#definition = definition
    this.#awarded = awarded
    this.#host = host
    const { isolate } = definition
    this.#runner =
      isolate === 'inline'
        ? inlineRunner(definition, this)
        : new IsolatedRunner(definition, isolate, this, () => this.#watchTime())
    this.#actor = new TaskActor((effect: TaskEffect, event: TurnEvent) => this.#carryOut(effect, event))
  }

  // --- from the node ----------------------------------------------------------------------------------------------

  start(): void {
    this.#actor.send(start)
    if (this.#definition.isolate === 'inline') this.#watchTime()
  }

  /** The logic begins: in a thread or process when one is free, so that whoever waits does not pay for what others do. */
  #watchTime(): void {
    if (this.#released) return
    const { timeoutMs, heartbeatMs } = this.#definition.profile
    if (timeoutMs > 0) this.#timeout = new Alarm(this, this.nowMs() + timeoutMs, () => this.#timedOut(timeoutMs))
    if (heartbeatMs !== undefined) {
      this.#beatAtMs = this.nowMs()
      this.#watchHeartbeat(heartbeatMs)
    }
  }

  signal(item: SignalItem): void {
    if (this.#released) return
    if (!this.#begun) {
      this.#inOrder(async () => this.signal(item))
      return
    }
    if (item[0] <= this.#consumedBefore()) return
    if (item[1] > this.#lastSignal) {
      this.#early = [...(this.#early ?? []).filter(([sequence]) => sequence !== item[0]), item].sort(
        (a, b) => a[0] - b[0],
      )
      if (this.#early.length > limits.signalsPerTaskMax) this.#early.pop()
      this.#host.gap?.(this, this.#lastSignal)
      return
    }
    this.#take(item)
    const early = this.#early ?? []
    while (early[0] !== undefined && early[0][1] <= this.#lastSignal) {
      const next = early.shift()!
      if (next[0] > this.#lastSignal) this.#take(next)
    }
  }

  /** An award without signals does not say which was the last: the snapshot does. */
  #consumedBefore(): number {
    if (this.#lastSignal < 0) {
      const snapshot = this.#snapshot === null ? undefined : (unpackValue(this.#snapshot) as { consumed?: unknown })
      this.#lastSignal = typeof snapshot?.consumed === 'number' ? snapshot.consumed : 0
    }
    return this.#lastSignal
  }

  abort(error: TroupeError): void {
    this.#actor.send({ type: 'ABORT', error })
  }

  yield(graceMs: number): void {
    const entries = [[kind.yielded, this.task, this.turn, null, 0] as const]
    this.#actor.send({ type: 'YIELD', graceMs, entries })
  }

  // --- from the logic ---------------------------------------------------------------------------------------------

  get id(): string {
    return this.task
  }

  get namespace(): string {
    return this.#host.namespace
  }

  get log(): Logger {
    this.#log ??= this.#host.log.child({ task: this.task, type: this.type, attempt: this.attempt })
    return this.#log
  }

  nowMs(): number {
    return this.#host.nowMs()
  }

  nowAtMostMs(): number {
    return this.#host.nowAtMostMs()
  }

  ask(id: string): Promise<OtherTask> {
    return askAbout(id, this.#host)
  }

  save(snapshot: Uint8Array, consumed: number, requests: readonly TaskRequest[], onStored?: () => void): void {
    const { task, turn } = this
    const entries: JournalEntry[] = requests.map((request) => requestEntry(task, turn, request))
    entries.push([kind.checkpointed, task, turn, snapshot, consumed])
    this.#beatAtMs = this.nowMs()
    this.#actor.send({ type: 'SAVE', entries, onStored })
  }

  progress(fraction: number, note: string): void {
    if (this.#released) return
    this.#beatAtMs = this.nowMs()
    if (this.#progressAlarm !== undefined) {
      this.#progress = { fraction, note }
      return
    }
    this.#hand([[kind.progressed, this.task, this.turn, fraction, note]])
    this.#progressAlarm = new Alarm(this, this.nowMs() + progressEveryMs, () => {
      this.#progressAlarm = undefined
      const latest = this.#progress
      this.#progress = undefined
      if (latest !== undefined) this.progress(latest.fraction, latest.note)
    })
  }

  park(snapshot: Uint8Array, consumed: number, until: ParkedFor): void {
    const { wakeAtMs, onSignal, children, anyChild } = until
    const entry = [kind.parked, this.task, this.turn, snapshot, consumed, wakeAtMs, onSignal, children] as const
    this.#actor.send({ type: 'WAIT', entries: [anyChild ? [...entry, true] : entry] })
  }

  handBack(snapshot: Uint8Array | null, consumed: number): void {
    const entry = [kind.yielded, this.task, this.turn, snapshot, consumed] as const
    this.#actor.send({ type: 'HANDED_BACK', entries: [entry] })
  }

  done(result: Uint8Array | null): void {
    this.#actor.send({ type: 'DONE', entries: [[kind.completed, this.task, this.turn, result]] })
  }

  fault(error: ErrorRecord, retryable: boolean, event = 0): void {
    const entry = [kind.failed, this.task, this.turn, error, retryable] as const
    this.#actor.send({ type: 'FAULT', entries: [event === 0 ? entry : [...entry, event]] })
  }

  // --- effects of the task actor ----------------------------------------------------------------------------------

  #carryOut(effect: TaskEffect, event: TurnEvent): void {
    switch (effect) {
      case 'load':
        this.#load()
        break
      case 'run':
        if (event.type === 'LOADED') this.#begin(event.from)
        break
      case 'commit':
        if ('entries' in event) this.#hand(event.entries, event.type === 'SAVE' ? (event.onStored ?? noop) : undefined)
        break
      case 'hand-back':
        if (event.type === 'YIELD') this.#runner.handBack(event.graceMs)
        break
      case 'stop':
        this.#runner.stop(event.type === 'ABORT' || event.type === 'TIMEOUT' ? event.error : undefined)
        break
      case 'release':
        this.#release(event)
        break
      default:
        effect satisfies never
    }
  }

  #begin(from: LogicStart): void {
    this.#begun = true
    this.#snapshot = from.snapshot
    try {
      this.#runner.start(this.#awarded[7]?.retried ? { ...from, retried: true } : from)
    } catch (error) {
      this.#faultBy(error)
    }
  }

  #load(): void {
    const [, , , , input, snapshot, signals] = this.#awarded
    if (signals === null && this.#isReadable(input) && this.#isReadable(snapshot)) {
      this.#actor.send({ type: 'LOADED', from: { input, snapshot, signals: [] } })
      return
    }
    const events = signals ?? []
    this.#lastSignal = events.at(-1)?.[0] ?? -1
    const payloads = [input, snapshot, ...events.map((item) => item[2])]
    this.#inOrder(async () => {
      const { task, type } = this
      const { keyring } = this.#host
      const [input = null, snapshot = null, ...rest] = await Promise.all(
        payloads.map((payload) => fetchPacked(this.#host, payload)),
      )
      const from = {
        input: opened(keyring, input, `input:${task}`, `type:${type}`),
        snapshot: opened(keyring, snapshot, `snapshot:${task}`),
        signals: events.map(([sequence], i): ArrivedSignal => [sequence, this.#openedSignal(rest[i] ?? null)]),
      }
      this.#actor.send({ type: 'LOADED', from })
    })
  }

  /** Gives a signal to the logic, in order even if its event, or one before it, has to be fetched. */
  #take(item: SignalItem): void {
    const [sequence, , event] = item
    this.#lastSignal = sequence
    if (this.#inbound === undefined && this.#isReadable(event)) {
      this.#runner.signal([sequence, event])
      return
    }
    this.#inOrder(async () => {
      const packed = await fetchPacked(this.#host, event)
      if (!this.#released) this.#runner.signal([sequence, this.#openedSignal(packed)])
    })
  }

  /** Needs neither the object store nor a key. */
  #isReadable(payload: Payload): payload is Packed {
    return this.#host.keyring === undefined && !isReference(payload) && !isSealed(payload)
  }

  #openedSignal(packed: Packed): Packed {
    return opened(this.#host.keyring, packed, `signal:${this.task}`)
  }

  /** Runs what takes time before it reaches the logic, one after the other. */
  #inOrder(deliver: () => Promise<void>): void {
    const inbound = (this.#inbound ?? Promise.resolve())
      .then(deliver)
      .catch((error: unknown) => this.#faultBy(error))
      .finally(() => {
        if (this.#inbound === inbound) this.#inbound = undefined
      })
    this.#inbound = inbound
  }

  /** Hands entries to the journal, after those that were handed over before. */
  #hand(plain: readonly JournalEntry[], onStored?: () => void): void {
    const { keyring } = this.#host
    const entries = keyring === undefined ? plain : plain.map((entry) => sealed(keyring, entry))
    if (this.#outbound === undefined && !entries.some(isLarge)) {
      this.#commit(entries, onStored)
      return
    }
    const outbound = (this.#outbound ?? Promise.resolve())
      .then(async () => this.#commit(await storeLarge(this.#host, entries), onStored))
      .catch((error: unknown) => this.#couldNotStore(error))
      .finally(() => {
        if (this.#outbound === outbound) this.#outbound = undefined
      })
    this.#outbound = outbound
  }

  #commit(entries: readonly JournalEntry[], onStored: (() => void) | undefined): void {
    if (this.#silent) return
    if (onStored === undefined) {
      this.#host.commit(entries)
      return
    }
    this.#unstored++
    this.#host.commit(entries, () => {
      this.#unstored--
      if (this.#released) return
      onStored()
      if (this.#unstored === 0) this.#actor.send(saved)
    })
  }

  /** A large value could not be stored: nothing that came after it may be committed, the attempt fails instead. */
  #couldNotStore(error: unknown): void {
    if (this.#silent) return
    const record = errorRecord(error, 'TROUPE_NO_ANSWER')
    const retryable = !(error instanceof TroupeError) || error.retryable
    this.#host.commit([[kind.failed, this.task, this.turn, record, retryable]])
    this.abort(
      new TroupeError('TROUPE_CLOSED', `turn ${this.turn} of task "${this.task}" has failed`, { cause: error }),
    )
    this.#silent = true
  }

  #faultBy(error: unknown): void {
    this.fault(errorRecord(error, 'TROUPE_NO_ANSWER'), !(error instanceof TroupeError) || error.retryable)
  }

  #timedOut(timeoutMs: number): void {
    const message = `task "${this.task}" ran longer than ${timeoutMs} ms in one turn`
    this.#endBy(new TroupeError('TROUPE_TIMEOUT', message))
  }

  #watchHeartbeat(heartbeatMs: number): void {
    if (this.#released) return
    const dueAtMs = this.#beatAtMs + heartbeatMs
    if (dueAtMs > this.nowMs()) {
      this.#heartbeat = new Alarm(this, dueAtMs, () => this.#watchHeartbeat(heartbeatMs))
      return
    }
    const message = `task "${this.task}" gave no sign of progress for ${heartbeatMs} ms`
    this.#endBy(new TroupeError('TROUPE_HEARTBEAT_TIMEOUT', message))
  }

  #endBy(error: TroupeError): void {
    const entry = [kind.failed, this.task, this.turn, errorRecord(error, error.code), true] as const
    this.#actor.send({ type: 'TIMEOUT', error, entries: [entry] })
  }

  /** The final state was entered: frees everything, and tells the node once the last entry is with the journal. */
  #release(event: TurnEvent): void {
    this.#released = true
    if (event.type === 'ABORT') this.#silent = true
    this.#timeout?.cancel()
    this.#heartbeat?.cancel()
    this.#progressAlarm?.cancel()
    const completed = event.type === 'DONE'
    if (this.#outbound === undefined || this.#silent) this.#host.ended(this, completed)
    else void this.#outbound.then(() => this.#host.ended(this, completed))
  }
}

function requestEntry(task: string, turn: number, request: TaskRequest): JournalEntry {
  if ('to' in request) return [kind.signalled, task, turn, request.to, request.signalId, request.event]
  if ('dismissed' in request) return [kind.dismissed, task, turn, request.dismissed]
  return [kind.submitted, task, turn, request.type, request.input, request.options]
}

function noop(): void {}
