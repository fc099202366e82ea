/**
 * What `troupe auth` keeps in a folder: an authority, a server's configuration and certificate, and one credentials file
 * per identity. Running it again adds and removes identities and leaves the others' secrets as they are.
 *
 *   auth.json            who there is, with public keys; holds no secret
 *   ca.pem, ca-key.pem   the authority; its key belongs on no server
 *   server/              what a nats-server needs: nats-server.conf, auth.conf, certificate, key
 *   identities/          <name>.creds for Troupe; <name>.nk, .pem, .key for other NATS clients
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newUserKey, type TroupeCredentials } from '../../nats/credentials.ts'
import { TroupeError } from '../../protocol/errors.ts'
import {
  type AuthRole,
  authRoles,
  checkIdentityName,
  type Identity,
  inboxPrefixOf,
} from '../../protocol/permissions.ts'
import { Subjects } from '../../protocol/subjects.ts'
import { type Certificate, issueCertificate, newAuthority } from './certificates.ts'
import { type AuthUser, authorizationConfig, serverConfig } from './server-config.ts'

export interface AuthChange {
  readonly folder: string
  /** Default: that of the folder, or `main`. */
  readonly namespace?: string
  /** Identities that there shall be. */
  readonly add?: readonly Identity[]
  readonly remove?: readonly string[]
  /** Names and addresses by which the server is reached, for its certificate. Default: what it has, or localhost. */
  readonly hosts?: readonly string[]
  /** Subjects outside of Troupe to which schedulers may send outcomes (`Troupe-Reply-To`). */
  readonly replySubjects?: readonly string[]
  /** Of the namespace. Default: those of the folder, or 1. */
  readonly partitions?: number
}

export interface AuthState {
  readonly version: 1
  readonly namespace: string
  /** Left out: 1. */
  readonly partitions?: number
  readonly hosts: readonly string[]
  readonly replySubjects: readonly string[]
  readonly users: readonly AuthUser[]
}

const hostsDefault = ['localhost', '127.0.0.1', '::1']

/** Brings the folder to what is wanted; returns who there is then. Throws TROUPE_INVALID_OPTION, TROUPE_INVALID_NAME. */
export function changeAuth(change: AuthChange): AuthState {
  const { folder } = change
  const before = readState(folder)
  const namespace = new Subjects(change.namespace ?? before?.namespace ?? 'main').namespace
  if (before !== undefined && before.namespace !== namespace) {
    const message = `${folder} is for namespace "${before.namespace}"; use another folder for "${namespace}"`
    throw new TroupeError('TROUPE_INVALID_OPTION', message)
  }
  const removed = new Set(change.remove)
  const unknown = [...removed].find((name) => !before?.users.some((user) => user.name === name))
  if (unknown !== undefined) throw new TroupeError('TROUPE_INVALID_OPTION', `there is no identity "${unknown}"`)
  const added = (change.add ?? []).map(checkIdentity)
  for (const name of ['server', 'identities']) mkdirSync(join(folder, name), { recursive: true, mode: 0o700 })
  const authority = authorityOf(folder, namespace)
  const users = (before?.users ?? []).filter(({ name }) => !removed.has(name))
  for (const name of removed) removeFiles(folder, name)
  for (const identity of added) {
    const at = users.findIndex(({ name }) => name === identity.name)
    const isSame = at >= 0 && users[at]!.roles.join() === identity.roles.join()
    if (isSame && existsSync(fileOf(folder, identity.name, 'creds'))) continue
    const user = newUser(folder, namespace, identity, authority)
    if (at >= 0) users[at] = user
    else users.push(user)
  }
  const partitions = change.partitions ?? before?.partitions ?? 1
  const state: AuthState = {
    version: 1,
    namespace,
    ...(partitions > 1 && { partitions }),
    hosts: change.hosts ?? before?.hosts ?? hostsDefault,
    replySubjects: change.replySubjects ?? before?.replySubjects ?? [],
    users,
  }
  writeServer(folder, state, authority, before?.hosts)
  writePublic(join(folder, 'auth.json'), `${JSON.stringify(state, null, 2)}\n`)
  return state
}

/** Returns the identity of `role:name`, or `role+role:name` for a process with several roles. */
export function parseIdentity(text: string): Identity {
  const [roleText = '', name, ...rest] = text.split(':')
  if (name === undefined || rest.length > 0) {
    throw new TroupeError('TROUPE_INVALID_OPTION', `"${text}" is not of the form role:name, like node:worker-1`)
  }
  return checkIdentity({ name, roles: roleText.split('+') as AuthRole[] })
}

/** One of each, and the two roles of a control process together. */
export const identitiesDefault: readonly Identity[] = [
  { name: 'installer', roles: ['installer'] },
  { name: 'control-1', roles: ['scheduler', 'supervisor'] },
  { name: 'control-2', roles: ['scheduler', 'supervisor'] },
  { name: 'node-1', roles: ['node'] },
  { name: 'node-2', roles: ['node'] },
  { name: 'client', roles: ['client'] },
  { name: 'operator', roles: ['operator'] },
  { name: 'viewer', roles: ['viewer'] },
]

function checkIdentity(identity: Identity): Identity {
  const unknown = identity.roles.find((role) => !authRoles.includes(role))
  if (unknown === undefined && identity.roles.length > 0) {
    return { name: checkIdentityName(identity.name), roles: [...new Set(identity.roles)] }
  }
  throw new TroupeError('TROUPE_INVALID_OPTION', `"${unknown}" is no role; there are ${authRoles.join(', ')}`)
}

function readState(folder: string): AuthState | undefined {
  const file = join(folder, 'auth.json')
  if (!existsSync(file)) return undefined
  try {
    const state = JSON.parse(readFileSync(file, 'utf8')) as AuthState
    if (state.version === 1) return state
  } catch {
    // Said below.
  }
  throw new TroupeError('TROUPE_INVALID_OPTION', `${file} was not written by this version of troupe auth`)
}

function authorityOf(folder: string, namespace: string): Certificate {
  const [certFile, keyFile] = [join(folder, 'ca.pem'), join(folder, 'ca-key.pem')]
  if (existsSync(keyFile)) return { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  const authority = newAuthority(`Troupe ${namespace}`)
  writeSecret(keyFile, authority.key)
  writePublic(certFile, authority.cert)
  return authority
}

function newUser(folder: string, namespace: string, identity: Identity, authority: Certificate): AuthUser {
  const { name, roles } = identity
  const { seed, publicKey } = newUserKey()
  const { cert, key } = issueCertificate(authority, name)
  const credentials: TroupeCredentials = {
    troupe: 1,
    namespace,
    name,
    roles,
    inboxPrefix: inboxPrefixOf(name),
    nkey: seed,
    tls: { ca: authority.cert, cert, key },
  }
  writeSecret(fileOf(folder, name, 'nk'), `${seed}\n`)
  writeSecret(fileOf(folder, name, 'key'), key)
  writePublic(fileOf(folder, name, 'pem'), cert)
  writeSecret(fileOf(folder, name, 'creds'), `${JSON.stringify(credentials, null, 2)}\n`)
  return { name, roles, publicKey }
}

function removeFiles(folder: string, name: string): void {
  for (const kind of ['creds', 'nk', 'key', 'pem'] as const) rmSync(fileOf(folder, name, kind), { force: true })
}

function fileOf(folder: string, name: string, kind: 'creds' | 'nk' | 'key' | 'pem'): string {
  return join(folder, 'identities', `${name}.${kind}`)
}

/** `nats-server.conf` is the operator's once it is there. */
function writeServer(
  folder: string,
  state: AuthState,
  authority: Certificate,
  hostsBefore: readonly string[] | undefined,
): void {
  const at = (name: string) => join(folder, 'server', name)
  if (state.hosts.join() !== hostsBefore?.join() || !existsSync(at('server-key.pem'))) {
    const { cert, key } = issueCertificate(authority, 'nats-server', state.hosts)
    writeSecret(at('server-key.pem'), key)
    writePublic(at('server.pem'), cert)
  }
  writePublic(at('ca.pem'), authority.cert)
  writePublic(at('auth.conf'), authorizationConfig(state))
  if (!existsSync(at('nats-server.conf'))) writePublic(at('nats-server.conf'), serverConfig())
}

/** Never readable by others, not even while it is being written; complete or not there at all. */
function writeSecret(file: string, text: string): void {
  write(file, text, 0o600)
}

function writePublic(file: string, text: string): void {
  write(file, text, 0o644)
}

function write(file: string, text: string, mode: number): void {
  const temporary = `${file}.new`
  rmSync(temporary, { force: true })
  writeFileSync(temporary, text, { mode, flag: 'wx' })
  renameSync(temporary, file)
}
