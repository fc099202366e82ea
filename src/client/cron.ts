/** Cron schedules as a program sets them. The leading scheduler checks them, keeps them in the log and fires them. */
import type { Bus } from '../nats/bus.ts'
import { TroupeError } from '../protocol/errors.ts'
import type { CronAnswer, CronRequest, ScheduleAnswer } from '../protocol/messages.ts'
import type { Duration } from '../protocol/options.ts'
import { checkScheduleName, type MissedRule, type OverlapRule } from '../protocol/schedule.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { ask } from './ask.ts'
import type { Keyring } from './encryption.ts'
import { checkInput } from './input.ts'
import { type AnyTaskDefinition, isTaskDefinition } from './task.ts'

export interface CronOptions {
  /** Five fields, six with seconds first, or a nickname: `0 3 * * *`, `*\/10 * * * * *`, `0 9 * * MON-FRI`, `@daily`. */
  readonly schedule: string
  /** An IANA name such as `Europe/Vienna`. Default `UTC`. */
  readonly timeZone?: string
  /** A definition, or the name of a type. */
  readonly task: AnyTaskDefinition | string
  /** JSON, at most 16 KiB. */
  readonly input?: unknown
  /** Of every task that it makes. */
  readonly options?: {
    readonly priority?: number
    readonly key?: string
    readonly startWithin?: Duration
    readonly expected?: Duration
    readonly replyTo?: string
  }
  /** Of firings that nobody could make when they were due: none run, the latest (default), or all, at most the last 100. */
  readonly missed?: MissedRule
  /**
   * While a task of an earlier firing has not ended: both run (default), the firing is left out, it waits (at most 100 do),
   * or the earlier task is cancelled.
   */
  readonly overlap?: OverlapRule
}

export class Cron {
  readonly #bus: Bus
  readonly #keyring: Keyring | undefined
  readonly #subjects: Subjects
  readonly #validate: (type: string, input: unknown) => Promise<void>

  constructor(
    bus: Bus,
    subjects: Subjects,
    keyring: Keyring | undefined,
    validate: (type: string, input: unknown) => Promise<void>,
  ) {
    this.#keyring = keyring
    this.#bus = bus
    this.#subjects = subjects
    this.#validate = validate
  }

  /**
   * Resolves with the schedule once the log has it; instead of one of that name, if there is one. Safe to do at every start
   * of a program: as long as pattern and time zone stay the same, so does the firing that is due next. Rejects with
   * TROUPE_INVALID_NAME, TROUPE_INVALID_SCHEDULE, TROUPE_INVALID_OPTION, TROUPE_INVALID_INPUT, TROUPE_TOO_LARGE or TROUPE_REFUSED.
   */
  async set(name: string, { task, input, ...options }: CronOptions): Promise<ScheduleAnswer> {
    checkScheduleName(name)
    checkJson(input)
    const type = isTaskDefinition(task) ? task.type : task
    if (isTaskDefinition(task) && task.schema !== undefined) await checkInput(task, input)
    else await this.#validate(type, input)
    const request: CronRequest = {
      name,
      type,
      ...options,
      ...(input !== undefined && { input: this.#sealed(input, type) }),
    }
    const { schedules } = await ask<CronAnswer>(this.#bus, this.#subjects.cron, request)
    const [schedule] = schedules
    if (schedule !== undefined) return schedule
    throw new TroupeError('TROUPE_UNKNOWN_SCHEDULE', `"${name}" was removed again`)
  }

  /** Bound to its type: each firing makes a task of its own. */
  #sealed(input: unknown, type: string): unknown {
    return this.#keyring === undefined ? input : this.#keyring.sealValue(input, `type:${type}`)
  }

  /** Resolves with all schedules, by name. */
  async list(): Promise<readonly ScheduleAnswer[]> {
    const all: ScheduleAnswer[] = []
    for (;;) {
      const after = all.at(-1)?.name
      const page = await ask<CronAnswer>(this.#bus, this.#subjects.cron, after === undefined ? undefined : { after })
      all.push(...page.schedules)
      if (!page.more) return all
    }
  }

  /** Resolves once the schedule is gone; tasks that it made go on. Rejects with TROUPE_UNKNOWN_SCHEDULE. */
  async remove(name: string): Promise<void> {
    await ask<CronAnswer>(this.#bus, this.#subjects.cron, { name: checkScheduleName(name), schedule: null })
  }
}

function checkJson(input: unknown): void {
  try {
    JSON.stringify(input)
  } catch (cause) {
    throw new TroupeError('TROUPE_NOT_SERIALIZABLE', `the input is not JSON: ${(cause as Error).message}`, { cause })
  }
}
