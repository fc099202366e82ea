/**
 * Opens a connection to NATS and says in Troupe's words why it could not. Decides how long it tries again (for ever,
 * once it was connected) and which servers are good enough. The connection itself is `connection.ts`.
 */
import {
  type Authenticator,
  connect,
  errors,
  type NatsConnection,
  type NodeConnectionOptions,
} from '@nats-io/transport-node'
import { hasCode, TroupeError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import { NatsBus } from './connection.ts'
import {
  credsFileAuthenticator,
  readCredentials,
  seedAuthenticator,
  seedFileAuthenticator,
  type TroupeCredentials,
} from './credentials.ts'

export interface BusOptions {
  /** `nats://host:port` or `tls://…`; several are tried in turn. User and password may stand in the URL. */
  readonly servers: string | readonly string[]
  /** Shown in the server's list of connections. */
  readonly name: string
  /** Path of a credentials file: one that `troupe auth` wrote, which says all the rest too, or one of NATS. */
  readonly creds?: string
  /** Path of a file that holds an NKey seed. */
  readonly nkey?: string
  readonly user?: string
  readonly password?: string
  readonly token?: string
  /** Files in PEM format. Default: of the credentials. */
  readonly tls?: {
    readonly caFile?: string
    readonly certFile?: string
    readonly keyFile?: string
    readonly handshakeFirst?: boolean
  }
  /**
   * Subjects of answers start with it; for users that may subscribe to their own inbox only. Default: of the credentials, or
   * `_INBOX`.
   */
  readonly inboxPrefix?: string
  /** For the first connection. Default 5,000. */
  readonly connectTimeoutMs?: number
  /** A connection that has heard nothing for three of these is given up. Default 2,000. */
  readonly pingIntervalMs?: number
}

const versionMin = [2, 14] as const

/**
 * Returns a connected bus. A lost connection is tried again for ever, every 100 to 250 ms. Throws TROUPE_NO_SERVER,
 * TROUPE_NOT_ALLOWED, TROUPE_SERVER_TOO_OLD (before 2.14), TROUPE_PAYLOAD_LIMIT, TROUPE_NO_JETSTREAM, TROUPE_INVALID_OPTION.
 */
export async function openBus(options: BusOptions): Promise<NatsBus> {
  const credentials = options.creds === undefined ? undefined : readCredentials(options.creds)
  const connection = await dial(options, credentials)
  try {
    checkVersion(connection, options)
    const bus = new NatsBus(connection, options.inboxPrefix ?? credentials?.inboxPrefix ?? '_INBOX')
    checkPayload(bus, options)
    await bus.flush(options.connectTimeoutMs ?? 5_000)
    bus.checkAllowed()
    await checkJetStream(bus, options)
    return bus
  } catch (error) {
    await connection.close()
    throw error
  }
}

async function dial(options: BusOptions, credentials: TroupeCredentials | undefined): Promise<NatsConnection> {
  const settings: NodeConnectionOptions = {
    servers:
      typeof options.servers === 'string' ? options.servers.split(',').map((url) => url.trim()) : [...options.servers],
    name: options.name,
    timeout: options.connectTimeoutMs ?? 5_000,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 100,
    reconnectJitter: 150,
    reconnectJitterTLS: 150,
    waitOnFirstConnect: false,
    // Credentials can be replaced while a process runs.
    ignoreAuthErrorAbort: true,
    pingInterval: options.pingIntervalMs ?? 2_000,
    maxPingOut: 2,
    noAsyncTraces: true,
  }
  const tls = options.tls ?? credentials?.tls
  if (tls) settings.tls = { ...tls }
  if (options.token) settings.token = options.token
  if (options.user) Object.assign(settings, { user: options.user, pass: options.password ?? '' })
  const authenticator = authenticatorOf(options, credentials)
  if (authenticator) settings.authenticator = authenticator
  try {
    return await connect(settings)
  } catch (error) {
    throw translateConnectError(error, options)
  }
}

function authenticatorOf(
  { creds, nkey }: BusOptions,
  credentials: TroupeCredentials | undefined,
): Authenticator | undefined {
  if (credentials) return seedAuthenticator(credentials.nkey)
  if (creds) return credsFileAuthenticator(creds)
  return nkey ? seedFileAuthenticator(nkey) : undefined
}

function translateConnectError(error: unknown, options: BusOptions): TroupeError {
  const servers = shown(options.servers)
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError) {
    return new TroupeError('TROUPE_NOT_ALLOWED', `${servers} refused this user: ${message}`, { cause: error })
  }
  if (error instanceof errors.InvalidArgumentError || error instanceof TypeError) {
    return new TroupeError('TROUPE_INVALID_OPTION', `cannot connect to ${servers}: ${message}`, { cause: error })
  }
  const hint = tlsHint(options, message)
  return new TroupeError('TROUPE_NO_SERVER', `no NATS server answers at ${servers}: ${message}${hint}`, {
    cause: error,
  })
}

/** A server that does not like a certificate says nothing to the client, which then waits in vain. */
function tlsHint({ tls, creds }: BusOptions, message: string): string {
  if (/certificate/.test(message)) return '; --tls-ca names the authority that this client trusts'
  if (!/timeout/i.test(message) || (tls === undefined && creds === undefined)) return ''
  return '; if it demands certificates, it takes none that this client shows (--tls-cert, --tls-key)'
}

/** Without what stands before an "@": it may be a password. */
function shown(servers: string | readonly string[]): string {
  return [servers]
    .flat()
    .join(', ')
    .replaceAll(/\/\/[^/@,]*@/g, '//')
}

function checkVersion(connection: NatsConnection, options: BusOptions): void {
  const version = connection.info?.version ?? '0.0.0'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major > versionMin[0] || (major === versionMin[0] && minor >= versionMin[1])) return
  throw new TroupeError('TROUPE_SERVER_TOO_OLD', `the server at ${shown(options.servers)} is nats-server ${version}`, {
    details: { version },
  })
}

/** Blocks and awards are of up to half of this, and are split no further. */
const payloadBytesMin = 2 * limits.blockBytesMax

function checkPayload(bus: NatsBus, options: BusOptions): void {
  const { maxPayloadBytes } = bus
  if (maxPayloadBytes >= payloadBytesMin) return
  const message = `the server at ${shown(options.servers)} takes messages of ${maxPayloadBytes} bytes, and Troupe needs ${payloadBytesMin}`
  throw new TroupeError('TROUPE_PAYLOAD_LIMIT', message, { details: { maxPayloadBytes, payloadBytesMin } })
}

async function checkJetStream(bus: NatsBus, options: BusOptions): Promise<void> {
  const off = (why: string) =>
    new TroupeError('TROUPE_NO_JETSTREAM', `JetStream is off at ${shown(options.servers)}: ${why}`)
  try {
    const answer = await bus.request('$JS.API.INFO', new Uint8Array(0), {
      timeoutMs: options.connectTimeoutMs ?? 5_000,
    })
    const { error } = JSON.parse(Buffer.from(answer.data).toString()) as {
      error?: { err_code: number; description: string }
    }
    // 10076: not enabled on the server; 10039: not enabled for the account.
    if (error?.err_code === 10076 || error?.err_code === 10039) throw off(error.description)
  } catch (error) {
    if (hasCode(error, 'TROUPE_NO_ANSWER')) {
      if ((error.details as { noResponders?: boolean }).noResponders) throw off('nobody answers $JS.API.INFO')
      // A cluster that is choosing its leader; whoever needs JetStream waits for it.
      return
    }
    // A user that may not ask this may still use its own streams.
    if (hasCode(error, 'TROUPE_NOT_ALLOWED')) return
    throw error
  }
}
