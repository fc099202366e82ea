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

interface Found {
  readonly partition: number
  readonly status: string
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
    const { partition, partitions } = this.subjects
    return Array.from({ length: partitions }, (_, other) => other).filter((other) => other !== partition)
  }

  /**
   * The partition that has the task, undefined if none has. Throws TROUPE_NO_ANSWER when nobody has it who answers, and
   * somebody does not.
   */
  async find(id: string): Promise<number | undefined> {
    return (await this.look(id))?.partition
  }

  /** The status of a task that is in one of these partitions; undefined if it is in none. Throws as `find` does. */
  async statusOf(id: string, partitions: readonly number[]): Promise<string | undefined> {
    return (await this.look(id, partitions))?.status
  }

  private async look(id: string, partitions: readonly number[] = this.others): Promise<Found | undefined> {
    const asked = partitions.map(async (partition): Promise<Found | undefined> => {
      const subject = this.subjects.of(partition).task(id)
      const { data } = await this.request(partition, subject, nothing, { [ownOnly]: '1' })
      const { error, id: known, status } = parseJson(data) as Partial<TaskAnswer>
      if (known !== undefined) return { partition, status: String(status) }
      if (error?.code === 'TROUPE_UNKNOWN_TASK') return undefined
      throw error === undefined ? new TroupeError('TROUPE_UNREADABLE', subject) : errorFromRecord(error)
    })
    const answers = await Promise.allSettled(asked)
    for (const answer of answers) if (answer.status === 'fulfilled' && answer.value !== undefined) return answer.value
    const silent = answers.find((answer) => answer.status === 'rejected')
    if (silent !== undefined) throw silent.reason
    return undefined
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
