/**
 * A user's programs, as a NATS client and the contract's page allow: submits tasks of every kind, sends signals, cancels,
 * asks how tasks are, and writes down what it called and what it was told. Uses nothing of Troupe.
 */
import type { Msg } from '@nats-io/transport-node'
import type { PlainAnswer, PlainClient } from '../harness/plain-client.ts'
import { lasting } from '../harness/server.ts'
import type { HistoryEvent, TerminalStatus } from '../simulation/history.ts'
import { Random } from '../simulation/random.ts'
import type { TaskInput } from '../simulation/tasks.ts'

export interface WorkloadOptions {
  readonly client: PlainClient
  readonly seed: number
  /** Submissions a second. */
  readonly rate: number
}

/** By how often each is submitted. */
const types = [
  ...Array.from({ length: 6 }, () => 'quick'),
  ...['steps', 'steps', 'counter', 'counter', 'napper', 'listener', 'flaky', 'late', 'parent', 'lamp'],
]
const requestMs = 1_000
const askEveryMs = 2_000
const retryMs = 150
const terminal: readonly string[] = ['completed', 'failed', 'cancelled', 'expired']

export class Workload {
  readonly events: HistoryEvent[] = []
  /** Acknowledged tasks whose end the client has not been told. */
  readonly waiting = new Set<string>()
  /** From before the request to the acknowledgement, of each acknowledged submission, ms. */
  readonly ackMs: number[] = []
  private readonly client: PlainClient
  private readonly random: Random
  private readonly everyMs: number
  private readonly inbox: string
  private readonly open = new Set<Promise<void>>()
  private marks = 0
  private stopped = false
  /** Nobody waits any longer. */
  private abandoned = false

  constructor({ client, seed, rate }: WorkloadOptions) {
    this.client = client
    this.random = new Random(seed, 'workload')
    this.everyMs = 1_000 / rate
    this.inbox = `chaos.${client.root.split('.')[1]}.told`
    client.subscribe(`${this.inbox}.*`, (message) => this.onReply(message))
  }

  /** Submits until `stop`; resolves when every submission has been answered, or given up. */
  async run(): Promise<void> {
    const startedAtMs = performance.now()
    while (!this.stopped) {
      const work = this.one().finally(() => this.open.delete(work))
      this.open.add(work)
      await lasting(Math.max(0, startedAtMs + this.marks * this.everyMs - performance.now()))
    }
  }

  stop(): void {
    this.stopped = true
  }

  /** Resolves when all that was acknowledged has ended, as far as this client was told, or nothing ends for so long. */
  async settle(patienceMs: number): Promise<void> {
    let left = Number.POSITIVE_INFINITY
    let untilMs = performance.now() + patienceMs
    while (this.open.size > 0 && performance.now() < untilMs) {
      await lasting(100)
      if (this.open.size >= left) continue
      left = this.open.size
      untilMs = performance.now() + patienceMs
    }
    this.abandoned = true
    await Promise.all(this.open)
  }

  private get atMs(): number {
    return performance.timeOrigin + performance.now()
  }

  private async one(): Promise<void> {
    const { random } = this
    const mark = ++this.marks
    const type = random.pick(types)
    const input: TaskInput = { mark, count: random.integer(1, 4), ms: random.integer(0, 3) * random.integer(1, 500) }
    // One that was stored unheard could not be signalled by anybody.
    const isNamed = random.chance(0.7) || type === 'listener'
    const delayMs = random.chance(0.1) ? random.integer(1, 3_000) : 0
    const cancelMs = random.chance(0.04) ? random.integer(1, 3_000) : 0
    const isTwice = isNamed && random.chance(0.1)
    const headers: Record<string, string> = {
      ...(isNamed && { 'Troupe-Id': `t${mark}` }),
      ...(delayMs > 0 && { 'Troupe-Delay': `${delayMs}ms` }),
      ...(random.chance(0.5) && { 'Troupe-Reply-To': `${this.inbox}.${mark}` }),
    }
    const id = await this.submit(mark, type, input, headers)
    if (id === undefined) return
    this.waiting.add(id)
    const others = [
      ...(type === 'listener' ? [this.signal(id, input.count)] : []),
      ...(cancelMs > 0 ? [lasting(cancelMs).then(() => this.cancel(id))] : []),
      ...(isTwice ? [this.submit(mark, type, input, headers)] : []),
    ]
    await Promise.all([this.follow(id), ...others])
  }

  /** Until it is acknowledged if it has an id, so that trying again is safe; else until nobody knows. */
  private async submit(
    mark: number,
    type: string,
    input: TaskInput,
    headers: Record<string, string>,
  ): Promise<string | undefined> {
    const id = headers['Troupe-Id']
    while (!this.abandoned) {
      this.events.push({ what: 'submit', atMs: this.atMs, mark, type, id })
      const startedAtMs = performance.now()
      const answer = await this.ask(`submit.${type}`, input, headers)
      if (typeof answer === 'object' && isStored(answer)) {
        const given = id ?? `0-${answer.seq}`
        this.ackMs.push(performance.now() - startedAtMs)
        this.events.push({ what: 'accepted', atMs: this.atMs, mark, id: given })
        return given
      }
      // Without responders, and where the log has no room, nobody has it; everything else may have been stored.
      const certain = answer === 'no responders' || isRefused(answer)
      const code = typeof answer === 'string' ? answer : JSON.stringify(answer.error ?? answer)
      this.events.push({ what: certain ? 'refused' : 'unknown', atMs: this.atMs, mark, code })
      if (id === undefined && !certain) return undefined
      await lasting(retryMs)
    }
    return undefined
  }

  private async follow(id: string): Promise<void> {
    while (this.waiting.has(id) && !this.abandoned) {
      await lasting(this.random.integer(200, askEveryMs))
      if (!this.waiting.has(id)) return
      const answer = await this.ask(`task.${id}`, '', {})
      if (typeof answer !== 'object') continue
      if (answer.error?.code === 'TROUPE_UNKNOWN_TASK') this.events.push({ what: 'forgotten', atMs: this.atMs, id })
      else if (terminal.includes(String(answer.status))) this.told(id, answer)
    }
  }

  private onReply(message: Msg): void {
    const answer = message.json<PlainAnswer>()
    if (terminal.includes(String(answer.status))) this.told(String(answer.id), answer)
  }

  private told(id: string, { status, result, error }: PlainAnswer): void {
    const detail = status === 'completed' ? (JSON.stringify(result) ?? '') : (error?.code ?? '')
    this.events.push({ what: 'told', atMs: this.atMs, id, status: status as TerminalStatus, detail })
    this.waiting.delete(id)
  }

  /** As many signals as the task waits for, each until it is stored. */
  private async signal(id: string, count: number): Promise<void> {
    for (let value = 1; value <= count && this.waiting.has(id) && !this.abandoned; ) {
      await lasting(this.random.integer(1, 600))
      const answer = await this.ask(`signal.${id}`, { type: 'go', value }, { 'Troupe-Id': `s${value}` })
      if (typeof answer !== 'object' || !isStored(answer)) continue
      this.events.push({ what: 'signalled', atMs: this.atMs, id, value })
      value++
    }
  }

  private async cancel(id: string): Promise<void> {
    await this.ask(`cancel.${id}`, '', {})
  }

  /** The answer, or why there is none. */
  private async ask(subject: string, body: unknown, headers: Record<string, string>): Promise<PlainAnswer | string> {
    try {
      return await this.client.request(subject, body, headers, requestMs)
    } catch (error) {
      const text = error instanceof Error ? `${error.name} ${error.message}` : String(error)
      return /no ?responders/i.test(text) ? 'no responders' : text
    }
  }
}

/** An acknowledgement that is an error has a sequence too: 0. */
function isStored({ seq, error }: PlainAnswer): boolean {
  return typeof seq === 'number' && seq > 0 && error === undefined
}

/** The server's own errors that say that it has looked and stored nothing: no room. */
function isRefused(answer: PlainAnswer | string): boolean {
  const code = typeof answer === 'string' ? undefined : (answer.error as { err_code?: number } | undefined)?.err_code
  return code === 10_077
}
