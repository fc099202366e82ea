/**
 * Opens a client's connection: the bus, the namespace's log, and the subjects on which this client is told its outcomes.
 * It creates the namespace's streams only where there are none yet.
 */
import { randomBytes } from 'node:crypto'
import { type BusOptions, openBus } from '../nats/connect.ts'
import type { NatsBus } from '../nats/connection.ts'
import { readCredentials } from '../nats/credentials.ts'
import { type OpenNamespace, openedNamespace, openNamespace, partitionsOf } from '../nats/setup.ts'
import { checkOptionNames } from '../protocol/option-names.ts'
import { type Duration, durationMs } from '../protocol/options.ts'
import { clientToken } from '../protocol/permissions.ts'
import { Subjects } from '../protocol/subjects.ts'
import { type EncryptionOptions, Keyring } from './encryption.ts'
import { Troupe } from './troupe.ts'

export interface ConnectOptions extends Partial<Omit<BusOptions, 'name'>> {
  /** Default 'nats://127.0.0.1:4222'. Several are tried in turn. */
  readonly servers?: string | readonly string[]
  /** The installation's name; default 'main'. */
  readonly namespace?: string
  /** Shown in the server's list of connections; default 'troupe-client'. */
  readonly name?: string
  /** How long a submission is tried again before it rejects with TROUPE_NO_ANSWER; default '30s', at most '50s'. */
  readonly submitDeadline?: Duration
  /** How often a task that somebody waits for is asked about, in case a message was lost; default '3s'. */
  readonly askEvery?: Duration
  /** Whether to make the namespace's streams where there are none yet; default true. */
  readonly create?: boolean
  /** Keys by which values are encrypted before they leave this program, and read. Default: none. */
  readonly encryption?: EncryptionOptions
  /** Outcomes kept that nobody has asked for yet; the oldest are dropped and asked for when wanted. */
  readonly keepOutcomes?: { readonly count?: number; readonly bytes?: number }
}

const known: readonly string[] = [
  ...['servers', 'namespace', 'name', 'submitDeadline', 'askEvery', 'create', 'keepOutcomes', 'encryption'],
  ...['creds', 'nkey', 'user', 'password', 'token', 'tls', 'inboxPrefix', 'connectTimeoutMs', 'pingIntervalMs'],
]

export const defaultServers = 'nats://127.0.0.1:4222'

/**
 * Resolves with a connection to a namespace; no Troupe process needs to run. Close it, or hold it with `await using`.
 * Rejects with TROUPE_NO_SERVER, TROUPE_SERVER_TOO_OLD, TROUPE_PAYLOAD_LIMIT, TROUPE_NO_JETSTREAM, TROUPE_NOT_ALLOWED,
 * TROUPE_INVALID_OPTION or TROUPE_UNKNOWN_OPTION.
 */
export async function connect(options: ConnectOptions = {}): Promise<Troupe> {
  checkOptionNames('connect', options, known)
  const {
    namespace: named,
    servers = defaultServers,
    submitDeadline,
    askEvery,
    keepOutcomes,
    create,
    encryption,
    ...busOptions
  } = options
  // Throws before anything is opened.
  const { namespace } = new Subjects(named)
  const submitDeadlineMs = Math.min(50_000, durationMs('submitDeadline', submitDeadline ?? 30_000))
  const askEveryMs = durationMs('askEvery', askEvery ?? 3_000)
  const credentials = busOptions.creds === undefined ? undefined : readCredentials(busOptions.creds)
  const connection = `c${randomBytes(9).toString('hex')}`
  const bus = await openBus({ name: 'troupe-client', ...busOptions, servers })
  try {
    const { partitions, objects, subjects } =
      create === false ? await existing(bus, namespace) : await openNamespace(bus, { namespace })
    return new Troupe({
      bus,
      logs: partitions.map(({ log }) => log),
      objects,
      subjects,
      client: credentials === undefined ? connection : clientToken(credentials.name, connection),
      submitDeadlineMs,
      askEveryMs,
      keyring: encryption === undefined ? undefined : new Keyring(namespace, encryption),
      keepCount: keepOutcomes?.count ?? 100_000,
      keepBytes: keepOutcomes?.bytes ?? 64 * 1024 * 1024,
    })
  } catch (error) {
    await bus.close()
    throw error
  }
}

/** The namespace's stores, whether they are there or not. */
async function existing(bus: NatsBus, namespace: string): Promise<OpenNamespace> {
  return openedNamespace(bus, new Subjects(namespace, 0, await partitionsOf(bus, namespace)))
}
