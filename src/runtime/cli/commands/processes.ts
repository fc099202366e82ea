/** `dev` and `start`: turns parsed options into those of the composition roots, which say when the process has ended. */
import { TroupeError } from '../../../protocol/errors.ts'
import type { DevOptions } from '../../dev.ts'
import type { StartOptions } from '../../start.ts'
import type { Invocation } from '../program.ts'
import { connectionOf, type GlobalOptions, present } from '../settings.ts'

/** Of the options of `dev`, those that are its composition root's own. */
export async function dev({ files, options }: Invocation): Promise<number> {
  const { namespace, logLevel, nodes, slots, port, store, ephemeral, readyFile } = options as GlobalOptions & DevOptions
  const { ordering, placement, rebalancing, partitions, encryption } = options as GlobalOptions & DevOptions
  const given = {
    partitions,
    ordering,
    placement,
    rebalancing,
    encryption,
    namespace,
    logLevel,
    nodes,
    slots,
    port,
    store,
    ephemeral,
    readyFile,
  }
  const { runDev } = await import('../../dev.ts')
  return runDev({ ...present(given), files })
}

interface StartFlags extends Omit<StartOptions, 'files' | 'servers' | 'creds' | 'logLevel' | 'logBytesMax'> {
  readonly drainTime?: number
  readonly logSize?: number
}

export async function start({ files, options }: Invocation): Promise<number> {
  const flags = options as GlobalOptions & StartFlags
  const { namespace, logLevel, name, slots, resources, labels, replicas, healthPort, readyFile } = flags
  const { ordering, placement, rebalancing, partitions, encryption } = flags
  checkRoles(flags.roles, files)
  const given = {
    logLevel,
    name,
    slots,
    resources,
    labels,
    ordering,
    placement,
    rebalancing,
    replicas,
    partitions,
    healthPort,
    readyFile,
    encryption,
    drainMs: flags.drainTime,
    logBytesMax: flags.logSize,
  }
  const { runStart } = await import('../../start.ts')
  return runStart({ ...present(given), ...connectionOf(flags), namespace, roles: flags.roles, files })
}

const known: readonly string[] = ['node', 'scheduler', 'supervisor']

function checkRoles(roles: readonly string[], files: readonly string[]): void {
  const unknown = roles.find((role) => !known.includes(role))
  if (unknown !== undefined || roles.length === 0) {
    throw new TroupeError('TROUPE_INVALID_OPTION', `"${unknown ?? ''}" is no role; there are ${known.join(', ')}`)
  }
  if (roles.includes('node') && files.length === 0) {
    throw new TroupeError('TROUPE_USAGE', 'a node needs modules that export tasks: troupe start --roles node <files…>')
  }
}
