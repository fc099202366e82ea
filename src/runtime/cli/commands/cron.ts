/** `cron`: lists, sets and removes schedules. */
import type { CronOptions } from '../../../client/cron.ts'
import type { ScheduleAnswer } from '../../../protocol/messages.ts'
import { ago } from '../format.ts'
import type { Invocation } from '../program.ts'
import { jsonArgument, required, withTroupe } from '../session.ts'
import { present } from '../settings.ts'

export async function cronList(invocation: Invocation): Promise<number> {
  const { output } = invocation
  const schedules = await withTroupe(invocation, (troupe) => troupe.cron.list())
  if (output.json) for (const schedule of schedules) output.value(schedule)
  else
    output.table(
      ['NAME', 'SCHEDULE', 'TIME ZONE', 'TYPE', 'NEXT', 'LAST', 'FIRED', 'SKIPPED', 'MISSED', 'OVERLAP'],
      schedules.map((one) => [
        one.name,
        one.schedule,
        one.timeZone,
        one.type,
        one.nextAt === undefined ? 'never' : `${clock(one.nextAt)} (${ago(one.nextAt)})`,
        ago(one.lastAt),
        String(one.fired),
        String(one.skipped),
        one.missed,
        one.overlap,
      ]),
    )
  return 0
}

interface Flags extends Pick<CronOptions, 'timeZone' | 'missed' | 'overlap'> {
  readonly priority?: number
  readonly key?: string
  readonly startWithin?: string
  readonly expected?: string
}

export async function cronSet(invocation: Invocation): Promise<number> {
  const { args, output, options: flags } = invocation
  const name = required('the name of the schedule', args[0])
  const schedule = required('the schedule', args[1])
  const task = required('the type of the tasks', args[2])
  const input = await jsonArgument(args[3])
  const { timeZone, missed, overlap, priority, key, startWithin, expected } = flags as Flags
  const options = present({ priority, key, startWithin, expected })
  const asked: CronOptions = { schedule, task, input, options, ...present({ timeZone, missed, overlap }) }
  const set = await withTroupe(invocation, (troupe) => troupe.cron.set(name, asked))
  if (output.json) output.value(set)
  else output.line(described(set))
  return 0
}

export async function cronRemove(invocation: Invocation): Promise<number> {
  const { args, output } = invocation
  const name = required('the name of the schedule', args[0])
  await withTroupe(invocation, (troupe) => troupe.cron.remove(name))
  if (output.json) output.value({ name, removed: true })
  else output.line(`${name}  removed`)
  return 0
}

function described({ name, type, nextAt }: ScheduleAnswer): string {
  return `${name}  submits ${type} next at ${nextAt === undefined ? 'no time' : `${clock(nextAt)} (${ago(nextAt)})`}`
}

/** ISO 8601 without the milliseconds that a schedule never has. */
function clock(time: string): string {
  return time.replace('.000Z', 'Z')
}
