/**
 * How the leading scheduler of one partition reaches those of the others: to find out who has a task, to pass a request on,
 * to ask all of them. It decides nothing and keeps nothing.
 */
import type { Bus, BusMessage } from '../../nats/bus.ts'
import { errorFromRecord } from '../../protocol/error-record.ts'
import { type ErrorRecord, hasCode, TroupeError } from '../../protocol/errors.ts'
import { parseJson } from '../../protocol/json.ts'
import type { TaskAnswer } from '../../protocol/messages.ts'
import { homeOf } from '../../protocol/partitions.ts'
import type { Subjects } from '../../protocol/subjects.ts'

/** On a request that one scheduler makes of another: to be answered from its own ledger alone. */
const ownOnly = 'Troupe-Own-Only'
const timeoutMs = 2_000
const nothing = new Uint8Array(0)

/** How long it is looked for a task that may be on its way from one partition to another, and between two looks. */
const findMs = 1_500
const pauseMs = 100

interface Found {
  readonly partition: number
  readonly status: string
}

/** Who does not know a task says up to where it has read its log, and the oldest place of what it still has to bring over. */
interface Unknown {
  readonly partition: number
  readonly position: number
  readonly strayFrom: number
}

export class Switchboard {
  private readonly bus: Bus
  private readonly subjects: Subjects

  constructor(bus: Bus, subjects: Subjects) {
    this.bus = bus
    this.subjects = subjects
  }

  /** Whether there is anybody to pass this request on to. */
  mayPassOn({ headers }: BusMessage): boolean {
    return this.subjects.partitions > 1 && headers?.get(ownOnly.toLowerCase()) === undefined
  }

  /** Whether this scheduler speaks for all when it is asked this. */
  speaksForAll(message: BusMessage): boolean {
    return this.subjects.partition === 0 && this.mayPassOn(message)
  }

  get others(): number[] {
    return this.all.filter((other) => other !== this.subjects.partition)
  }

  private get all(): number[] {
    return Array.from({ length: this.subjects.partitions }, (_, partition) => partition)
  }

  /**
   * The partition that has the task, this one included; undefined if none has. A submission may be on its way from the log in
   * which it landed to its own: nobody has it when all have brought over what stood in their logs when they were first
   * asked, and then, asked once more, none knows it. Throws TROUPE_NO_ANSWER when somebody does not answer, or when it takes long.
   */
  async find(id: string): Promise<number | undefined> {
    const endsAtMs = performance.now() + findMs
    let first: readonly Unknown[] | undefined
    for (let isBrought = false; ; ) {
      const answers = await this.look(id, this.all)
      if (!Array.isArray(answers)) return answers.partition
      if (isBrought) return undefined
      first ??= answers
      isBrought = answers.every(({ strayFrom }, partition) => strayFrom > first![partition]!.position)
      if (isBrought) continue
      if (performance.now() > endsAtMs) {
        const message = `submissions are still on their way to their partitions; task "${id}" may be one of them`
        throw new TroupeError('TROUPE_NO_ANSWER', message, { details: { id } })
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }

  /** The status of a task that is in one of these partitions; undefined if it is in none. Throws TROUPE_NO_ANSWER. */
  async statusOf(id: string, partitions: readonly number[]): Promise<string | undefined> {
    const found = await this.look(id, partitions)
    return Array.isArray(found) ? undefined : found.status
  }

  /** Who has the task, or what those say who do not. Throws TROUPE_NO_ANSWER when nobody has it who answers, and somebody does not. */
  private async look(id: string, partitions: readonly number[]): Promise<Found | Unknown[]> {
    const asked = partitions.map(async (partition): Promise<Found | Unknown> => {
      const subject = this.subjects.of(partition).task(id)
      const { data } = await this.request(partition, subject, nothing, { [ownOnly]: '1' })
      const { error, id: known, status } = parseJson(data) as Partial<TaskAnswer>
      if (known !== undefined) return { partition, status: String(status) }
      if (error?.code === 'TROUPE_UNKNOWN_TASK') return { partition, ...readUpTo(error) }
      throw error === undefined ? new TroupeError('TROUPE_UNREADABLE', subject) : errorFromRecord(error)
    })
    const unknown: Unknown[] = []
    let silent: PromiseRejectedResult | undefined
    for (const answer of await Promise.allSettled(asked)) {
      if (answer.status === 'rejected') silent = answer
      else if ('status' in answer.value) return answer.value
      else unknown.push(answer.value)
    }
    if (silent !== undefined) throw silent.reason
    return unknown
  }

  /** The answer of whoever knows this task, which is not known here; undefined if nobody does. */
  async answerAbout(id: string, message: BusMessage): Promise<BusMessage | undefined> {
    const home = homeOf(id, this.subjects.partitions)
    if (home !== this.subjects.partition) return this.relay(message, home, false)
    const partition = await this.find(id)
    return partition === undefined ? undefined : this.relay(message, partition)
  }

  /** The answer of another partition to the same request; as that of one among several, unless told otherwise. */
  relay(message: BusMessage, partition: number, own = true, data = message.data): Promise<BusMessage> {
    const headers = { ...Object.fromEntries(message.headers ?? []), ...(own && { [ownOnly]: '1' }) }
    return this.request(partition, this.subjects.moved(message.subject, partition), data, headers)
  }

  /** Hands a request over: the other partition's scheduler answers whoever made it. */
  handOver({ subject, data, reply, headers }: BusMessage, partition: number): void {
    this.bus.publish(this.subjects.moved(subject, partition), data, {
      headers: Object.fromEntries(headers ?? []),
      ...(reply !== undefined && { reply }),
    })
  }

  /** What another partition answers in JSON. Throws the error that it answers. */
  async askFor<Answer>(message: BusMessage, partition: number, data = message.data): Promise<Answer> {
    const answer = parseJson((await this.relay(message, partition, true, data)).data) as Answer & {
      error?: ErrorRecord
    }
    if (answer.error !== undefined) throw errorFromRecord(answer.error)
    return answer
  }

  /** What each other partition answers; undefined in place of one that does not. Throws the errors that they answer. */
  askAll<Answer>(message: BusMessage): Promise<(Answer | undefined)[]> {
    const asked = this.others.map((partition) =>
      this.askFor<Answer>(message, partition).catch((error: unknown) => {
        if (hasCode(error, 'TROUPE_NO_ANSWER')) return undefined
        throw error
      }),
    )
    return Promise.all(asked)
  }

  private async request(
    partition: number,
    subject: string,
    data: Uint8Array,
    headers: Readonly<Record<string, string>>,
  ): Promise<BusMessage> {
    try {
      return await this.bus.request(subject, data, { headers, timeoutMs })
    } catch (error) {
      if (!hasCode(error, 'TROUPE_NO_ANSWER')) throw error
      throw new TroupeError('TROUPE_NO_ANSWER', `no scheduler of partition ${partition} answers just now`, {
        details: { partition },
        cause: error,
      })
    }
  }
}

function readUpTo({ details }: ErrorRecord): Omit<Unknown, 'partition'> {
  const { position, strayFrom } = (details ?? {}) as { position?: unknown; strayFrom?: unknown }
  return {
    position: typeof position === 'number' ? position : 0,
    strayFrom: typeof strayFrom === 'number' ? strayFrom : Number.POSITIVE_INFINITY,
  }
}
