/**
 * The streams and buckets of a namespace: makes what is missing, and never takes anything away from what is there. A
 * closed door stays closed; a larger limit or more replicas than asked for stay as they are. How many partitions there are
 * stands in the metadata of the first one's log, from when the namespace is made.
 */
import type { StreamConfig, StreamInfo } from '@nats-io/jetstream'
import { hasCode, TroupeError } from '../protocol/errors.ts'
import { limits } from '../protocol/limits.ts'
import { Subjects } from '../protocol/subjects.ts'
import type { Bus } from './bus.ts'
import { StreamCheckpointStore } from './checkpoints.ts'
import { NatsBus } from './connection.ts'
import { api, apiCode, apiCodeOf } from './jetstream-api.ts'
import { KvLeaseStore } from './leases.ts'
import { JetStreamLog } from './log.ts'
import { newIdentity, partitionsIn, partitionsMetadata } from './log-identity.ts'
import { JetStreamObjectBucket } from './object-bucket.ts'
import { BucketObjects } from './objects.ts'

export interface NamespaceOptions {
  /** Default `main`. */
  readonly namespace?: string
  /** 1 to 64. Default: as many as there are, 1 where there is nothing yet. */
  readonly partitions?: number
  /** 1 to 5. Default 1. Raises what is there, never lowers it. */
  readonly replicas?: number
  /**
   * Of each log, 16 MiB or more. Default 8 GiB, or half, a quarter … of that, as the server has room. Raises what is there,
   * never lowers it; TROUPE_REFUSED when the server has not so much.
   */
  readonly logBytesMax?: number
  /** Default `file`; `memory` is for tests. Stays what it was when the namespace was made. */
  readonly storage?: 'file' | 'memory'
}

/** What one partition has of its own. */
export interface OpenPartition {
  readonly subjects: Subjects
  readonly partition: number
  readonly log: JetStreamLog
  readonly checkpoints: StreamCheckpointStore
}

/** With what the first partition has of its own. */
export interface OpenNamespace extends OpenPartition {
  /** All of them, by number. */
  readonly partitions: readonly OpenPartition[]
  readonly leases: KvLeaseStore
  readonly objects: BucketObjects
}

const gibibyte = 1024 ** 3
const logBytesDefault = 8 * gibibyte
const bytesMin = limits.logBytesMin
/**
 * Placing a replicated stream takes a cluster some time. One that elects leaders answers nothing for seconds, and now and then
 * forgets one of two requests at once.
 */
const createTimeoutMs = 5_000
const createTries = 8
const refusedTries = 5

/**
 * Returns the stores of a namespace, all of which exist. Safe to call by many processes at once. Throws
 * TROUPE_INVALID_OPTION (the namespace; a stream of that name that is none of ours), TROUPE_REFUSED (no room),
 * TROUPE_NO_ANSWER.
 */
export async function openNamespace(bus: Bus, options: NamespaceOptions = {}): Promise<OpenNamespace> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await openOnce(bus, options)
    } catch (error) {
      // What was made without an answer is found by the next look. And whoever makes the same streams at this moment may
      // hold the room of the server until it has made its own smaller.
      const tries = hasCode(error, 'TROUPE_NO_ANSWER')
        ? createTries
        : hasCode(error, 'TROUPE_REFUSED')
          ? refusedTries
          : 1
      if (attempt >= tries) throw error
      await new Promise((done) => setTimeout(done, 100 * attempt * (1 + Math.random())))
    }
  }
}

async function openOnce(bus: Bus, options: NamespaceOptions): Promise<OpenNamespace> {
  if (!(bus instanceof NatsBus)) throw new TroupeError('TROUPE_INTERNAL', 'openNamespace needs a bus of openBus')
  const first = await ensure(bus, options, wantedOfNamespace(options))
  const partitions = await settlePartitions(bus, first, options)
  const subjects = new Subjects(options.namespace, 0, partitions)
  const others = Array.from({ length: partitions - 1 }, (_, i) => subjects.of(i + 1))
  if (others.length > 0)
    await ensure(
      bus,
      options,
      others.flatMap((other) => wantedOfPartition(other, options)),
    )
  return openedNamespace(bus, subjects)
}

/** The stores of a namespace with this many partitions, whether they are there or not. */
export function openedNamespace(bus: Bus, subjects: Subjects): OpenNamespace {
  if (!(bus instanceof NatsBus)) throw new TroupeError('TROUPE_INTERNAL', 'openedNamespace needs a bus of openBus')
  const partitions = Array.from({ length: subjects.partitions }, (_, partition): OpenPartition => {
    const own = subjects.of(partition)
    return {
      subjects: own,
      partition,
      log: new JetStreamLog(bus, own.logStream(partition), own.logSubjects(partition)),
      checkpoints: new StreamCheckpointStore(bus, own, partition),
    }
  })
  return {
    ...partitions[0]!,
    partitions,
    leases: new KvLeaseStore(bus, subjects.leaseBucket),
    objects: new BucketObjects(new JetStreamObjectBucket(bus, subjects.objectBucket)),
  }
}

/** How many partitions the namespace has; 1 also where there is nothing yet. Throws as `api` does. */
export async function partitionsOf(bus: Bus, namespace?: string): Promise<number> {
  if (!(bus instanceof NatsBus)) throw new TroupeError('TROUPE_INTERNAL', 'partitionsOf needs a bus of openBus')
  const log = await streamInfo(bus, new Subjects(namespace).logStream(0))
  return partitionsIn(log?.config.metadata) ?? 1
}

/**
 * The number of partitions there are. A log in which nothing was ever stored may still be given as many as are wanted: a
 * client that came before the first process has made it. Any other keeps its number, for ids are placed by it.
 */
async function settlePartitions(bus: NatsBus, log: StreamInfo, options: NamespaceOptions): Promise<number> {
  const there = partitionsIn(log.config.metadata) ?? 1
  const wanted = options.partitions ?? there
  if (wanted === there) return there
  const { namespace } = new Subjects(options.namespace)
  if (there > 1 || log.state.last_seq > 0) {
    throw new TroupeError('TROUPE_PARTITIONS', `namespace "${namespace}" has ${count(there)}, not ${wanted}`, {
      details: { namespace, partitions: there, wanted },
    })
  }
  const { door, inner } = new Subjects(options.namespace, 0, wanted).logSubjects(0)
  const metadata = { ...log.config.metadata, ...partitionsMetadata(wanted) }
  const config = { ...log.config, subjects: [...door, ...inner], metadata }
  await api(bus, `STREAM.UPDATE.${config.name}`, config, createTimeoutMs)
  return wanted
}

function count(partitions: number): string {
  return partitions === 1 ? '1 partition' : `${partitions} partitions`
}

/** Makes those that are missing, raises the others; returns the first of them as it is now. */
async function ensure(bus: NatsBus, options: NamespaceOptions, wanted: readonly Config[]): Promise<StreamInfo> {
  const there = await Promise.all(wanted.map((config) => streamInfo(bus, config.name)))
  for (const [i, config] of wanted.entries()) checkOurs(config.name, there[i])
  const givenBytes = (config: Config) => (config.metadata === undefined ? undefined : options.logBytesMax)
  const missing = wanted.filter((_, i) => !there[i])
  await createAll(bus, missing, (config) => givenBytes(config) ?? bytesMin)
  for (const [i, config] of wanted.entries()) await raise(bus, there[i], options.replicas, givenBytes(config))
  const first = there[0] ?? (await streamInfo(bus, wanted[0]!.name))
  if (first === undefined) throw new TroupeError('TROUPE_NO_ANSWER', `stream ${wanted[0]!.name} is not there yet`)
  return first
}

function wantedOfNamespace(options: NamespaceOptions): Config[] {
  const subjects = new Subjects(options.namespace, 0, options.partitions)
  const logBytes = options.logBytesMax ?? logBytesDefault
  return [
    ...wantedOfPartition(subjects, options),
    leaseConfig(subjects, options),
    objectConfig(subjects, options, logBytes),
  ]
}

/** Of a server's room, each of many partitions sets aside no more than its part. */
function wantedOfPartition(subjects: Subjects, options: NamespaceOptions): Config[] {
  const logBytes = options.logBytesMax ?? Math.max(bytesMin, Math.floor(logBytesDefault / subjects.partitions))
  return [logConfig(subjects, options, logBytes), checkpointConfig(subjects, options, logBytes)]
}

type Config = Partial<StreamConfig> & { name: string; max_bytes: number; subjects: string[] }

function common(options: NamespaceOptions) {
  return {
    retention: 'limits' as const,
    discard: 'new' as const,
    storage: options.storage ?? ('file' as const),
    num_replicas: options.replicas ?? 1,
    allow_direct: true,
    max_age: 0,
    max_msgs: -1,
    // Without it the server would also keep ids of what never carries one.
    duplicate_window: 60e9,
  }
}

function logConfig(subjects: Subjects, options: NamespaceOptions, bytes: number): Config {
  const { partition, partitions } = subjects
  const { door, inner } = subjects.logSubjects(partition)
  const name = subjects.logStream(partition)
  const metadata = { ...newIdentity(), ...(partition === 0 && partitionsMetadata(partitions)) }
  return { ...common(options), name, subjects: [...door, ...inner], max_bytes: bytes, metadata }
}

function checkpointConfig(subjects: Subjects, options: NamespaceOptions, bytes: number): Config {
  const { partition } = subjects
  return {
    ...common(options),
    name: subjects.checkpointStream(partition),
    subjects: [subjects.checkpoint(partition, '*', '*')],
    max_bytes: Math.max(bytesMin, Math.floor(bytes / 2)),
  }
}

/** As a KV bucket is laid out: any KV client can read it. */
function leaseConfig(subjects: Subjects, options: NamespaceOptions): Config {
  return {
    ...common(options),
    name: `KV_${subjects.leaseBucket}`,
    subjects: [`$KV.${subjects.leaseBucket}.>`],
    max_bytes: bytesMin,
    max_msgs_per_subject: 1,
    allow_rollup_hdrs: true,
    deny_delete: true,
  }
}

/** As an object store is laid out; without rollups, by which whoever may store could remove all there is. */
function objectConfig(subjects: Subjects, options: NamespaceOptions, bytes: number): Config {
  return {
    ...common(options),
    name: `OBJ_${subjects.objectBucket}`,
    subjects: [`$O.${subjects.objectBucket}.C.>`, `$O.${subjects.objectBucket}.M.>`],
    max_bytes: bytes,
  }
}

function checkOurs(name: string, there: StreamInfo | undefined): void {
  if (!there) return
  const { config } = there
  if (config.retention === 'limits' && config.discard === 'new' && config.max_age === 0) return
  throw new TroupeError('TROUPE_INVALID_OPTION', `stream ${name} exists, but is none that Troupe made`, {
    details: { config },
  })
}

async function raise(
  bus: NatsBus,
  there: StreamInfo | undefined,
  replicasWanted: number | undefined,
  bytesWanted: number | undefined,
): Promise<void> {
  if (!there) return
  const { config } = there
  const replicas = Math.max(config.num_replicas, replicasWanted ?? 0)
  const bytes = config.max_bytes < 0 ? config.max_bytes : Math.max(config.max_bytes, bytesWanted ?? 0)
  if (replicas === config.num_replicas && bytes === config.max_bytes) return
  await api(
    bus,
    `STREAM.UPDATE.${config.name}`,
    { ...config, num_replicas: replicas, max_bytes: bytes },
    createTimeoutMs,
  )
}

/**
 * A stream's limit is space that the server sets aside. When it has not so much for all of them, each gets half of it,
 * again and again, down to its least; what this very call has made a moment ago shrinks with the rest.
 */
async function createAll(bus: NatsBus, configs: readonly Config[], leastOf: (config: Config) => number): Promise<void> {
  const created = new Set<Config>()
  for (let divisor = 1; ; divisor *= 2) {
    try {
      for (const config of configs) {
        const scaled = { ...config, max_bytes: Math.max(leastOf(config), Math.floor(config.max_bytes / divisor)) }
        if (!created.has(config)) await create(bus, scaled, created.add.bind(created, config))
        else if (divisor > 1) await api(bus, `STREAM.UPDATE.${config.name}`, scaled, createTimeoutMs)
      }
      return
    } catch (error) {
      const isSmallest = configs.every((config) => config.max_bytes / divisor <= leastOf(config))
      if (!hasCode(error, 'TROUPE_REFUSED') || isSmallest) throw error
    }
  }
}

async function create(bus: NatsBus, config: Config, onCreated: () => void): Promise<void> {
  try {
    await api(bus, `STREAM.CREATE.${config.name}`, config, createTimeoutMs)
    onCreated()
  } catch (error) {
    if (hasCode(error, 'TROUPE_NOT_ALLOWED')) {
      const message = `stream ${config.name} is missing, and this user may not make it: run \`troupe install\` as an installer`
      throw new TroupeError('TROUPE_NOT_ALLOWED', message, { cause: error })
    }
    // Another process made it at the same moment, with other limits perhaps.
    if (apiCodeOf(error) !== apiCode.streamNameInUse) throw error
  }
}

async function streamInfo(bus: NatsBus, name: string): Promise<StreamInfo | undefined> {
  try {
    return await api<StreamInfo>(bus, `STREAM.INFO.${name}`)
  } catch (error) {
    if (apiCodeOf(error) === apiCode.streamNotFound) return undefined
    throw error
  }
}
