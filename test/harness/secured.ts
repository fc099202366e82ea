/** A nats-server with the configuration that `troupe auth` writes: mutual TLS, a user per identity, least permissions. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { openBus } from '../../src/nats/connect.ts'
import type { NatsBus } from '../../src/nats/connection.ts'
import { type Identity, inboxPrefixOf } from '../../src/protocol/permissions.ts'
import { changeAuth } from '../../src/runtime/auth/auth-folder.ts'
import { tlsConfig } from '../../src/runtime/auth/server-config.ts'
import { type EmbeddedServer, startEmbeddedServer } from '../../src/runtime/server/embedded.ts'

export interface SecuredServer {
  readonly folder: string
  readonly url: string
  readonly process: EmbeddedServer
  /** Path of an identity's credentials. */
  creds(name: string): string
  /** Connected as this identity; whoever asked for it closes it. */
  connect(name: string): Promise<NatsBus>
}

/** Call at the top of a test file. */
export function useSecuredServer(namespace: string, identities: readonly Identity[]): SecuredServer {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-auth-'))
  let server: EmbeddedServer | undefined
  const secured: SecuredServer = {
    folder,
    get url() {
      return server!.url.replace('nats://', 'tls://')
    },
    get process() {
      return server!
    },
    creds: (name) => join(folder, 'identities', `${name}.creds`),
    connect: (name) =>
      openBus({
        servers: secured.url,
        name,
        creds: secured.creds(name),
        inboxPrefix: inboxPrefixOf(name),
      }),
  }
  beforeAll(async () => {
    changeAuth({ folder, namespace, add: identities })
    const config = `${tlsConfig(join(folder, 'server'))}\n${readFileSync(join(folder, 'server', 'auth.conf'), 'utf8')}`
    server = await startEmbeddedServer({ config, storeDir: join(folder, 'store') })
  })
  afterAll(async () => {
    await server?.stop()
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  })
  return secured
}
