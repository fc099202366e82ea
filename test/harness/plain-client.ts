/**
 * What anybody can do with a NATS client and the contract's page: publish task messages, ask, subscribe. Uses the NATS
 * client alone and nothing of Troupe, so that it cannot share a mistake with it.
 */
import { connect, headers, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node'
import { until } from './server.ts'

export interface PlainAnswer {
  readonly [name: string]: unknown
  readonly error?: { readonly code: string; readonly message: string; readonly details?: unknown }
}

export interface PlainTask extends PlainAnswer {
  readonly id: string
  readonly type: string
  readonly status: string
  readonly attempt: number
  readonly turn: number
  readonly node?: string
  readonly result?: never
}

export interface StoredMessage {
  readonly sequence: number
  readonly subject: string
  readonly data: Uint8Array
  readonly atMs: number
  /** Those of the sender, lower-cased; undefined: none. */
  readonly headers: ReadonlyMap<string, string> | undefined
}

const terminal = ['completed', 'failed', 'cancelled', 'expired']
/** A copy whose source has a new leader asks again after some time. */
const copyMsMax = 60_000

export class PlainClient {
  readonly connection: NatsConnection
  readonly root: string
  private readonly namespace: string
  private logStream: string

  constructor(connection: NatsConnection, namespace: string) {
    this.logStream = `TROUPE_${namespace}_LOG_0`
    this.connection = connection
    this.namespace = namespace
    this.root = `troupe.${namespace}`
  }

  /** Publishes without waiting for the acknowledgement, which says nothing then. */
  publish(subject: string, body: unknown, given: Record<string, string> = {}): void {
    this.connection.publish(`${this.root}.${subject}`, bodyOf(body), { headers: headersOf(given) })
  }

  /** Submits and resolves with the sequence that JetStream acknowledged. */
  async submit(type: string, body: unknown, given: Record<string, string> = {}, timeoutMs = 5_000): Promise<number> {
    const ack = await this.request(`submit.${type}`, body, given, timeoutMs)
    if (typeof ack.seq !== 'number' || ack.error !== undefined)
      throw new Error(`not acknowledged: ${JSON.stringify(ack)}`)
    return ack.seq
  }

  async request(
    subject: string,
    body: unknown = '',
    given: Record<string, string> = {},
    timeoutMs = 5_000,
  ): Promise<PlainAnswer> {
    const options = { timeout: timeoutMs, headers: headersOf(given) }
    const answer = await this.connection.request(`${this.root}.${subject}`, bodyOf(body), options)
    return answer.json<PlainAnswer>()
  }

  /** Asks until somebody answers: a new leader may just be taking over. */
  async ask(subject: string, deadlineMs = 15_000): Promise<PlainAnswer> {
    return until(
      () => this.request(subject, '', {}, 1_000).catch(() => undefined),
      `an answer on ${subject}`,
      deadlineMs,
    )
  }

  async task(id: string): Promise<PlainTask> {
    return (await this.ask(`task.${id}`)) as PlainTask
  }

  /** Resolves with the task once it has ended. */
  async ended(id: string, deadlineMs = 20_000): Promise<PlainTask> {
    return until(
      async () => {
        const task = await this.task(id)
        return terminal.includes(task.status) ? task : undefined
      },
      `task ${id} ends`,
      deadlineMs,
    )
  }

  async stats(): Promise<{
    tasks: Record<string, number>
    totals: Record<string, number>
    leader: string
    nodes: number
  }> {
    return (await this.ask('stats')) as never
  }

  async nodes(): Promise<{ id: string; status: string; running: number; incarnation: string; pid: number }[]> {
    return ((await this.ask('nodes')) as { nodes: never }).nodes
  }

  /** Resolves once so many tasks have ended, however. */
  async allEnded(count: number, deadlineMs = 60_000): Promise<Record<string, number>> {
    return until(
      async () => {
        const { totals } = await this.stats()
        const ended = terminal.reduce((sum, status) => sum + (totals[status] ?? 0), 0)
        return ended >= count ? totals : undefined
      },
      `${count} tasks have ended`,
      deadlineMs,
    )
  }

  subscribe(subject: string, onMessage: (message: Msg) => void): Subscription {
    return this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (!error) onMessage(message)
      },
    })
  }

  /** Who holds a lease, as its bucket says. */
  async holder(role: 'scheduler' | 'supervisor'): Promise<string | undefined> {
    const bucket = `TROUPE_${this.namespace}_LEASES`
    const key = role === 'scheduler' ? 'scheduler-0' : role
    const found = await this.last(`KV_${bucket}`, `$KV.${bucket}.${key}`).catch(() => undefined)
    return (
      found && ((JSON.parse(new TextDecoder().decode(found.data)) as { holder: string | null }).holder ?? undefined)
    )
  }

  /**
   * Keeps a copy of the log from here on, which nobody trims; `log` reads it then. Like a replica that lags, it also answers
   * direct gets on the log.
   */
  async mirrorLog(): Promise<void> {
    const name = `MIRROR_${this.namespace}`
    const mirror = { name: this.logStream }
    await this.api(`STREAM.CREATE.${name}`, JSON.stringify({ name, mirror, allow_direct: true }))
    this.logStream = name
  }

  /** The whole log, message by message, straight from the stream; from its copy where something of it was trimmed. */
  async log(): Promise<StoredMessage[]> {
    const original = `TROUPE_${this.namespace}_LOG_0`
    const { state } = await this.streamInfo(original)
    const stream = state.first_seq <= 1 ? original : this.logStream
    const copied = async () => (await this.streamInfo(stream)).state.last_seq >= state.last_seq
    await until(copied, 'the copy of the log is complete', copyMsMax)
    const messages: StoredMessage[] = []
    const { first_seq: first } = (await this.streamInfo(stream)).state
    for (let from = Math.max(1, first); from <= state.last_seq; ) {
      const page = await this.batch(stream, from, Math.min(1_000, state.last_seq - from + 1))
      const last = page.at(-1)
      if (last === undefined) break
      messages.push(...page)
      from = last.sequence + 1
    }
    return messages
  }

  /** What JetStream says of itself, undefined while it has no leader. */
  async jetStream(): Promise<{ limits?: unknown } | undefined> {
    return (await this.api('INFO', '').catch(() => undefined)) as { limits?: unknown } | undefined
  }

  /** The server that leads a stream of the namespace. */
  async deleteStream(name: string): Promise<void> {
    await this.api(`STREAM.DELETE.${name}`, '')
  }

  /** Deletes one message of the log, as nobody should. */
  async deleteFromLog(sequence: number): Promise<void> {
    await this.api(`STREAM.MSG.DELETE.${this.logStream}`, JSON.stringify({ seq: sequence }))
  }

  async leaderOf(stream: string): Promise<string> {
    const info = (await this.api(`STREAM.INFO.TROUPE_${this.namespace}_${stream}`, '')) as {
      cluster: { leader: string }
    }
    return info.cluster.leader
  }

  /** Gives the log so much room, no less than what it takes; returns how much it had. */
  async limitLog(bytes: number): Promise<number> {
    const name = `TROUPE_${this.namespace}_LOG_0`
    return until(
      async () => {
        const found = await this.api(`STREAM.INFO.${name}`, '').catch(() => undefined)
        const info = found as { config?: { max_bytes: number }; state: { bytes: number } } | undefined
        if (info?.config === undefined) return undefined
        const config = { ...info.config, max_bytes: Math.max(bytes, info.state.bytes, 1) }
        const updated = (await this.api(`STREAM.UPDATE.${name}`, JSON.stringify(config)).catch(() => ({}))) as object
        return 'config' in updated ? info.config.max_bytes : undefined
      },
      `the log has a limit of ${bytes} bytes`,
      60_000,
    )
  }

  async close(): Promise<void> {
    await this.connection.close()
  }

  private async streamInfo(stream: string): Promise<{ state: { first_seq: number; last_seq: number } }> {
    return (await this.api(`STREAM.INFO.${stream}`, '')) as never
  }

  /** A batched direct get; ends with a message without a subject header. */
  private async batch(stream: string, from: number, count: number): Promise<StoredMessage[]> {
    const messages: StoredMessage[] = []
    const inbox = `_INBOX.plain.${Math.random().toString(36).slice(2)}`
    let done = false
    const subscription = this.subscribe(inbox, (message) => {
      const sequence = Number(message.headers?.get('Nats-Sequence') ?? 0)
      if (sequence === 0) done = true
      else {
        const atMs = Date.parse(message.headers?.get('Nats-Time-Stamp') ?? '')
        const subject = message.headers?.get('Nats-Subject') ?? ''
        messages.push({ sequence, subject, data: message.data, atMs, headers: sentHeaders(message) })
      }
    })
    const request = JSON.stringify({ seq: from, batch: count, max_bytes: 4 * 1024 * 1024 })
    this.connection.publish(`$JS.API.DIRECT.GET.${stream}`, request, { reply: inbox })
    try {
      await until(() => done, `messages of ${stream} from ${from}`)
    } finally {
      subscription.unsubscribe()
    }
    return messages
  }

  private async last(stream: string, subject: string): Promise<{ data: Uint8Array } | undefined> {
    const { message } = (await this.api(`STREAM.MSG.GET.${stream}`, JSON.stringify({ last_by_subj: subject }))) as {
      message?: { data?: string }
    }
    return message && { data: Buffer.from(message.data ?? '', 'base64') }
  }

  private async api(what: string, body: string): Promise<unknown> {
    return (await this.connection.request(`$JS.API.${what}`, body, { timeout: 5_000 })).json()
  }
}

/** Reconnects for ever, as any client that is to live through a server's restart. */
export async function connectPlain(servers: string | readonly string[], namespace: string): Promise<PlainClient> {
  const connection = await connect({
    servers: typeof servers === 'string' ? servers : [...servers],
    name: `plain ${namespace}`,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    pingInterval: 2_000,
    maxPingOut: 2,
  })
  return new PlainClient(connection, namespace)
}

/** Without those that the server adds. */
function sentHeaders({ headers: all }: Msg): ReadonlyMap<string, string> | undefined {
  const sent = (all?.keys() ?? []).filter((name) => !name.startsWith('Nats-'))
  return sent.length === 0 ? undefined : new Map(sent.map((name) => [name.toLowerCase(), all!.get(name)]))
}

function bodyOf(body: unknown): Uint8Array {
  if (body instanceof Uint8Array) return body
  return new TextEncoder().encode(typeof body === 'string' ? body : JSON.stringify(body))
}

function headersOf(given: Record<string, string>) {
  const made = headers()
  for (const [name, value] of Object.entries(given)) made.append(name, value)
  return made
}
