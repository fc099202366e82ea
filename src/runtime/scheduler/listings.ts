/**
 * Answers about many tasks, and about the namespace as a whole: lists, counts, nodes, limits, schedules. Where there are several
 * partitions, the scheduler that leads the first one answers for all of them.
 */
import type { TaskRecord } from '../../actors/ledger/task-record.ts'
import type { Calendar } from '../../actors/scheduler/firings.ts'
import type { BusMessage } from '../../nats/bus.ts'
import { kind } from '../../protocol/entries.ts'
import { limitsComplaint } from '../../protocol/entry-check.ts'
import { TroupeError } from '../../protocol/errors.ts'
import type { LimitsAnswer, LimitsRequest } from '../../protocol/limit-messages.ts'
import { limits } from '../../protocol/limits.ts'
import type {
  CronAnswer,
  DeadAnswer,
  NodeAnswer,
  SetAsideAnswer,
  SnapshotsAnswer,
  StatsAnswer,
  TaskAnswer,
  TasksAnswer,
  TasksRequest,
} from '../../protocol/messages.ts'
import { checkName } from '../../protocol/names.ts'
import { integerBetween } from '../../protocol/options.ts'
import { limitsRow, nodeRow, statsRow, statusOf, taskRow } from './answer-rows.ts'
import type { AnswersOptions } from './answers.ts'
import { answerCron } from './cron-requests.ts'
import { gatheredCron, gatheredLimits, gatheredNodes, gatheredPage, gatheredStats } from './gathered-answers.ts'
import { Page } from './page.ts'
import { bodyOf } from './request-body.ts'
import type { SchedulerService } from './scheduler-service.ts'
import { snapshotsPage } from './snapshots-page.ts'

export class Listings {
  private readonly service: SchedulerService
  private readonly options: AnswersOptions
  private readonly calendar: Calendar

  constructor(service: SchedulerService, options: AnswersOptions, calendar: Calendar) {
    this.service = service
    this.options = options
    this.calendar = calendar
  }

  tasks(message: BusMessage): TasksAnswer | Promise<TasksAnswer> {
    const own = (request: TasksRequest) => this.ownTasks(request)
    const rows = ({ tasks }: TasksAnswer) => tasks
    return this.paged(message, own, rows, (pages, more) => ({ tasks: pages.flatMap(rows), more }))
  }

  snapshots(message: BusMessage): Promise<SnapshotsAnswer> | SnapshotsAnswer {
    const own = (request: TasksRequest) => snapshotsPage(this.service, this.page(request), this.pageBytes)
    const rows = ({ tasks }: SnapshotsAnswer) => tasks
    return this.paged(message, own, rows, (pages, more) => ({ tasks: pages.flatMap(rows), more }))
  }

  dead(message: BusMessage): DeadAnswer | Promise<DeadAnswer> {
    const own = (request: TasksRequest) => this.ownDead(request)
    const rows = ({ dead }: DeadAnswer) => dead
    return this.paged(message, own, rows, (pages, more) => ({
      dead: pages.flatMap(rows),
      setAside: pages.flatMap(({ setAside }) => setAside),
      more,
    }))
  }

  /** A page of the own rows, or of those of all partitions in turn. */
  private paged<Answer extends { readonly more: boolean }>(
    message: BusMessage,
    own: (request: TasksRequest) => Answer | Promise<Answer>,
    rowsOf: (answer: Answer) => readonly unknown[],
    merged: (pages: readonly Answer[], more: boolean) => Answer,
  ): Answer | Promise<Answer> {
    const { switchboard } = this.service
    if (!switchboard.speaksForAll(message)) return own(bodyOf<TasksRequest>(message))
    return gatheredPage(switchboard, message, own, rowsOf, merged, this.pageBytes)
  }

  private ownTasks(request: TasksRequest): TasksAnswer {
    const { status, type, after, limit } = this.page(request)
    const nowMs = this.service.nowMs()
    const page = new Page<TaskAnswer>(limit, this.pageBytes)
    let skipping = after !== undefined
    for (const task of this.service.ledger.state.tasks.values()) {
      if (skipping) {
        if (task.passingId === after) skipping = false
        continue
      }
      if (type !== undefined && task.type !== type) continue
      if (status !== undefined && statusOf(task, nowMs, this.service.agenda) !== status) continue
      if (!page.add(taskRow(task, nowMs, this.service.agenda))) return { tasks: page.rows, more: true }
    }
    return { tasks: page.rows, more: false }
  }

  private ownDead(request: TasksRequest): DeadAnswer {
    const { after, limit } = this.page(request, (task) => task.status === 'failed')
    const { state } = this.service.ledger
    const nowMs = this.service.nowMs()
    const page = new Page<TaskAnswer>(limit, this.pageBytes)
    let more = false
    let skipping = after !== undefined
    for (const task of state.dead) {
      if (skipping) {
        if (task.passingId === after) skipping = false
      } else if (!page.add(taskRow(task, nowMs))) {
        more = true
        break
      }
    }
    const setAside = new Page<SetAsideAnswer>(limit, this.pageBytes)
    for (const { sequence, subject, reason, atMs } of [...state.setAsides].reverse()) {
      const where = state.partitions > 1 ? { partition: state.partition } : {}
      if (!setAside.add({ sequence, ...where, subject, reason, at: new Date(atMs).toISOString() })) break
    }
    return { dead: page.rows, setAside: setAside.rows.reverse(), more }
  }

  /** Lists limits, after it has set those of one type if the body says so. */
  async limits(message: BusMessage): Promise<LimitsAnswer> {
    if (message.data.length > 0) {
      const { type, limits: given = null } = bodyOf<LimitsRequest>(message)
      const complaint = limitsComplaint(given)
      if (complaint !== undefined) throw new TroupeError('TROUPE_INVALID_OPTION', complaint)
      await this.service.decide([kind.limited, checkName('task type', type), given])
    }
    const own = limitsRow(this.service.ledger.state, this.service.nowMs())
    const { switchboard } = this.service
    return switchboard.speaksForAll(message) ? gatheredLimits(switchboard, message, own) : own
  }

  cron(message: BusMessage): Promise<CronAnswer> {
    const { switchboard } = this.service
    const own = () => answerCron(this.service, this.calendar, bodyOf(message), this.pageBytes)
    if (!switchboard.speaksForAll(message)) return own()
    return gatheredCron(switchboard, message, this.options.subjects.partitions, own)
  }

  async nodes(message: BusMessage): Promise<{ nodes: readonly NodeAnswer[] }> {
    const { agenda, ledger, switchboard } = this.service
    const members = [...ledger.state.membersBySubject.values()].slice(0, limits.rowsMax)
    const own = members.map((member) => nodeRow(member, agenda, this.options.nodes?.health(member.incarnation)))
    return { nodes: switchboard.speaksForAll(message) ? await gatheredNodes(switchboard, message, own) : own }
  }

  stats(message: BusMessage): StatsAnswer | Promise<StatsAnswer> {
    const { agenda, ledger, switchboard } = this.service
    const own = statsRow(ledger.state, this.service.nowMs(), agenda)
    return switchboard.speaksForAll(message) ? gatheredStats(switchboard, message, own) : own
  }

  /** Two lists fit into one answer. */
  private get pageBytes(): number {
    return Math.floor(this.options.bus.maxPayloadBytes * 0.45)
  }

  /** A page begins after a task of the list; one that has left the list since would leave nothing after it. */
  private page(request: TasksRequest, isListed: (task: TaskRecord) => boolean = () => true) {
    const { limit = 100, ...rest } = request
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
