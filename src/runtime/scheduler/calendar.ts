/**
 * When cron schedules are due, by the library croner and the time zones that this Node knows. Over a change of clocks it
 * keeps to Vixie cron's rule: a job at fixed times (no `*` and no step in hours, minutes, seconds) whose time does not exist
 * runs at the end of the gap, and one whose time comes twice runs the first time; any other job runs by the clock as it
 * shows, so not in the gap, and in both of the hours that come twice.
 */
import { Cron } from 'croner'
import type { Calendar } from '../../actors/scheduler/firings.ts'
import { TroupeError } from '../../protocol/errors.ts'
import type { Schedule } from '../../protocol/schedule.ts'

type Pattern = Pick<Schedule, 'schedule' | 'timeZone'>

const fields = /^(@[a-z]+|[^\s]+(\s+[^\s]+){4,5})$/i
/** Patterns kept once read. */
const patternsMax = 20_000

export class CronCalendar implements Calendar {
  private readonly patterns = new Map<string, Cron>()

  /** Throws TROUPE_INVALID_SCHEDULE when the pattern or the time zone is not known here. */
  nextMs({ schedule, timeZone }: Pattern, afterMs: number): number | undefined {
    const key = `${timeZone} ${schedule}`
    let pattern = this.patterns.get(key)
    if (pattern === undefined) {
      pattern = read(schedule.trim(), timeZone)
      if (this.patterns.size >= patternsMax) this.patterns.clear()
      this.patterns.set(key, pattern)
    }
    return pattern.nextRun(new Date(afterMs))?.getTime()
  }
}

function read(schedule: string, timeZone: string): Cron {
  try {
    new Intl.DateTimeFormat('en', { timeZone })
  } catch (cause) {
    throw new TroupeError('TROUPE_INVALID_SCHEDULE', `the time zone "${timeZone}" is not known here`, { cause })
  }
  try {
    if (!fields.test(schedule))
      throw new Error('it has neither five fields, nor six with seconds first, nor a nickname')
    return new Cron(schedule, { timezone: timeZone, fixedTimeRule: 'no-wildcard' })
  } catch (cause) {
    const reason = (cause as Error).message.replace(/^Cron\w+: /, '')
    throw new TroupeError('TROUPE_INVALID_SCHEDULE', `the schedule "${schedule}" cannot be read: ${reason}`, { cause })
  }
}
