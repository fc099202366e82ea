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
import { Subjects } from './subjects.ts'

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
  return [
    ...logPermissions(subjects, name),
    ...requestPermissions(subjects, name),
    ...actorPermissions(subjects, name),
    ...streamPermissions(subjects),
    row(`${inboxPrefixOf(name)}.>`, none, all),
    row('_INBOX.>', members, none),
    // The discovery of services, which every process of a cluster answers.
    row('$SRV.>', ['viewer', 'operator'], members),
    // What this user may do, for doctor.
    row('$SYS.REQ.USER.INFO', all, none),
  ]
}

/** Returns what this identity may do, in the table's order and each pattern once. */
export function grantOf(namespace: string, { name, roles }: Identity): Grant {
  const table = permissionTable(new Subjects(namespace), checkIdentityName(name))
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
  return [
    row(s.submit('>'), ['client', 'scheduler'], none),
    row(s.block('*'), ['client'], none),
    row(s.signal('>'), ['client', 'operator'], none),
    row(s.journal(0, name, '*'), ['node'], none),
    // A fence stands in the journal of the node that it ends.
    row(s.journal(0, '*', '*'), ['supervisor'], none),
    row(s.control(0, '*'), ['scheduler'], none),
    row(s.checkpoint(0, '*', '*'), control, none),
  ]
}

function requestPermissions(s: Subjects, name: string): Permission[] {
  const answered: readonly AuthRole[] = ['scheduler']
  return [
    row(s.run('>'), ['client'], answered),
    row(s.task('>'), [...readers, 'node'], answered),
    row(s.history('>'), readers, answered),
    row(s.cancel('>'), ['client', 'operator'], answered),
    row(s.retry('>'), ['operator'], answered),
    row(s.remove('>'), ['operator'], answered),
    row(s.drain('>'), ['operator'], answered),
    row(s.limits, ['operator'], answered),
    row(s.cron, ['operator'], answered),
    row(s.snapshots, ['operator'], answered),
    row(s.tasks, readers, answered),
    row(s.dead, readers, answered),
    row(s.nodes, readers, answered),
    row(s.stats, readers, answered),
    row(s.full, ['scheduler'], readers),
    row(s.health('*'), ['viewer', 'operator'], none),
    row(s.health(name), none, members),
    row(s.validate('*'), ['scheduler', 'client', 'operator'], ['node']),
    row(`${s.root}.event.>`, ['scheduler'], readers),
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
    row(s.call(0), ['scheduler'], ['node']),
    row(s.tell(clientToken(name, '*')), none, readers),
    row(`${s.root}.tell.>`, ['scheduler'], none),
    row(s.leading('scheduler'), ['scheduler'], ['node', ...readers]),
    row(s.leading('supervisor'), ['supervisor'], readers),
  ]
}

function streamPermissions(s: Subjects): Permission[] {
  const log = s.logStream(0)
  const checkpoints = s.checkpointStream(0)
  const leases = `KV_${s.leaseBucket}`
  const objects = `OBJ_${s.objectBucket}`
  const api = (endpoint: string, roles: readonly AuthRole[]) => row(`$JS.API.${endpoint}`, roles, none)
  const consumer = (stream: string) => [
    api(`CONSUMER.CREATE.${stream}.>`, control),
    api(`CONSUMER.DELETE.${stream}.>`, control),
    row(`$JS.FC.${stream}.>`, control, none),
  ]
  const valueUsers: readonly AuthRole[] = ['client', 'node', 'viewer', 'operator']
  return [
    api('INFO', all),
    ...[log, checkpoints, leases, objects].flatMap((stream) => [
      api(`STREAM.INFO.${stream}`, all),
      api(`STREAM.CREATE.${stream}`, ['installer']),
      api(`STREAM.UPDATE.${stream}`, stream === log ? ['installer', 'scheduler'] : ['installer']),
    ]),
    // Of a node: how a write without an answer ended stands in the last message of its journal.
    api(`STREAM.MSG.GET.${log}`, [...control, 'node']),
    api(`DIRECT.GET.${log}`, control),
    api(`STREAM.PURGE.${log}`, ['scheduler']),
    ...consumer(log),
    api(`STREAM.MSG.GET.${checkpoints}`, control),
    api(`STREAM.PURGE.${checkpoints}`, control),
    api(`STREAM.MSG.GET.${leases}`, control),
    ...consumer(leases),
    row(`$KV.${s.leaseBucket}.scheduler-0`, ['scheduler'], none),
    row(`$KV.${s.leaseBucket}.supervisor`, ['supervisor'], none),
    api(`STREAM.MSG.GET.${objects}`, valueUsers),
    api(`DIRECT.GET.${objects}`, valueUsers),
    row(`$O.${s.objectBucket}.C.*`, ['client', 'node'], none),
    row(`$O.${s.objectBucket}.M.*`, ['client', 'node'], none),
  ]
}
