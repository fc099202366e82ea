/**
 * The leading scheduler's front desk: answers the contract's requests, as JSON. Reads come from the ledger and the log;
 * changes become control entries first and are answered once they are folded. No request can stop the process.
 */

import type { Submitter } from '../../actors/ledger/change.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { Calendar } from '../../actors/scheduler/firings.ts'
import type { Bus, BusMessage, Log, Subscription } from '../../nats/bus.ts'
import { packBlock } from '../../protocol/blocks.ts'
import { kind, type Payload } from '../../protocol/entries.ts'
import { errorRecord } from '../../protocol/error-record.ts'
import { hasCode, TroupeError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/json.ts'
import { limits } from '../../protocol/limits.ts'
import type { DrainAnswer, RunAnswer, TaskAnswer } from '../../protocol/messages.ts'
import { checkName } from '../../protocol/names.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import type { LedgerReader } from '../ledger/ledger-reader.ts'
import { type NodeHealth, negotiationRow, placementRow, taskRow } from './answer-rows.ts'
import { historyOf } from './history.ts'
import { Listings } from './listings.ts'
import { LogEnd } from './log-end.ts'
import { checkOwnSubmission } from './own-submission.ts'
import { bodyOf } from './request-body.ts'
import { placeOfRun, runTask } from './run-request.ts'
import type { SchedulerService } from './scheduler-service.ts'
import { outcomeOf, packedHeaders, packedOutcome, wantsPacked } from './task-outcome.ts'
import { resultGone, shownValue } from './teller.ts'

/** What supervisors know of nodes. */
export interface NodeStatusSource {
  health(incarnation: string): NodeHealth | undefined
}

export interface AnswersOptions {
  readonly bus: Bus
  readonly log: Log
  readonly subjects: Subjects
  readonly partition: number
  readonly reader: LedgerReader
  readonly nodes?: NodeStatusSource
}

/** The answer of another partition's scheduler, as it is. */
class Relayed {
  readonly answer: BusMessage

  constructor(answer: BusMessage) {
    this.answer = answer
  }
}

/** Another partition's scheduler answers. */
const handedOver = Symbol('handed over')

type Handler = (name: string, message: BusMessage) => Promise<unknown> | unknown

const text = new TextEncoder()
/** Requests under way at once; further ones are refused. */
const openMax = 10_000
const headerBytesMax = 1_024

export class Answers {
  private readonly service: SchedulerService
  private readonly options: AnswersOptions
  private readonly listings: Listings
  private readonly logEnd: LogEnd
  private underWay = 0

  constructor(service: SchedulerService, options: AnswersOptions, calendar: Calendar) {
    this.listings = new Listings(service, options, calendar)
    this.service = service
    this.options = options
    this.logEnd = new LogEnd(options.log, options.reader, () => service.decideAll([]))
  }

  /** Subscribes to all requests; done when leading begins. */
  open(): Subscription[] {
    const { subjects } = this.options
    const { root } = subjects
    return [
      this.aboutTask(`${root}.task.>`, (id, message) => this.task(id, message)),
      this.aboutTask(`${root}.cancel.>`, (id, message) => this.cancel(id, message)),
      this.aboutTask(`${root}.retry.>`, (id, message) => this.retry(id, message)),
      this.aboutTask(`${root}.remove.>`, (id) => this.remove(id)),
      this.aboutTask(`${root}.history.>`, (id) => this.history(id)),
      // A node leaves all partitions when it leaves one.
      ...(subjects.partition === 0 ? [this.on(subjects.drain('>'), (node) => this.drain(node))] : []),
      this.on(`${root}.run.>`, (type, message) => this.run(type, message)),
      this.on(subjects.tasks, (_, message) => this.listings.tasks(message)),
      this.on(subjects.snapshots, (_, message) => this.listings.snapshots(message)),
      this.on(subjects.dead, (_, message) => this.listings.dead(message)),
      this.on(subjects.limits, (_, message) => this.listings.limits(message)),
      this.on(subjects.cron, (_, message) => this.listings.cron(message)),
      this.on(subjects.nodes, (_, message) => this.listings.nodes(message)),
      this.on(subjects.stats, (_, message) => this.listings.stats(message)),
    ]
  }

  /** A task that is not known here may be in another partition. */
  private aboutTask(pattern: string, handler: Handler): Subscription {
    const { switchboard } = this.service
    return this.on(pattern, async (id, message) => {
      try {
        return await handler(id, message)
      } catch (error) {
        if (!hasCode(error, 'TROUPE_UNKNOWN_TASK') || !switchboard.mayPassOn(message)) throw error
        const answer = await switchboard.answerAbout(id, message)
        if (answer === undefined) throw error
        return new Relayed(answer)
      }
    })
  }

  /** Answers one pattern of subjects; what is thrown is answered as an error. */
  private on(pattern: string, handler: Handler): Subscription {
    const { bus } = this.options
    const prefix = pattern.endsWith('.>') ? pattern.length - 1 : pattern.length
    return bus.subscribe(pattern, (message) => void this.answer(message, message.subject.slice(prefix), handler))
  }

  private async answer(message: BusMessage, name: string, handler: Handler): Promise<void> {
    const { reply } = message
    if (reply === undefined) return
    if (this.underWay >= openMax) {
      const error = { code: 'TROUPE_REFUSED', message: `more than ${openMax} requests are open` }
      this.options.bus.publish(reply, text.encode(JSON.stringify({ error })))
      return
    }
    this.underWay++
    try {
      this.reply(reply, await handler(name, message))
    } catch (error) {
      this.reply(reply, { error: errorRecord(error, 'TROUPE_INTERNAL') })
    } finally {
      this.underWay--
    }
  }

  /** Bytes are msgpack, all else becomes JSON. Throws TROUPE_TOO_LARGE rather than leave somebody without an answer. */
  private reply(subject: string, body: unknown): void {
    const { bus } = this.options
    if (body === handedOver) return
    if (body instanceof Relayed) {
      const { data, headers } = body.answer
      bus.publish(subject, data, headers === undefined ? {} : { headers: Object.fromEntries(headers) })
      return
    }
    const data = body instanceof Uint8Array ? body : text.encode(JSON.stringify(body))
    if (data.length + headerBytesMax > bus.maxPayloadBytes) {
      throw new TroupeError('TROUPE_TOO_LARGE', `the answer of ${data.length} bytes is more than a message holds`)
    }
    bus.publish(subject, data, data === body ? { headers: packedHeaders } : {})
  }

  /** Who does not know it says up to where it has read, so that a submitter can tell "not yet" from "not there". */
  private async known(id: string): Promise<TaskRecord> {
    const name = checkName('task id', id)
    const known = this.service.ledger.state.tasks.get(name)
    if (known !== undefined) return known
    await this.logEnd.folded()
    const { state } = this.service.ledger
    const task = state.tasks.get(name)
    if (task !== undefined) return task
    const { partition, partitions, position, strays } = state
    const [strayFrom] = strays.submissions.keys()
    const ofSeveral = partitions > 1 && { partition, ...(strayFrom !== undefined && { strayFrom }) }
    throw new TroupeError('TROUPE_UNKNOWN_TASK', `task "${id}" is not known`, {
      details: { id, position, ...ofSeveral },
    })
  }

  /** The task with its result or error, read from the log if it has ended; or the outcome alone, in msgpack. */
  private async task(id: string, message: BusMessage): Promise<TaskAnswer | Uint8Array> {
    const task = await this.known(id)
    await checkOwnSubmission(task, message, this.options)
    const packed = wantsPacked(message) && (await packedOutcome(task, this.options))
    return packed || this.shown(task)
  }

  private async history(id: string): Promise<unknown> {
    return historyOf(await this.known(id), this.service.ledger.state, this.options)
  }

  private async shown(task: TaskRecord): Promise<TaskAnswer> {
    const { agenda, ledger } = this.service
    const placement = placementRow(task, ledger.state, agenda)
    const nowMs = this.service.nowMs()
    const negotiation = negotiationRow(task, nowMs, agenda)
    const { partition, partitions } = ledger.state
    const row = {
      ...taskRow(task, nowMs, agenda),
      ...(partitions > 1 && { partition }),
      ...(placement && { placement }),
      ...(negotiation && { negotiation }),
    }
    if (task.status !== 'completed') return row
    const outcome = await outcomeOf(task, this.options)
    if (outcome?.value === undefined) return { ...row, error: resultGone(task.id) }
    const value = shownValue(outcome.value as Payload)
    return value === undefined ? row : { ...row, result: value }
  }

  /** A submission of an id whose task has ended is told what that came to. */
  async tellAgain(task: TaskRecord, submitter: Submitter): Promise<void> {
    if (submitter.client === undefined && submitter.replyTo === undefined) return
    const outcome = await outcomeOf(task, this.options)
    if (outcome?.value === undefined) return
    this.service.teller.tellOne(submitter, task.id, outcome.status, outcome.value)
  }

  private async cancel(id: string, message: BusMessage): Promise<TaskAnswer> {
    const task = await this.known(id)
    if (!task.ended) {
      const reason = cancelReason(message)
      const { owner, turn } = task
      await this.service.decide([kind.cancelled, task.id, reason])
      if (owner !== undefined && task.status === 'cancelled') {
        const { bus, subjects } = this.options
        bus.publish(subjects.node(owner.node, owner.incarnation), packBlock(['drop', [[task.id, turn, 'cancelled']]]))
      }
    }
    return this.shown(task)
  }

  private async retry(id: string, message: BusMessage): Promise<TaskAnswer> {
    const task = await this.known(id)
    if (task.status !== 'failed' || task.rare?.unreadable) {
      const why = whyNotRetried(task)
      throw new TroupeError('TROUPE_NOT_FAILED', `task "${id}" ${why}`, { details: { id, status: task.status } })
    }
    const skips = bodyOf<{ skipEvent: boolean }>(message).skipEvent === true
    if (skips && (task.rare?.signals?.length ?? 0) === 0) {
      throw new TroupeError('TROUPE_INVALID_OPTION', `task "${id}" has no event to skip`, { details: { id } })
    }
    await this.service.decide(skips ? [kind.retried, task.id, true] : [kind.retried, task.id])
    return this.shown(task)
  }

  private async remove(id: string): Promise<{ id: string; removed: true }> {
    const task = await this.known(id)
    if (!task.ended) throw new TroupeError('TROUPE_NOT_FAILED', `task "${id}" is ${task.status}`, { details: { id } })
    await this.service.decide([kind.removed, task.id])
    return { id, removed: true }
  }

  private drain(node: string): DrainAnswer {
    const { bus, subjects } = this.options
    for (const member of this.service.ledger.state.membersBySubject.values()) {
      if (member.node !== node) continue
      bus.publish(subjects.node(member.node, member.incarnation), packBlock(['drain']))
      return { node, status: 'draining' }
    }
    throw new TroupeError('TROUPE_UNKNOWN_NODE', `no node "${node.slice(0, 128)}" is in the cluster`)
  }

  private run(type: string, message: BusMessage): Promise<RunAnswer> | typeof handedOver {
    const { switchboard, ledger } = this.service
    const place = switchboard.mayPassOn(message) ? placeOfRun(message, type, ledger.state) : undefined
    if (place === undefined) return runTask(this.service, this.options, checkName('task type', type), message)
    switchboard.handOver(message, place)
    return handedOver
  }
}

/** The reason in a cancel request: the body's `reason`, or the body itself when it is plain text. */
function cancelReason(message: BusMessage): string {
  if (message.data.length === 0) return ''
  const text = new TextDecoder().decode(message.data.subarray(0, limits.errorMessageCharsMax))
  try {
    const body = parseJson(text)
    const reason = typeof body === 'object' && body !== null ? (body as { reason?: unknown }).reason : body
    return typeof reason === 'string' ? reason.slice(0, 200) : ''
  } catch {
    return text.slice(0, 200)
  }
}

function whyNotRetried({ status, rare }: TaskRecord): string {
  if (rare?.unreadable) return 'could not be read, so it can never run'
  return rare?.cancelledWithParent ? `is cancelled, and runs again with its parent "${rare.parent}"` : `is ${status}`
}
