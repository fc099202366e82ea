/** Sends awards, with all the values that a node needs to run them; values that are not at hand are read from the log first. */
import type { Logger } from 'pino'
import type { Member } from '../../actors/ledger/member.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { SchedulerEffect } from '../../actors/scheduler/effects.ts'
import { awardTtlMs } from '../../actors/scheduler/offers.ts'
import type { Bus } from '../../nats/bus.ts'
import { packBlock, payloadBytes } from '../../protocol/blocks.ts'
import { limits } from '../../protocol/limits.ts'
import type { AwardAbout, AwardedTask, SignalItem } from '../../protocol/messages.ts'
import { defaultPriority } from '../../protocol/options.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import { type LogValues, lostReason, type TaskValues } from './log-values.ts'

/** Bytes of signals sent at once to a turn that lacks them. */
const signalBytesMax = 4 * 1024 * 1024

export interface AwardSenderOptions {
  readonly bus: Bus
  readonly subjects: Subjects
  readonly values: LogValues
  readonly logger: Logger
  /** An award of the task's next turn has lapsed before. */
  readonly isDoubtful: (task: TaskRecord) => boolean
  /** The log does not have what the task needs, and never will. */
  readonly onLost: (task: TaskRecord, reason: string) => void
  /** It is held until its whole gang has been accepted. */
  readonly startsWithGang: (task: TaskRecord) => boolean
}

/** What is said about an award beyond the task's own. */
type Terms = Pick<AwardAbout, 'careful' | 'gang' | 'tender'>
type Award = Extract<SchedulerEffect, { do: 'award' }>
type Signals = Extract<SchedulerEffect, { do: 'signal' }>

export class AwardSender {
  private readonly bus: Bus
  private readonly subjects: Subjects
  private readonly values: LogValues
  private readonly logger: Logger
  private readonly isDoubtful: (task: TaskRecord) => boolean
  private readonly onLost: AwardSenderOptions['onLost']
  private readonly startsWithGang: (task: TaskRecord) => boolean

  constructor({ bus, subjects, values, logger, isDoubtful, onLost, startsWithGang }: AwardSenderOptions) {
    this.bus = bus
    this.subjects = subjects
    this.values = values
    this.logger = logger
    this.isDoubtful = isDoubtful
    this.onLost = onLost
    this.startsWithGang = startsWithGang
  }

  send({ epoch, member, tasks, tender }: Award): void {
    const atHand: AwardedTask[] = []
    const missing: TaskRecord[] = []
    for (const task of tasks) {
      const input = this.values.atHand(task)
      if (input === undefined) missing.push(task)
      else
        atHand.push([
          task.id,
          task.type,
          task.turn + 1,
          task.attempt,
          input,
          null,
          null,
          aboutOf(task, this.termsOf(task, tender)),
        ])
    }
    this.publish(epoch, member, atHand)
    if (missing.length > 0) void this.sendRead({ epoch, member, tasks: missing, tender })
  }

  /** Hands a running turn its new signals. */
  async sendSignals({ member, task, turn, signals: places }: Signals): Promise<void> {
    try {
      let bytes = 0
      for (const place of places) {
        const [event] = await this.values.signals([place])
        bytes += event === undefined ? 0 : payloadBytes(event)
        // The node asks for the rest; one that is not found must not arrive as another.
        if (event === undefined || bytes > signalBytesMax) return
        const item: SignalItem = [place.sequence, place.previous, event]
        this.bus.publish(this.inbox(member), packBlock(['signal', task.id, turn, item]))
      }
    } catch (error) {
      this.logger.warn({ err: error, task: task.id }, 'signals could not be read; the node will ask for them')
    }
  }

  private async sendRead({
    epoch,
    member,
    tasks,
    tender,
  }: Omit<Award, 'do' | 'tender'> & { tender: string | undefined }): Promise<void> {
    const before = tasks.map(standing)
    try {
      const loaded = await this.values.load(tasks)
      const awarded: AwardedTask[] = []
      for (const [i, task] of tasks.entries()) {
        // The task may have gone on while the log was read.
        if (task.ended || standing(task) !== before[i]) continue
        const values = loaded.get(task)
        if (values !== undefined) awarded.push(awardedTask(task, values, this.termsOf(task, tender)))
        else this.onLost(task, lostReason(task))
      }
      this.publish(epoch, member, awarded)
    } catch (error) {
      this.logger.warn({ err: error, tasks: tasks.length }, 'values could not be read; these tasks are awarded again')
    }
  }

  private termsOf(task: TaskRecord, tender: string | undefined): Terms | undefined {
    const careful = this.isDoubtful(task)
    const gang = task.rare?.gang !== undefined && this.startsWithGang(task)
    if (!careful && !gang && tender === undefined) return undefined
    return { ...(careful && { careful }), ...(gang && { gang }), ...(tender !== undefined && { tender }) }
  }

  private publish(epoch: number, member: Member, awarded: readonly AwardedTask[]): void {
    let from = 0
    let bytes = 0
    for (let at = 0; at < awarded.length; at++) {
      const size = awardBytes(awarded[at]!)
      if (at > from && bytes + size > limits.blockBytesMax) {
        this.publishOne(epoch, member, awarded.slice(from, at))
        from = at
        bytes = 0
      }
      bytes += size
    }
    if (from < awarded.length) this.publishOne(epoch, member, from === 0 ? awarded : awarded.slice(from))
  }

  private publishOne(epoch: number, member: Member, awarded: readonly AwardedTask[]): void {
    this.bus.publish(this.inbox(member), packBlock(['award', epoch, awardTtlMs, awarded]))
  }

  private inbox(member: Member): string {
    return this.subjects.node(member.node, member.incarnation)
  }
}

/** Changes when the task goes on, and when its values are copied forward. */
function standing(task: TaskRecord): string {
  return `${task.turn} ${task.input.sequence} ${task.snapshot?.sequence}`
}

function awardBytes(awarded: AwardedTask): number {
  let bytes = 512 + payloadBytes(awarded[4]) + payloadBytes(awarded[5])
  for (const signal of awarded[6] ?? []) bytes += payloadBytes(signal[2]) + 16
  return bytes
}

function awardedTask(task: TaskRecord, values: TaskValues, terms: Terms | undefined): AwardedTask {
  const places = task.rare?.signals ?? []
  const items = values.signals.map((event, i): SignalItem => [places[i]!.sequence, places[i]!.previous, event])
  const about = aboutOf(task, terms)
  return [
    task.id,
    task.type,
    task.turn + 1,
    task.attempt,
    values.input,
    values.snapshot,
    items.length > 0 ? items : null,
    about,
  ]
}

/** Only what the task has; most have nothing. */
function aboutOf(task: TaskRecord, terms: Terms | undefined): AwardAbout | null {
  const { rare } = task
  if (
    terms === undefined &&
    task.key === undefined &&
    task.priority === defaultPriority &&
    rare?.deadlineAtMs === undefined &&
    rare?.parent === undefined &&
    !rare?.retried
  ) {
    return null
  }
  return {
    submittedAtMs: task.submittedAtMs,
    priority: task.priority,
    ...(task.key !== undefined && { key: task.key }),
    ...(rare?.deadlineAtMs !== undefined && { deadlineAtMs: rare.deadlineAtMs }),
    ...(rare?.parent !== undefined && { parent: rare.parent }),
    ...(rare?.retried && { retried: true }),
    ...terms,
  }
}
