/**
 * The leading scheduler's front desk: answers the contract's requests, as JSON. Reads come from the ledger and the log;
 * changes become control entries first and are answered once they are folded. No request can stop the process.
 */

import type { Submitter } from '../../actors/ledger/change.ts'
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import { resultAt, unpackMessage } from '../../actors/ledger/values.ts'
import type { Calendar } from '../../actors/scheduler/firings.ts'
import type { Bus, BusMessage, Log, Subscription } from '../../nats/bus.ts'
import { packBlock } from '../../protocol/blocks.ts'
import { kind } from '../../protocol/entries.ts'
import { limitsComplaint } from '../../protocol/entry-check.ts'
import { errorRecord } from '../../protocol/error-record.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/json.ts'
import type { LimitsAnswer, LimitsRequest } from '../../protocol/limit-messages.ts'
import { limits } from '../../protocol/limits.ts'
import type {
  DeadAnswer,
  DrainAnswer,
  RunAnswer,
  SetAsideAnswer,
  TaskAnswer,
  TasksAnswer,
  TasksRequest,
} from '../../protocol/messages.ts'
import { checkName } from '../../protocol/names.ts'
import { integerBetween } from '../../protocol/options.ts'
import type { Subjects } from '../../protocol/subjects.ts'
import type { LedgerReader } from '../ledger/ledger-reader.ts'
import {
  limitsRow,
  type NodeHealth,
  negotiationRow,
  nodeRow,
  placementRow,
  statsRow,
  statusOf,
  taskRow,
} from './answer-rows.ts'
import { answerCron } from './cron-requests.ts'
import { historyOf } from './history.ts'
import { LogEnd } from './log-end.ts'
import { packedHeaders, packedOutcome, wantsPacked } from './packed-outcome.ts'
import { Page } from './page.ts'
import { runTask } from './run-request.ts'
import type { SchedulerService } from './scheduler-service.ts'
import { snapshotsPage } from './snapshots-page.ts'
import { shownValue } from './teller.ts'

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

type Handler = (name: string, message: BusMessage) => Promise<unknown> | unknown

const text = new TextEncoder()
/** Requests under way at once; further ones are refused. */
const openMax = 10_000
const headerBytesMax = 1_024

export class Answers {
  private readonly service: SchedulerService
  private readonly options: AnswersOptions
  private readonly calendar: Calendar
  private readonly logEnd: LogEnd
  private open_ = 0

  constructor(service: SchedulerService, options: AnswersOptions, calendar: Calendar) {
    this.calendar = calendar
    this.service = service
    this.options = options
    this.logEnd = new LogEnd(options.log, options.reader)
  }

  /** Subscribes to all requests; done when leading begins. */
  open(): Subscription[] {
    const { subjects } = this.options
    return [
      this.on(`${subjects.root}.task.>`, (id, message) => this.task(id, message)),
      this.on(`${subjects.root}.cancel.>`, (id, message) => this.cancel(id, message)),
      this.on(`${subjects.root}.retry.>`, (id, message) => this.retry(id, message)),
      this.on(`${subjects.root}.remove.>`, (id) => this.remove(id)),
      this.on(`${subjects.root}.history.>`, (id) => this.history(id)),
      this.on(`${subjects.root}.drain.>`, (node) => this.drain(node)),
      this.on(`${subjects.root}.run.>`, (type, message) => this.run(type, message)),
      this.on(subjects.tasks, (_, message) => this.tasks(message)),
      this.on(subjects.snapshots, (_, message) => snapshotsPage(this.service, this.page(message), this.pageBytes)),
      this.on(subjects.dead, (_, message) => this.dead(message)),
      this.on(subjects.limits, (_, message) => this.limits(message)),
      this.on(subjects.cron, (_, message) => answerCron(this.service, this.calendar, bodyOf(message), this.pageBytes)),
      this.on(subjects.nodes, () => this.nodes()),
      this.on(subjects.stats, () => statsRow(this.service.ledger.state, this.service.nowMs(), this.service.agenda)),
    ]
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
    if (this.open_ >= openMax) {
      const error = { code: 'TROUPE_REFUSED', message: `more than ${openMax} requests are open` }
      this.options.bus.publish(reply, text.encode(JSON.stringify({ error })))
      return
    }
    this.open_++
    try {
      this.reply(reply, await handler(name, message))
    } catch (error) {
      this.reply(reply, { error: errorRecord(error, 'TROUPE_INTERNAL') })
    } finally {
      this.open_--
    }
  }

  /** Bytes are msgpack, all else becomes JSON. Throws TROUPE_TOO_LARGE rather than leave somebody without an answer. */
  private reply(subject: string, body: unknown): void {
    const { bus } = this.options
    const data = body instanceof Uint8Array ? body : text.encode(JSON.stringify(body))
    if (data.length + headerBytesMax > bus.maxPayloadBytes) {
      throw new TroupeError('TROUPE_TOO_LARGE', `the answer of ${data.length} bytes is more than a message holds`)
    }
    bus.publish(subject, data, data === body ? { headers: packedHeaders } : {})
  }

  private async known(id: string): Promise<TaskRecord> {
    const name = checkName('task id', id)
    const known = this.service.ledger.state.tasks.get(name)
    if (known !== undefined) return known
    await this.logEnd.folded()
    const { state } = this.service.ledger
    const task = state.tasks.get(name)
    if (task !== undefined) return task
    throw new TroupeError('TROUPE_UNKNOWN_TASK', `task "${id}" is not known`, {
      details: { id, position: state.position },
    })
  }

  /** The task with its result or error, read from the log if it has ended; or the outcome alone, in msgpack. */
  private async task(id: string, message: BusMessage): Promise<TaskAnswer | Uint8Array> {
    const task = await this.known(id)
    const packed = wantsPacked(message) && (await packedOutcome(task, this.options.log, this.options.subjects))
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
    const row = {
      ...taskRow(task, nowMs, agenda),
      ...(placement && { placement }),
      ...(negotiation && { negotiation }),
    }
    const { outcome } = task
    if (outcome === undefined || task.status !== 'completed') return row
    const message = await this.options.log.get(outcome.sequence)
    const result = message && resultAt(unpackMessage(this.options.subjects, message), outcome.index)
    const value = result === undefined ? undefined : shownValue(result)
    return value === undefined ? row : { ...row, result: value }
  }

  /** A submission of an id whose task has ended is told what that came to. */
  async tellAgain(task: TaskRecord, submitter: Submitter): Promise<void> {
    if (submitter.client === undefined && submitter.replyTo === undefined) return
    const { outcome, status } = task
    if (status === 'failed' || status === 'cancelled' || status === 'expired') {
      const error = task.rare?.lastError ?? { code: 'TROUPE_TASK_FAILED', message: `it was ${status}` }
      this.service.teller.tellOne(submitter, task.id, status, error)
      return
    }
    const message = outcome === undefined ? undefined : await this.options.log.get(outcome.sequence)
    if (message === undefined || outcome === undefined || status !== 'completed') return
    const result = resultAt(unpackMessage(this.options.subjects, message), outcome.index)
    if (result !== undefined) this.service.teller.tellOne(submitter, task.id, status, result)
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
      const why = task.rare?.unreadable ? 'could not be read, so it can never run' : `is ${task.status}`
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

  private run(type: string, message: BusMessage): Promise<RunAnswer> {
    return runTask(this.service, this.options, checkName('task type', type), message)
  }

  private tasks(message: BusMessage): TasksAnswer {
    const { status, type, after, limit } = this.page(message)
    const nowMs = this.service.nowMs()
    const page = new Page<TaskAnswer>(limit, this.pageBytes)
    let skipping = after !== undefined
    for (const task of this.service.ledger.state.tasks.values()) {
      if (skipping) {
        if (task.id === after) skipping = false
        continue
      }
      if (type !== undefined && task.type !== type) continue
      if (status !== undefined && statusOf(task, nowMs, this.service.agenda) !== status) continue
      if (!page.add(taskRow(task, nowMs, this.service.agenda))) return { tasks: page.rows, more: true }
    }
    return { tasks: page.rows, more: false }
  }

  private dead(message: BusMessage): DeadAnswer {
    const { after, limit } = this.page(message, (task) => task.status === 'failed')
    const { state } = this.service.ledger
    const nowMs = this.service.nowMs()
    const page = new Page<TaskAnswer>(limit, this.pageBytes)
    let more = false
    let skipping = after !== undefined
    for (const task of state.dead) {
      if (skipping) {
        if (task.id === after) skipping = false
      } else if (!page.add(taskRow(task, nowMs))) {
        more = true
        break
      }
    }
    const setAside = new Page<SetAsideAnswer>(limit, this.pageBytes)
    for (const { sequence, subject, reason, atMs } of [...state.setAsides].reverse()) {
      if (!setAside.add({ sequence, subject, reason, at: new Date(atMs).toISOString() })) break
    }
    return { dead: page.rows, setAside: setAside.rows.reverse(), more }
  }

  /** Lists limits, after it has set those of one type if the body says so. */
  private async limits(message: BusMessage): Promise<LimitsAnswer> {
    if (message.data.length > 0) {
      const { type, limits: given = null } = bodyOf<LimitsRequest>(message)
      const complaint = limitsComplaint(given)
      if (complaint !== undefined) throw new TroupeError('TROUPE_INVALID_OPTION', complaint)
      await this.service.decide([kind.limited, checkName('task type', type), given])
    }
    return limitsRow(this.service.ledger.state, this.service.nowMs())
  }

  private nodes(): { nodes: unknown[] } {
    const { agenda, ledger } = this.service
    const members = [...ledger.state.membersBySubject.values()].slice(0, limits.rowsMax)
    return { nodes: members.map((member) => nodeRow(member, agenda, this.options.nodes?.health(member.incarnation))) }
  }

  /** Two lists fit into one answer. */
  private get pageBytes(): number {
    return Math.floor(this.options.bus.maxPayloadBytes * 0.45)
  }

  /** A page begins after a task of the list; one that has left the list since would leave nothing after it. */
  private page(message: BusMessage, isListed: (task: TaskRecord) => boolean = () => true) {
    const { limit = 100, ...rest } = bodyOf<TasksRequest>(message)
    const { after } = rest
    if (after !== undefined) {
      const task = this.service.ledger.state.tasks.get(checkName('task id', after))
      if (task === undefined || !isListed(task)) {
        const message = `the page cannot begin after task "${after}": it is not in the list any more; begin again without it`
        throw new TroupeError('TROUPE_UNKNOWN_TASK', message, { details: { id: after } })
      }
    }
    return { ...rest, limit: integerBetween('limit', limit, 1, limits.rowsMax) }
  }
}

/** The body as an object, whose fields are still to be checked; an empty one without a body. */
function bodyOf<Request>(message: BusMessage): Partial<Request> {
  const request = message.data.length === 0 ? {} : parseJson(message.data)
  if (typeof request === 'object' && request !== null && !Array.isArray(request)) return request as Partial<Request>
  throw new TroupeError('TROUPE_UNREADABLE', 'the body of this request must be a JSON object')
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
