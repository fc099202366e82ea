/**
 * Who may publish and subscribe to what: one table, from which `troupe auth` writes the server's configuration, doctor
 * explains what a user lacks, and the tests try every role against every subject. An identity's own name stands in the
 * subjects that it alone may use, so that the server enforces it.
 *
 * Two rules that are not obvious. Only schedulers and supervisors may make consumers, because the server delivers to
 * whatever subject a consumer names, without asking whether its maker may publish there. And answers may go to inboxes
 * only: with the server's `allow_responses` a request's reply subject could make its answerer publish anywhere.
 */
import { TroupeError } from './errors.ts'
import { Subjects, schedulerLease, supervisorLease } from './subjects.ts'

export const authRoles = ['client', 'node', 'scheduler', 'supervisor', 'viewer', 'operator', 'installer'] as const
export type AuthRole = (typeof authRoles)[number]

/** Who connects. Several roles are for a process that has several. */
export interface Identity {
  readonly name: string
  readonly roles: readonly AuthRole[]
}

/** Patterns of subjects, in NATS's notation. */
export interface Grant {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
}

export interface Permission {
  readonly pattern: string
  readonly publish: readonly AuthRole[]
  readonly subscribe: readonly AuthRole[]
}

/** Subjects of answers to this identity start with it: nobody else may listen there. */
export function inboxPrefixOf(name: string): string {
  return `_INBOX.${name}`
}

/** The name of one connection of a client: it is told its outcomes on a subject of its identity. */
export function clientToken(identity: string, connection: string): string {
  return `${identity}=${connection}`
}

/**
 * Returns `name`; throws TROUPE_INVALID_NAME unless it has 1 to 64 letters, digits, "-" or "_". Narrower than a task's id:
 * it is also part of a client's token and of file names.
 */
export function checkIdentityName(name: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(name)) return name
  throw new TroupeError('TROUPE_INVALID_NAME', `identity ${JSON.stringify(name.slice(0, 80))} is not a valid name`)
}

const all: readonly AuthRole[] = authRoles
const none: readonly AuthRole[] = []
/** Processes of a cluster: they answer. */
const members: readonly AuthRole[] = ['node', 'scheduler', 'supervisor']
const readers: readonly AuthRole[] = ['viewer', 'client', 'operator']
const control: readonly AuthRole[] = ['scheduler', 'supervisor']

/** Every permission of a namespace, as it is for the identity of this name. */
export function permissionTable(subjects: Subjects, name: string): Permission[] {
  const partitions = Array.from({ length: subjects.partitions }, (_, partition) => subjects.of(partition))
  return [
    ...partitions.flatMap((own) => [
      ...logPermissions(own, name),
      ...requestPermissions(own),
      ...actorPermissions(own, name),
      ...streamPermissions(own),
    ]),
    ...sharedPermissions(subjects, name),
    ...storePermissions(subjects),
    row(`${inboxPrefixOf(name)}.>`, none, all),
    row('_INBOX.>', members, none),
    // The discovery of services, which every process of a cluster answers.
    row('$SRV.>', ['viewer', 'operator'], members),
    // What this user may do, for doctor.
    row('$SYS.REQ.USER.INFO', all, none),
  ]
}

/** Returns what this identity may do, in the table's order and each pattern once. */
export function grantOf(namespace: string, { name, roles }: Identity, partitions = 1): Grant {
  const table = permissionTable(new Subjects(namespace, 0, partitions), checkIdentityName(name))
  const of = (way: 'publish' | 'subscribe') => [
    ...new Set(table.filter((one) => one[way].some((role) => roles.includes(role))).map(({ pattern }) => pattern)),
  ]
  return { publish: of('publish'), subscribe: of('subscribe') }
}

/** True if everything that `inner` matches is matched by `outer`, both in NATS's notation. */
export function covers(outer: string, inner: string): boolean {
  const wide = outer.split('.')
  const narrow = inner.split('.')
  for (const [i, token] of wide.entries()) {
    if (token === '>') return narrow.length > i
    const other = narrow[i]
    if (other === undefined || other === '>') return false
    if (token !== '*' && token !== other) return false
  }
  return wide.length === narrow.length
}

function row(pattern: string, publish: readonly AuthRole[], subscribe: readonly AuthRole[]): Permission {
  return { pattern, publish, subscribe }
}

/** What is captured by the log is read from the stream: nobody subscribes to it. */
function logPermissions(s: Subjects, name: string): Permission[] {
  const { partition } = s
  return [
    row(s.submit('>'), ['client', 'scheduler'], none),
    row(s.block('*'), ['client'], none),
    row(s.signal('>'), ['client', 'operator'], none),
    row(s.journal(partition, name, '*'), ['node'], none),
    // A fence stands in the journal of the node that it ends.
    row(s.journal(partition, '*', '*'), ['supervisor'], none),
    row(s.control(partition, '*'), ['scheduler'], none),
    row(s.checkpoint(partition, '*', '*'), control, none),
    ...(s.partitions > 1 ? [row(s.forward('*'), ['scheduler'], none)] : []),
  ]
}

function requestPermissions(s: Subjects): Permission[] {
  const answered: readonly AuthRole[] = ['scheduler']
  // Where there are several partitions, schedulers pass on what another can answer.
  const askers = (...roles: AuthRole[]): readonly AuthRole[] => (s.partitions > 1 ? [...roles, 'scheduler'] : roles)
  return [
    row(s.run('>'), askers('client'), answered),
    row(s.task('>'), askers(...readers, 'node'), answered),
    row(s.history('>'), askers(...readers), answered),
    row(s.cancel('>'), askers('client', 'operator'), answered),
    row(s.retry('>'), askers('operator'), answered),
    row(s.remove('>'), askers('operator'), answered),
    row(s.limits, askers('operator'), answered),
    row(s.cron, askers('operator'), answered),
    row(s.snapshots, askers('operator'), answered),
    row(s.tasks, askers(...readers), answered),
    row(s.dead, askers(...readers), answered),
    row(s.nodes, askers(...readers), answered),
    row(s.stats, askers(...readers), answered),
    row(s.full, ['scheduler'], readers),
  ]
}

/** What the namespace has once. */
function sharedPermissions(s: Subjects, name: string): Permission[] {
  return [
    row(s.drain('>'), ['operator'], ['scheduler']),
    row(s.health('*'), ['viewer', 'operator'], none),
    row(s.health(name), none, members),
    row(s.validate('*'), ['scheduler', 'client', 'operator'], ['node']),
    row(s.events, ['scheduler'], readers),
    row(s.tell(clientToken(name, '*')), none, readers),
    row(s.tell('>'), ['scheduler'], none),
    ...(s.partitions > 1 ? [row(s.leads(name), ['scheduler'], none), row(s.leads('*'), none, ['scheduler'])] : []),
  ]
}

function actorPermissions(s: Subjects, name: string): Permission[] {
  return [
    row(s.node(name, '*'), none, ['node']),
    row(s.node('*', '*'), control, none),
    row(s.report(name, '*'), ['node'], none),
    row(s.report('*', '*'), none, ['scheduler']),
    row(s.heartbeat(name, '*'), ['node'], none),
    row(s.heartbeat('*', '*'), none, control),
    row(s.probe(name, '*'), none, ['node']),
    row(s.probe('*', '*'), ['supervisor'], none),
    row(s.call(s.partition), ['scheduler'], ['node']),
    row(s.leading('scheduler'), ['scheduler'], ['node', ...readers]),
    row(s.leading('supervisor'), ['supervisor'], readers),
  ]
}

const api = (endpoint: string, roles: readonly AuthRole[]) => row(`$JS.API.${endpoint}`, roles, none)

function streamPermissionsOf(stream: string, updaters: readonly AuthRole[]): Permission[] {
  return [
    api(`STREAM.INFO.${stream}`, all),
    api(`STREAM.CREATE.${stream}`, ['installer']),
    api(`STREAM.UPDATE.${stream}`, updaters),
  ]
}

function consumerPermissions(stream: string): Permission[] {
  return [
    api(`CONSUMER.CREATE.${stream}.>`, control),
    api(`CONSUMER.DELETE.${stream}.>`, control),
    row(`$JS.FC.${stream}.>`, control, none),
  ]
}

/** The streams of one partition, and its leases. */
function streamPermissions(s: Subjects): Permission[] {
  const { partition } = s
  const log = s.logStream(partition)
  const checkpoints = s.checkpointStream(partition)
  return [
    ...streamPermissionsOf(log, ['installer', 'scheduler']),
    // It grows with the ledger.
    ...streamPermissionsOf(checkpoints, ['installer', ...control]),
    // Of a node: how a write without an answer ended stands in the last message of its journal.
    api(`STREAM.MSG.GET.${log}`, [...control, 'node']),
    api(`DIRECT.GET.${log}`, control),
    api(`STREAM.PURGE.${log}`, ['scheduler']),
    ...consumerPermissions(log),
    api(`STREAM.MSG.GET.${checkpoints}`, control),
    api(`STREAM.PURGE.${checkpoints}`, control),
    row(`$KV.${s.leaseBucket}.${schedulerLease(partition)}`, ['scheduler'], none),
    row(`$KV.${s.leaseBucket}.${supervisorLease(partition)}`, ['supervisor'], none),
  ]
}

/** The stores that all partitions share. */
function storePermissions(s: Subjects): Permission[] {
  const leases = `KV_${s.leaseBucket}`
  const objects = `OBJ_${s.objectBucket}`
  const valueUsers: readonly AuthRole[] = ['client', 'node', 'viewer', 'operator']
  // It removes what nothing needs, which it knows from the logs.
  const sweepers: readonly AuthRole[] = ['scheduler']
  return [
    api('INFO', all),
    ...[leases, objects].flatMap((stream) => streamPermissionsOf(stream, ['installer'])),
    api(`STREAM.MSG.GET.${leases}`, control),
    ...consumerPermissions(leases),
    api(`STREAM.MSG.GET.${objects}`, [...valueUsers, ...sweepers]),
    api(`DIRECT.GET.${objects}`, valueUsers),
    row(`$O.${s.objectBucket}.C.*`, ['client', 'node'], none),
    row(`$O.${s.objectBucket}.M.*`, ['client', 'node', ...sweepers], none),
    api(`STREAM.PURGE.${objects}`, sweepers),
    api(`STREAM.MSG.DELETE.${objects}`, sweepers),
  ]
}
