/**
 * The node of a process: one incarnation, its heartbeat, its capacity and its balance, shared by its memberships of all
 * partitions. Owns them until `stop`.
 */
import { hostname } from 'node:os'
import { Keyring } from '../client/encryption.ts'
import type { BusOptions } from '../nats/connect.ts'
import type { NatsBus } from '../nats/connection.ts'
import type { NodeProfile } from '../protocol/options.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { type RunningHeartbeat, startHeartbeat } from './heartbeat/heartbeat.ts'
import { Capacity } from './node/capacity.ts'
import { detectedResources } from './node/detected-resources.ts'
import { MeasuredBalance } from './node/measured-balance.ts'
import { NodeLife } from './node/node-life.ts'
import { NodeService } from './node/node-service.ts'
import type { PartitionRoles } from './partition-roles.ts'
import type { ProcessOptions } from './process.ts'
import { lanes } from './tasks/lanes.ts'

export interface NodeRoleOptions
  extends Pick<ProcessOptions, 'definitions' | 'slots' | 'labels' | 'resources' | 'logger' | 'drainMs' | 'encryption'> {
  /** What the heartbeat's own connection needs. */
  readonly connection: Omit<BusOptions, 'name'>
  readonly bus: NatsBus
  readonly name: string
  readonly subjects: Subjects
  readonly version: string
}

const slotsDefault = 256

export class NodeRole {
  readonly profile: NodeProfile
  private readonly options: NodeRoleOptions
  private readonly heartbeat: RunningHeartbeat

  constructor(options: NodeRoleOptions) {
    const { name, version, slots = slotsDefault, labels = {}, resources, definitions = [] } = options
    const { connection, subjects, bus } = options
    this.options = options
    this.profile = {
      node: name,
      host: hostname(),
      pid: process.pid,
      version,
      slots,
      resources: { ...detectedResources(), ...resources },
      labels,
      types: definitions.map((definition) => definition.profile),
    }
    this.heartbeat = startHeartbeat({
      connection: { ...connection, name: `troupe node ${name}` },
      subjects,
      node: name,
      bus,
    })
  }

  /** Resolves once it has joined in every partition. */
  async start(partitions: readonly PartitionRoles[]): Promise<void> {
    const { profile, heartbeat } = this
    const { definitions = [], subjects, encryption, logger, drainMs } = this.options
    const shared = {
      profile,
      definitions,
      ...(encryption && { keyring: new Keyring(subjects.namespace, encryption) }),
      balance: new MeasuredBalance(profile.slots),
      capacity: new Capacity(profile.slots, profile.resources),
      life: new NodeLife(),
      logger: logger.child({ role: 'node', node: profile.node }),
      ...(drainMs !== undefined && { drainMs }),
    }
    /** Partitions in which the present incarnation has joined. */
    const joined = new Set<number>()
    const follow = (partition: number, incarnation: string | undefined) => {
      if (incarnation === undefined) joined.delete(partition)
      else joined.add(partition)
      heartbeat.setIncarnation(joined.size === 0 ? undefined : shared.life.incarnation, [...joined])
    }
    await Promise.all(
      partitions.map((roles) => {
        const { bus, namespace, opened } = roles.options
        const { log, partition } = opened
        const onIncarnation = (incarnation: string | undefined) => follow(partition, incarnation)
        const { objects } = namespace
        roles.node = new NodeService({
          ...shared,
          bus,
          log,
          objects,
          subjects: opened.subjects,
          partition,
          onIncarnation,
        })
        return roles.node.start()
      }),
    )
  }

  /** It has drained before. */
  async stop(): Promise<void> {
    await this.heartbeat.stop()
    await lanes.close()
  }
}
