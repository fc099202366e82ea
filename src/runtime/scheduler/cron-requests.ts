/** The request `cron`: lists schedules, sets one or removes one. What is set stands in the log before it is answered. */
import type { ScheduleRecord } from '../../actors/ledger/schedules.ts'
import type { Calendar } from '../../actors/scheduler/firings.ts'
import { kind } from '../../protocol/entries.ts'
import { TroupeError } from '../../protocol/errors.ts'
import { limits } from '../../protocol/limits.ts'
import type { CronAnswer, ScheduleAnswer } from '../../protocol/messages.ts'
import { checkScheduleName, scheduleFrom } from '../../protocol/schedule.ts'
import { Page } from './page.ts'
import type { SchedulerService } from './scheduler-service.ts'
import { shownValue } from './teller.ts'

type Body = Readonly<Record<string, unknown>>

/** `body` undefined or without a `schedule`: a page of those there are. */
export async function answerCron(
  service: SchedulerService,
  calendar: Calendar,
  body: Body,
  bytesMax: number,
): Promise<CronAnswer> {
  const { schedules } = service.ledger.state
  if (!('schedule' in body)) return listed(schedules, body, bytesMax)
  const name = checkScheduleName(body.name)
  if (body.schedule === null) {
    if (!schedules.has(name)) throw new TroupeError('TROUPE_UNKNOWN_SCHEDULE', `there is no schedule "${name}"`)
    await service.decide([kind.scheduled, name, null, null, 0])
    return { schedules: [], more: false }
  }
  await set(service, calendar, name, body)
  const record = schedules.get(name)
  return { schedules: record === undefined ? [] : [scheduleRow(record)], more: false }
}

async function set(service: SchedulerService, calendar: Calendar, name: string, body: Body): Promise<void> {
  const schedule = scheduleFrom(body)
  const input = body.input === undefined ? null : JSON.stringify(body.input)
  if (input !== null && Buffer.byteLength(input) > limits.scheduleInputBytesMax) {
    const message = `the input of a schedule has at most ${limits.scheduleInputBytesMax} bytes, for every firing copies it`
    throw new TroupeError('TROUPE_TOO_LARGE', message)
  }
  const nextAtMs = calendar.nextMs(schedule, service.nowMs())
  if (nextAtMs === undefined) {
    throw new TroupeError('TROUPE_INVALID_SCHEDULE', `the schedule "${schedule.schedule}" is never due`)
  }
  const { schedules } = service.ledger.state
  if (!schedules.has(name) && schedules.size >= limits.schedulesMax) {
    throw new TroupeError('TROUPE_REFUSED', `there are ${limits.schedulesMax} schedules already`)
  }
  await service.decide([kind.scheduled, name, schedule, input, nextAtMs])
}

function listed(schedules: ReadonlyMap<string, ScheduleRecord>, { after }: Body, bytesMax: number): CronAnswer {
  const page = new Page<ScheduleAnswer>(limits.rowsMax, bytesMax)
  const names = [...schedules.keys()].sort()
  for (const name of names) {
    if (typeof after === 'string' && name <= after) continue
    if (!page.add(scheduleRow(schedules.get(name)!))) return { schedules: page.rows, more: true }
  }
  return { schedules: page.rows, more: false }
}

function scheduleRow(record: ScheduleRecord): ScheduleAnswer {
  const { name, schedule, input, setAtMs, nextAtMs, lastAtMs, lastTask, fired, skipped, missedAtMs } = record
  const value = shownValue(input)
  return {
    name,
    ...schedule,
    ...(input !== null && value !== undefined && { input: value }),
    setAt: iso(setAtMs),
    ...(nextAtMs > 0 && { nextAt: iso(nextAtMs) }),
    ...(lastAtMs > 0 && { lastAt: iso(lastAtMs), lastTask }),
    fired,
    skipped,
    ...(missedAtMs > 0 && { missedAt: iso(missedAtMs) }),
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
