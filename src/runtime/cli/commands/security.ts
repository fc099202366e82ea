/** `auth` writes a folder of credentials and server configuration; `install` makes the streams of a namespace. */
import { join } from 'node:path'
import { openBus } from '../../../nats/connect.ts'
import { openNamespace } from '../../../nats/setup.ts'
import { changeAuth, identitiesDefault, parseIdentity } from '../../auth/auth-folder.ts'
import type { Invocation } from '../program.ts'
import { connectionOf, type GlobalOptions, present } from '../settings.ts'

interface AuthFlags extends GlobalOptions {
  readonly dir: string
  readonly remove?: readonly string[]
  readonly hosts?: readonly string[]
  readonly replySubjects?: readonly string[]
  readonly partitions?: number
}

interface InstallFlags {
  readonly replicas?: number
  readonly partitions?: number
  readonly logSize?: number
}

export async function auth({ files, options, output }: Invocation): Promise<number> {
  const { dir, namespace, remove = [], hosts, replySubjects, partitions } = options as AuthFlags
  const changes = [hosts, replySubjects, partitions].some((given) => given !== undefined)
  const isBare = files.length === 0 && remove.length === 0 && !changes
  const state = changeAuth({
    folder: dir,
    namespace,
    add: isBare ? identitiesDefault : files.map(parseIdentity),
    remove,
    ...(hosts && { hosts }),
    ...(replySubjects && { replySubjects }),
    ...(partitions !== undefined && { partitions }),
  })
  const rows = state.users.map(({ name, roles }) => ({ name, roles, creds: join(dir, 'identities', `${name}.creds`) }))
  if (output.json) {
    output.value({ namespace: state.namespace, server: join(dir, 'server', 'nats-server.conf'), identities: rows })
    return 0
  }
  output.table(
    ['NAME', 'ROLES', 'CREDENTIALS'],
    rows.map(({ name, roles, creds }) => [name, roles.join(', '), creds]),
  )
  output.note(
    [
      `server: cd ${join(dir, 'server')} && nats-server -c nats-server.conf  (running already: nats-server --signal reload)`,
      `first:  troupe install --nats tls://HOST:4222 --creds ${join(dir, 'identities', 'installer.creds')}`,
      'then:   troupe start --nats tls://HOST:4222 --creds FILE --roles …  (a node is called as its credentials say)',
      `Keep ${join(dir, 'ca-key.pem')} off the servers: whoever has it can make certificates.`,
    ].join('\n'),
  )
  return 0
}

export async function install({ options, output }: Invocation): Promise<number> {
  const globals = options as GlobalOptions & InstallFlags
  const { namespace, replicas, partitions, logSize } = globals
  const bus = await openBus({ ...connectionOf(globals), name: 'troupe-install' })
  try {
    const opened = await openNamespace(bus, { namespace, ...present({ replicas, partitions, logBytesMax: logSize }) })
    const { subjects } = opened
    const streams = [
      ...opened.partitions.flatMap(({ partition }) => [
        subjects.logStream(partition),
        subjects.checkpointStream(partition),
      ]),
      `KV_${subjects.leaseBucket}`,
      `OBJ_${subjects.objectBucket}`,
    ]
    if (output.json) output.value({ namespace, streams })
    else output.line(`namespace "${namespace}" has its streams: ${streams.join(', ')}`)
    return 0
  } finally {
    await bus.close()
  }
}
