/**
 * A whole installation in one process without a server: the real ledger, the real scheduler's agenda and the real runners,
 * over a log that is a list, on virtual time. One node runs everything; it can be killed at any commit, and the next one
 * goes on from the log alone, as after a real crash.
 */
import { createHash } from 'node:crypto'
import { type Logger, pino } from 'pino'
import { Ledger } from '../actors/ledger/ledger.ts'
import type { TaskRecord } from '../actors/ledger/task-record.ts'
import { inputAt, resultIn, signalAt, snapshotAt, type Unpacked, unpackMessage } from '../actors/ledger/values.ts'
import { Agenda } from '../actors/scheduler/agenda.ts'
import type { SchedulerEffect } from '../actors/scheduler/effects.ts'
import type { AnyTaskDefinition } from '../client/task.ts'
import { packBlock } from '../protocol/blocks.ts'
import { formatVersion, type JournalEntry, kind, type LogMessage, type Payload } from '../protocol/entries.ts'
import { TroupeError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import type { AwardedTask, SignalItem, TaskAnswer } from '../protocol/messages.ts'
import type { SubmissionOptions } from '../protocol/options.ts'
import { jsonable, packValue, unpackValue } from '../protocol/payload.ts'
import { Subjects } from '../protocol/subjects.ts'
import { taskRow } from '../runtime/scheduler/answer-rows.ts'
import { startTurn, type Turn, type TurnHost } from '../runtime/tasks/turn.ts'
import type { VirtualTime } from './virtual-time.ts'

const silent = pino({ level: 'silent' })
const leader = 'testing'
const rules = { foldVersion: 1, resultsKeepMs: 3e12, resultsKeepCount: 1e6, deadKeepMs: 3e12, deadKeepCount: 1e6 }
const load = { loop: 0, loopDelayMs: 0, cpu: 0, memory: 0, rssBytes: 0 }

/** Where the node is killed: at its commit of this number, from 1; `before` it is stored, or right `after`. */
export interface CrashPoint {
  readonly commit: number
  readonly side: 'before' | 'after'
}

/** One life of the node. */
class Life {
  readonly incarnation: string
  readonly turns = new Map<string, Turn>()
  alive = true

  constructor(number: number) {
    this.incarnation = `life-${number}`
  }
}

export interface WorldOptions {
  readonly definitions: readonly AnyTaskDefinition[]
  readonly time: VirtualTime
  readonly crash?: CrashPoint | undefined
  readonly log?: Logger | undefined
  /** Goes on from what another world has written. */
  readonly history?: WorldHistory
}

/** All that outlives the process. */
export interface WorldHistory {
  readonly messages: readonly LogMessage[]
  readonly objects: ReadonlyMap<string, Uint8Array>
  readonly lives: number
}

export class World {
  readonly subjects = new Subjects('test')
  readonly messages: LogMessage[]
  readonly objects: Map<string, Uint8Array>
  readonly ledger = new Ledger(this.subjects)
  readonly agenda = new Agenda(this.ledger.state)
  readonly time: VirtualTime
  /** What each commit said, in order: the points at which the node can be killed. */
  readonly commits: string[] = []
  crashed = 0
  readonly #definitions: ReadonlyMap<string, AnyTaskDefinition>
  readonly #crash: CrashPoint | undefined
  readonly #log: Logger
  #life = new Life(0)
  #lives: number
  #blocks = 0
  readonly #read = new Map<number, Unpacked>()
  /** Messages that wait to be folded, because one is being folded. */
  #unfolded: LogMessage[] = []
  #folding = false

  constructor({ definitions, time, crash, log, history }: WorldOptions) {
    this.time = time
    this.#definitions = new Map(definitions.map((definition) => [definition.type, inline(definition)]))
    this.#crash = crash
    this.#log = log ?? silent
    this.messages = [...(history?.messages ?? [])]
    this.objects = new Map(history?.objects)
    for (const message of this.messages) this.ledger.fold(message)
    this.ledger.takeChanges()
    this.append(this.subjects.control(0, leader), packBlock([formatVersion, 0, [[kind.led, rules]]]))
    this.agenda.epoch = this.ledger.state.epoch
    this.agenda.build(time.nowMs)
    this.#lives = history?.lives ?? 0
    this.#join()
  }

  get history(): WorldHistory {
    return { messages: this.messages, objects: this.objects, lives: this.#lives }
  }

  submit(id: string, type: string, input: unknown, options: SubmissionOptions): TaskRecord {
    const submission = [type, packValue(input, 'input'), { ...options, id }] as const
    this.append(this.subjects.block('tester'), packBlock([formatVersion, [submission]]))
    return this.ledger.state.tasks.get(id) as TaskRecord
  }

  signal(id: string, event: unknown): void {
    const data = packValue(event, 'event') ?? new Uint8Array()
    const headers = new Map([['content-type', 'application/msgpack']])
    this.append(this.subjects.signal(id), data, headers)
  }

  cancel(id: string): void {
    this.#control([[kind.cancelled, id, 'the test cancelled it']])
  }

  /** Kills the node and starts another. */
  kill(): void {
    const dead = this.#life
    dead.alive = false
    this.crashed++
    this.time.dropTimersOf(dead)
    for (const turn of dead.turns.values()) turn.abort(new TroupeError('TROUPE_FENCED', 'the node was killed'))
    this.append(this.#journal(dead), packBlock([formatVersion, 0, [[kind.fenced, 'the test killed it']]]))
    this.#join()
  }

  /** When the scheduler has something to do next. */
  nextAlarmMs(): number {
    return this.agenda.nextAlarmMs(this.time.nowMs)
  }

  alarm(): void {
    this.#carryOut(this.agenda.alarm(this.time.nowMs))
    this.#place()
  }

  row(task: TaskRecord): TaskAnswer {
    const row = taskRow(task, this.time.nowMs, this.agenda)
    if (task.status !== 'completed') return row
    const result = this.resultOf(task)
    return result === undefined ? row : { ...row, result: jsonable(result) }
  }

  resultOf(task: TaskRecord): unknown {
    const { outcome } = task
    const message = outcome && this.messages[outcome.sequence - 1]
    return message && this.#value(resultIn(this.subjects, message, outcome.index))
  }

  inputOf(task: TaskRecord): unknown {
    return this.#value(inputAt(this.#unpacked(task.input.sequence), task.input.index))
  }

  snapshotOf(task: TaskRecord): Payload {
    const place = task.snapshot
    return place === undefined ? null : (snapshotAt(this.#unpacked(place.sequence), place.index) ?? null)
  }

  /** All journal entries of a task that were stored, whether they counted or not. */
  entriesOf(id: string): JournalEntry[] {
    return this.messages.flatMap((message) => {
      const unpacked = this.#unpacked(message.sequence)
      if (unpacked.of !== 'journal') return []
      return unpacked.entries.filter((entry) => entry !== undefined && entry[1] === id) as JournalEntry[]
    })
  }

  append(subject: string, data: Uint8Array, headers?: ReadonlyMap<string, string>): void {
    this.time.activity++
    const message = { subject, sequence: this.messages.length + 1, timestampMs: this.time.nowMs, data, headers }
    this.messages.push(message)
    this.#unfolded.push(message)
    if (this.#folding) return
    this.#folding = true
    try {
      for (let next = this.#unfolded.shift(); next !== undefined; next = this.#unfolded.shift()) this.#fold(next)
    } finally {
      this.#folding = false
    }
  }

  #fold(message: LogMessage): void {
    this.ledger.fold(message)
    const changes = this.ledger.takeChanges()
    this.#carryOut(this.agenda.note(changes, this.time.nowMs))
    if (changes.some(({ what }) => what !== 'submitted' && what !== 'ready' && what !== 'running')) this.#dropLost()
    this.#place()
  }

  #place(): void {
    this.#carryOut(this.agenda.place(this.time.nowMs))
  }

  #carryOut(effects: readonly SchedulerEffect[]): void {
    for (const effect of effects) {
      if (effect.do === 'append') this.append(this.subjects.control(0, leader), this.#controlBlock(effect.entries))
      else if (effect.do === 'award') for (const task of effect.tasks) this.#award(task)
      else if (effect.do === 'signal') {
        for (const place of effect.signals) this.#life.turns.get(effect.task.id)?.signal(this.#signalItem(place))
      } else if (effect.do === 'drop') {
        for (const [id] of effect.turns) this.#drop(id)
      }
    }
  }

  /** What the ledger has taken from the node, by cancellation, expiry or a restart of its group, is stopped. */
  #dropLost(): void {
    for (const [id, turn] of this.#life.turns) {
      const task = this.ledger.state.tasks.get(id)
      if (task?.status !== 'running' || task.turn !== turn.turn) this.#drop(id)
    }
  }

  #drop(id: string): void {
    const turn = this.#life.turns.get(id)
    this.#life.turns.delete(id)
    if (turn === undefined) return
    const status = this.ledger.state.tasks.get(id)?.status ?? 'forgotten'
    turn.abort(new TroupeError('TROUPE_TASK_CANCELLED', `the turn was taken from its node; the task is ${status}`))
  }

  #control(entries: Parameters<World['controlEntries']>[0]): void {
    this.append(this.subjects.control(0, leader), this.#controlBlock(entries))
  }

  #controlBlock(entries: Parameters<World['controlEntries']>[0]): Uint8Array {
    return packBlock([formatVersion, this.ledger.state.epoch, entries])
  }

  /** Carries the type of control entries; does nothing. */
  controlEntries(entries: Extract<SchedulerEffect, { do: 'append' }>['entries']): typeof entries {
    return entries
  }

  #join(): void {
    const life = new Life(++this.#lives)
    const types = [...this.#definitions.values()].map(({ profile }) => profile)
    const about = { node: 'node', host: 'test', pid: 1, version: '0', slots: 1e6, resources: {}, labels: {}, types }
    this.#blocks = 0
    this.append(this.#journal(life), packBlock([formatVersion, ++this.#blocks, [[kind.joined, about]]]))
    const bid = { credits: 1e6, priceMs: 0, slowdown: 1, ttlMs: limits.delayMsMax }
    this.agenda.hear(life.incarnation, ['bid', bid, load, 0, 0, 'ready', {}], this.time.nowMs)
    this.#life = life
    this.#place()
  }

  #journal(life: Life): string {
    return this.subjects.journal(0, 'node', life.incarnation)
  }

  #award(task: TaskRecord): void {
    const life = this.#life
    const turn = task.turn + 1
    realSoon(() => {
      if (!life.alive || task.turn !== turn - 1) return
      this.append(this.#journal(life), packBlock([formatVersion, ++this.#blocks, [[kind.accepted, task.id, turn]]]))
      if (task.owner?.incarnation !== life.incarnation || task.turn !== turn) return
      const definition = this.#definitions.get(task.type) as AnyTaskDefinition
      this.time.owners.run(life, () => {
        const started = startTurn(definition, this.#awarded(task), this.#host(life))
        if (this.#isRunning(task, started)) life.turns.set(task.id, started)
      })
    })
    this.time.activity++
  }

  #isRunning(task: TaskRecord, turn: Turn): boolean {
    return task.status === 'running' && task.turn === turn.turn
  }

  #awarded(task: TaskRecord): AwardedTask {
    const signals = (task.rare?.signals ?? []).slice(0, 100).map((place) => this.#signalItem(place))
    const input = inputAt(this.#unpacked(task.input.sequence), task.input.index) ?? null
    const waiting = signals.length > 0 ? signals : null
    return [task.id, task.type, task.turn, task.attempt, input, this.snapshotOf(task), waiting, null]
  }

  #signalItem(place: { sequence: number; index: number; previous: number }): SignalItem {
    return [place.sequence, place.previous, signalAt(this.#unpacked(place.sequence), place.index) ?? null]
  }

  #host(life: Life): TurnHost {
    return {
      namespace: 'test',
      nowMs: () => this.time.nowMs,
      nowAtMostMs: () => this.time.nowMs,
      log: this.#log,
      commit: (entries, onStored) => this.#commit(life, entries, onStored),
      ended: (turn) => {
        if (life.turns.get(turn.task) === turn) life.turns.delete(turn.task)
      },
      storeObject: async (data) => {
        const name = createHash('sha256').update(data).digest('hex')
        this.objects.set(name, data)
        return name
      },
      loadObject: async (name) => this.objects.get(name) as Uint8Array,
      ask: async (id) => {
        const task = this.ledger.state.tasks.get(id)
        if (task === undefined) throw new TroupeError('TROUPE_UNKNOWN_TASK', `there is no task "${id}"`)
        return this.row(task)
      },
      gap: (turn, sequence) => {
        const report = ['gap', turn.task, turn.turn, sequence] as const
        realSoon(() => life.alive && this.#carryOut(this.agenda.hear(life.incarnation, report, this.time.nowMs)))
        this.time.activity++
      },
    }
  }

  #commit(life: Life, entries: readonly JournalEntry[], onStored: (() => void) | undefined): void {
    this.time.activity++
    if (!life.alive) return
    // What a task only notes is no point to come back to.
    const isPoint = entries.some(([what]) => what !== kind.progressed)
    if (isPoint) this.commits.push(describe(entries))
    const here = isPoint && this.#crash !== undefined && this.commits.length === this.#crash.commit
    if (here && this.#crash?.side === 'before') {
      life.alive = false
      realSoon(() => this.kill())
      return
    }
    this.append(this.#journal(life), packBlock([formatVersion, ++this.#blocks, entries]))
    if (here) {
      life.alive = false
      realSoon(() => this.kill())
    } else if (onStored !== undefined) {
      realSoon(() => life.alive && this.time.owners.run(life, onStored))
      this.time.activity++
    }
  }

  #unpacked(sequence: number): Unpacked {
    const message = this.messages[sequence - 1]
    let unpacked = this.#read.get(sequence)
    if (unpacked === undefined && message !== undefined) {
      unpacked = unpackMessage(this.subjects, message)
      this.#read.set(sequence, unpacked)
    }
    return unpacked ?? { of: 'nothing' }
  }

  #value(payload: Payload | undefined): unknown {
    if (payload === undefined || payload === null) return undefined
    if (!Array.isArray(payload)) return unpackValue(payload as Uint8Array)
    const [name, , packed] = payload as readonly [string, number, 0 | 1]
    const data = this.objects.get(name) as Uint8Array
    return unpackValue(packed === 1 ? data : new TextDecoder().decode(data))
  }
}

const realImmediate = setImmediate

function realSoon(run: () => unknown): void {
  realImmediate(run)
}

/** In a test every task runs where the test does. */
function inline(definition: AnyTaskDefinition): AnyTaskDefinition {
  return definition.isolate === 'inline' ? definition : Object.freeze({ ...definition, isolate: 'inline' })
}

const names = new Map<number, string>(Object.entries(kind).map(([name, number]) => [number, name]))

function describe(entries: readonly JournalEntry[]): string {
  return entries.map((entry) => `${names.get(entry[0])} ${String(entry[1])}`).join(', ')
}
