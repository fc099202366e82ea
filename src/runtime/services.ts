/** What the roles of a process say of themselves where NATS's micro-service tooling asks (`registration.ts`). */
import { hostname } from 'node:os'
import type { NodeProfile } from '../protocol/options.ts'
import type { NodeService } from './node/node-service.ts'
import type { Service } from './registration.ts'
import type { SchedulerService } from './scheduler/scheduler-service.ts'
import type { Supervisor } from './supervisor.ts'

/** Types of tasks named in the metadata, which every answer carries. */
const typesMax = 50

interface Roles {
  readonly node: NodeService | undefined
  readonly scheduler: SchedulerService | undefined
  readonly supervisor: Supervisor | undefined
}

/** `partitions`: the roles in each. */
interface Process {
  readonly profile: NodeProfile | undefined
  readonly partitions: readonly Roles[]
}

export function servicesOf({ profile, partitions }: Process): Service[] {
  const { node, scheduler, supervisor } = partitions[0]!
  /** Which partitions it leads, where there are several. */
  const leads = (role: 'scheduler' | 'supervisor') =>
    partitions.length === 1
      ? {}
      : { leads: partitions.flatMap((roles, partition) => (roles[role]?.leading ? [partition] : [])) }

  const metadata = { host: hostname(), pid: String(process.pid) }
  const services: Service[] = []
  if (node !== undefined && profile !== undefined) {
    services.push({
      role: 'node',
      description: 'Runs tasks of Troupe',
      metadata: { ...metadata, ...nodeMetadata(profile) },
      facts: () => ({
        status: node.status,
        slots: profile.slots,
        running: sumOf(partitions.map((roles) => roles.node?.slots.running.size ?? 0)),
      }),
    })
  }
  if (scheduler !== undefined) {
    services.push({
      role: 'scheduler',
      description: 'Orders the tasks of Troupe and places them on nodes, while it leads',
      metadata,
      facts: () => ({
        leading: scheduler.leading,
        position: scheduler.ledger.state.position,
        ...leads('scheduler'),
      }),
    })
  }
  if (supervisor !== undefined) {
    services.push({
      role: 'supervisor',
      description: 'Detects nodes of Troupe that died, and ends their incarnations, while it leads',
      metadata,
      facts: () => ({ leading: supervisor.leading, ...leads('supervisor') }),
    })
  }
  return services
}

function sumOf(counts: readonly number[]): number {
  return counts.reduce((sum, count) => sum + count, 0)
}

function nodeMetadata({ slots, labels, resources, types }: NodeProfile): Record<string, string> {
  const named = (prefix: string, values: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}.${name}`, String(value)]))
  const names = types.slice(0, typesMax).map(({ type }) => type)
  return {
    slots: String(slots),
    types: names.join(',') + (types.length > typesMax ? ',…' : ''),
    ...named('label', labels),
    ...named('resource', resources),
  }
}
