/** The configuration of a nats-server that knows the identities of a namespace: text from facts, nothing else. */
import { type AuthRole, grantOf, type Identity } from '../../protocol/permissions.ts'
import { Subjects } from '../../protocol/subjects.ts'

export interface AuthUser extends Identity {
  /** Its NKey's public half. */
  readonly publicKey: string
  readonly roles: readonly AuthRole[]
}

/** Returns the account of a namespace with its users; rewritten whenever one is added or removed. */
export function authorizationConfig({
  namespace,
  partitions,
  users,
  replySubjects,
}: {
  readonly namespace: string
  readonly partitions?: number
  readonly users: readonly AuthUser[]
  readonly replySubjects: readonly string[]
}): string {
  const account = `TROUPE_${new Subjects(namespace).namespace}`
  return `# Written by \`troupe auth\`, which overwrites it. After a change: nats-server --signal reload
accounts {
  ${account} {
    jetstream: enabled
    users: [
${users.map((user) => userConfig(namespace, user, replySubjects, partitions)).join('\n')}
    ]
  }
}
`
}

function userConfig(
  namespace: string,
  user: AuthUser,
  replySubjects: readonly string[],
  partitions: number | undefined,
): string {
  const { publish, subscribe } = grantOf(namespace, user, partitions)
  const sends = user.roles.includes('scheduler') ? [...publish, ...replySubjects] : publish
  return `      # ${user.name}: ${user.roles.join(', ')}
      { nkey: ${user.publicKey}, permissions: {
        publish: { allow: ${list(sends)} }
        subscribe: { allow: ${list(subscribe)} }
      } }`
}

function list(patterns: readonly string[]): string {
  return `[\n${patterns.map((pattern) => `          ${JSON.stringify(pattern)}`).join('\n')}\n        ]`
}

/** Certificates that the server shows and demands; `folder` where they are, by default the folder that it is started in. */
export function tlsConfig(folder = '.'): string {
  const file = (name: string) => JSON.stringify(`${folder}/${name}`)
  return `tls {
  cert_file: ${file('server.pem')}
  key_file: ${file('server-key.pem')}
  ca_file: ${file('ca.pem')}
  # Nobody connects without a certificate of this authority.
  verify: true
}
`
}

/** A server to start from; the operator's own afterwards. */
export function serverConfig(): string {
  return `# Start it in this folder: nats-server -c nats-server.conf
# Made once by \`troupe auth\`; change what you like. Users and permissions are in auth.conf.
server_name: troupe-1
listen: "0.0.0.0:4222"
# Monitoring has no users: loopback only.
http: "127.0.0.1:8222"
jetstream {
  store_dir: "./jetstream"
  # For the loss of machines: three servers, and \`sync_interval: always\`; see docs/operations.md.
}
${tlsConfig()}include ./auth.conf
`
}
