/**
 * Looks at an installation as a client sees it, without changing anything: server, storage, streams, permissions, clock,
 * leader, nodes. Each finding says what to do about it.
 */
import { ask } from '../../client/ask.ts'
import { type BusOptions, openBus } from '../../nats/connect.ts'
import type { NatsBus } from '../../nats/connection.ts'
import { readCredentials } from '../../nats/credentials.ts'
import { JetStreamLog } from '../../nats/log.ts'
import { type StreamFacts, serverInfo, storageInfo, streamFacts } from '../../nats/server-info.ts'
import { partitionsOf } from '../../nats/setup.ts'
import { userBounds } from '../../nats/user-info.ts'
import { adviceFor, hasCode, TroupeError } from '../../protocol/errors.ts'
import type { NodeAnswer, PartitionAnswer, StatsAnswer } from '../../protocol/messages.ts'
import type { Identity } from '../../protocol/permissions.ts'
import { Subjects } from '../../protocol/subjects.ts'
import { describe, lacks } from '../auth/needs.ts'
import { bytes } from '../cli/format.ts'
import { partitionRow } from '../scheduler/gathered-answers.ts'
import {
  type Finding,
  inPartition,
  judgeCheckpoints,
  judgeClock,
  judgeDeadLetters,
  judgeDurability,
  judgeFill,
  judgeObjects,
  judgeStream,
  type SyncSetting,
} from './findings.ts'

export interface ExamineOptions extends Omit<BusOptions, 'name'> {
  readonly servers: string
  readonly namespace: string
  /** Whose permissions are looked for. Default: that of the credentials, else a client. */
  readonly identity?: Identity
  /** `http://host:port` of the server's monitoring. Default: port 8222 of the first server. */
  readonly monitoring?: string
}

/** Yields findings as they are made. Throws what `openBus` throws when there is no server to look at. */
export async function* examine(options: ExamineOptions): AsyncGenerator<Finding> {
  const { namespace, identity: _identity, monitoring: _monitoring, ...connection } = options
  const first = new Subjects(namespace)
  const bus = await openBus({ ...connection, name: 'troupe-doctor' })
  try {
    const subjects = new Subjects(first.namespace, 0, await partitionsOf(bus, namespace).catch(() => 1))
    const { name, version, host, cluster } = serverInfo(bus)
    const member = cluster === undefined ? '' : `, cluster ${cluster}`
    yield { check: 'server', status: 'ok', message: `nats-server ${version}, ${name} on ${host}${member}` }
    yield* guarded('storage', () => examineStorage(bus))
    yield* guarded('streams', () => examineStreams(bus, subjects, options))
    yield* guarded('permissions', () => examinePermissions(bus, subjects, options))
    yield* guarded('scheduler', () => examineCluster(bus, subjects))
  } finally {
    await bus.close()
  }
}

/** A check that cannot be made is a finding too. */
async function* guarded(check: string, findings: () => AsyncIterable<Finding>): AsyncGenerator<Finding> {
  try {
    yield* findings()
  } catch (error) {
    if (!(error instanceof TroupeError)) throw error
    const status = error.code === 'TROUPE_NOT_ALLOWED' ? 'warn' : 'fail'
    yield finding(check, status, `${error.message} (${error.code})`, adviceFor(error.code))
  }
}

function finding(check: string, status: Finding['status'], message: string, next?: string): Finding {
  return next === undefined ? { check, status, message } : { check, status, message, next }
}

async function* examineStorage(bus: NatsBus): AsyncGenerator<Finding> {
  const { usedBytes, reservedBytes, bytesMax } = await storageInfo(bus)
  const used = `${bytes(usedBytes)} used, ${bytes(reservedBytes)} promised to streams`
  if (bytesMax < 0) yield finding('storage', 'ok', `${used}; this account has no limit of its own`)
  else if (usedBytes < bytesMax * 0.9) yield finding('storage', 'ok', `${used}, of ${bytes(bytesMax)}`)
  else
    yield finding(
      'storage',
      'warn',
      `${used}, of ${bytes(bytesMax)}`,
      "Raise the account's or the server's max_file_store.",
    )
}

async function* examineStreams(bus: NatsBus, subjects: Subjects, options: ExamineOptions): AsyncGenerator<Finding> {
  const askedAtMs = Date.now()
  const log = await streamFacts(bus, subjects.logStream(0))
  const answeredAtMs = Date.now()
  const sync = await readSync(options)
  if (log === undefined) {
    const next = 'The first `troupe start`, `troupe dev` or submission makes it; or name another with --namespace.'
    yield finding('streams', 'warn', `namespace "${subjects.namespace}" has no log yet`, next)
    return
  }
  for (let partition = 0; partition < subjects.partitions; partition++) {
    const facts = partition === 0 ? log : await streamFacts(bus, subjects.logStream(partition))
    if (facts === undefined) {
      yield missing(subjects.logStream(partition))
      continue
    }
    const place = { partition, partitions: subjects.partitions }
    for await (const found of examinePartition(bus, subjects.of(partition), facts)) yield inPartition(found, place)
    yield inPartition(judgeDurability(facts, sync), place)
  }
  yield* examineStream(bus, `KV_${subjects.leaseBucket}`)
  yield* examineStream(bus, `OBJ_${subjects.objectBucket}`, judgeObjects)
  yield judgeClock((askedAtMs + answeredAtMs) / 2 - log.serverTimeMs, (answeredAtMs - askedAtMs) / 2)
}

async function* examinePartition(bus: NatsBus, subjects: Subjects, log: StreamFacts): AsyncGenerator<Finding> {
  const { partition } = subjects
  const { door, inner } = subjects.logSubjects(partition)
  yield* judgeStream(log, { subjects: inner, door })
  yield judgeFill(log, bytes)
  const checkpoints = await streamFacts(bus, subjects.checkpointStream(partition))
  if (checkpoints === undefined) {
    yield missing(subjects.checkpointStream(partition))
    return
  }
  yield* judgeStream(checkpoints, { subjects: [], door: [] })
  yield judgeCheckpoints(log, checkpoints)
}

async function* examineStream(bus: NatsBus, name: string, judge?: typeof judgeObjects): AsyncGenerator<Finding> {
  const facts = await streamFacts(bus, name)
  if (facts === undefined) {
    yield missing(name)
    return
  }
  yield* judgeStream(facts, { subjects: [], door: [] })
  const found = judge?.(facts, bytes)
  if (found !== undefined) yield found
}

function missing(stream: string): Finding {
  return finding(`stream ${stream}`, 'fail', 'it is missing', 'Any `troupe start` makes it again.')
}

/** The sync setting from the server's monitoring; undefined if it cannot be reached. */
async function readSync({ monitoring, servers }: ExamineOptions): Promise<SyncSetting | undefined> {
  try {
    const { hostname } = new URL(servers.split(',')[0]!.replace(/^(?![a-z]+:\/\/)/, 'nats://'))
    const url = `${(monitoring ?? `http://${hostname}:8222`).replace(/\/$/, '')}/varz`
    const answer = await fetch(url, { signal: AbortSignal.timeout(1_000) })
    const { jetstream } = (await answer.json()) as {
      jetstream?: { config?: { sync_interval?: number; sync_always?: boolean } }
    }
    const config = jetstream?.config
    if (config?.sync_interval === undefined && config?.sync_always === undefined) return undefined
    return { always: config.sync_always === true, intervalMs: (config.sync_interval ?? 0) / 1e6 }
  } catch {
    return undefined
  }
}

/** What this user's role needs, compared with what the server says; or found by trying, where it does not say. */
async function* examinePermissions(
  bus: NatsBus,
  subjects: Subjects,
  { creds, identity }: ExamineOptions,
): AsyncGenerator<Finding> {
  const bounds = await userBounds(bus)
  if (bounds === undefined) {
    yield* tryPermissions(bus, subjects)
    return
  }
  if (bounds.publish === undefined && bounds.subscribe === undefined) {
    yield finding('permissions', 'ok', 'this user may do everything: submit, signal, ask, and whatever else')
    return
  }
  const credentials = creds === undefined ? undefined : readCredentials(creds)
  const { name, roles } = identity ?? credentials ?? { name: 'client', roles: ['client' as const] }
  const missing = lacks(subjects, { name, roles }, bounds)
  const who = `${roles.join(' and ')} "${name}"`
  if (missing.length === 0) yield finding('permissions', 'ok', `this user may do what ${who} does`)
  else {
    const next = 'Give it these permissions, or credentials of that role: `troupe auth`; see docs/security.md.'
    yield finding('permissions', 'fail', `as ${who}, this user may not ${describe(missing)}`, next)
  }
}

/** Writes that the log must refuse, because they expect a sequence that cannot be: they show what is allowed. */
async function* tryPermissions(bus: NatsBus, subjects: Subjects): AsyncGenerator<Finding> {
  const denied: string[] = []
  for (let partition = 0; partition < subjects.partitions; partition++) {
    denied.push(...(await deniedIn(bus, subjects.of(partition))))
  }
  const asked = await bus
    .request(subjects.task('doctor'), new Uint8Array(0), { timeoutMs: 2_000 })
    .catch((error) => error as unknown)
  if (hasCode(asked, 'TROUPE_NOT_ALLOWED')) denied.push(subjects.task('*'))
  if (denied.length === 0) yield finding('permissions', 'ok', 'this user may submit, signal and ask')
  else
    yield finding(
      'permissions',
      'fail',
      `this user may not publish to ${denied.join(', ')}`,
      adviceFor('TROUPE_NOT_ALLOWED'),
    )
}

async function deniedIn(bus: NatsBus, subjects: Subjects): Promise<string[]> {
  const { partition } = subjects
  const log = new JetStreamLog(bus, subjects.logStream(partition), subjects.logSubjects(partition))
  const denied: string[] = []
  for (const subject of [subjects.submit('doctor'), subjects.block('doctor'), subjects.signal('doctor')]) {
    const result = await log.append(subject, new Uint8Array(0), {
      expectedLastSubjectSequence: 2 ** 50,
      timeoutMs: 2_000,
    })
    const isAllowed =
      result.outcome === 'refused' && (result.reason === 'wrong-sequence' || result.reason === 'no-responders')
    if (!isAllowed) denied.push(subject)
  }
  return denied
}

async function* examineCluster(bus: NatsBus, subjects: Subjects): AsyncGenerator<Finding> {
  const { partitions } = subjects
  const rows = await partitionRows(bus, subjects)
  if (rows.every(({ leader }) => leader === undefined)) {
    const next = 'Start one: `troupe dev`, or `troupe start --roles scheduler,supervisor`.'
    yield finding('scheduler', 'fail', 'no scheduler leads in this namespace', next)
    return
  }
  for (const row of rows) {
    const place = { partition: row.partition, partitions }
    yield inPartition(leaderFinding(row), place)
    if (row.dead !== undefined) yield inPartition(judgeDeadLetters(row.dead), place)
  }
  const led = rows.find(({ leader }) => leader !== undefined)?.partition ?? 0
  const { nodes } = await ask<{ nodes: NodeAnswer[] }>(bus, subjects.of(led).nodes)
  yield* examineNodes(nodes)
}

/** The leader of the first partition speaks for all; without one, each is asked by itself. */
async function partitionRows(bus: NatsBus, subjects: Subjects): Promise<readonly PartitionAnswer[]> {
  const first = await statsOf(bus, subjects)
  if (first !== undefined) return first.partitions ?? [partitionRow(first)]
  const others = Array.from({ length: subjects.partitions - 1 }, (_, before) => before + 1)
  const asked = others.map(async (partition): Promise<PartitionAnswer> => {
    const stats = await statsOf(bus, subjects.of(partition))
    return stats === undefined ? { partition } : partitionRow(stats)
  })
  return [{ partition: 0 }, ...(await Promise.all(asked))]
}

async function statsOf(bus: NatsBus, { stats }: Subjects): Promise<StatsAnswer | undefined> {
  try {
    return await ask<StatsAnswer>(bus, stats)
  } catch (error) {
    if (hasCode(error, 'TROUPE_NO_ANSWER')) return undefined
    throw error
  }
}

function leaderFinding({ leader, epoch, position }: PartitionAnswer): Finding {
  if (leader !== undefined)
    return finding('scheduler', 'ok', `${leader} leads, epoch ${epoch}, log read up to ${position}`)
  const next = 'Start one: `troupe start --roles scheduler,supervisor`; its tasks wait meanwhile.'
  return finding('scheduler', 'fail', 'no scheduler leads', next)
}

function* examineNodes(nodes: readonly NodeAnswer[]): Generator<Finding> {
  const ready = nodes.filter(({ status }) => status === 'ready')
  const slots = ready.reduce((sum, node) => sum + node.slots, 0)
  if (ready.length === 0)
    yield finding('nodes', 'fail', 'no node takes tasks', 'Start one: `troupe start --roles node <files…>`.')
  else yield finding('nodes', 'ok', `${ready.length} ready, with ${slots} slots`)
  for (const { id, status } of nodes) {
    if (status === 'suspect')
      yield finding(
        'nodes',
        'warn',
        `${id} has not been heard for a while`,
        'It is fenced by itself if it stays silent.',
      )
    if (status === 'stuck')
      yield finding(
        'nodes',
        'warn',
        `${id} is stuck: its main loop does not turn`,
        'Run CPU-bound tasks with isolate: "thread".',
      )
  }
}
